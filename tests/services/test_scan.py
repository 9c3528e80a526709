"""A scan finds what is new, believes what is proven, and reads nothing twice."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.libraries import dump
from tests.services.shelf import SIZE, Shelf, codes, told
from tests.tools import safetensors, set_age, write_bytes, write_model
from xxhash import xxh3_128_hexdigest

from mlib.core.errors import MlibError
from mlib.core.events import Event, FileStored, HashingAdvanced, HashingStarted
from mlib.db import files, models, pending
from mlib.db.library import open_library

if TYPE_CHECKING:
    from pathlib import Path

# --- new files ----------------------------------------------------------------------------------------------


def test_new_content_becomes_a_model_named_for_its_file_and_folder(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "styles" / "ink.safetensors")
    report = shelf.scan()
    assert told(report) == {"added": 1, "read": 1}
    assert report.added == [sha256]
    model = models.get(shelf.library, sha256)
    assert model is not None
    assert (model.name, model.type, model.size_bytes, model.edited) == (
        "ink.safetensors",
        "loras",
        SIZE,
        frozenset(),
    )
    assert pending.ids(shelf.library) == []


def test_a_file_is_kept_with_its_stat_its_root_and_both_digests(shelf: Shelf) -> None:
    path = shelf.loras / "ink.safetensors"
    sha256 = write_model(path)
    shelf.scan()
    (row,) = files.at_path(shelf.library, str(path))
    now = path.stat()
    assert row.stat is not None
    assert tuple(row.stat) == (now.st_size, now.st_mtime_ns, now.st_dev, now.st_ino)
    assert (row.sha256, row.xxh3) == (sha256, xxh3_128_hexdigest(path.read_bytes()))
    assert row.root_id is not None
    assert not row.racy


def test_two_new_copies_of_one_content_are_one_model_and_both_are_read(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors", "same")
    write_model(shelf.loras / "b.safetensors", "same")
    assert shelf.told() == {"added": 1, "copied": 1, "read": 2}
    assert len(shelf.places(sha256)) == 2


def test_two_new_names_of_one_inode_are_read_once(shelf: Shelf) -> None:
    """Promise 7."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    os.link(shelf.loras / "a.safetensors", shelf.vae / "b.safetensors")
    assert shelf.told() == {"added": 1, "copied": 1, "read": 1}
    assert len(shelf.places(sha256)) == 2


def test_a_link_and_its_target_are_two_places_of_one_model_read_once(shelf: Shelf) -> None:
    """Promise 7."""
    write_model(shelf.loras / "a.safetensors")
    (shelf.vae / "link.safetensors").symlink_to(shelf.loras / "a.safetensors")
    assert shelf.told() == {"added": 1, "copied": 1, "read": 1}
    assert shelf.told() == {"unchanged": 2}


def test_files_below_a_linked_folder_are_found_under_the_links_name(shelf: Shelf, tmp_path: Path) -> None:
    """Promise 7: links are followed out of the roots; two links to one folder count once."""
    sha256 = write_model(tmp_path / "disk2" / "a.safetensors")
    (shelf.loras / "one").symlink_to(tmp_path / "disk2")
    (shelf.loras / "two").symlink_to(tmp_path / "disk2")
    assert shelf.told() == {"added": 1, "read": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "one" / "a.safetensors"): True}
    assert shelf.told() == {"unchanged": 1}


@pytest.mark.parametrize("target", [".", "..", "../../.."])
def test_a_link_to_an_ancestor_adds_nothing(shelf: Shelf, target: str) -> None:
    """Promise 7: loops end."""
    write_model(shelf.loras / "sub" / "a.safetensors")
    (shelf.loras / "sub" / "loop").symlink_to(target)
    assert shelf.told()["added"] == 1


# --- what is believed (promise 2) ---------------------------------------------------------------------------


def test_an_unchanged_library_is_not_read_and_its_rows_are_not_rewritten(shelf: Shelf) -> None:
    for n in range(5):
        write_model(shelf.loras / str(n % 2) / f"{n}.safetensors")
    shelf.scan()
    before = dump(shelf.library.path)
    assert shelf.told() == {"unchanged": 5}
    after = dump(shelf.library.path)
    assert {**after, "roots": before["roots"]} == before


def test_a_touched_file_is_unchanged_once_it_was_read_again(shelf: Shelf) -> None:
    """Promise 2."""
    path = shelf.loras / "a.safetensors"
    write_model(path)
    shelf.scan()
    set_age(path, 500)
    assert shelf.told() == {"unchanged": 1, "read": 1}
    assert shelf.told() == {"unchanged": 1}


def test_a_file_rewritten_with_its_own_content_is_unchanged(shelf: Shelf) -> None:
    """Promise 2: a new inode and a new date, the same bytes."""
    path = shelf.loras / "a.safetensors"
    write_model(path)
    shelf.scan()
    write_model(path.with_suffix(".new"), "a.safetensors", age=500)
    path.with_suffix(".new").replace(path)
    assert shelf.told() == {"unchanged": 1, "read": 1}


def rewrite_keeping_size_and_mtime(path: Path, seed: str) -> str:
    before = path.stat().st_mtime_ns
    content = safetensors(seed)
    with path.open("r+b") as file:
        file.write(content)
    os.utime(path, ns=(before, before))
    return write_bytes(path.parent.parent / "copy-of-content", content)


