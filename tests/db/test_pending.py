"""What waits to become a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, known_file, put_pending

from mlib.db import pending, tags

if TYPE_CHECKING:
    from mlib.db.library import Library


def test_one_path_waits_once_for_each_content(library: Library) -> None:
    first = put_pending(library, "/m/a", sha256=SHA, notes="old")
    second = put_pending(library, "/m/a", sha256=OTHER)
    unknown = put_pending(library, "/m/a", sha256=None)
    assert put_pending(library, "/m/a", sha256=SHA, notes="new") == first
    assert [entry.id for entry in pending.at_path(library, "/m/a")] == [first, second, unknown]
    entry = pending.get(library, first)
    assert entry is not None
    assert entry.notes == "new"


def test_an_id_is_never_given_twice(library: Library) -> None:
    """A script that noted `pending:7` must never come upon something else."""
    first = put_pending(library)
    with library.transaction():
        pending.remove(library, first)
    assert put_pending(library) > first
    assert not pending.exists(library, first)


def test_writing_one_again_replaces_its_tags_and_what_was_seen(library: Library) -> None:
    pending_id = put_pending(library, "/m/a", tags_=["old", "both"], seen=True)
    entry = pending.get(library, pending_id)
    assert entry is not None
    with library.transaction():
        pending.put(library, entry._replace(tags=("both", "new"), observed=None))
    again = pending.get(library, pending_id)
    assert again == entry._replace(tags=("both", "new"), observed=None)
    assert library.all("SELECT * FROM pending_files") == []


@pytest.mark.parametrize("length", [8, 10, 12, 63])
def test_content_is_claimed_by_the_beginning_of_its_hash(library: Library, length: int) -> None:
    claim = put_pending(library, "/m/a", sha256=None, claimed_hash=SHA[:length])
    put_pending(library, "/m/b", sha256=None, claimed_hash=OTHER[:length])
    assert pending.claiming(library, SHA) == [claim]


def test_content_is_claimed_by_its_whole_hash(library: Library) -> None:
    claim = put_pending(library, "/m/a", sha256=SHA)
    put_pending(library, "/m/b", sha256=OTHER)
    put_pending(library, "/m/c", sha256=None)
    assert pending.claiming(library, SHA) == [claim]


def test_what_a_scan_read_of_a_waiting_path_is_remembered(library: Library) -> None:
    put_pending(library, "/m/a", sha256=None)
    assert pending.observed(library, "/m/a") is None
    put_pending(library, "/m/a", seen=True)
    assert pending.observed(library, "/m/a") == known_file("/m/a")
    assert pending.observed(library, "/m/b") is None


def test_metadata_comes_in_batches_by_key(library: Library) -> None:
    ids = [put_pending(library, f"/m/{n}", meta_json=f"[{n}]" if n % 3 else None) for n in range(10)]
    batches = list(pending.all_meta(library, batch=4))
    assert [len(batch) for batch in batches] == [4, 2]
    assert [row for batch in batches for row in batch] == [(ids[n], f"[{n}]") for n in range(10) if n % 3]


def test_what_is_not_there_is_none(library: Library) -> None:
    assert pending.get(library, 7) is None
    assert pending.ids(library) == []
    assert pending.at_path(library, "/m/a") == []


def test_removing_one_takes_its_tags_from_it_alone(library: Library) -> None:
    first = put_pending(library, "/m/a", tags_=["shared"])
    second = put_pending(library, "/m/b", tags_=["shared"])
    with library.transaction():
        pending.remove(library, first)
    assert tags.of_pending(library, first) == ()
    assert tags.of_pending(library, second) == ("shared",)


def test_files_that_were_read_and_wait_are_told_with_their_ids(library: Library) -> None:
    first = put_pending(library, "/m/a", seen=True)
    put_pending(library, "/m/b", sha256=OTHER)
    second = put_pending(library, "/m/\udcff", sha256=OTHER, seen=True, name="x")
    assert pending.all_observed(library) == [
        (first, known_file("/m/a")),
        (second, known_file("/m/\udcff", OTHER)),
    ]


def test_a_file_that_is_forgotten_leaves_what_waits(library: Library) -> None:
    pending_id = put_pending(library, "/m/a", tags_=["ink"], notes="mine", seen=True)
    before = pending.get(library, pending_id)
    assert before is not None
    with library.transaction():
        pending.forget_file(library, pending_id)
    assert pending.get(library, pending_id) == before._replace(observed=None)
