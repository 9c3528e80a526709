from __future__ import annotations

import unicodedata

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from mlib.core.errors import WrongUsage
from mlib.core.tag_spelling import MAX_LENGTH, checked_tag, distinct, fold_tag

TAGS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=40)


def is_tag(text: str) -> bool:
    try:
        checked_tag(text)
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
    assert checked_tag(typed) == kept


@pytest.mark.parametrize(
    "tag", ["", "  ", "\n", "x" * (MAX_LENGTH + 1), "nul\0", "\ud800", "byte\udcff"], ids=ascii
)
def test_what_is_no_tag_is_refused(tag: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        checked_tag(tag)
    assert caught.value.code == "bad_tag"


def test_the_longest_tag_is_still_one() -> None:
    assert checked_tag("x" * MAX_LENGTH) == "x" * MAX_LENGTH


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
    assert fold_tag(one) == fold_tag(other)


@pytest.mark.parametrize(("one", "other"), [("a b", "a,b"), ("ab", "a b"), ("e", "é")])
def test_different_tags_stay_different(one: str, other: str) -> None:
    assert fold_tag(one) != fold_tag(other)


@given(TAGS)
def test_the_shown_form_is_final(tag: str) -> None:
    assume(is_tag(tag))
    assert checked_tag(checked_tag(tag)) == checked_tag(tag)


@given(TAGS)
def test_the_folded_form_is_final_and_the_same_for_every_normal_form_and_case(tag: str) -> None:
    assume(is_tag(tag))
    key = fold_tag(tag)
    assert fold_tag(key) == key
    assert {fold_tag(unicodedata.normalize(form, tag)) for form in ("NFC", "NFD")} == {key}
    assert fold_tag(tag.casefold()) == key


@given(st.lists(TAGS.filter(is_tag), max_size=8))
def test_of_several_spellings_the_first_is_kept(tags: list[str]) -> None:
    kept = distinct(tags)
    assert list(kept) == list(dict.fromkeys(map(fold_tag, tags)))
    for key, name in kept.items():
        assert name == next(checked_tag(tag) for tag in tags if fold_tag(tag) == key)
