"""A scan of a part: only these files and subtrees, and what is known of the rest."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import pytest
from tests.tools import write_bytes, write_model

from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf


def test_one_file_is_scanned_alone(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    write_model(shelf.loras / "b.safetensors")
    assert shelf.told(paths=[str(shelf.loras / "a.safetensors")]) == {"added": 1, "read": 1}
    assert shelf.at(shelf.loras / "a.safetensors") == sha256
    assert shelf.at(shelf.loras / "b.safetensors") is None


def test_several_files_of_several_folders_are_scanned(shelf: Shelf) -> None:
    paths = [shelf.loras / "a.pt", shelf.loras / "sub" / "b.pt", shelf.vae / "c.pt"]
    for path in paths:
        write_model(path)
    write_model(shelf.loras / "sub" / "not-asked-for.pt")
    assert shelf.told(paths=[str(path) for path in paths])["added"] == 3


def test_a_subtree_is_scanned_with_all_below_it(shelf: Shelf) -> None:
    write_model(shelf.loras / "sub" / "deep" / "a.pt")
    write_model(shelf.loras / "b.pt")
    assert shelf.told(paths=[str(shelf.loras / "sub")]) == {"added": 1, "read": 1}


def test_a_file_below_a_folder_that_is_asked_for_too_counts_once(shelf: Shelf) -> None:
    write_model(shelf.loras / "sub" / "a.pt")
    paths = [str(shelf.loras / "sub"), str(shelf.loras / "sub" / "a.pt"), str(shelf.loras / "sub")]
    assert shelf.told(paths=paths) == {"added": 1, "read": 1}
    assert shelf.told(paths=paths) == {"unchanged": 1}


def test_a_folder_above_roots_stands_for_them_where_a_root_holds_it(shelf: Shelf) -> None:
    shelf.add_root("checkpoints", shelf.loras / "inner")
    write_model(shelf.loras / "inner" / "a.pt")
    write_model(shelf.loras / "b.pt")
    assert shelf.told(paths=[str(shelf.loras)])["added"] == 2
    assert shelf.name_and_type(shelf.at(shelf.loras / "inner" / "a.pt") or "")[1] == "checkpoints"


def test_a_folder_that_only_holds_roots_stands_for_them(shelf: Shelf, tmp_path: Path) -> None:
    """Such as the whole ComfyUI; what else lies in it is nobody's."""
    shelf.add_root("checkpoints", tmp_path / "elsewhere")
    write_model(tmp_path / "elsewhere" / "c.pt")
    write_model(shelf.loras / "a.pt")
    write_model(shelf.vae / "b.pt")
    write_model(shelf.loras.parent / "stray.pt")
    assert shelf.told(paths=[str(shelf.loras.parent)]) == {"added": 2, "read": 2}
    (shelf.loras / "a.pt").unlink()
    write_model(shelf.loras / "d.pt")
    assert shelf.told(paths=[str(tmp_path / "models")]) == {
        "added": 1,
        "missing": 1,
        "unchanged": 1,
        "read": 1,
    }


