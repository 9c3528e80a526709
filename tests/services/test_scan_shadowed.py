"""Two roots that lead to one folder: only the first is walked, and nothing known in the other goes stale."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.services.shelf import Shelf, fill, told, unplug
from tests.tools import write_model

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def merged(shelf: Shelf) -> Shelf:
    """`vae` became a link to `loras`, after both held files; a scan has seen that."""
    fill(shelf.loras, 2)
    mine, _ = fill(shelf.vae, 2)
    write_model(shelf.vae / "sub" / "deep.safetensors")
    shelf.scan()
    for path in (*shelf.vae.glob("*.safetensors"), shelf.vae / "sub"):
        path.rename(shelf.loras / path.name)
    shelf.vae.rmdir()
    shelf.vae.symlink_to(shelf.loras)
    assert shelf.at(mine)
    assert shelf.told() == {"copied": 3, "unchanged": 2}
    return shelf


def test_what_lies_there_stays(merged: Shelf) -> None:
    assert merged.told() == {"unchanged": 5}
    assert merged.at(merged.vae / "vae-0.safetensors")


def test_what_goes_is_missing_at_both_paths(merged: Shelf) -> None:
    path = merged.vae / "vae-0.safetensors"
    sha256 = merged.at(path)
    assert sha256
    path.unlink()
    foreseen = merged.scan(dry_run=True)
    assert told(foreseen) == merged.told() == {"missing": 2, "unchanged": 4}
    assert set(merged.places(sha256).values()) == {False}
    assert merged.told() == {"unchanged": 4}


def test_what_another_file_takes_the_place_of_is_missing(merged: Shelf) -> None:
    path = merged.vae / "vae-0.safetensors"
    before = merged.at(path)
    assert before
    after = write_model(path, "another")
    merged.scan()
    assert set(merged.places(before).values()) == {False}
    assert merged.at(merged.loras / path.name) == after


def test_a_disk_that_is_off_takes_nothing(merged: Shelf) -> None:
    unplug(merged.loras)
    assert merged.told() == {"offline": 1}
    merged.loras.mkdir()
    assert merged.told() == {"guarded": 1}
    assert merged.at(merged.vae / "vae-0.safetensors")
    assert merged.at(merged.vae / "sub" / "deep.safetensors")


def test_what_a_link_hides_is_not_missing(merged: Shelf, tmp_path: Path) -> None:
    away = (merged.loras / "sub").rename(tmp_path / "disk")
    (merged.loras / "sub").symlink_to(tmp_path / "not-mounted")
    assert merged.told() == {"unchanged": 4, "problems": 1}
    assert merged.at(merged.vae / "sub" / "deep.safetensors")
    (merged.loras / "sub").unlink()
    away.rename(merged.loras / "sub")
    assert merged.told() == {"unchanged": 5}
