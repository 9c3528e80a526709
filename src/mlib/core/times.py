"""Times and durations: milliseconds internally, ISO 8601 in UTC and `90d` outside."""

from __future__ import annotations

import re
import time

from mlib.core.errors import WrongUsage
from mlib.core.text import visible

# --- Durations

_DAY = 86_400_000
#: A month is 30 days and a year 365: precise enough for how long something may be missing.
_UNITS = {"h": _DAY // 24, "d": _DAY, "w": 7 * _DAY, "m": 30 * _DAY, "y": 365 * _DAY}
_SPAN = re.compile(r"([0-9]{1,9})([hdwmy])", re.ASCII)
#: The longest duration: a thousand years.
_LONGEST = 1000 * _UNITS["y"]


def duration(text: str) -> int:
    """The milliseconds of `90d`, `12h`, `2w`, `6m` (30 days each) or `1y` (365 days); `0d` is 0.

    Raises WrongUsage (`bad_span`) for anything else, and for more than a thousand years.
    """
    match = _SPAN.fullmatch(text.strip().lower())
    milliseconds = int(match[1]) * _UNITS[match[2]] if match else _LONGEST + 1
    if milliseconds > _LONGEST:
        raise WrongUsage(
            "bad_span",
            f"'{visible(text)}' is not a duration",
            hint="a number and h, d, w, m (30 days) or y (365 days), such as 90d",
        )
    return milliseconds


# --- Times


def now() -> int:
    """The current time in milliseconds since the epoch."""
    return time.time_ns() // 1_000_000


def iso(moment: int | None) -> str | None:
    """Format a time as `2026-01-31T23:59:59Z`; None for None and outside the years 1 to 9999."""
    if moment is None:
        return None
    try:
        parts = time.gmtime(moment // 1000)
    except (ValueError, OverflowError, OSError):
        return None
    if not 1 <= parts.tm_year <= 9999:
        return None
    return f"{parts.tm_year:04}" + time.strftime("-%m-%dT%H:%M:%SZ", parts)
