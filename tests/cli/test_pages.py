"""Labelled texts on a page: wrapped to the terminal, whatever the script."""

from __future__ import annotations

import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.cli.layout import cell_width, entry, lines_of


@pytest.fixture(autouse=True)
def narrow(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")


def test_words_are_wrapped_below_the_first() -> None:
    assert list(entry("notes", "one two three four five six seven")) == [
        "  notes        one two three four five",
        "               six seven",
    ]


def test_a_script_without_spaces_is_wrapped_by_cells() -> None:
    lines = list(entry("notes", "水彩画の柔らかい質感を再現します。重みは0.8がおすすめ"))
    assert lines == [
        "  notes        水彩画の柔らかい質感を再",
        "               現します。重みは0.8がおす",
        "               すめ",
    ]


def test_no_line_begins_with_what_closes_or_ends_with_what_opens() -> None:
    assert list(lines_of("一二三、四五", 6)) == ["一二", "三、四", "五"]
    assert list(lines_of("一二「三」四", 6)) == ["一二", "「三」", "四"]


def test_what_is_meant_to_be_copied_stays_whole() -> None:
    address = "https://civitai.com/models/1?modelVersionId=2"
    assert list(entry("source", f"絵 {address} 絵"))[1].strip() == address


@given(st.text(alphabet="a 漢、「e\u0301🎨-", max_size=60), st.integers(8, 30))
def test_every_line_fits_and_nothing_is_lost(text: str, width: int) -> None:
    lines = list(lines_of(text, width))
    assert "".join("".join(lines).split()) == "".join(text.split())
    for line in lines:
        assert cell_width(line) <= width or not any(map(str.isspace, line.strip()))


@given(st.text(alphabet="ab ", max_size=60), st.integers(8, 30))
def test_plain_text_is_wrapped_as_ever(text: str, width: int) -> None:
    plain = textwrap.wrap(text.strip(), width, break_long_words=False, break_on_hyphens=False)
    assert [line.split() for line in lines_of(text.strip(), width)] == [line.split() for line in plain]
