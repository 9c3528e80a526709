"""Promise 5: missing is a mark, never a deletion, and nothing is marked where a disk may just be off."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from tests.libraries import dump
from tests.services.shelf import Shelf, codes, fill, remove, told, unplug
from tests.tools import write_model

from mlib.db import files, models

if TYPE_CHECKING:
    from pathlib import Path


# --- a file that is really gone -----------------------------------------------------------------------------


def test_a_removed_file_is_marked_missing_and_its_model_stays(shelf: Shelf) -> None:
    gone, _ = fill(shelf.loras, 2)
    sha256 = write_model(gone)
    shelf.scan()
    gone.unlink()
    assert shelf.told() == {"missing": 1, "unchanged": 1}
    (row,) = files.of_model(shelf.library, sha256)
    assert row.missing_since is not None
    assert models.get(shelf.library, sha256) is not None


def test_what_is_missing_is_counted_once_and_keeps_its_date(shelf: Shelf) -> None:
    gone, _ = fill(shelf.loras, 2)
    shelf.scan()
    gone.unlink()
    shelf.scan()
    before = files.at_path(shelf.library, str(gone))
    assert shelf.told() == {"unchanged": 1}
    assert files.at_path(shelf.library, str(gone)) == before


def test_a_file_that_is_back_as_it_was_is_restored_without_being_read(shelf: Shelf, tmp_path: Path) -> None:
    path, _ = fill(shelf.loras, 2)
    shelf.scan()
    path.rename(tmp_path / "parked")
    shelf.scan()
    (tmp_path / "parked").rename(path)
    assert shelf.told() == {"restored": 1, "unchanged": 1}
    assert shelf.told() == {"unchanged": 2}


def test_a_file_that_is_downloaded_again_is_restored(shelf: Shelf) -> None:
    path, _ = fill(shelf.loras, 2)
    shelf.scan()
    path.unlink()
    shelf.scan()
    write_model(path, age=50)
    assert shelf.told() == {"restored": 1, "unchanged": 1, "read": 1}


def test_a_folder_that_is_removed_takes_its_files_with_it(shelf: Shelf) -> None:
    fill(shelf.loras, 3)
    fill(shelf.loras / "sub" / "deep", 2)
    shelf.scan()
    shutil.rmtree(shelf.loras / "sub")
    assert shelf.told() == {"missing": 2, "unchanged": 3}


# --- a root that cannot be listed ---------------------------------------------------------------------------


def test_a_root_that_is_absent_is_offline_and_nothing_under_it_is_marked(shelf: Shelf) -> None:
    fill(shelf.loras, 3)
    fill(shelf.vae, 1)
    shelf.scan()
    before = dump(shelf.library.path)["files"]
    unplug(shelf.loras)
    report = shelf.scan()
    assert told(report) == {"offline": 1, "unchanged": 1}
    assert report.offline_roots == [str(shelf.loras)]
    assert dump(shelf.library.path)["files"] == before


def test_a_root_that_comes_back_is_as_it_was_and_nothing_is_read(shelf: Shelf) -> None:
    fill(shelf.loras, 3)
    shelf.scan()
    away = unplug(shelf.loras)
    shelf.scan()
    away.rename(shelf.loras)
    assert shelf.told() == {"unchanged": 3}


def test_a_root_that_became_a_file_is_offline(shelf: Shelf) -> None:
    fill(shelf.loras, 3)
    shelf.scan()
    unplug(shelf.loras)
    write_model(shelf.loras)
    report = shelf.scan()
    assert told(report) == {"offline": 1, "problems": 1}
    assert codes(report) == [("loras", "unreadable")]


def test_a_root_whose_link_leads_nowhere_is_offline(shelf: Shelf) -> None:
    """What automounters leave behind."""
    fill(shelf.loras, 3)
    shelf.scan()
    unplug(shelf.loras)
    shelf.loras.symlink_to(shelf.loras.with_name("not-mounted"))
    assert shelf.told() == {"offline": 1}


def test_an_absent_folder_that_never_held_anything_is_not_worth_a_word(shelf: Shelf) -> None:
    """A type that nobody uses."""
    fill(shelf.loras, 1)
    shelf.scan()
    shelf.vae.rmdir()
    assert shelf.told() == {"unchanged": 1}


def test_other_roots_are_judged_while_one_is_offline(shelf: Shelf) -> None:
    fill(shelf.loras, 3)
    gone, _ = fill(shelf.vae, 2)
    shelf.scan()
    unplug(shelf.loras)
    gone.unlink()
    assert shelf.told() == {"offline": 1, "missing": 1, "unchanged": 1}


def test_a_copy_of_what_lies_on_an_offline_root_is_a_copy_and_no_move(shelf: Shelf) -> None:
    paths = fill(shelf.loras, 3)
    sha256 = write_model(paths[0])
    shelf.scan()
    shutil.copy2(paths[0], shelf.vae / "copy.safetensors")
    unplug(shelf.loras)
    assert shelf.told() == {"offline": 1, "copied": 1, "read": 1}
    assert set(shelf.places(sha256).values()) == {True}


def test_what_lies_behind_a_link_that_leads_nowhere_is_not_marked_and_the_link_is_a_problem(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Promises 5 and 7: a linked folder on a drive that is off."""
    fill(shelf.loras, 2)
    (path,) = fill(tmp_path / "drive" / "models", 1)
    (shelf.loras / "more").symlink_to(tmp_path / "drive" / "models")
    shelf.scan()
    away = unplug(tmp_path / "drive")
    report = shelf.scan()
    assert told(report) == {"unchanged": 2, "problems": 1}
    assert codes(report) == [("more", "broken_link")]
    assert shelf.at(shelf.loras / "more" / path.name) is not None
    away.rename(tmp_path / "drive")
    assert shelf.told() == {"unchanged": 3}


