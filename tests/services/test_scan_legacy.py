"""What an older manager left waiting is completed by a scan that finds its file."""

from __future__ import annotations

import hashlib
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.libraries import put_pending
from tests.services.shelf import SIZE, Shelf, told
from tests.tools import safetensors, write_bytes, write_model

from mlib.db import models, tags
from mlib.services.importing.importer import ConflictStrategy, import_pending

if TYPE_CHECKING:
    from pathlib import Path


def sha_of(seed: str) -> str:
    return hashlib.sha256(safetensors(seed)).hexdigest()


def test_a_waiting_row_is_completed_by_its_path(shelf: Shelf) -> None:
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    put_pending(
        shelf.library, str(path), sha256=None, tags_=["ink"], meta_json='{"rating": 5}', notes="weight 0.7"
    )
    assert shelf.told() == {"added": 1, "read": 1}
    assert shelf.user_data(sha256) == ({"notes": "weight 0.7"}, ("ink",), '{"rating":5}')
    assert shelf.name_and_type(sha256) == ("a.safetensors", "loras")
    assert shelf.waiting() == []


def test_a_waiting_row_gets_the_type_of_the_root_unless_it_was_typed(shelf: Shelf) -> None:
    guessed, typed = write_model(shelf.vae / "a.pt"), write_model(shelf.vae / "b.pt")
    put_pending(shelf.library, str(shelf.vae / "a.pt"), sha256=None)
    put_pending(shelf.library, str(shelf.vae / "b.pt"), sha256=None, type="controlnet")
    shelf.scan()
    assert shelf.name_and_type(guessed)[1] == "vae"
    assert shelf.name_and_type(typed)[1] == "controlnet"


@pytest.mark.parametrize("digits", [8, 10, 12, 63])
def test_a_waiting_row_is_completed_by_the_beginning_of_a_hash(shelf: Shelf, digits: int) -> None:
    """The file lies elsewhere by now; the hash is the one a forum post names."""
    path = shelf.loras / "now-here.safetensors"
    sha256 = write_model(path)
    put_pending(
        shelf.library,
        r"C:\old\place.safetensors",
        sha256=None,
        claimed_hash=sha256[:digits],
        size_bytes=SIZE,
        tags_=["ink"],
    )
    assert shelf.told() == {"added": 1, "read": 1}
    assert shelf.user_data(sha256)[1] == ("ink",)
    assert shelf.waiting() == []


def test_a_waiting_row_of_another_size_is_not_completed_by_a_hash_that_happens_to_fit(shelf: Shelf) -> None:
    """Ten digits are no proof; a size that differs is one against it."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    put_pending(shelf.library, "/old/b.pt", sha256=None, claimed_hash=sha256[:10], size_bytes=SIZE + 1)
    assert shelf.told() == {"added": 1, "read": 1}
    assert tags.of_model(shelf.library, sha256) == ()
    assert [entry.path for entry in shelf.waiting()] == ["/old/b.pt"]


def test_a_waiting_row_of_unknown_size_is_completed_by_its_hash(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    put_pending(shelf.library, "/old/b.pt", sha256=None, claimed_hash=sha256[:10], tags_=["ink"])
    shelf.scan()
    assert tags.of_model(shelf.library, sha256) == ("ink",)


def test_a_waiting_row_whose_file_is_nowhere_goes_on_waiting(shelf: Shelf) -> None:
    write_model(shelf.loras / "a.safetensors")
    put_pending(shelf.library, str(shelf.loras / "other.pt"), sha256=None, claimed_hash="0" * 10)
    assert shelf.told() == {"added": 1, "read": 1}
    assert len(shelf.waiting()) == 1


def test_a_waiting_row_for_a_file_that_was_scanned_before_is_completed_by_the_next_scan(shelf: Shelf) -> None:
    """The order in which most people do it: scan first, then bring the old notes."""
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    shelf.scan()
    put_pending(shelf.library, str(path), sha256=None, tags_=["ink"])
    report = shelf.scan()
    assert report.counts["unchanged"] == 1
    assert tags.of_model(shelf.library, sha256) == ("ink",)
    assert shelf.waiting() == []


def test_a_waiting_row_with_the_hash_of_a_model_that_was_scanned_before_is_completed_by_the_next_scan(
    shelf: Shelf,
) -> None:
    """The same, for a file that was renamed meanwhile."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    put_pending(shelf.library, "/old/b.pt", sha256=None, claimed_hash=sha256[:10], tags_=["ink"])
    shelf.scan()
    assert tags.of_model(shelf.library, sha256) == ("ink",)
    assert shelf.waiting() == []


