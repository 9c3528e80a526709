"""Completing what an older manager left waiting, from what the library knows without reading a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.db import files, models, pending

if TYPE_CHECKING:
    from mlib.core.models import Pending
    from mlib.db.library import Library
    from mlib.services.scanning.ledger import Ledger


def complete_waiting(ledger: Ledger) -> None:
    """Give the pending imports without a hash that of their path, or of the one model their claim begins."""
    library = ledger.library
    for pending_id in pending.without_hash(library):
        with library.transaction():
            entry = pending.get(library, pending_id)
            complete = None if entry is None or entry.sha256 is not None else _completed(library, entry)
            if complete is not None:
                pending.put(library, complete)
                ledger.import_claims([pending_id])


def _completed(library: Library, entry: Pending) -> Pending | None:
    complete = _by_path(library, entry) or _by_claim(library, entry)
    if complete is None:
        return None
    said = {other.sha256 for other in pending.at_path(library, entry.path)}
    return None if complete.sha256 in said else complete


def _by_path(library: Library, entry: Pending) -> Pending | None:
    row = next((row for row in files.at_path(library, entry.path) if row.missing_since is None), None)
    if row is None or row.stat is None:
        return None
    return entry._replace(sha256=row.sha256, size_bytes=row.stat.size_bytes, observed=row)


def _by_claim(library: Library, entry: Pending) -> Pending | None:
    """One model only: a few digits prove little, and less where they fit two."""
    if entry.claimed_hash is None:
        return None
    found = models.with_prefix(library, entry.claimed_hash, limit=2)
    model = models.get(library, found[0]) if len(found) == 1 else None
    if model is None or entry.size_bytes not in (None, model.size_bytes):
        return None
    return entry._replace(sha256=model.sha256)
