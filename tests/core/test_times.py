from __future__ import annotations

import time
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.core.times import iso, now


def test_now_is_in_milliseconds() -> None:
    before = time.time() * 1000
    assert before - 1 <= now() <= time.time() * 1000


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_769_903_999_999, "2026-01-31T23:59:59Z"),
        (-1_000, "1969-12-31T23:59:59Z"),
        (None, None),
        (-62_135_596_800_000, "0001-01-01T00:00:00Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59Z"),
        (253_402_300_800_000, None),
        (2**63, None),
        (-(2**63), None),
    ],
)
def test_a_moment_is_shown_in_utc_and_whole_seconds(moment: int | None, text: str | None) -> None:
    assert iso(moment) == text


def test_the_local_time_zone_does_not_matter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    try:
        assert iso(0) == "1970-01-01T00:00:00Z"
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.integers(0, 4_000_000_000_000))
def test_what_is_shown_can_be_read_back_to_the_second(moment: int) -> None:
    text = iso(moment)
    assert text is not None
    assert datetime.fromisoformat(text) == datetime.fromtimestamp(moment // 1000, UTC)


@given(st.integers(-(2**63), 2**63 - 1))
def test_no_moment_is_too_odd_to_show(moment: int) -> None:
    text = iso(moment)
    assert text is None or datetime.fromisoformat(text).year >= 1
