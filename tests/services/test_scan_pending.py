"""What a scan stages waits to become a model, and is not read again meanwhile."""

from __future__ import annotations

import shutil

import pytest
from tests.libraries import put_pending
from tests.services.shelf import SIZE, Shelf, told, unplug
from tests.tools import write_model

from mlib.db import models, statistics
from mlib.services.importing.importer import import_pending, list_waiting
from mlib.services.resolving import Target
from mlib.services.updating import parse_edit, update


def test_staged_content_waits_and_is_no_model_yet(shelf: Shelf) -> None:
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    report = shelf.scan(stage=True)
    assert told(report) == {"pending": 1, "read": 1}
    (entry,) = shelf.waiting()
    assert report.pending_ids == [entry.id]
    assert (entry.path, entry.sha256, entry.name, entry.type, entry.size_bytes) == (
        str(path),
        sha256,
        "a.safetensors",
        "loras",
        SIZE,
    )
    assert models.get(shelf.library, sha256) is None
    assert shelf.at(path) is None


def test_staged_content_is_not_read_again_by_a_second_staging(shelf: Shelf) -> None:
    write_model(shelf.loras / "a.safetensors")
    first = shelf.scan(stage=True)
    second = shelf.scan(stage=True)
    assert told(second) == {"pending": 1}
    assert second.pending_ids == first.pending_ids


