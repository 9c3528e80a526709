"""Promise 3: a file keeps its model wherever it goes."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.services.shelf import Shelf, told
from tests.tools import write_model

if TYPE_CHECKING:
    from pathlib import Path

BOTH_READ = {"moved": 2, "read": 2}


def swap(one: Path, other: Path) -> None:
    one.rename(one.with_name("between"))
    other.rename(one)
    one.with_name("between").rename(other)


# --- moves --------------------------------------------------------------------------------------------------


def test_a_renamed_file_keeps_its_model_and_is_not_read(shelf: Shelf) -> None:
    """Promise 3."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(shelf.loras / "b.safetensors")
    assert shelf.told() == {"moved": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "b.safetensors"): True}
    assert shelf.told() == {"unchanged": 1}


def test_a_file_moved_to_another_root_keeps_its_model_and_is_not_read(shelf: Shelf) -> None:
    """Promise 3. That its old root is empty now is explained."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(shelf.vae / "a.safetensors")
    assert shelf.told() == {"moved": 1}
    assert shelf.places(sha256) == {str(shelf.vae / "a.safetensors"): True}


def test_a_file_moved_to_another_file_system_is_read_and_keeps_its_model(
    shelf: Shelf, memory_disk: Path
) -> None:
    """Promise 3."""
    shelf.add_root("checkpoints", memory_disk)
    sha256 = write_model(shelf.loras / "a.safetensors")
    write_model(shelf.loras / "stays.safetensors")
    shelf.scan()
    shutil.move(shelf.loras / "a.safetensors", memory_disk / "b.safetensors")
    assert shelf.told() == {"moved": 1, "unchanged": 1, "read": 1}
    assert shelf.places(sha256) == {str(memory_disk / "b.safetensors"): True}


def test_a_renamed_folder_takes_all_its_models_along(shelf: Shelf) -> None:
    """Promise 3."""
    for n in range(15):
        write_model(shelf.loras / "old" / str(n % 3) / f"{n}.safetensors")
    shelf.scan()
    (shelf.loras / "old").rename(shelf.loras / "new")
    assert shelf.told() == {"moved": 15}


def test_a_copy_whose_original_is_removed_is_a_move(shelf: Shelf) -> None:
    """Promise 3: `cp` then `rm` is `mv` done by hand."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shutil.copy2(shelf.loras / "a.safetensors", shelf.loras / "b.safetensors")
    (shelf.loras / "a.safetensors").unlink()
    assert shelf.told() == {"moved": 1, "read": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "b.safetensors"): True}


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")], ids="-".join)
def test_two_swapped_names_are_two_moves_and_nothing_is_read(shelf: Shelf, names: tuple[str, str]) -> None:
    """Promise 3: the inodes tell."""
    one, other = (shelf.loras / f"{name}.safetensors" for name in names)
    first, second = write_model(one, "first"), write_model(other, "second")
    shelf.scan()
    swap(one, other)
    assert shelf.told() == {"moved": 2}
    assert (shelf.at(one), shelf.at(other)) == (second, first)
    assert len(shelf.places(first)) == len(shelf.places(second)) == 1
    assert shelf.told() == {"unchanged": 2}


@pytest.mark.parametrize("names", [("a", "b"), ("b", "a")], ids="-".join)
def test_two_contents_that_changed_places_by_copying_are_two_moves(
    shelf: Shelf, names: tuple[str, str]
) -> None:
    """Promise 3: no inode helps here, the bytes decide."""
    one, other = (shelf.loras / f"{name}.safetensors" for name in names)
    first, second = write_model(one, "first"), write_model(other, "second")
    shelf.scan()
    write_model(one, "second", age=100)
    write_model(other, "first", age=90)
    assert shelf.told() == BOTH_READ
    assert (shelf.at(one), shelf.at(other)) == (second, first)
    assert len(shelf.places(first)) == len(shelf.places(second)) == 1


def test_names_that_change_round_in_a_circle_are_all_moves(shelf: Shelf) -> None:
    """Promise 3."""
    paths = [shelf.loras / f"{n}.safetensors" for n in range(5)]
    shas = [write_model(path) for path in paths]
    shelf.scan()
    paths[0].rename(shelf.loras / "between")
    for path, free in zip(paths[1:], paths, strict=False):
        path.rename(free)
    (shelf.loras / "between").rename(paths[-1])
    assert shelf.told() == {"moved": 5}
    assert [shelf.at(path) for path in paths] == shas[1:] + shas[:1]


def test_a_rename_beside_a_copy_is_told_apart_from_it(shelf: Shelf) -> None:
    """Two files of one model: the one that went is moved, the other stays."""
    sha256 = write_model(shelf.loras / "a.safetensors", "same")
    write_model(shelf.loras / "b.safetensors", "same")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(shelf.loras / "c.safetensors")
    assert shelf.told() == {"moved": 1, "unchanged": 1}
    assert shelf.places(sha256) == {
        str(shelf.loras / name): True for name in ("b.safetensors", "c.safetensors")
    }


