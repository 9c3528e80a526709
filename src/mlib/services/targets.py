"""What a REF leads to."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Target:
    """A model, or a pending import: exactly one of the two is set."""

    sha256: str | None = None
    pending_id: int | None = None
