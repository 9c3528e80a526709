"""Strip image payloads from stored metadata."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core.errors import MlibError
from mlib.core.payloads import strip_images
from mlib.db import history, models, pending
from mlib.services.resolving import Target

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlib.db.library import Library

#: Rows cleaned in one transaction.
BATCH = 500


@dataclass(slots=True)
class CleanReport:
    """What was examined and cleaned; bytes are those of the metadata as UTF-8."""

    examined: int = 0
    cleaned: int = 0
    payloads_removed: int = 0
    bytes_before: int = 0
    bytes_after: int = 0
    backup: str | None = None


def clean_meta(library: Library, targets: Sequence[Target] | None = None) -> CleanReport:
    """Strip image payloads from the metadata of everything, or of these.

    The library is backed up before the first change, each batch is one transaction, and the freed pages are
    given back at the end. Running it again finds nothing.
    """
    report = CleanReport()
    for batch in _batches(library, targets):
        dirty = list(_examine(batch, report))
        if not dirty:
            continue
        if report.backup is None:
            report.backup = library.backup("before-clean-meta")
        with library.transaction():
            for key, before, after in dirty:
                _replace(library, key, before, after)
            if report.backup is not None:
                history.note_cleaning(library, report.backup)
    if report.backup is not None:
        _give_back(library)
    return report


def _batches(library: Library, targets: Sequence[Target] | None) -> Iterator[list[tuple[Target, str]]]:
    if targets is None:
        for model_rows in models.all_meta(library, batch=BATCH):
            yield [(Target(sha256=sha256), text) for sha256, text in model_rows]
        for pending_rows in pending.all_meta(library, batch=BATCH):
            yield [(Target(pending_id=pending_id), text) for pending_id, text in pending_rows]
        return
    for start in range(0, len(targets), BATCH):
        batch = targets[start : start + BATCH]
        yield [(target, text) for target in batch if (text := _stored(library, target)) is not None]


def _examine(batch: Iterable[tuple[Target, str]], report: CleanReport) -> Iterator[tuple[Target, str, str]]:
    for target, text in batch:
        stripped = strip_images(text)
        report.examined += 1
        report.bytes_before += len(text.encode())
        report.bytes_after += len(stripped.text.encode())
        if stripped.text != text:
            report.cleaned += 1
            report.payloads_removed += stripped.removed
            yield target, text, stripped.text


def _stored(library: Library, target: Target) -> str | None:
    if target.sha256 is not None:
        return models.meta(library, target.sha256)
    assert target.pending_id is not None
    entry = pending.get(library, target.pending_id)
    return None if entry is None else entry.meta_json


def _replace(library: Library, target: Target, before: str, after: str) -> None:
    """Write one cleaned text. What another program changed since it was read is cleaned as it is now."""
    current = _stored(library, target)
    if current is None:
        return
    text = after if current == before else strip_images(current).text
    if target.sha256 is not None:
        models.put_meta(library, target.sha256, text)
    else:
        assert target.pending_id is not None
        pending.put_meta(library, target.pending_id, text)


def _give_back(library: Library) -> None:
    """Shrink the file. The cleaning is done and safe by now, so that a full disk is no reason to fail."""
    try:
        library.give_back_free_pages()
    except MlibError as error:
        if error.code not in ("disk_full", "library_busy", "library_io_error"):
            raise