def test_a_renamed_file_that_was_copied_too_is_one_move_and_one_copy(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(shelf.loras / "b.safetensors")
    shutil.copy2(shelf.loras / "b.safetensors", shelf.loras / "c.safetensors")
    assert shelf.told() == {"moved": 1, "copied": 1, "read": 1}
    assert len(shelf.places(sha256)) == 2


def test_of_two_copies_that_move_each_takes_the_place_of_its_namesake(shelf: Shelf) -> None:
    write_model(shelf.loras / "old" / "a.safetensors", "same")
    write_model(shelf.loras / "old" / "b.safetensors", "same")
    shelf.scan()
    (shelf.loras / "old").rename(shelf.loras / "new")
    report = shelf.scan()
    assert told(report) == {"moved": 2}
    assert shelf.told() == {"unchanged": 2}


def test_a_file_that_was_missing_for_a_while_is_found_elsewhere(shelf: Shelf, tmp_path: Path) -> None:
    """Promise 3: by inode, although two scans lie between."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    write_model(shelf.loras / "stays.safetensors")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(tmp_path / "parked")
    assert shelf.told() == {"missing": 1, "unchanged": 1}
    (tmp_path / "parked").rename(shelf.vae / "back.safetensors")
    assert shelf.told() == {"moved": 1, "unchanged": 1}
    assert shelf.places(sha256) == {str(shelf.vae / "back.safetensors"): True}


def test_a_moved_file_that_is_written_to_as_well_is_new_and_the_old_model_missing(shelf: Shelf) -> None:
    """Promise 4: the inode alone proves nothing."""
    old = write_model(shelf.loras / "a.safetensors")
    write_model(shelf.loras / "stays.safetensors")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(shelf.loras / "b.safetensors")
    new = write_model(shelf.loras / "b.safetensors", "other", age=10)
    assert shelf.told() == {"added": 1, "missing": 1, "unchanged": 1, "read": 1}
    assert shelf.places(old) == {str(shelf.loras / "a.safetensors"): False}
    assert shelf.at(shelf.loras / "b.safetensors") == new


# --- a name and a type that nobody typed are the file's -----------------------------------------------------


def test_an_untyped_name_and_type_follow_the_file(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(shelf.vae / "better.safetensors")
    shelf.scan()
    assert shelf.name_and_type(sha256) == ("better.safetensors", "vae")


def test_a_typed_name_and_type_stay(shelf: Shelf) -> None:
    """Promise 1."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shelf.edit(sha256, name="Ink", type="controlnet")
    (shelf.loras / "a.safetensors").rename(shelf.vae / "better.safetensors")
    shelf.scan()
    assert shelf.name_and_type(sha256) == ("Ink", "controlnet")


def test_a_copy_elsewhere_changes_neither_name_nor_type(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shutil.copy2(shelf.loras / "a.safetensors", shelf.vae / "copy.safetensors")
    shelf.scan()
    assert shelf.name_and_type(sha256) == ("a.safetensors", "loras")


def test_the_names_follow_two_swapped_files(shelf: Shelf) -> None:
    first = write_model(shelf.loras / "a.safetensors", "first")
    second = write_model(shelf.vae / "b.safetensors", "second")
    shelf.scan()
    swap(shelf.loras / "a.safetensors", shelf.vae / "b.safetensors")
    shelf.scan()
    assert shelf.name_and_type(first) == ("b.safetensors", "vae")
    assert shelf.name_and_type(second) == ("a.safetensors", "loras")


# --- copies -------------------------------------------------------------------------------------------------


def test_a_copy_is_one_more_place_of_its_model(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shutil.copy2(shelf.loras / "a.safetensors", shelf.vae / "a.safetensors")
    assert shelf.told() == {"copied": 1, "unchanged": 1, "read": 1}
    assert set(shelf.places(sha256).values()) == {True}


def test_a_hard_link_is_a_copy_that_is_not_read(shelf: Shelf) -> None:
    """Promise 7."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    os.link(shelf.loras / "a.safetensors", shelf.loras / "b.safetensors")
    assert shelf.told() == {"copied": 1, "unchanged": 1}
    (shelf.loras / "a.safetensors").unlink()
    assert shelf.told() == {"missing": 1, "unchanged": 1}
    assert shelf.places(sha256) == {
        str(shelf.loras / "b.safetensors"): True,
        str(shelf.loras / "a.safetensors"): False,
    }


def test_a_known_file_replaced_by_a_link_to_where_it_went_is_a_move_and_a_link(
    shelf: Shelf, tmp_path: Path
) -> None:
    """Promise 7: the same inode under the same name is the same file."""
    write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    (shelf.loras / "a.safetensors").rename(tmp_path / "elsewhere")
    (shelf.loras / "a.safetensors").symlink_to(tmp_path / "elsewhere")
    assert shelf.told() == {"unchanged": 1}