def test_what_lay_in_a_linked_folder_that_is_empty_now_is_not_marked(shelf: Shelf, tmp_path: Path) -> None:
    """Promise 5: a link to where a disk is mounted, which is off; its files lie in a folder of their own."""
    fill(shelf.loras, 2)
    drive = tmp_path / "drive"
    fill(drive / "deep" / "er", 2)
    (shelf.loras / "more").symlink_to(drive)
    shelf.scan()
    away = unplug(drive)
    drive.mkdir()
    report = shelf.scan()
    assert told(report) == {"unchanged": 2, "problems": 1} == shelf.told(dry_run=True)
    assert codes(report) == [("more", "empty_link")]
    drive.rmdir()
    away.rename(drive)
    assert shelf.told() == {"unchanged": 4}


def test_a_linked_folder_that_its_user_emptied_is_believed_on_his_word(shelf: Shelf, tmp_path: Path) -> None:
    fill(shelf.loras, 2)
    paths = fill(tmp_path / "drive", 2)
    (shelf.loras / "more").symlink_to(tmp_path / "drive")
    shelf.scan()
    remove(paths[:1])
    assert shelf.told() == {"unchanged": 3, "missing": 1}
    remove(paths[1:])
    assert shelf.told() == {"unchanged": 2, "problems": 1}
    assert shelf.told(accept_missing=True) == {"unchanged": 2, "missing": 1}
    assert shelf.told() == {"unchanged": 2}


def test_what_moved_out_of_a_linked_folder_is_no_reason_for_doubt(shelf: Shelf, tmp_path: Path) -> None:
    (path,) = fill(tmp_path / "drive", 1)
    (shelf.loras / "more").symlink_to(tmp_path / "drive")
    shelf.scan()
    path.rename(shelf.loras / path.name)
    assert shelf.told() == {"moved": 1}


def test_a_link_to_a_file_on_a_drive_that_is_off_keeps_its_model(shelf: Shelf, tmp_path: Path) -> None:
    """Promises 5 and 7."""
    (path,) = fill(tmp_path / "drive", 1)
    (shelf.loras / "a.safetensors").symlink_to(path)
    shelf.scan()
    unplug(tmp_path / "drive")
    report = shelf.scan()
    assert told(report) == {"problems": 1}
    assert codes(report) == [("a.safetensors", "broken_link")]
    assert shelf.at(shelf.loras / "a.safetensors") is not None
