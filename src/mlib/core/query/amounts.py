"""What the amounts of a query mean: sizes, counts and moments as intervals of integers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import WrongUsage
from mlib.core.query.fields import FIELDS
from mlib.core.spans import duration

if TYPE_CHECKING:
    from mlib.core.query.terms import Value

_SIZE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?([kmgtp]?i?b?)", re.ASCII | re.IGNORECASE)
_COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)
_SPAN = re.compile(r"([0-9]{1,9}[hdwmy])", re.ASCII | re.IGNORECASE)
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?Z?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_POWERS = "kmgtp"
#: SQLite's integers end here, and so do all sizes.
_MOST = 2**62
_SECOND, _MINUTE, _DAY = 1000, 60_000, 86_400_000

SIZES = "a size is a number with B, kB, MB, GB or TB (GiB and the like too), such as 1.5GB"
MOMENTS = "a moment is a date (2026, 2026-01, 2026-01-31) or an age (12h, 30d, 2w, 6m, 1y)"


class Interval(NamedTuple):
    """Integers from `low` on and below `high`; None where it is open."""

    low: int | None
    high: int | None


class _Period(NamedTuple):
    """The first millisecond, and the first one after; an age has no length."""

    start: int
    end: int
    is_age: bool = False


def interval(field: str, value: Value, now: int) -> Interval:
    """The bytes, files or milliseconds since the epoch that a value takes in; ages count back from `now`.

    Raises WrongUsage (`bad_query`) where it is no amount of this field.
    """
    if FIELDS[field] == "moment":
        return _moments(value, now)
    read = size if FIELDS[field] == "size" else _count
    low = read(value.text) if value.text else None
    high = read(value.until) if value.until else None
    if value.how == "..":
        if low is not None and high is not None and low > high:
            raise WrongUsage(
                "bad_query", f"{value.text} is more than {value.until}", hint="say the smaller first"
            )
        return Interval(low, None if high is None else high + 1)
    assert low is not None
    return _compared(value.how, low, low + 1)


def size(text: str) -> int:
    """Bytes of `1.5GB`, `700MiB`, `1000`; what is more than any disk holds counts as that."""
    match = _SIZE.fullmatch(text)
    unit = match[3].lower().removesuffix("b") if match else ""
    if match is None or unit == "i":
        raise WrongUsage("bad_query", f"'{text}' is no size", hint=SIZES)
    base = 1024 if unit.endswith("i") else 1000
    factor = base ** (_POWERS.index(unit[0]) + 1) if unit else 1
    fraction = match[2] or ""
    whole = int(match[1] + fraction) * factor // int("1" + "0" * len(fraction))
    return min(whole, _MOST)


def _count(text: str) -> int:
    if _COUNT.fullmatch(text) is None:
        raise WrongUsage(
            "bad_query", f"'{text}' is no count", hint="a count is a whole number, such as files:>1"
        )
    return int(text)


def _compared(how: str, start: int, end: int) -> Interval:
    return {
        "=": Interval(start, end),
        "<": Interval(None, start),
        "<=": Interval(None, end),
        ">": Interval(end, None),
        ">=": Interval(start, None),
    }[how]


def _moments(value: Value, now: int) -> Interval:
    first = _period(value.text, now) if value.text else None
    last = _period(value.until, now) if value.until else None
    if value.how == "..":
        if first and last and first.is_age and last.is_age and first.start > last.start:
            first, last = last, first  # 7d..30d: people say the younger one first
        return Interval(None if first is None else first.start, None if last is None else last.end)
    assert first is not None
    if not first.is_age:
        return _compared(value.how, first.start, first.end)
    if value.how == "=":  # of the last seven days, not seven days ago to the millisecond
        return Interval(first.start, None)
    # More than 30 days is longer ago.
    turned = value.how.translate(str.maketrans("<>", "><"))
    return _compared(turned, first.start, first.end)


def _period(text: str, now: int) -> _Period:
    if match := _SPAN.fullmatch(text):
        try:
            moment = now - duration(match[1])
        except WrongUsage as error:
            raise WrongUsage("bad_query", error.message, hint=MOMENTS) from None
        return _Period(moment, moment + 1, is_age=True)
    if match := _DATE.fullmatch(text):
        from datetime import UTC, datetime

        year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups())
        assert year is not None
        try:
            start = datetime(year, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=UTC)
            if day is not None:
                length = _DAY if hour is None else _MINUTE if second is None else _SECOND
                return _Period(_milliseconds(start), _milliseconds(start) + length)
            years, months = divmod(year * 12 + (month or 1) - 1 + (12 if month is None else 1), 12)
            after = datetime(years, months + 1, 1, tzinfo=UTC) if years <= 9999 else None
            return _Period(_milliseconds(start), _milliseconds(after) if after else _MOST)
        except ValueError:
            pass
    raise WrongUsage("bad_query", f"'{text}' is no date and no age", hint=MOMENTS)


def _milliseconds(moment: object) -> int:
    from datetime import UTC, datetime, timedelta

    assert isinstance(moment, datetime)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)
