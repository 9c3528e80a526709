"""A tag is one, however it is spelt, and is shown as it was typed."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.libraries import put_model

from mlib.core import tag_spelling
from mlib.db import tags as stored
from mlib.db.library import open_library

if TYPE_CHECKING:
    from collections.abc import Callable


def keeps_its_letter(character: str) -> bool:
    """Not those few whose other case is another letter (dotless i), or changes what follows it (U+0345)."""
    cases = {character.casefold(), character.upper().casefold(), character.lower().casefold()}
    return len(cases) == 1 and "\u0345" not in unicodedata.normalize("NFD", character)


letters = st.characters(exclude_categories=["Cs"], exclude_characters="\0").filter(keeps_its_letter)
typed_tags = st.text(letters, min_size=1, max_size=30).filter(lambda text: text.split() != [])

spellings = pytest.mark.parametrize(
    "respell",
    [
        str.upper,
        str.lower,
        str.swapcase,
        str.title,
        lambda text: unicodedata.normalize("NFC", text),
        lambda text: unicodedata.normalize("NFD", text),
        lambda text: unicodedata.normalize("NFD", unicodedata.normalize("NFC", text).upper()),
        lambda text: f"\t {'  '.join(text.split(' '))}\n",
    ],
    ids=["upper", "lower", "swapped", "title", "composed", "decomposed", "decomposed upper", "spaced"],
)


@given(typed_tags)
def test_the_normal_forms_are_final(tag: str) -> None:
    assert tag_spelling.checked_tag(tag_spelling.checked_tag(tag)) == tag_spelling.checked_tag(tag)
    assert (
        tag_spelling.fold_tag(tag_spelling.fold_tag(tag))
        == tag_spelling.fold_tag(tag)
        == tag_spelling.fold_tag(tag_spelling.checked_tag(tag))
    )


@spellings
@given(tag=typed_tags)
def test_case_composition_and_spaces_make_no_other_tag(respell: Callable[[str], str], tag: str) -> None:
    assert tag_spelling.fold_tag(respell(tag)) == tag_spelling.fold_tag(tag)


@given(st.lists(typed_tags.filter(lambda text: not any(map(str.isspace, text))), min_size=1, max_size=4))
def test_a_tag_is_shown_in_the_case_it_was_typed_in(words: list[str]) -> None:
    typed = " ".join(words)
    assert tag_spelling.checked_tag(typed) == unicodedata.normalize("NFC", typed)


@given(typed_tags, typed_tags)
def test_of_two_spellings_the_first_is_shown(one: str, other: str) -> None:
    found = tag_spelling.distinct([one, other, one])
    assert found[tag_spelling.fold_tag(one)] == tag_spelling.checked_tag(one)
    assert len(found) == len({tag_spelling.fold_tag(one), tag_spelling.fold_tag(other)})


@settings(max_examples=50)
@given(st.lists(typed_tags, unique_by=tag_spelling.fold_tag, max_size=8))
def test_what_is_put_into_the_library_comes_out_of_it_as_typed(typed: list[str]) -> None:
    with open_library("/no such folder/library.db", mode="dry_run") as library:
        sha256 = put_model(library)
        with library.transaction():
            stored.set_of_model(library, sha256, tag_spelling.distinct(typed))
        assert sorted(stored.of_model(library, sha256)) == sorted(map(tag_spelling.checked_tag, typed))


@settings(max_examples=50)
@given(st.lists(typed_tags, unique_by=tag_spelling.fold_tag, max_size=6), st.lists(typed_tags, max_size=6))
def test_another_list_replaces_the_first_and_leaves_no_unused_tag_behind(
    before: list[str], after: list[str]
) -> None:
    with open_library("/no such folder/library.db", mode="dry_run") as library:
        sha256 = put_model(library)
        with library.transaction():
            stored.set_of_model(library, sha256, tag_spelling.distinct(before))
            stored.set_of_model(library, sha256, tag_spelling.distinct(after))
            stored.forget_unused(library)
        assert set(map(tag_spelling.fold_tag, stored.of_model(library, sha256))) == set(
            map(tag_spelling.fold_tag, after)
        )
        assert library.all("SELECT count(*) FROM tags") == [(len(tag_spelling.distinct(after)),)]