def test_a_path_relative_to_where_one_stands_is_understood(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_model(shelf.loras / "sub" / "a.pt")
    monkeypatch.chdir(shelf.loras / "sub")
    assert shelf.told(paths=["."]) == {"added": 1, "read": 1}
    assert shelf.told(paths=["a.pt"]) == {"unchanged": 1}
    assert shelf.told(paths=["../sub"]) == {"unchanged": 1}


def test_a_path_through_a_link_is_known_as_the_root_knows_it(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = write_model(shelf.loras / "sub" / "a.pt")
    (tmp_path / "shortcut").symlink_to(shelf.loras)
    assert shelf.told(paths=[str(tmp_path / "shortcut" / "sub" / "a.pt")]) == {"added": 1, "read": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "sub" / "a.pt"): True}


def test_nothing_is_remembered_or_written_for_a_path_outside_the_roots(shelf: Shelf, tmp_path: Path) -> None:
    write_model(tmp_path / "downloads" / "a.pt")
    with pytest.raises(MlibError) as caught:
        shelf.scan(paths=[str(tmp_path / "downloads" / "a.pt")])
    assert caught.value.code == "outside_roots"
    assert caught.value.hint is not None


def test_a_path_that_never_was_is_an_error(shelf: Shelf) -> None:
    with pytest.raises(MlibError) as caught:
        shelf.scan(paths=[str(shelf.loras / "typo.pt")])
    assert caught.value.code == "no_such_path"


def test_a_path_that_was_known_and_is_gone_is_marked_missing(shelf: Shelf) -> None:
    gone = shelf.loras / "a.pt"
    sha256 = write_model(gone)
    write_model(shelf.loras / "b.pt")
    shelf.scan()
    gone.unlink()
    assert shelf.told(paths=[str(gone)]) == {"missing": 1}
    assert shelf.places(sha256) == {str(gone): False}


@pytest.mark.parametrize("part", ["a.pt", "."])
def test_a_path_in_a_root_that_is_suddenly_empty_is_guarded(shelf: Shelf, part: str) -> None:
    """Promise 5: the disk may be off, whatever part of it was asked for."""
    write_model(shelf.loras / "a.pt")
    shelf.scan()
    (shelf.loras / "a.pt").unlink()
    assert shelf.told(paths=[str(shelf.loras / part)]) == {"guarded": 1}
    assert shelf.told(paths=[str(shelf.loras / part)], accept_missing=True) == {"missing": 1}


def test_a_path_in_a_root_that_is_absent_is_offline(shelf: Shelf) -> None:
    """Promise 5."""
    write_model(shelf.loras / "a.pt")
    shelf.scan()
    shelf.loras.rename(shelf.loras.with_name("away"))
    assert shelf.told(paths=[str(shelf.loras / "a.pt")]) == {"offline": 1}


def test_what_is_gone_outside_the_part_is_not_looked_for(shelf: Shelf) -> None:
    write_model(shelf.loras / "a.pt")
    write_model(shelf.loras / "sub" / "b.pt")
    shelf.scan()
    (shelf.loras / "a.pt").unlink()
    assert shelf.told(paths=[str(shelf.loras / "sub")]) == {"unchanged": 1}
    assert shelf.at(shelf.loras / "a.pt") is not None


def test_many_gone_files_of_a_subtree_are_guarded_like_those_of_the_root(shelf: Shelf) -> None:
    """Promise 5."""
    for n in range(12):
        write_model(shelf.loras / "sub" / f"{n}.pt")
    shelf.scan()
    for n in range(11):
        (shelf.loras / "sub" / f"{n}.pt").unlink()
    assert shelf.told(paths=[str(shelf.loras / "sub")]) == {"guarded": 1, "unchanged": 1}


@pytest.mark.parametrize("part", ["sub", "sub/b.pt"])
def test_a_file_that_came_from_outside_the_part_has_moved(shelf: Shelf, part: str) -> None:
    """Promise 3."""
    sha256 = write_model(shelf.loras / "a.pt")
    write_model(shelf.loras / "stays.pt")
    shelf.scan()
    (shelf.loras / "sub").mkdir()
    (shelf.loras / "a.pt").rename(shelf.loras / "sub" / "b.pt")
    assert shelf.told(paths=[str(shelf.loras / part)]) == {"moved": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "sub" / "b.pt"): True}


def test_a_file_that_came_from_a_root_that_is_not_scanned_has_moved(shelf: Shelf, memory_disk: Path) -> None:
    """Promise 3: by its bytes, from one disk to another."""
    shelf.add_root("checkpoints", memory_disk)
    sha256 = write_model(shelf.loras / "a.pt")
    write_model(shelf.loras / "stays.pt")
    shelf.scan()
    shutil.move(shelf.loras / "a.pt", memory_disk / "a.pt")
    assert shelf.told(paths=[str(memory_disk)]) == {"moved": 1, "read": 1}
    assert shelf.places(sha256) == {str(memory_disk / "a.pt"): True}


def test_a_file_that_lies_on_an_unmounted_disk_has_not_moved_but_was_copied(
    shelf: Shelf, memory_disk: Path
) -> None:
    """Promise 5."""
    shelf.add_root("checkpoints", memory_disk)
    sha256 = write_model(shelf.loras / "a.pt")
    shelf.scan()
    shutil.copy2(shelf.loras / "a.pt", memory_disk / "a.pt")
    (shelf.loras / "a.pt").unlink()
    assert shelf.told(paths=[str(memory_disk)]) == {"copied": 1, "read": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "a.pt"): True, str(memory_disk / "a.pt"): True}


def test_a_swap_with_a_file_outside_the_part_is_settled_by_the_next_whole_scan(shelf: Shelf) -> None:
    """Promises 3 and 4: in between nothing false is said of the part."""
    one, other = shelf.loras / "a.pt", shelf.loras / "sub" / "b.pt"
    first, second = write_model(one), write_model(other)
    shelf.scan()
    one.rename(shelf.loras / "between")
    other.rename(one)
    (shelf.loras / "between").rename(other)
    shelf.scan(paths=[str(other)])
    assert shelf.at(other) == first
    shelf.scan()
    assert (shelf.at(one), shelf.at(other)) == (second, first)
    assert shelf.told() == {"unchanged": 2}


def test_a_file_that_is_no_model_gives_nothing(shelf: Shelf) -> None:
    write_bytes(shelf.loras / "notes.txt", b"text")
    assert shelf.told(paths=[str(shelf.loras / "notes.txt")]) == {}


def test_a_file_of_a_folder_that_is_gone_is_not_missing_where_the_root_is_empty(shelf: Shelf) -> None:
    """Promise 5: as it is when the whole root is scanned."""
    path = shelf.loras / "sub" / "a.pt"
    sha256 = write_model(path)
    write_model(shelf.vae / "b.pt")
    shelf.scan()
    shutil.rmtree(shelf.loras / "sub")
    report = shelf.scan(paths=[str(path)])
    assert (report.missing, report.offline_roots) == (0, [str(shelf.loras)])
    assert shelf.places(sha256) == {str(path): True}
    write_model(shelf.loras / "other.pt", "c.pt")
    assert shelf.scan(paths=[str(path)]).missing == 1