def test_staged_content_is_imported_by_the_next_plain_scan_without_being_read(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan(stage=True)
    report = shelf.scan()
    assert told(report) == {"added": 1}
    assert report.added == [sha256]
    assert shelf.waiting() == []
    assert shelf.told() == {"unchanged": 1}


def test_staged_content_that_is_imported_has_its_file_and_is_not_read_again(shelf: Shelf) -> None:
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    shelf.scan(stage=True)
    import_pending(shelf.library)
    assert shelf.at(path) == sha256
    assert shelf.told() == {"unchanged": 1}


def test_what_is_typed_about_staged_content_becomes_the_models(shelf: Shelf) -> None:
    """Promise 1."""
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    shelf.scan(stage=True)
    (entry,) = shelf.waiting()
    put_pending(shelf.library, entry.path, sha256=sha256, tags_=["ink"], name="Ink", notes="0.7")
    shelf.scan()
    assert shelf.user_data(sha256) == ({"name": "Ink", "notes": "0.7"}, ("ink",), None)


def test_two_staged_copies_become_one_model_with_two_places(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors", "same")
    write_model(shelf.loras / "b.safetensors", "same")
    assert shelf.told(stage=True)["pending"] == 2
    assert shelf.told() == {"added": 1, "copied": 1}
    assert set(shelf.places(sha256).values()) == {True}
    assert len(shelf.places(sha256)) == 2
    assert shelf.waiting() == []


def test_a_copy_of_a_known_model_is_not_staged(shelf: Shelf) -> None:
    """It is no new content."""
    write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shutil.copy2(shelf.loras / "a.safetensors", shelf.loras / "b.safetensors")
    assert shelf.told(stage=True) == {"copied": 1, "unchanged": 1, "read": 1}
    assert shelf.waiting() == []


def test_content_staged_in_place_of_a_known_model_leaves_that_one_missing(shelf: Shelf) -> None:
    """Promise 4."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan()
    new = write_model(path, "other", age=100)
    assert shelf.told(stage=True) == {"pending": 1, "missing": 1, "read": 1}
    assert shelf.places(old) == {str(path): False}
    shelf.scan()
    assert shelf.at(path) == new


def test_staged_content_that_is_replaced_before_it_was_imported_is_read_once(shelf: Shelf) -> None:
    path = shelf.loras / "a.safetensors"
    write_model(path)
    shelf.scan(stage=True)
    new = write_model(path, "other", age=100)
    assert shelf.told(stage=True) == {"pending": 1, "read": 1}
    assert shelf.told(stage=True) == {"pending": 1}
    assert shelf.told() == {"added": 1}
    assert shelf.at(path) == new


def test_staged_content_that_moved_is_the_same_pending_import(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan(stage=True)
    (shelf.loras / "a.safetensors").rename(shelf.loras / "b.safetensors")
    assert shelf.told() == {"added": 1}
    assert shelf.places(sha256) == {str(shelf.loras / "b.safetensors"): True}
    assert shelf.name_and_type(sha256) == ("b.safetensors", "loras")
    assert shelf.waiting() == []


def test_staged_content_that_moved_is_staged_where_it_is_now(shelf: Shelf) -> None:
    """Promises 1 and 3: without being read, with all that was typed meanwhile."""
    sha256 = write_model(shelf.loras / "a.safetensors")
    first = shelf.scan(stage=True)
    (staged,) = shelf.waiting()
    update(shelf.library, [Target(pending_id=staged.id)], parse_edit(text={"notes": "0.7"}))
    (shelf.loras / "a.safetensors").rename(shelf.vae / "b.safetensors")
    second = shelf.scan(stage=True)
    assert (told(second), second.pending_ids) == ({"pending": 1}, first.pending_ids)
    import_pending(shelf.library)
    assert shelf.places(sha256) == {str(shelf.vae / "b.safetensors"): True}
    assert shelf.name_and_type(sha256) == ("b.safetensors", "vae")
    assert shelf.user_data(sha256) == ({"notes": "0.7"}, (), None)
    assert shelf.told() == {"unchanged": 1}


def test_of_two_staged_copies_that_moved_each_is_staged_once(shelf: Shelf) -> None:
    for name in ("a", "b"):
        write_model(shelf.loras / f"{name}.pt", "same")
    shelf.scan(stage=True)
    for name in ("a", "b"):
        (shelf.loras / f"{name}.pt").rename(shelf.vae / f"{name}.pt")
    shelf.scan(stage=True)
    assert sorted(entry.path for entry in shelf.waiting()) == [f"{shelf.vae}/a.pt", f"{shelf.vae}/b.pt"]


def test_a_copy_of_staged_content_is_staged_too(shelf: Shelf) -> None:
    write_model(shelf.loras / "a.pt", "same")
    shelf.scan(stage=True)
    write_model(shelf.loras / "b.pt", "same")
    assert shelf.told(stage=True)["pending"] == 2


def test_staged_content_that_is_gone_has_no_file_when_it_is_imported(shelf: Shelf) -> None:
    """Promise 5: and it is found again when it comes back."""
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    write_model(shelf.loras / "stays.safetensors")
    shelf.scan(stage=True)
    path.unlink()
    shelf.scan(stage=True)
    import_pending(shelf.library)
    assert shelf.places(sha256) == {str(path): False}
    write_model(path)
    assert shelf.told()["restored"] == 1


@pytest.mark.parametrize("leave", ["nothing", "an empty folder"])
def test_staged_content_of_a_disk_that_is_off_keeps_its_file(shelf: Shelf, leave: str) -> None:
    """Promise 5: a copy of it elsewhere is a copy."""
    sha256 = write_model(shelf.loras / "a.safetensors", "same")
    shelf.scan(stage=True)
    away = unplug(shelf.loras)
    if leave == "an empty folder":
        shelf.loras.mkdir()
    write_model(shelf.vae / "copy.safetensors", "same")
    shelf.scan(stage=True)
    if leave == "an empty folder":
        shelf.loras.rmdir()
    away.rename(shelf.loras)
    import_pending(shelf.library)
    assert set(shelf.places(sha256).values()) == {True}
    assert len(shelf.places(sha256)) == 2
    assert shelf.told() == {"unchanged": 2}


def test_two_contents_staged_at_one_path_leave_the_one_that_lies_there(shelf: Shelf) -> None:
    """Promise 4: the first came back before anything was imported, whatever the order of the ids."""
    path = shelf.loras / "a.safetensors"
    old = write_model(path)
    shelf.scan(stage=True)
    new = write_model(path, "other", age=100)
    shelf.scan(stage=True)
    write_model(path, age=50)
    shelf.scan(stage=True)
    import_pending(shelf.library)
    assert (shelf.places(old), shelf.places(new)) == ({str(path): True}, {str(path): False})
    assert shelf.told() == {"unchanged": 1}


@pytest.mark.parametrize("scanned_since", [False, True])
def test_what_was_staged_and_is_gone_is_not_called_ready(shelf: Shelf, scanned_since: bool) -> None:
    for name in ("a.pt", "b.pt"):
        write_model(shelf.loras / name, name)
    shelf.scan(stage=True)
    assert [wait.reason for wait in list_waiting(shelf.library)] == ["ready", "ready"]
    (shelf.loras / "a.pt").unlink()
    if scanned_since:
        shelf.scan(stage=True)
    found = {wait.entry.name: wait.reason for wait in list_waiting(shelf.library)}
    assert found == {"a.pt": "path_not_found", "b.pt": "ready"}


def test_what_another_machine_knew_is_ready_wherever_it_lay(shelf: Shelf) -> None:
    put_pending(shelf.library, "/not/here/a.pt")
    assert [wait.reason for wait in list_waiting(shelf.library)] == ["ready"]


@pytest.mark.parametrize("becomes", ["moved", "gone"])
def test_what_was_wrong_with_a_place_goes_with_the_file_that_waited_there(shelf: Shelf, becomes: str) -> None:
    path = shelf.loras / "a.ckpt"
    write_model(path)
    write_model(shelf.loras / "stays.safetensors")
    assert [finding.code for _, finding in shelf.scan(stage=True).findings] == ["wrong_extension"]
    if becomes == "moved":
        path.rename(shelf.loras / "b.safetensors")
    else:
        path.unlink()
    shelf.scan(stage=True)
    import_pending(shelf.library, keep_backup=False)
    assert statistics.orphaned_facts(shelf.library) == 0
