from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlib.core.errors import WrongUsage
from mlib.core.tags import MAX_LENGTH, distinct, folded, shown

TAGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)


def is_tag(text: str) -> bool:
    try:
        shown(text)
    except WrongUsage:
        return False
    return True


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Anime  ", "Anime"),
        ("two  words", "two words"),
        ("tab\tand\nline", "tab and line"),
        ("a, b", "a, b"),
        ("-leading", "-leading"),
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
    ],
)
def test_a_tag_is_kept_as_typed_but_for_white_space_and_composition(typed: str, kept: str) -> None:
    assert shown(typed) == kept


@pytest.mark.parametrize(
    "tag", ["", "  ", "\n", "x" * (MAX_LENGTH + 1), "nul\0", "\ud800", "byte\udcff"], ids=ascii
)
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        shown(tag)
    assert caught.value.code == "bad_tag"


def test_the_longest_tag_is_still_one() -> None:
    assert shown("x" * MAX_LENGTH) == "x" * MAX_LENGTH


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Anime", "aNIME"),
        ("\u00c9t\u00e9", "e\u0301te\u0301"),
        ("Straße", "STRASSE"),
        ("ΣΊΣΥΦΟΣ", "σίσυφος"),
        ("two words", "Two   Words"),
        ("ǰ", "J\u030c"),
    ],
)
def test_spellings_of_one_tag_fold_alike(one: str, other: str) -> None:
    assert folded(one) == folded(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "a,b"), ("ab", "a b"), ("e", "é")])
def test_different_tags_stay_different(one: str, other: str) -> None:
    assert folded(one) != folded(other)


@given(TAGS)
def test_the_shown_form_is_final(tag: str) -> None:
    assume(is_tag(tag))
    assert shown(shown(tag)) == shown(tag)


@given(TAGS)
def test_the_folded_form_is_final_and_the_same_for_every_normal_form_and_case(tag: str) -> None:
    assume(is_tag(tag))
    key = folded(tag)
    assert folded(key) == key
    assert {folded(unicodedata.normalize(form, tag)) for form in ("NFC", "NFD")} == {key}
    assert folded(tag.casefold()) == key


@given(st.lists(TAGS.filter(is_tag), max_size=8))
def test_of_several_spellings_the_first_is_kept(tags: list[str]) -> None:
    kept = distinct(tags)
    assert list(kept) == list(dict.fromkeys(map(folded, tags)))
    for key, name in kept.items():
        assert name == next(shown(tag) for tag in tags if folded(tag) == key)
