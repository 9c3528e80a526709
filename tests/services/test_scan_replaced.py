"""Promise 4: content replaced in place is a new model; the old one stays, missing."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.tools import set_age, write_model

from mlib.db import models

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf


def test_new_content_in_place_is_a_new_model_and_the_old_one_stays_missing(shelf: Shelf) -> None:
    """Promise 4."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    new = write_model(path, "other", age=100)
    assert shelf.told() == {"replaced": 1, "read": 1}
    assert (shelf.places(old), shelf.places(new)) == ({str(path): False}, {str(path): True})
    assert models.get(shelf.library, old) is not None
    assert shelf.told() == {"unchanged": 1}


@pytest.mark.parametrize("elsewhere", ["0.safetensors", "z.safetensors"], ids=["before", "after"])
def test_old_content_that_turns_up_elsewhere_as_its_place_is_taken_has_moved(
    shelf: Shelf, elsewhere: str
) -> None:
    """Promises 3 and 4, whichever of the two is seen first."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    shutil.copy2(path, shelf.loras / elsewhere)
    new = write_model(path, "other", age=100)
    assert shelf.told() == {"moved": 1, "replaced": 1, "read": 2}
    assert shelf.places(old) == {str(shelf.loras / elsewhere): True}
    assert shelf.places(new) == {str(path): True}


def test_old_content_that_turns_up_elsewhere_later_has_moved(shelf: Shelf) -> None:
    """Promises 3 and 4."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    write_model(path, "other", age=100)
    shelf.scan()
    write_model(shelf.vae / "again.safetensors", "a.safetensors")
    assert shelf.told() == {"moved": 1, "unchanged": 1, "read": 1}
    assert shelf.places(old) == {str(shelf.vae / "again.safetensors"): True}


def test_a_file_kept_under_another_name_while_new_content_takes_its_own_has_moved(shelf: Shelf) -> None:
    """Promise 3: what many do before an update; the old one need not be read."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    path.rename(shelf.loras / "a-old.safetensors")
    new = write_model(path, "other")
    assert shelf.told() == {"moved": 1, "replaced": 1, "read": 1}
    assert shelf.places(old) == {str(shelf.loras / "a-old.safetensors"): True}
    assert shelf.places(new) == {str(path): True}


def test_content_that_is_replaced_and_put_back_is_restored(shelf: Shelf) -> None:
    """Promise 4: and now it is the other content that is missing."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    new = write_model(path, "other", age=100)
    shelf.scan()
    write_model(path, "a.safetensors", age=50)
    assert shelf.told() == {"restored": 1, "missing": 1, "read": 1}
    assert (shelf.places(old), shelf.places(new)) == ({str(path): True}, {str(path): False})


def test_content_that_is_moved_away_replaced_and_moved_back_is_restored_without_reading(shelf: Shelf) -> None:
    """Promise 4."""
    path = shelf.loras / "a.safetensors"
    write_model(path)
    shelf.scan()
    path.rename(shelf.loras / "a.bak")
    write_model(path, "other")
    assert shelf.told() == {"replaced": 1, "read": 1}
    (shelf.loras / "a.bak").replace(path)
    assert shelf.told() == {"restored": 1, "missing": 1}


def test_content_replaced_by_a_copy_of_a_model_that_stays_is_replaced(shelf: Shelf) -> None:
    """Promise 4: the known model gets one more place, the old one is missing."""
    one, other = shelf.loras / "a.safetensors", shelf.loras / "b.safetensors"
    first, second = write_model(one), write_model(other)
    shelf.scan()
    shutil.copy2(other, one)
    set_age(one, 100)
    assert shelf.told() == {"replaced": 1, "unchanged": 1, "read": 1}
    assert shelf.places(first) == {str(one): False}
    assert shelf.places(second) == {str(one): True, str(other): True}


def test_a_file_moved_over_another_is_a_move_and_the_other_model_is_missing(shelf: Shelf) -> None:
    """Promises 3 and 4: the report says that something is gone."""
    one, other = shelf.loras / "a.safetensors", shelf.loras / "b.safetensors"
    first, second = write_model(one), write_model(other)
    shelf.scan()
    one.replace(other)
    assert shelf.told() == {"moved": 1, "missing": 1}
    assert shelf.places(first) == {str(other): True}
    assert shelf.places(second) == {str(other): False}


def test_files_moved_up_in_a_row_lose_only_the_last(shelf: Shelf) -> None:
    """Promises 3 and 4: each took the place of one that moved on."""
    paths = [shelf.loras / f"{n}.safetensors" for n in range(4)]
    shas = [write_model(path) for path in paths]
    shelf.scan()
    for path, before in zip(reversed(paths[1:]), reversed(paths[:-1]), strict=True):
        before.replace(path)
    assert shelf.told() == {"moved": 3, "missing": 1}
    assert [shelf.at(path) for path in paths] == [None, *shas[:-1]]


def test_one_of_two_copies_replaced_leaves_the_other_and_no_move(shelf: Shelf) -> None:
    """Promise 4."""
    sha256 = write_model(shelf.loras / "a.safetensors", "same")
    write_model(shelf.loras / "b.safetensors", "same")
    shelf.scan()
    write_model(shelf.loras / "a.safetensors", "other", age=100)
    assert shelf.told() == {"replaced": 1, "unchanged": 1, "read": 1}
    assert shelf.places(sha256) == {
        str(shelf.loras / "a.safetensors"): False,
        str(shelf.loras / "b.safetensors"): True,
    }


def test_many_changes_at_once_are_each_told_apart(shelf: Shelf, tmp_path: Path) -> None:
    """Promises 3 to 5 in one scan."""
    for name in ("stays", "moves", "copied", "replaced", "goes", "back"):
        write_model(shelf.loras / f"{name}.safetensors")
    shelf.scan()
    (shelf.loras / "back.safetensors").rename(tmp_path / "parked")
    assert shelf.told() == {"missing": 1, "unchanged": 5}
    (tmp_path / "parked").rename(shelf.loras / "back.safetensors")
    (shelf.loras / "moves.safetensors").rename(shelf.vae / "moved.safetensors")
    shutil.copy2(shelf.loras / "copied.safetensors", shelf.vae / "copy.safetensors")
    write_model(shelf.loras / "replaced.safetensors", "other", age=100)
    (shelf.loras / "goes.safetensors").unlink()
    write_model(shelf.vae / "new.safetensors")
    assert shelf.told() == {
        "unchanged": 2,
        "restored": 1,
        "moved": 1,
        "copied": 1,
        "replaced": 1,
        "missing": 1,
        "added": 1,
        "read": 3,
    }
