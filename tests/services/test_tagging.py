"""Renaming and deleting tags: spellings are one tag, nobody loses another one."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, dump, put_model, put_pending
from tests.tools import hint_of

from mlib.core.errors import NotFound, WrongUsage
from mlib.db import models, tags
from mlib.services.tagging import counts, delete, rename

if TYPE_CHECKING:
    from mlib.db.library import Library


@pytest.fixture
def tagged(library: Library) -> Library:
    put_model(library, SHA, tags_=["Sketch", "wet"])
    put_model(library, OTHER, tags_=["Sketch"])
    put_pending(library, tags_=["Sketch", "rough"])
    return library


def listed(library: Library) -> list[tuple[str, int, int]]:
    return [(tag.name, tag.models, tag.pending) for tag in counts(library)]


def test_tags_are_counted_by_what_bears_them(tagged: Library) -> None:
    assert listed(tagged) == [("rough", 0, 1), ("Sketch", 2, 1), ("wet", 1, 0)]


def test_a_renamed_tag_is_renamed_everywhere(tagged: Library) -> None:
    assert rename(tagged, "SKETCH", "Drawing, rough") == ("Sketch", "Drawing, rough", 2, 1, False, None)
    assert listed(tagged) == [("Drawing, rough", 2, 1), ("rough", 0, 1), ("wet", 1, 0)]


def test_renaming_to_a_tag_that_there_is_makes_one_of_two(tagged: Library) -> None:
    assert rename(tagged, "sketch", "WET").merged
    assert listed(tagged) == [("rough", 0, 1), ("WET", 2, 1)]
    assert tags.of_model(tagged, SHA) == ("WET",)


def test_another_spelling_is_no_other_tag(tagged: Library) -> None:
    report = rename(tagged, "sketch", "SKETCH")
    assert (report.models, report.merged) == (2, False)
    assert tags.of_model(tagged, OTHER) == ("SKETCH",)


def test_a_deleted_tag_is_gone_from_all(tagged: Library) -> None:
    report = delete(tagged, "sketch")
    assert (report.models, report.pending) == (2, 1)
    assert listed(tagged) == [("rough", 0, 1), ("wet", 1, 0)]
    assert report.backup is not None
    assert len(dump(report.backup)["tags"]) == 3


def test_a_rename_is_a_persons_choice(tagged: Library) -> None:
    with tagged.transaction():
        tagged.execute("UPDATE models SET edited = ''")
    rename(tagged, "sketch", "x")
    model = models.get(tagged, SHA)
    assert model is not None
    assert "tags" in model.edited


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_dry_run_tells_the_same(tagged: Library, dry_run: bool) -> None:
    before = dump(tagged.path)
    with tagged.rehearsal() if dry_run else nullcontext():
        assert rename(tagged, "sketch", "wet")[:5] == ("Sketch", "wet", 2, 1, True)
    assert (dump(tagged.path) == before) is dry_run


def test_a_tag_that_there_is_not_is_not_found(tagged: Library) -> None:
    with pytest.raises(NotFound) as renaming:
        rename(tagged, "Sketsch", "x")
    with pytest.raises(NotFound) as deleting:
        delete(tagged, "Sketsch")
    for raised in (renaming, deleting):
        assert (raised.value.code, hint_of(raised.value)) == ("tag_not_found", "did you mean sketch?")


def test_what_can_be_no_tag_is_refused(tagged: Library) -> None:
    with pytest.raises(WrongUsage):
        rename(tagged, "sketch", " ")
