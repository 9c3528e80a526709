"""The lines of an export as records, a batch at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core import exchange
from mlib.core.exchange import BadLineError
from mlib.core.models import Pending
from mlib.db.exported_files import TooLong
from mlib.services.staging.joining import BadRow

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.core.exchange import Exported

#: Lines taken over in one transaction.
BATCH = 200


def first(numbered: Iterator[tuple[int, str | TooLong]]) -> str:
    """The first line; empty where there is none, or none that is text."""
    _, text = next(numbered, (1, ""))
    return text if isinstance(text, str) else ""


def usable(
    numbered: Iterable[tuple[int, str | TooLong]], expected: int | None, bad: list[BadRow]
) -> Iterator[Exported]:
    """What the lines say; those that cannot be used, and where some of the `expected` lack, go to `bad`."""
    lines = 0
    for number, text in numbered:
        lines += isinstance(text, TooLong) or bool(text.strip())
        if isinstance(text, TooLong):
            bad.append(BadRow("", "line_too_long", f"line {number}: {text.reason}"))
            continue
        if not text.strip():
            continue
        try:
            yield exchange.exported_of(text)
        except BadLineError as error:
            bad.append(BadRow("", "bad_line", f"line {number}: {error.message}"))
    if lines < (expected or 0):
        message = f"the export ends after {lines:,} of {expected:,} records: make it, or copy it, again"
        bad.append(BadRow("", "cut_off", message))


def batches(every: Iterable[Exported]) -> Iterator[list[Exported]]:
    """So many at a time, but never one model twice: what a later line says of it is news to the earlier."""
    batch: list[Exported] = []
    known: set[str | None] = set()
    for exported in every:
        sha256 = None if isinstance(exported.record, Pending) else exported.record.sha256
        if len(batch) >= BATCH or (sha256 is not None and sha256 in known):
            yield batch
            batch, known = [], set()
        batch.append(exported)
        known.add(sha256)
    if batch:
        yield batch
