"""Promise 1: whatever happens to a file, what a person typed about its model stays as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from tests.services.shelf import Shelf
from tests.tools import set_age, write_bytes, write_model

if TYPE_CHECKING:
    from pathlib import Path

Happening = Callable[[Shelf], object]


def mine(shelf: Shelf) -> Path:
    """The file about whose model something was typed."""
    return shelf.loras / "mine.safetensors"


def nothing(shelf: Shelf) -> None:
    del shelf


def rename(shelf: Shelf) -> None:
    mine(shelf).rename(mine(shelf).with_name("renamed.safetensors"))


def move(shelf: Shelf) -> None:
    mine(shelf).rename(shelf.vae / mine(shelf).name)


def swap(shelf: Shelf) -> None:
    other, between = shelf.loras / "neighbour.safetensors", shelf.loras / "between"
    mine(shelf).rename(between)
    other.rename(mine(shelf))
    between.rename(other)


def copy(shelf: Shelf) -> None:
    shutil.copy2(mine(shelf), shelf.vae / "copy.safetensors")


def copy_and_remove(shelf: Shelf) -> None:
    shutil.copy2(mine(shelf), shelf.vae / "copy.safetensors")
    mine(shelf).unlink()


def hard_link(shelf: Shelf) -> None:
    os.link(mine(shelf), shelf.vae / "link.safetensors")


def touch(shelf: Shelf) -> None:
    set_age(mine(shelf), 77)


def replace(shelf: Shelf) -> None:
    write_model(mine(shelf), "other", age=77)


def replace_and_restore(shelf: Shelf) -> None:
    write_model(mine(shelf), "other", age=77)
    shelf.scan()
    write_model(mine(shelf), "mine", age=66)


def overlay(shelf: Shelf) -> None:
    (shelf.loras / "neighbour.safetensors").replace(mine(shelf))


def remove(shelf: Shelf) -> None:
    mine(shelf).unlink()


def remove_and_restore(shelf: Shelf) -> None:
    mine(shelf).unlink()
    shelf.scan()
    write_model(mine(shelf), "mine", age=66)


def unplug(shelf: Shelf) -> None:
    shelf.loras.rename(shelf.loras.with_name("away"))


def empty(shelf: Shelf) -> None:
    unplug(shelf)
    shelf.loras.mkdir()


def begin_a_download(shelf: Shelf) -> None:
    write_bytes(mine(shelf), b"")


def make_it_a_fifo(shelf: Shelf) -> None:
    mine(shelf).unlink()
    os.mkfifo(mine(shelf))


HAPPENINGS: list[Happening] = [
    nothing, rename, move, swap, copy, copy_and_remove, hard_link, touch, replace, replace_and_restore,
    overlay, remove, remove_and_restore, unplug, empty, begin_a_download, make_it_a_fifo,
]  # fmt: skip
REQUESTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rehash": {"rehash": True},
    "stage": {"stage": True},
    "accept": {"accept_missing": True},
}


@pytest.mark.parametrize("request_", REQUESTS)
@pytest.mark.parametrize("happening", HAPPENINGS, ids=lambda happening: happening.__name__)
def test_what_was_typed_is_still_there(shelf: Shelf, happening: Happening, request_: str) -> None:
    """Promise 1."""
    sha256 = write_model(mine(shelf), "mine")
    neighbour = write_model(shelf.loras / "neighbour.safetensors")
    shelf.scan()
    for model in (sha256, neighbour):
        shelf.edit(
            model,
            name=f"My {model[:4]}",
            type="controlnet",
            base_model="SDXL",
            description="Ink",
            notes="0.7\n0.8",
            tag=("ink", "two words"),
            put=("rating=5", "trained.words=ink"),
        )
    before = [shelf.user_data(model) for model in (sha256, neighbour)]
    happening(shelf)
    for _ in range(2):
        shelf.scan(**REQUESTS[request_])
        assert [shelf.user_data(model) for model in (sha256, neighbour)] == before


def test_a_scan_says_nothing_about_when_a_model_was_edited(shelf: Shelf) -> None:
    """Promise 1: facts that change are no edits, and a typed name never becomes a fact."""
    sha256 = write_model(mine(shelf))
    shelf.scan()
    shelf.edit(sha256, name="mine.safetensors")
    mine(shelf).rename(shelf.vae / "other.safetensors")
    shelf.scan()
    assert shelf.name_and_type(sha256) == ("mine.safetensors", "vae")
    assert shelf.user_data(sha256)[0] == {"name": "mine.safetensors"}
