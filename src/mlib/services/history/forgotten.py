"""Finding in the history what is in the library no more."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlib.db import history
from mlib.services.targets import Target

if TYPE_CHECKING:
    from mlib.db.library import Library

_PREFIX = re.compile(r"[0-9a-f]{4,64}")
_PENDING = re.compile(r"pending:[0-9]{1,18}")


def forgotten(library: Library, ref: str) -> Target | None:
    """The one that the history knows by `ref`, the beginning of a SHA-256 or pending:ID."""
    if _PENDING.fullmatch(ref):
        number = int(ref.partition(":")[2])
        return Target(pending_id=number) if history.is_known(library, f"pending:{number}") else None
    prefix = ref.lower()
    found = history.with_prefix(library, prefix, limit=2) if _PREFIX.fullmatch(prefix) else []
    return Target(sha256=found[0]) if len(found) == 1 else None
