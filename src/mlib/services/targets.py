"""What a REF leads to."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import NotFound
from mlib.db import pending

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.db.library import Library

#: Fewest hex digits that name a model.
SHORTEST_PREFIX = 4

_HEX = re.compile(r"[0-9a-f]{1,64}")
_PENDING = re.compile(r"pending:([0-9]{1,18})")


class Target(NamedTuple):
    """A model, or a pending import: exactly one of the two is set."""

    sha256: str | None = None
    pending_id: int | None = None


def as_pending(ref: str) -> int | None:
    """The id that `pending:ID` names; None for any other REF."""
    match = _PENDING.fullmatch(ref)
    return None if match is None else int(match[1])


def check_waiting(library: Library, ids: Iterable[int]) -> None:
    """Raise NotFound (`pending_not_found`) where one of these is no pending import."""
    for pending_id in ids:
        if not pending.exists(library, pending_id):
            raise NotFound(
                "pending_not_found",
                f"there is no pending import {pending_id}",
                hint="`mlib pending` lists them",
            )


def as_digits(ref: str) -> str | None:
    """A REF that may be the beginning of a SHA-256, however short, in lower case; None for any other."""
    digits = ref.lower()
    return digits if ref.isascii() and _HEX.fullmatch(digits) else None
