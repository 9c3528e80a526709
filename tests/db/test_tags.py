"""Tags and what bears them: one by its folded form, shown as first typed."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, put_model, put_pending

from mlib.core.tag_spelling import distinct
from mlib.db import tags

if TYPE_CHECKING:
    from mlib.db.library import Library


@pytest.mark.parametrize(
    "names", [[], ["one"], ["b", "A", "c"], ["a, b", "a b", "-x", "50%", "角色", "Ä", "z"]]
)
def test_list_in_is_list_out_in_the_order_of_the_alphabet(library: Library, names: list[str]) -> None:
    put_model(library, tags_=names)
    assert list(tags.of_model(library, SHA)) == sorted(names, key=str.casefold)


def test_the_spelling_that_was_there_first_is_everyones(library: Library) -> None:
    put_model(library, SHA, tags_=["Flux"])
    put_model(library, OTHER, tags_=["FLUX"])
    pending_id = put_pending(library, tags_=["flux"])
    assert tags.of_model(library, OTHER) == tags.of_pending(library, pending_id) == ("Flux",)
    assert library.all("SELECT name FROM tags") == [("Flux",)]


def test_setting_says_all_of_them(library: Library) -> None:
    put_model(library, tags_=["old", "both"])
    with library.transaction():
        tags.set_of_model(library, SHA, distinct(["both", "new"]))
    assert tags.of_model(library, SHA) == ("both", "new")


def test_setting_the_same_again_writes_nothing(library: Library) -> None:
    put_model(library, tags_=["a", "b"])
    before = library.all("SELECT total_changes()")
    with library.transaction():
        tags.set_of_model(library, SHA, distinct(["B", "A"]))
    assert library.all("SELECT total_changes()") == before


def test_only_what_nothing_bears_is_forgotten(library: Library) -> None:
    put_model(library, tags_=["of a model"])
    put_pending(library, tags_=["of a pending import"])
    put_model(library, OTHER, tags_=["of none"])
    with library.transaction():
        tags.set_of_model(library, OTHER, {})
        tags.forget_unused(library)
    assert library.all("SELECT name FROM tags ORDER BY name") == [("of a model",), ("of a pending import",)]
