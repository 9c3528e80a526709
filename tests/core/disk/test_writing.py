"""A file is written whole, where it was to be, or not at all."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mlib.core.disk import system
from mlib.core.disk.writing import looked_at, write_new, write_over
from mlib.core.errors import MlibError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    return tmp_path / "out"


def test_a_folder_that_is_swapped_while_it_is_written_gets_nothing_and_nothing_elsewhere(
    folder: Path,
) -> None:
    def parts() -> Iterator[bytes]:
        yield b"ours"
        folder.rename(folder.with_name("former"))
        folder.symlink_to("elsewhere")

    with pytest.raises(MlibError):
        write_new(str(folder / "a"), parts())
    assert os.listdir(folder) == os.listdir(folder.with_name("former")) == []


def test_what_was_to_be_replaced_and_changed_meanwhile_is_left(folder: Path) -> None:
    path = folder / "a"
    path.write_bytes(b"older")
    was = looked_at(str(path))
    assert was is not None
    path.write_bytes(b"theirs, and longer")
    with pytest.raises(MlibError) as caught:
        write_over(str(path), [b"ours"], was=was)
    assert caught.value.code == "changed_since"
    assert (path.read_bytes(), os.listdir(folder)) == (b"theirs, and longer", ["a"])


def test_of_the_same_size_and_time_the_content_tells(folder: Path) -> None:
    """A clock may stand still between two writes."""
    path = folder / "a"
    path.write_bytes(b"older")
    was = looked_at(str(path))
    assert was is not None
    path.write_bytes(b"newer")
    os.utime(path, ns=(was.mtime_ns, was.mtime_ns))
    with pytest.raises(MlibError) as caught:
        write_over(str(path), [b"ours"], was=was, content=b"older")
    assert (caught.value.code, path.read_bytes()) == ("changed_since", b"newer")
    write_over(str(path), [b"ours"], was=was, content=b"newer")
    assert (path.read_bytes(), os.listdir(folder)) == (b"ours", ["a"])


@pytest.mark.parametrize("way", ["rename", "link", "in place"])
def test_a_new_file_takes_no_name_that_is_in_use(
    folder: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if way != "rename":
        monkeypatch.setattr(system, "renameat2", lambda: None)
    if way == "in place":

        def no_links(*_: object, **__: object) -> None:
            raise PermissionError(1, "no links here")

        monkeypatch.setattr(os, "link", no_links)
    path = folder / "a"
    assert write_new(str(path), [b"whole ", b"text"]) == 10
    assert (path.read_bytes(), os.listdir(folder)) == (b"whole text", ["a"])

    def parts() -> Iterator[bytes]:
        yield b"ours"
        (folder / "b").write_bytes(b"theirs")

    with pytest.raises(Refused):
        write_new(str(folder / "b"), parts())
    assert ((folder / "b").read_bytes(), sorted(os.listdir(folder))) == (b"theirs", ["a", "b"])
