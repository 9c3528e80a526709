"""Moments: milliseconds since the epoch inside, ISO-8601 UTC outside."""

from __future__ import annotations

import time


def now() -> int:
    """The present in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def iso(moment: int | None) -> str | None:
    """A moment as `2026-01-31T23:59:59Z`; None for None and for one outside the years 1 to 9999."""
    if moment is None:
        return None
    try:
        parts = time.gmtime(moment // 1000)
    except (ValueError, OverflowError, OSError):
        return None
    if not 1 <= parts.tm_year <= 9999:
        return None
    return f"{parts.tm_year:04}" + time.strftime("-%m-%dT%H:%M:%SZ", parts)
