"""Spans of time: what people type, and nothing else."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.core.errors import WrongUsage
from mlib.core.times import duration

HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "hours"),
    [
        ("0d", 0),
        ("1h", 1),
        ("90d", 90 * 24),
        ("2W", 14 * 24),
        ("6m", 180 * 24),
        (" 1y ", 365 * 24),
        ("007d", 168),
    ],
)
def test_a_number_and_a_unit_are_a_span(text: str, hours: int) -> None:
    assert duration(text) == hours * HOUR


@pytest.mark.parametrize(
    "text", ["", "d", "90", "-1d", "1.5d", "90 d", "1d2h", "٣d", "1s", "9999y", "d90", "1d\x1b[2J"]
)
def test_anything_else_is_wrong_usage(text: str) -> None:
    with pytest.raises(WrongUsage) as raised:
        duration(text)
    assert raised.value.code == "bad_span"
    assert "\x1b" not in raised.value.message


@given(st.text(max_size=8))
def test_no_text_is_anything_but_a_span_or_wrong_usage(text: str) -> None:
    with contextlib.suppress(WrongUsage):
        assert duration(text) >= 0


@given(st.integers(0, 999), st.sampled_from("hdwmy"))
def test_spans_grow_with_their_number(count: int, unit: str) -> None:
    assert duration(f"{count + 1}{unit}") - duration(f"{count}{unit}") == duration(f"1{unit}")
