"""The rows of sidecars, and of what they gave."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, known_file, put_files, put_model

from mlib.core.models import OtherHashes
from mlib.db import hashes, sidecars
from mlib.db.sidecars import OWED, KnownSidecar, Seen

if TYPE_CHECKING:
    from mlib.db.library import Library

ODD = os.fsdecode(b"/m/\xff")
INK = KnownSidecar("ink.txt", "text", 5, 10**18, 7, '{"kind": "text"}')


def put(library: Library, directory: str, *rows: KnownSidecar) -> None:
    with library.transaction():
        sidecars.put(library, directory, rows)


def give(library: Library, directory: str, name: str, sha256: str, *fields: str) -> None:
    with library.transaction():
        sidecars.put_given(library, directory, name, sha256, fields)


def owed(library: Library, directory: str = "/m") -> list[str]:
    return [name for name, seen in sidecars.in_directory(library, directory).items() if seen.kind == OWED]


@pytest.mark.parametrize("directory", ["/m", ODD])
@pytest.mark.parametrize("name", ["ink.txt", os.fsdecode(b"in\xffk.txt")])
def test_what_is_put_is_got(library: Library, directory: str, name: str) -> None:
    row = KnownSidecar(name, "text", 5, -1, -(2**63), None)
    put(library, directory, row)
    assert sidecars.get(library, directory, name) == row
    assert sidecars.in_directory(library, directory) == {name: Seen("text", (5, -1, -(2**63)))}
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


def test_a_time_that_no_integer_holds(library: Library) -> None:
    put(library, "/m", KnownSidecar("ink.txt", "text", 5, 2**64, 7, None))
    found = sidecars.get(library, "/m", "ink.txt")
    assert found is not None
    assert found.mtime_ns == 2**63 - 1


class TestGiven:
    def test_it_is_of_one_model_at_one_place(self, library: Library) -> None:
        give(library, "/m", "ink.safetensors", SHA, "name", "tags")
        assert sidecars.given(library, "/m", "ink.safetensors", SHA) == {"name", "tags"}
        assert sidecars.given(library, "/m", "ink.safetensors", OTHER) == frozenset()
        assert sidecars.given(library, "/n", "ink.safetensors", SHA) == frozenset()

    def test_it_is_no_sidecar(self, library: Library) -> None:
        give(library, "/m", "ink.safetensors", SHA, "name")
        assert sidecars.get(library, "/m", "ink.safetensors") is None
        assert sidecars.in_directory(library, "/m") == {}
        with library.transaction():
            sidecars.remove(library, "/m", ["ink.safetensors"])
        assert sidecars.given(library, "/m", "ink.safetensors", SHA) == {"name"}


class TestOwed:
    """Models that the sidecars of their directory were not compared with."""

    @pytest.fixture(autouse=True)
    def model(self, library: Library) -> None:
        for sha256 in (SHA, OTHER):
            put_model(library, sha256)
        put_files(library, known_file("/m/ink.safetensors"), known_file(f"{ODD}/ink.safetensors"))

    @pytest.mark.parametrize("directory", ["/m", ODD])
    def test_until_they_were(self, library: Library, directory: str) -> None:
        assert owed(library, directory) == ["ink.safetensors"]
        give(library, directory, "ink.safetensors", SHA)
        assert owed(library, directory) == []

    def test_other_content_is_owed_anew(self, library: Library) -> None:
        give(library, "/m", "ink.safetensors", OTHER)
        assert owed(library) == ["ink.safetensors"]

    @pytest.mark.parametrize(
        "known", [OtherHashes(autov3="cd" * 32), OtherHashes(crc32="00" * 4), OtherHashes(blake3="ef" * 32)]
    )
    def test_another_hash_that_is_known_is_a_reason(self, library: Library, known: OtherHashes) -> None:
        give(library, "/m", "ink.safetensors", SHA)
        with library.transaction():
            hashes.put(library, SHA, known)
        assert owed(library) == ["ink.safetensors"]
        give(library, "/m", "ink.safetensors", SHA)
        assert owed(library) == []

    def test_a_missing_file_is_owed_nothing(self, library: Library) -> None:
        put_files(library, known_file("/m/ink.safetensors", missing_since=5))
        assert owed(library) == []