def test_a_rewrite_in_place_that_puts_size_and_mtime_back_is_found_by_rehash_only(shelf: Shelf) -> None:
    """The limit of promise 2, and its remedy."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    new = rewrite_keeping_size_and_mtime(path, "other")
    assert shelf.told() == {"unchanged": 1}
    assert shelf.told(rehash=True) == {"replaced": 1, "read": 1}
    assert (shelf.at(path), shelf.places(old)) == (new, {str(path): False})


def test_a_rewrite_by_renaming_with_the_old_size_and_mtime_is_noticed(shelf: Shelf) -> None:
    """Promise 2: what rsync -t does; the inode tells."""
    path = shelf.loras / "a.safetensors"
    write_model(path)
    shelf.scan()
    mtime = path.stat().st_mtime_ns
    new = write_model(path.with_suffix(".tmp"), "other")
    os.utime(path.with_suffix(".tmp"), ns=(mtime, mtime))
    path.with_suffix(".tmp").replace(path)
    assert shelf.told() == {"replaced": 1, "read": 1}
    assert shelf.at(path) == new


def test_a_rewrite_right_after_the_hash_is_noticed_although_its_stat_is_the_same(shelf: Shelf) -> None:
    """Promise 2: the row is racy. The file's clock runs ahead, so that no waiting can settle it."""
    path = shelf.loras / "a.safetensors"
    write_model(path, age=-3600)
    assert shelf.told() == {"added": 1, "read": 1}
    new = rewrite_keeping_size_and_mtime(path, "other")
    assert shelf.told() == {"replaced": 1, "read": 1}
    assert shelf.at(path) == new


def test_a_file_written_a_moment_ago_is_waited_for_and_then_believed(shelf: Shelf) -> None:
    """Promise 2: the hash is taken when the file has been still for two seconds."""
    write_model(shelf.loras / "a.safetensors", age=0)
    report = shelf.scan()
    assert told(report) == {"added": 1, "read": 1}
    assert report.seconds >= 1
    assert shelf.told() == {"unchanged": 1}


def test_rehash_reads_every_file_and_changes_nothing_where_nothing_changed(shelf: Shelf) -> None:
    for n in range(3):
        write_model(shelf.loras / f"{n}.safetensors")
    os.link(shelf.loras / "0.safetensors", shelf.loras / "link.safetensors")
    shelf.scan()
    assert shelf.told(rehash=True) == {"unchanged": 4, "read": 3}
    assert shelf.told() == {"unchanged": 4}


# --- what cannot be had (promises 7 and 9) ------------------------------------------------------------------


def test_a_broken_link_is_a_problem_and_the_rest_goes_on(shelf: Shelf) -> None:
    """Promises 7 and 9."""
    write_model(shelf.loras / "a.safetensors")
    (shelf.loras / "broken.safetensors").symlink_to("nowhere")
    report = shelf.scan()
    assert told(report) == {"added": 1, "read": 1, "problems": 1}
    assert codes(report) == [("broken.safetensors", "broken_link")]


def test_a_fifo_and_a_device_are_passed_by(shelf: Shelf) -> None:
    """Promise 7: opening either would hang."""
    os.mkfifo(shelf.loras / "fifo.safetensors")
    (shelf.loras / "zero.safetensors").symlink_to("/dev/zero")
    report = shelf.scan()
    assert told(report) == {"skipped": 2}
    assert codes(report) == [("fifo.safetensors", "not_a_file"), ("zero.safetensors", "not_a_file")]


def test_a_file_that_becomes_a_folder_is_missing(shelf: Shelf) -> None:
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    write_model(shelf.loras / "b.safetensors")
    shelf.scan()
    path.unlink()
    inner = write_model(path / "inner.safetensors")
    assert shelf.told() == {"added": 1, "missing": 1, "unchanged": 1, "read": 1}
    assert shelf.places(sha256) == {str(path): False}
    assert shelf.places(inner) == {str(path / "inner.safetensors"): True}


# --- what is told meanwhile ---------------------------------------------------------------------------------


def test_a_file_is_told_to_be_stored_only_when_another_process_can_see_it(shelf: Shelf) -> None:
    """Promise 11: what was acknowledged is held."""
    for n in range(4):
        write_model(shelf.loras / f"{n}.safetensors")
    seen: list[str] = []

    def emit(event: Event) -> None:
        if isinstance(event, FileStored):
            with open_library(shelf.library.path, mode="read") as other:
                (row,) = files.at_path(other, event.path)
            assert (row.sha256, event.outcome) == (event.sha256, "added")
            seen.append(event.path)

    shelf.scan(emit=emit)
    assert len(seen) == 4


def test_progress_says_how_much_there_is_and_ends_with_all_of_it(shelf: Shelf) -> None:
    for n in range(3):
        write_model(shelf.loras / f"{n}.safetensors")
    events: list[Event] = []
    shelf.scan(emit=events.append)
    assert [event for event in events if isinstance(event, HashingStarted)] == [HashingStarted(3, 3 * SIZE)]
    advances = [event.size_bytes for event in events if isinstance(event, HashingAdvanced)]
    assert advances[-1] == 3 * SIZE


def test_scanning_nothing_that_is_known_says_how_to_begin(shelf: Shelf, tmp_path: Path) -> None:
    with open_library(str(tmp_path / "new.db"), mode="create") as library:
        empty = Shelf(library, shelf.loras, shelf.vae)
        with pytest.raises(MlibError) as caught:
            empty.scan()
    assert caught.value.code == "no_roots"
