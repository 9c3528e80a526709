"""Export the library: as JSON Lines that `mlib import --from` reads, as CSV, or as sidecars."""

from __future__ import annotations

import csv
import io
import itertools
import os
import stat
from collections import defaultdict
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mlib.core import export_lines, times
from mlib.core.comfyui.folders import is_model_name
from mlib.core.disk.compare import stat_of
from mlib.core.disk.leftovers import settle, sweep
from mlib.core.disk.storage import is_there
from mlib.core.disk.writing import looked_at, write_new, write_over
from mlib.core.errors import MlibError
from mlib.core.records import OtherHashes, Pending, Problem
from mlib.core.sidecars.companions import stem_of
from mlib.core.sidecars.filling import Named, mismatch
from mlib.core.sidecars.parse import parse_sidecar
from mlib.core.sidecars.record import SidecarError, packed
from mlib.core.sidecars.render import NotOursToChangeError, merged_text, sidecar_name, typed_words
from mlib.core.text import visible
from mlib.db import contents, exports, files, list_rows, models, sidecars, tags
from mlib.db.schema import STEP_NAMES
from mlib.services.believing import Believed, with_words_beside

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlib.core.export_lines import Exported
    from mlib.core.jsontext import Json
    from mlib.core.records import KnownFile, Model
    from mlib.db.library import Library
    from mlib.services.resolving import Target


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
        yield export_lines.header_line(STEP_NAMES[-1], folders, records=records)
        for model in exports.models(moment, shas):
            yield export_lines.line(model)
            count.models += 1
        for entry in exports.pending(moment, ids):
            yield export_lines.line(entry)
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
            found = list_rows.of_models(moment, wanted, parts={"content"})
            known = with_words_beside(moment, found, believed, {"content"})
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


# --- Sidecars for other managers; the only writer into model folders

_KIND = "metadata_json"
#: Bytes of a sidecar that is read before it is changed.
_LARGEST = 4 * 2**20


@dataclass(frozen=True, slots=True)
class PlannedSidecar:
    """A sidecar to be written: its whole text, and what it replaces (None: nothing)."""

    path: str
    file: KnownFile
    text: str
    before: bytes | None
    fields: frozenset[str]


@dataclass(slots=True)
class SidecarExport:
    """The sidecars that were, or are to be, written; what was right already; what was left alone and why.

    `untyped` counts the models that were passed over: nobody typed anything of them that a sidecar tells.
    """

    planned: list[PlannedSidecar] = field(default_factory=list)
    written: list[str] = field(default_factory=list)
    unchanged: int = 0
    untyped: int = 0
    problems: list[Problem] = field(default_factory=list)


class _Folder(NamedTuple):
    """What lies in a directory: the models of each stem, and every name by its lower case."""

    models: defaultdict[str, set[str]]
    names: defaultdict[str, set[str]]


def plan_sidecars(library: Library, shas: Sequence[str] | None) -> SidecarExport:
    """What is to be written beside the present files of these models, or of all. Changes nothing.

    Only of models of which something was typed. Left alone: a file that is not what it was when it was
    scanned, one that shares its stem with another model, a sidecar that is about another file or is not a
    JSON object.
    """
    report = SidecarExport()
    folder_of = cache(_folder)  # not listed once for each of its files
    for sha256 in models.all_ids(library) if shas is None else shas:
        with library.reading():
            model = models.get(library, sha256)
            words = typed_words(model, tags.of_model(library, sha256)) if model is not None else {}
            rows = [row for row in files.of_model(library, sha256) if row.missing_since is None]
            known = contents.hashes_of(library, sha256) or OtherHashes()
        if model is None:
            continue
        if not words:
            report.untyped += 1
            continue
        for row in rows:
            try:
                planned = _planned(model, row, folder_of, words, known)
            except MlibError as error:
                report.problems.append(Problem(row.path, error.code, error.message))
            else:
                if planned is None:
                    report.unchanged += 1
                else:
                    report.planned.append(planned)
    return report


def write_sidecars(library: Library, report: SidecarExport) -> None:
    """Write what is planned, each whole or not at all, and note that these are our own words.

    So the next scan has nothing to read, and takes nothing back from them that is emptied later. What a run
    that was killed has left in the same folders is removed.
    """
    for directory in sorted({os.path.dirname(planned.path) for planned in report.planned}):
        sweep(directory)
    for planned in report.planned:
        try:
            _write(planned)
        except MlibError as error:
            report.problems.append(Problem(planned.path, error.code, error.message))
            if error.code == "disk_full":
                return
            continue
        report.written.append(planned.path)
        _note(library, planned)


