"""Telling all that a library holds: as lines that `mlib import --from` takes back, or as a table."""

from __future__ import annotations

import csv
import io
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

from mlib.core import exchange, times
from mlib.core.models import Pending
from mlib.core.standing import is_there
from mlib.core.text import visible
from mlib.db import exports, listed
from mlib.db.schema import STEP_NAMES
from mlib.db.sidecars import Believed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlib.core.exchange import Exported
    from mlib.db.library import Library
    from mlib.services.targets import Target

_Told = TypeVar("_Told")

COLUMNS = (
    "sha256", "name", "type", "base_model", "size_bytes", "description", "notes", "tags", "path", "files",
    "created_at", "updated_at", "trigger_words",
)  # fmt: skip
#: How a cell begins that a spreadsheet would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(slots=True)
class ExportCount:
    """How much was told so far."""

    models: int = 0
    pending: int = 0


def as_lines(library: Library, targets: Sequence[Target] | None, *, count: ExportCount) -> Iterator[str]:
    """All of the library, or these, a JSON object a line; equal libraries give equal lines.

    The first is the header: it tells how many follow, and names the roots where everything is told. All is of
    one moment, and whoever reads slowly keeps no writer waiting. Memory stays flat. Raises MlibError
    (`no_temporary_copy`).
    """
    shas, ids = _chosen(targets)

    def lines(moment: Library) -> Iterator[str]:
        folders = exports.roots(moment) if targets is None else []
        records = exports.count(moment, shas, ids)
        yield exchange.header_line(STEP_NAMES[-1], folders, records=records)
        for model in exports.models(moment, shas):
            yield exchange.line(model)
            count.models += 1
        for entry in exports.pending(moment, ids):
            yield exchange.line(entry)
            count.pending += 1

    return _of_one_moment(library, targets, lines)


def as_table(library: Library, targets: Sequence[Target] | None, *, count: ExportCount) -> Iterator[str]:
    """The plain facts about all models, or these, as lines of CSV (RFC 4180 with plain line ends).

    A cell that a spreadsheet would run as a formula begins with an apostrophe. It cannot be imported again.
    Of one moment, as with `as_lines`.
    """
    shas, _ = _chosen(targets)

    def told(moment: Library) -> Iterator[tuple[Exported, Sequence[str]]]:
        believed, exported = Believed(moment), exports.models(moment, shas)
        while batch := list(itertools.islice(exported, exports.BATCH)):
            wanted = [each.record.sha256 for each in batch if each.record.sha256]
            known = listed.of_models(moment, wanted, parts={"content"}, believed=believed)
            for each in batch:
                row = known.get(each.record.sha256 or "")
                yield each, row.trigger_words if row else ()

    yield _csv(COLUMNS)
    for exported, words in _of_one_moment(library, targets, told):
        yield _row(exported, words)
        count.models += 1


def _of_one_moment(
    library: Library, targets: Sequence[Target] | None, telling: Callable[[Library], Iterator[_Told]]
) -> Iterator[_Told]:
    """What is told of the library while nothing in it changes: a few models at once, all from a copy."""
    if targets is not None and len(targets) <= exports.BATCH:
        with library.reading():
            told = list(telling(library))
        yield from told
        return
    with library.snapshot() as moment:
        yield from telling(moment)


def _row(exported: Exported, trigger_words: Sequence[str]) -> str:
    model = exported.record
    assert not isinstance(model, Pending)
    present = exported.present
    return _csv(
        (
            model.sha256,
            model.name,
            model.type,
            model.base_model,
            "" if model.size_bytes is None else str(model.size_bytes),
            model.description,
            model.notes,
            ", ".join(exported.tags),
            next(filter(is_there, present), present[0] if present else ""),
            str(len(present)),
            times.iso(model.created_at) or "",
            times.iso(model.updated_at) or "",
            ", ".join(trigger_words),
        )
    )


def _chosen(targets: Sequence[Target] | None) -> tuple[list[str] | None, list[int] | None]:
    if targets is None:
        return None, None
    return (
        [target.sha256 for target in targets if target.sha256 is not None],
        [target.pending_id for target in targets if target.pending_id is not None],
    )


def _csv(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow([_cell(cell) for cell in cells])
    return line.getvalue()


def _cell(text: str) -> str:
    tame = "\n".join(visible(each) for each in text.split("\n"))
    return f"'{tame}" if text.startswith(_FORMULA) else tame
