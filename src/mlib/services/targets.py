"""What a REF leads to."""

from __future__ import annotations

from typing import NamedTuple


class Target(NamedTuple):
    """A model, or a pending import: exactly one of the two is set."""

    sha256: str | None = None
    pending_id: int | None = None
