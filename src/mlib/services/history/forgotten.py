"""Finding in the history what is in the library no more."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.db import history
from mlib.services.targets import SHORTEST_PREFIX, Target, as_digits, as_pending

if TYPE_CHECKING:
    from mlib.db.library import Library


def forgotten(library: Library, ref: str) -> Target | None:
    """The one that the history knows by `ref`, the beginning of a SHA-256 or pending:ID."""
    pending_id = as_pending(ref)
    if pending_id is not None:
        return Target(pending_id=pending_id) if history.is_known(library, f"pending:{pending_id}") else None
    prefix = as_digits(ref) or ""
    found = history.with_prefix(library, prefix, limit=2) if len(prefix) >= SHORTEST_PREFIX else []
    return Target(sha256=found[0]) if len(found) == 1 else None
