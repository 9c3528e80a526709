"""Promise 5: so much gone at once looks like a disk that is off, and is not believed without a word."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.libraries import dump
from tests.services.shelf import Shelf, fill, remove, told, unplug
from tests.tools import write_model

if TYPE_CHECKING:
    from pathlib import Path


def test_a_root_that_is_suddenly_empty_is_guarded(shelf: Shelf) -> None:
    """An unmounted disk leaves an empty folder behind."""
    fill(shelf.loras, 3)
    shelf.scan()
    before = dump(shelf.library.path)["files"]
    away = unplug(shelf.loras)
    shelf.loras.mkdir()
    report = shelf.scan()
    assert told(report) == {"guarded": 1}
    assert report.guarded_roots == [str(shelf.loras)]
    assert dump(shelf.library.path)["files"] == before
    shelf.loras.rmdir()
    away.rename(shelf.loras)
    assert shelf.told() == {"unchanged": 3}


def test_a_root_with_nothing_but_empty_folders_left_is_guarded(shelf: Shelf) -> None:
    fill(shelf.loras / "sub", 2)
    shelf.scan()
    shutil.rmtree(shelf.loras / "sub")
    (shelf.loras / "sub").mkdir()
    assert shelf.told() == {"guarded": 1}


@pytest.mark.parametrize(
    ("held", "gone", "verdict"),
    [
        (11, 10, "missing"),  # ten are never too many while something is left
        (12, 11, "guarded"),
        (54, 11, "guarded"),  # more than a fifth
        (55, 11, "missing"),  # exactly a fifth
        (56, 11, "missing"),
        (1, 1, "guarded"),  # empty now
    ],
)
def test_many_files_gone_at_once_are_guarded(shelf: Shelf, held: int, gone: int, verdict: str) -> None:
    paths = fill(shelf.loras, held)
    shelf.scan()
    remove(paths[:gone])
    report = shelf.scan()
    assert (len(report.guarded_roots), report.missing) == ((1, 0) if verdict == "guarded" else (0, gone))


def test_each_root_is_judged_for_itself(shelf: Shelf) -> None:
    fill(shelf.vae, 100)
    loras = fill(shelf.loras, 12)
    shelf.scan()
    remove(loras[:11])
    assert shelf.told() == {"guarded": 1, "unchanged": 101}


def test_what_moved_away_is_not_counted_as_gone(shelf: Shelf) -> None:
    """The guard is about loss; here nothing is lost."""
    paths = fill(shelf.loras, 12)
    shelf.scan()
    for path in paths:
        path.rename(shelf.vae / path.name)
    assert shelf.told() == {"moved": 12}


def test_what_is_replaced_in_place_is_not_counted_as_gone(shelf: Shelf) -> None:
    paths = fill(shelf.loras, 12)
    shelf.scan()
    for path in paths:
        write_model(path, f"new {path.name}", age=100)
    assert shelf.told() == {"replaced": 12, "read": 12}


def test_a_guard_stays_until_it_is_told_otherwise(shelf: Shelf) -> None:
    paths = fill(shelf.loras, 12)
    shelf.scan()
    remove(paths[:11])
    assert shelf.told() == {"guarded": 1, "unchanged": 1}
    assert shelf.told() == {"guarded": 1, "unchanged": 1}
    assert shelf.told(accept_missing=True) == {"missing": 11, "unchanged": 1}
    assert shelf.told() == {"unchanged": 1}


def test_copies_of_what_an_emptied_root_held_are_copies_and_no_moves(shelf: Shelf, memory_disk: Path) -> None:
    """A backup that is scanned while the disk is off must not take the disk's place."""
    shelf.add_root("checkpoints", memory_disk)
    paths = fill(shelf.loras, 3)
    shelf.scan()
    shutil.copy2(paths[0], memory_disk / "copy.safetensors")
    remove(paths)
    assert shelf.told() == {"guarded": 1, "copied": 1, "read": 1}
    assert shelf.told(accept_missing=True) == {"missing": 3, "unchanged": 1}


def test_all_files_of_a_root_moved_to_another_disk_wait_for_a_word(shelf: Shelf, memory_disk: Path) -> None:
    """No inode tells a move from a backup here, so the user does."""
    shelf.add_root("checkpoints", memory_disk)
    paths = fill(shelf.loras, 3)
    shelf.scan()
    for path in paths:
        shutil.move(path, memory_disk / path.name)
    assert shelf.told(dry_run=True)["guarded"] == 1
    assert shelf.told(accept_missing=True) == {"moved": 3, "read": 3}


# --- the user knows better ----------------------------------------------------------------------------------


def test_accept_missing_marks_what_an_absent_root_held(shelf: Shelf) -> None:
    fill(shelf.loras, 3)
    shelf.scan()
    unplug(shelf.loras)
    assert shelf.told(accept_missing=True) == {"missing": 3}


def test_accept_missing_marks_what_an_empty_root_held(shelf: Shelf) -> None:
    paths = fill(shelf.loras, 3)
    shelf.scan()
    remove(paths)
    assert shelf.told(accept_missing=True) == {"missing": 3}


def test_accept_missing_still_claims_nothing_about_what_cannot_be_seen(shelf: Shelf, tmp_path: Path) -> None:
    (path,) = fill(tmp_path / "drive", 1)
    (shelf.loras / "a.safetensors").symlink_to(path)
    shelf.scan()
    unplug(tmp_path / "drive")
    assert shelf.told(accept_missing=True) == {"problems": 1}
    assert shelf.at(shelf.loras / "a.safetensors") is not None
