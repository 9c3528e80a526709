"""What a REF leads to."""

from __future__ import annotations

import re
from typing import NamedTuple

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


def as_digits(ref: str) -> str | None:
    """A REF that may be the beginning of a SHA-256, however short, in lower case; None for any other."""
    digits = ref.lower()
    return digits if ref.isascii() and _HEX.fullmatch(digits) else None
