from __future__ import annotations

import os
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.core.errors import WrongUsage
from mlib.core.text import displayable, typed, visible

#: File names as Python gives them: any bytes but the two that no name can hold.
NAMES = st.binary(min_size=1, max_size=40).filter(lambda raw: b"\0" not in raw and b"/" not in raw)


# --- displayable: what is kept as a name --------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.pt", "été.pt", "日本.pt", "new\nline", "[red]x", "\x1b[2J"])
def test_a_name_that_is_text_is_kept_as_it_is(name: str) -> None:
    assert displayable(name) == name


def test_bytes_that_are_no_text_become_visible_escapes() -> None:
    assert displayable(os.fsdecode(b"caf\xe9 \xe2\x82\xac.pt")) == "caf\\xe9 €.pt"


@given(NAMES)
def test_every_name_becomes_text_that_utf8_can_hold(raw: bytes) -> None:
    assert displayable(os.fsdecode(raw)).encode()


# --- visible: what reaches a terminal -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("été 日本 🦊", "été 日本 🦊"),
        ("[red]x[/red]", "[red]x[/red]"),
        ("a\nb\tc\rd", "a\\nb\\tc\\rd"),
        ("\x1b[2J\x07", "\\x1b[2J\\x07"),
        ("\x9b31m", "\\x9b31m"),
        ("\x7f", "\\x7f"),
        ("txt.\u202egnp", "txt.\\u202egnp"),
        ("\ufeffbom", "\\ufeffbom"),
        ("line\u2028end", "line\\u2028end"),
        (os.fsdecode(b"\xff\xfe"), "\\xff\\xfe"),
        ("\ud800", "\\ud800"),
        ("a\U000e0041\U000e007fb", "a\\U000e0041\\U000e007fb"),
        ("\U000e0101", "\\U000e0101"),
        ("soft\u00adhyphen zero\u200bwidth", "soft\\xadhyphen zero\\u200bwidth"),
        ("filler\u3164", "filler\\u3164"),
        ("👩\u200d🚀 ❤\ufe0f \u0645\u06cc\u200c", "👩\u200d🚀 ❤\ufe0f \u0645\u06cc\u200c"),
    ],
    ids=ascii,
)
def test_what_could_steer_a_terminal_is_shown_as_an_escape(text: str, shown: str) -> None:
    assert visible(text) == shown


@given(st.one_of(st.text(), NAMES.map(os.fsdecode)))
def test_visible_text_holds_no_control_character_and_is_final(text: str) -> None:
    shown = visible(text)
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in shown)
    assert not any("\u202a" <= c <= "\u202e" or "\u2066" <= c <= "\u2069" for c in shown)
    shown.encode()
    assert visible(shown) == shown


# --- typed: what a person says ------------------------------------------------------------------------------


def test_typed_text_is_trimmed_and_composed() -> None:
    assert typed("  e\u0301te\u0301 \n", what="name") == "\u00e9t\u00e9"


def test_long_text_keeps_its_lines_in_one_kind_of_line_end() -> None:
    assert typed("one\r\ntwo\n\nthree", what="notes", lines=True) == "one\ntwo\n\nthree"


@pytest.mark.parametrize("text", ["a\nb", "a\rb", "a\r\nb"])
def test_a_line_is_wanted_where_only_one_fits(text: str) -> None:
    with pytest.raises(WrongUsage, match="the name must be one line"):
        typed(text, what="name")


@pytest.mark.parametrize("text", ["nul\0", "\ud800", os.fsdecode(b"\xff")], ids=ascii)
def test_what_is_no_text_is_refused(text: str) -> None:
    with pytest.raises(WrongUsage, match="the notes is not valid text") as caught:
        typed(text, what="notes", lines=True)
    assert caught.value.code == "bad_text"


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=60))
def test_typing_the_kept_text_again_changes_nothing(text: str) -> None:
    kept = typed(text, what="notes", lines=True)
    assert typed(kept, what="notes", lines=True) == kept