@pytest.mark.parametrize("size", [None, SIZE, SIZE + 1])
def test_the_beginning_of_a_hash_that_is_known_already_still_needs_the_right_size(
    shelf: Shelf, size: int | None
) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    put_pending(shelf.library, "/old/b.pt", sha256=None, claimed_hash=sha256[:10], size_bytes=size)
    shelf.scan()
    assert len(shelf.waiting()) == (size == SIZE + 1)


def test_a_model_that_only_an_old_database_vouched_for_is_found_where_it_says(shelf: Shelf) -> None:
    """Promise 3: its bytes are read here, whatever was claimed, and its notes are there."""
    path = shelf.loras / "a.safetensors"
    put_pending(shelf.library, str(path), sha256=sha_of("a.safetensors"), tags_=["ink"])
    import_pending(shelf.library)
    sha256 = write_model(path)
    assert shelf.told() == {"restored": 1, "read": 1}
    assert shelf.places(sha256) == {str(path): True}
    model = models.get(shelf.library, sha256)
    assert model is not None
    assert model.size_bytes == SIZE
    assert tags.of_model(shelf.library, sha256) == ("ink",)


def test_a_model_that_only_an_old_database_vouched_for_is_found_elsewhere(shelf: Shelf) -> None:
    put_pending(shelf.library, "/old/place.pt", sha256=sha_of("new.pt"), tags_=["ink"])
    import_pending(shelf.library)
    sha256 = write_model(shelf.loras / "new.pt")
    assert shelf.told() == {"moved": 1, "read": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "new.pt"): True}


def test_other_content_at_the_path_of_an_old_database_is_a_model_of_its_own(shelf: Shelf) -> None:
    """Promise 4."""
    path = shelf.loras / "a.safetensors"
    put_pending(shelf.library, str(path), sha256=sha_of("what lay here"), tags_=["ink"])
    import_pending(shelf.library)
    sha256 = write_model(path)
    assert shelf.told() == {"added": 1, "read": 1}
    assert tags.of_model(shelf.library, sha256) == ()
    assert tags.of_model(shelf.library, sha_of("what lay here")) == ("ink",)


# --- conflicts ----------------------------------------------------------------------------------------------


