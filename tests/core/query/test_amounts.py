"""What sizes, counts and moments take in."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from mlib.core.query import interval, parse, size

NOW = int(datetime(2026, 6, 15, 12, tzinfo=UTC).timestamp() * 1000)
DAY = 86_400_000


def taken_in(text: str) -> tuple[int | None, int | None]:
    ((term,),) = parse(text).groups
    return interval(term.field, term.values[0], NOW)


def at(*date: int) -> int:
    return int(datetime(*date, tzinfo=UTC).timestamp() * 1000)  # type: ignore[arg-type, misc]


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("0", 0),
        ("1000", 1000),
        ("1B", 1),
        ("2kb", 2000),
        ("2k", 2000),
        ("2KiB", 2048),
        ("1.5GB", 1_500_000_000),
        ("1.5Gi", 3 << 29),
        ("0.0000001kB", 0),
        ("3TB", 3 * 10**12),
        ("1PiB", 1 << 50),
    ],
)
def test_sizes(text: str, count: int) -> None:
    assert size(text) == count


def test_a_size_beyond_all_disks_still_fits_a_column() -> None:
    assert size("999999999999999PiB") < 2**63 - 1


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("size:>2kB", 2001, None),
        ("size:>=2kB", 2000, None),
        ("size:<2kB", None, 2000),
        ("size:<=2kB", None, 2001),
        ("size:2kB", 2000, 2001),
        ("size:1kB..2kB", 1000, 2001),
        ("size:2kB..2kB", 2000, 2001),
        ("size:..2kB", None, 2001),
        ("files:>1", 2, None),
        ("files:0", 0, 1),
    ],
)
def test_numbers(text: str, low: int | None, high: int | None) -> None:
    assert taken_in(text) == (low, high)


@pytest.mark.parametrize(
    ("text", "low", "high"),
    [
        ("2026", at(2026, 1, 1), at(2027, 1, 1)),
        ("2026-12", at(2026, 12, 1), at(2027, 1, 1)),
        ("2024-02-29", at(2024, 2, 29), at(2024, 3, 1)),
        ("2026-01-31T18:00", at(2026, 1, 31, 18), at(2026, 1, 31, 18, 1)),
        ("2026-01-31T18:00:07Z", at(2026, 1, 31, 18, 0, 7), at(2026, 1, 31, 18, 0, 8)),
        ("<2026-01", None, at(2026, 1, 1)),
        ("<=2026-01", None, at(2026, 2, 1)),
        (">2026-01", at(2026, 2, 1), None),
        (">=2026-01", at(2026, 1, 1), None),
        ("2025..2026-03", at(2025, 1, 1), at(2026, 4, 1)),
    ],
)
def test_dates_are_as_long_as_they_say(text: str, low: int | None, high: int | None) -> None:
    assert taken_in(f"added:{text}") == (low, high)


def test_the_last_year_of_the_calendar_ends_too() -> None:
    low, high = taken_in("added:9999")
    assert low is not None
    assert high is not None
    assert low < high


@pytest.mark.parametrize("text", ["30d..", "30d", "<=30d", "-30d.."])
def test_younger_than_an_age(text: str) -> None:
    assert taken_in(f"added:{text}") == (NOW - 30 * DAY, None)


@pytest.mark.parametrize(("text", "high"), [("..30d", 1), (">=30d", 1), (">30d", 0)])
def test_older_than_an_age(text: str, high: int) -> None:
    assert taken_in(f"added:{text}") == (None, NOW - 30 * DAY + high)


@pytest.mark.parametrize("text", ["7d..30d", "30d..7d"])
def test_between_two_ages_in_either_order(text: str) -> None:
    assert taken_in(f"added:{text}") == (NOW - 30 * DAY, NOW - 7 * DAY + 1)