def _folder(directory: str) -> _Folder:
    folder = _Folder(defaultdict(set), defaultdict(set))
    for name in os.listdir(directory):
        folder.names[name.lower()].add(name)
        if is_model_name(name, any_file=False):
            folder.models[stem_of(name)].add(name)
    return folder


def _planned(
    model: Model,
    row: KnownFile,
    folder_of: Callable[[str], _Folder],
    words: Mapping[str, Json],
    known: OtherHashes,
) -> PlannedSidecar | None:
    try:
        status = os.stat(row.path)
        folder = folder_of(row.directory)
    except OSError as error:
        raise MlibError("unreadable", f"the file cannot be looked at: {error.strerror}") from error
    if row.stat is None or stat_of(status)[:2] != row.stat[:2]:
        raise MlibError("changed_since", "the file has changed since it was scanned")
    if folder.models[stem_of(row.name)] - {row.name}:
        raise MlibError("shared_stem", "another model would have the same sidecar")
    path = _beside(row, folder)
    before = _read(path)
    if before is not None:
        _check_is_about(before, path, row, known)
    try:
        text = None if before is None else before.decode("utf-8-sig")
        written = merged_text(text, model, words, path=row.path, mtime=status.st_mtime)
    except (UnicodeDecodeError, NotOursToChangeError) as error:
        message = f"not a JSON object, left unchanged: {path}"
        raise MlibError("not_json", message) from error
    if written.text == text:
        return None
    return PlannedSidecar(path, row, written.text, before, written.fields)


def _beside(row: KnownFile, folder: _Folder) -> str:
    """The sidecar's path; one that is there keeps the case of its name."""
    wanted = sidecar_name(row.name)
    there = sorted(folder.names[wanted.lower()])
    return os.path.join(row.directory, wanted if wanted in there or not there else there[0])


def _read(path: str) -> bytes | None:
    try:
        status = os.lstat(path)
        if not stat.S_ISREG(status.st_mode):
            raise MlibError("not_a_file", f"not a regular file, left unchanged: {path}")
        if status.st_size > _LARGEST:
            raise MlibError("too_large", f"this is too large for a sidecar: {path}")
        with open(path, "rb") as file:
            return file.read(_LARGEST)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise MlibError("unreadable", f"cannot read {path}: {error.strerror}") from error


def _check_is_about(content: bytes, path: str, row: KnownFile, known: OtherHashes) -> None:
    try:
        sidecar = parse_sidecar(content, kind=_KIND, model_name=row.name)
    except SidecarError as error:
        raise MlibError(error.code, f"{error.message}: {path}") from error
    finding = mismatch(Named(os.path.basename(path), sidecar), row.sha256, known)
    if finding is not None:
        raise MlibError("sidecar_mismatch", finding.message)


def _write(planned: PlannedSidecar) -> None:
    with suppress(OSError):  # a run that was killed may have moved it aside
        settle(planned.path)
    was = looked_at(planned.path)
    if _read(planned.path) != planned.before:
        raise MlibError("changed_since", f"changed meanwhile, left unchanged: {planned.path}")
    content = [planned.text.encode() + b"\n"]
    if planned.before is None:
        write_new(planned.path, content, mode=0o644)
    elif was is not None:
        mode = stat.S_IMODE(os.stat(planned.path).st_mode)
        write_over(planned.path, content, was=was, content=planned.before, mode=mode)


def _note(library: Library, planned: PlannedSidecar) -> None:
    directory, name = os.path.split(planned.path)
    row = planned.file
    try:
        status = os.stat(planned.path)
        said = packed(parse_sidecar(planned.text.encode(), kind=_KIND, model_name=row.name))
    except (OSError, SidecarError):
        return  # the next scan reads it
    stamp = (status.st_size, status.st_mtime_ns, status.st_ino)
    with library.transaction():
        fields = sidecars.filled_at(library, row.directory, row.name, row.sha256)
        sidecars.put(library, directory, [sidecars.KnownSidecar(name, _KIND, *stamp, said)])
        sidecars.put_filled(library, row.directory, row.name, row.sha256, fields | planned.fields)
