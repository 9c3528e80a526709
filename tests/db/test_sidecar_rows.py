"""The rows of sidecars."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mlib.db import sidecars
from mlib.db.sidecars import KnownSidecar, SeenSidecar

if TYPE_CHECKING:
    from mlib.db.library import Library

ODD = os.fsdecode(b"/m/\xff")
INK = KnownSidecar("ink.txt", "text", 5, 10**18, 7, '{"kind": "text"}')


def put(library: Library, directory: str, *rows: KnownSidecar) -> None:
    with library.transaction():
        sidecars.put(library, directory, rows)


@pytest.mark.parametrize("directory", ["/m", ODD])
@pytest.mark.parametrize("name", ["ink.txt", os.fsdecode(b"in\xffk.txt")])
def test_what_is_put_is_got(library: Library, directory: str, name: str) -> None:
    row = KnownSidecar(name, "text", 5, -1, -(2**63), None)
    put(library, directory, row)
    assert sidecars.get(library, directory, name) == row
    assert sidecars.in_directory(library, directory) == {name: SeenSidecar("text", (5, -1, -(2**63)))}
    assert sidecars.directories(library) == {directory}
    with library.transaction():
        sidecars.remove(library, directory, [name, "none"])
    assert sidecars.get(library, directory, name) is None
    assert sidecars.directories(library) == set()


def test_every_directory_once(library: Library) -> None:
    for directory in ("/m", "/m/a", "/m", ODD, "/a", "/m b"):
        put(library, directory, INK, KnownSidecar("b.md", "markdown", 1, 1, 1, None))
    assert sidecars.directories(library) == {"/m", "/m/a", ODD, "/a", "/m b"}


def test_no_directory(library: Library) -> None:
    assert sidecars.directories(library) == set()


def test_it_is_written_whole(library: Library) -> None:
    put(library, "/m", INK)
    put(library, "/m", KnownSidecar("ink.txt", "text", 6, 1, 1, None))
    assert sidecars.get(library, "/m", "ink.txt") == KnownSidecar("ink.txt", "text", 6, 1, 1, None)
