"""A dry run reads no file, writes nothing, and counts what a scan would, as far as that can be told."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from tests.libraries import dump, snapshot
from tests.services.shelf import SIZE, Shelf, told
from tests.tools import write_bytes, write_model

from mlib.db.library import open_library

if TYPE_CHECKING:
    from pathlib import Path

Happening = Callable[[Shelf], object]


def nothing(shelf: Shelf) -> None:
    del shelf


def new(shelf: Shelf) -> None:
    write_model(shelf.vae / "new.pt")


def rename(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").rename(shelf.vae / "renamed.pt")


def hard_link(shelf: Shelf) -> None:
    os.link(shelf.loras / "0.pt", shelf.vae / "link.pt")


def replace(shelf: Shelf) -> None:
    write_model(shelf.loras / "0.pt", "other", age=50)


def keep_and_replace(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").rename(shelf.loras / "old.pt")
    write_model(shelf.loras / "0.pt", "other", age=50)


def swap(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").rename(shelf.loras / "between")
    (shelf.loras / "1.pt").rename(shelf.loras / "0.pt")
    (shelf.loras / "between").rename(shelf.loras / "1.pt")


def overlay(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").replace(shelf.loras / "1.pt")


def overlay_with_a_link(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").unlink()
    os.link(shelf.loras / "1.pt", shelf.loras / "0.pt")


def link_one_copy_to_another(shelf: Shelf) -> None:
    write_model(shelf.loras / "copy.pt", "0.pt")
    shelf.scan()
    (shelf.loras / "0.pt").unlink()
    os.link(shelf.loras / "copy.pt", shelf.loras / "0.pt")


def new_with_two_names(shelf: Shelf) -> None:
    write_model(shelf.vae / "new.pt")
    os.link(shelf.vae / "new.pt", shelf.vae / "newer.pt")


def remove(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").unlink()


def bring_back(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").rename(shelf.loras / "parked")
    shelf.scan()
    (shelf.loras / "parked").rename(shelf.loras / "0.pt")


def bring_back_elsewhere(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").rename(shelf.loras / "parked")
    shelf.scan()
    (shelf.loras / "parked").rename(shelf.vae / "0.pt")


def bring_back_over_another(shelf: Shelf) -> None:
    (shelf.loras / "0.pt").rename(shelf.loras / "parked")
    write_model(shelf.loras / "0.pt", "other")
    shelf.scan()
    (shelf.loras / "parked").replace(shelf.loras / "0.pt")


def unplug(shelf: Shelf) -> None:
    shelf.loras.rename(shelf.loras.with_name("away"))


def empty(shelf: Shelf) -> None:
    unplug(shelf)
    shelf.loras.mkdir()


def download(shelf: Shelf) -> None:
    write_bytes(shelf.loras / "half.pt.part", b"half")
    write_bytes(shelf.loras / "empty.pt", b"")


def download_over_a_known_file(shelf: Shelf) -> None:
    write_bytes(shelf.loras / "0.pt", b"")


def break_a_link(shelf: Shelf) -> None:
    (shelf.loras / "broken.pt").symlink_to("nowhere")


HAPPENINGS: list[Happening] = [
    nothing, new, rename, hard_link, replace, keep_and_replace, swap, overlay, overlay_with_a_link, remove,
    link_one_copy_to_another, new_with_two_names, bring_back, bring_back_elsewhere, bring_back_over_another,
    unplug, empty, download, download_over_a_known_file, break_a_link,
]  # fmt: skip


@pytest.mark.parametrize("happening", HAPPENINGS, ids=lambda happening: happening.__name__)
def test_a_dry_run_reports_what_the_scan_then_does_and_writes_nothing(
    shelf: Shelf, happening: Happening
) -> None:
    for n in range(3):
        write_model(shelf.loras / f"{n}.pt")
    shelf.scan()
    happening(shelf)
    before = dump(shelf.library.path)
    foreseen = shelf.told(dry_run=True)
    assert dump(shelf.library.path) == before
    assert shelf.told() == foreseen


@pytest.mark.parametrize(
    "happening",
    [nothing, new, rename, replace, new_with_two_names, remove, bring_back],
    ids=lambda each: each.__name__,
)
def test_a_dry_run_of_staging_reports_what_would_wait(shelf: Shelf, happening: Happening) -> None:
    write_model(shelf.loras / "staged.pt")
    shelf.scan(stage=True)
    (shelf.loras / "staged.pt").rename(shelf.vae / "staged.pt")
    for n in range(3):
        write_model(shelf.loras / f"{n}.pt")
    shelf.scan(paths=[str(shelf.loras)])
    happening(shelf)
    before = dump(shelf.library.path)
    foreseen = shelf.told(stage=True, dry_run=True)
    assert dump(shelf.library.path) == before
    assert shelf.told(stage=True) == foreseen


def test_a_dry_run_of_a_rehash_says_how_much_is_to_be_read_again(shelf: Shelf) -> None:
    for n in range(3):
        write_model(shelf.loras / f"{n}.pt")
    shelf.scan()
    assert shelf.told(rehash=True, dry_run=True) == {"unchanged": 3, "read": 3}


def test_a_dry_run_takes_a_copy_for_new_content_as_it_reads_no_file(shelf: Shelf) -> None:
    """The limit of foresight: only the bytes would tell."""
    write_model(shelf.loras / "a.pt")
    shelf.scan()
    shutil.copy2(shelf.loras / "a.pt", shelf.loras / "b.pt")
    assert shelf.told(dry_run=True) == {"added": 1, "unchanged": 1, "read": 1}


def test_a_dry_run_says_how_much_there_is_to_read(shelf: Shelf) -> None:
    for n in range(3):
        write_model(shelf.loras / f"{n}.pt")
    assert shelf.scan(dry_run=True).hashed_bytes == 3 * SIZE


def test_a_dry_run_remembers_no_roots(shelf: Shelf, tmp_path: Path) -> None:
    write_model(tmp_path / "more" / "a.pt")
    before = dump(shelf.library.path)
    report = shelf.scan(roots=[f"loras={tmp_path / 'more'}"], dry_run=True)
    assert told(report)["added"] == 1
    assert dump(shelf.library.path) == before


def test_a_dry_run_without_a_library_makes_none(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "a.pt")
    before = snapshot(tmp_path)
    with open_library(str(tmp_path / "none" / "library.db"), mode="dry_run") as library:
        rehearsed = Shelf(library, shelf.loras, shelf.vae)
        assert rehearsed.told(roots=[f"loras={shelf.loras}"], dry_run=True)["added"] == 1
    assert snapshot(tmp_path) == before