def conflicting(shelf: Shelf) -> tuple[str, Path]:
    """A model with a name that was typed, and a copy of it that an old database knows by another."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shelf.edit(sha256, name="Mine")
    copy = shelf.vae / "copy.safetensors"
    put_pending(shelf.library, str(copy), sha256=None, name="Theirs")
    shutil.copy2(shelf.loras / "a.safetensors", copy)
    return sha256, copy


def test_a_conflict_is_counted_and_the_path_is_a_file_of_the_model_all_the_same(
    shelf: Shelf,
) -> None:
    """Promise 1: neither side is lost."""
    sha256, copy = conflicting(shelf)
    report = shelf.scan()
    assert told(report) == {"copied": 1, "unchanged": 1, "pending": 1, "conflicts": 1, "read": 1}
    assert shelf.at(copy) == sha256
    assert shelf.name_and_type(sha256)[0] == "Mine"
    (entry,) = shelf.waiting()
    assert (entry.id, entry.name, entry.sha256) == (report.pending_ids[0], "Theirs", sha256)


def test_a_conflict_is_settled_by_an_import_and_comes_up_no_more(shelf: Shelf) -> None:
    conflicting(shelf)
    shelf.scan()
    assert shelf.told() == {"unchanged": 2}
    shelf.edit(sha_of("a.safetensors"), name="Theirs")
    import_pending(shelf.library)
    assert shelf.waiting() == []


def test_settling_a_conflict_after_its_file_is_gone_does_not_bring_the_file_back(
    shelf: Shelf,
) -> None:
    """Promise 5: the library says what the last scan saw."""
    sha256, copy = conflicting(shelf)
    write_model(shelf.vae / "stays.safetensors")
    shelf.scan()
    copy.unlink()
    shelf.scan()
    import_pending(shelf.library, strategy=ConflictStrategy.OVERRIDE, keep_backup=False)
    assert shelf.name_and_type(sha256)[0] == "Theirs"
    assert shelf.places(sha256)[str(copy)] is False


def test_settling_a_conflict_after_its_file_moved_does_not_bring_the_old_place_back(shelf: Shelf) -> None:
    sha256, copy = conflicting(shelf)
    shelf.scan()
    copy.rename(shelf.vae / "moved.safetensors")
    assert shelf.told() == {"moved": 1, "unchanged": 1}
    import_pending(shelf.library, strategy=ConflictStrategy.OVERRIDE, keep_backup=False)
    assert shelf.name_and_type(sha256)[0] == "Theirs"
    assert [path for path, there in shelf.places(sha256).items() if there] == [
        str(shelf.loras / "a.safetensors"),
        str(shelf.vae / "moved.safetensors"),
    ]


@pytest.mark.parametrize("stage", [True, False])
def test_what_an_old_row_says_of_a_staged_file_follows_it(shelf: Shelf, stage: bool) -> None:
    """Promise 1: the row was completed by a scan before its file moved."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    put_pending(shelf.library, str(shelf.loras / "a.safetensors"), sha256=None, name="Theirs", tags_=["ink"])
    shelf.scan(stage=True)
    (shelf.loras / "a.safetensors").rename(shelf.vae / "b.safetensors")
    shelf.scan(stage=stage)
    import_pending(shelf.library)
    assert shelf.waiting() == []
    assert shelf.user_data(sha256)[:2] == ({"name": "Theirs"}, ("ink",))
    assert shelf.at(shelf.vae / "b.safetensors") == sha256
    assert shelf.at(shelf.loras / "a.safetensors") is None


def test_an_old_row_that_agrees_with_what_is_known_is_no_conflict(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shelf.edit(sha256, name="Mine", tag=("ink", "two"))
    put_pending(shelf.library, str(shelf.vae / "copy.safetensors"), sha256=None, name="Mine", tags_=["INK"])
    shutil.copy2(shelf.loras / "a.safetensors", shelf.vae / "copy.safetensors")
    assert shelf.told() == {"copied": 1, "unchanged": 1, "read": 1}
    assert shelf.user_data(sha256) == ({"name": "Mine"}, ("ink", "two"), None)


def test_an_old_row_for_the_same_path_twice_is_completed_once_and_ends_no_scan(shelf: Shelf) -> None:
    """A database that was staged again after a scan had staged the file itself."""
    path = shelf.loras / "a.safetensors"
    sha256 = write_bytes(path, safetensors("a"))
    put_pending(shelf.library, str(path), sha256=None, tags_=["first"])
    shelf.scan(stage=True)
    put_pending(shelf.library, str(path), sha256=None, tags_=["second"])
    report = shelf.scan()
    assert told(report) == {"added": 1, "pending": 1, "conflicts": 1}
    assert tags.of_model(shelf.library, sha256) == ("first",)
    assert [entry.tags for entry in shelf.waiting()] == [("second",)]
