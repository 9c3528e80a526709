"""Recycle bins, snapshots and kept versions: a scan passes them over, and what lies there is not a copy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.libraries import known_file, put_files, put_model
from tests.services.shelf import fill
from tests.tools import hint_of, write_model

from mlib.core.disk.compare import stat_of
from mlib.core.disk.walk import PASSED_OVER, holds_copies
from mlib.core.errors import WrongUsage
from mlib.db import files, pending
from mlib.services.files.duplicating import choose, find_duplicates

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf


def model_at(path: Path, seed: str | None = None) -> Path:
    """Write a model file; its path."""
    write_model(path, seed)
    return path


def delete_on_the_nas(path: Path) -> Path:
    """What a NAS does with a file that is deleted over the network."""
    binned = path.parent / "#recycle" / path.name
    binned.parent.mkdir(exist_ok=True)
    return path.rename(binned)


def as_an_older_mlib_knew_it(shelf: Shelf, path: Path) -> str:
    """Let the library have a present file where scans did not pass over yet. Its model."""
    sha256 = put_model(shelf.library, os.urandom(32).hex(), name=path.name)
    root = next(row for row in shelf.library.all("SELECT id, path FROM roots") if row[1] == str(shelf.loras))
    put_files(shelf.library, known_file(str(path), sha256, root_id=root[0], stat=stat_of(path.stat())))
    return sha256


def test_a_model_deleted_on_the_nas_is_missing_not_moved(shelf: Shelf) -> None:
    path = model_at(shelf.loras / "live.safetensors")
    model_at(shelf.loras / "other.safetensors")
    shelf.scan()
    sha256 = shelf.at(path)
    assert sha256 is not None
    delete_on_the_nas(path)
    report = shelf.scan()
    assert (report.missing, report.counts["moved"]) == (1, 0)
    assert report.passed_over == [str(shelf.loras / "#recycle")]
    assert shelf.places(sha256) == {str(path): False}


def test_what_is_taken_out_of_the_bin_is_the_model_it_was(shelf: Shelf) -> None:
    path = model_at(shelf.loras / "live.safetensors")
    model_at(shelf.loras / "other.safetensors")
    shelf.scan()
    binned = delete_on_the_nas(path)
    shelf.scan()
    binned.rename(path)
    assert shelf.told() == {"restored": 1, "unchanged": 1}


@pytest.mark.parametrize("name", sorted(PASSED_OVER))
def test_only_what_held_models_is_told(shelf: Shelf, name: str) -> None:
    model_at(shelf.loras / "a.safetensors")
    model_at(shelf.loras / name / "b.safetensors")
    report = shelf.scan()
    assert report.counts["added"] == 1
    assert report.passed_over == ([str(shelf.loras / name)] if holds_copies(name) else [])


def test_a_link_called_like_a_bin_is_passed_over_too(shelf: Shelf, tmp_path: Path) -> None:
    model_at(tmp_path / "elsewhere" / "b.safetensors")
    (shelf.loras / "#recycle").symlink_to(tmp_path / "elsewhere")
    report = shelf.scan()
    assert (report.scanned, report.passed_over) == (0, [str(shelf.loras / "#recycle")])


def test_rows_in_a_bin_become_missing_and_no_guard_stands_in_the_way(shelf: Shelf) -> None:
    model_at(shelf.loras / "live.safetensors")
    shelf.scan()
    binned = fill(shelf.loras / "#recycle", 30)
    shas = [as_an_older_mlib_knew_it(shelf, path) for path in binned]
    report = shelf.scan()
    assert (report.missing, report.guarded_roots, report.offline_roots) == (30, [], [])
    assert all(not any(shelf.places(sha).values()) for sha in shas)
    assert all(path.exists() for path in binned)
    assert shelf.told() == {"unchanged": 1}


def test_of_a_root_whose_disk_is_off_no_row_in_a_bin_is_marked(shelf: Shelf, tmp_path: Path) -> None:
    model_at(shelf.loras / "live.safetensors")
    shelf.scan()
    (binned,) = fill(shelf.loras / "#recycle", 1)
    sha256 = as_an_older_mlib_knew_it(shelf, binned)
    shelf.loras.rename(tmp_path / "away")
    assert shelf.scan().offline_roots == [str(shelf.loras)]
    assert shelf.places(sha256) == {str(binned): True}
    shelf.loras.mkdir()
    assert shelf.scan().guarded_roots == [str(shelf.loras)]
    assert shelf.places(sha256) == {str(binned): True}


def test_a_root_named_within_a_bin_is_scanned(shelf: Shelf) -> None:
    folder = shelf.loras / "#recycle" / "rescued"
    path = model_at(folder / "a.safetensors")
    shelf.add_root("loras", folder)
    assert shelf.at(path) is not None
    shelf.scan()
    assert shelf.at(path) is not None


def test_a_path_within_a_bin_is_refused_with_the_way_to_scan_it(shelf: Shelf) -> None:
    path = model_at(shelf.loras / "#recycle" / "a.safetensors")
    for given in (path, path.parent):
        with pytest.raises(WrongUsage) as error:
            shelf.scan(paths=[str(given)])
        assert error.value.code == "passed_over"
        assert "--root TYPE=DIR" in hint_of(error.value)


def test_what_waits_for_import_follows_out_of_the_bin(shelf: Shelf) -> None:
    path = model_at(shelf.loras / "live.safetensors")
    model_at(shelf.loras / "other.safetensors")
    shelf.scan(stage=True)
    (before,) = pending.at_path(shelf.library, str(path))
    binned = shelf.loras / "#recycle" / path.name
    with shelf.library.transaction():
        assert before.observed is not None
        put = before.observed._replace(directory=str(binned.parent))
        pending.put(shelf.library, before._replace(path=str(binned), observed=put))
    model_at(binned, "live.safetensors")
    path.touch()
    shelf.scan(stage=True)
    assert [entry.path for entry in shelf.waiting() if entry.sha256 == before.sha256] == [str(path)]


def test_what_lies_in_a_bin_is_never_the_copy_that_stays(shelf: Shelf) -> None:
    live = model_at(shelf.loras / "deep/down/in/folders/live.safetensors", "same")
    copy = model_at(shelf.loras / "deep/down/in/folders/live-copy.safetensors", "same")
    shelf.scan()
    sha256 = shelf.at(live)
    assert sha256 is not None
    binned = model_at(shelf.loras / "#recycle" / "l.safetensors", "same")
    (row,) = files.at_path(shelf.library, str(live))
    directory, name = os.path.split(binned)
    put_files(shelf.library, row._replace(directory=directory, name=name, stat=stat_of(binned.stat())))
    (group,) = find_duplicates(shelf.library)
    assert {each.row.path for each in group.copies} == {str(live), str(copy)}
    (choice,), _ = choose([group], "shortest")
    assert choice.kept[0].row.path == str(live)
