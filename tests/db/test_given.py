"""The rows of what sidecars gave to models."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, known_file, put_files, put_model

from mlib.core.records import OtherHashes
from mlib.db import contents, sidecars

if TYPE_CHECKING:
    from mlib.db.library import Library

ODD = os.fsdecode(b"/m/\xff")


def give(library: Library, directory: str, name: str, sha256: str, *fields: str) -> None:
    with library.transaction():
        sidecars.put_filled(library, directory, name, sha256, fields)


class TestGiven:
    def test_it_is_of_one_model_at_one_place(self, library: Library) -> None:
        give(library, "/m", "ink.safetensors", SHA, "name", "tags")
        assert sidecars.filled_at(library, "/m", "ink.safetensors", SHA) == {"name", "tags"}
        assert sidecars.filled_at(library, "/m", "ink.safetensors", OTHER) == frozenset()
        assert sidecars.filled_at(library, "/n", "ink.safetensors", SHA) == frozenset()

    def test_it_is_found_by_model_alone(self, library: Library) -> None:
        give(library, "/m", "ink.safetensors", SHA, "name")
        give(library, ODD, "ink.safetensors", SHA, "tags")
        give(library, "/n", "ink.safetensors", OTHER, "notes")
        assert sidecars.anywhere(library, SHA) == {"name", "tags"}
        assert sidecars.anywhere(library, "f" * 64) == frozenset()


class TestOwed:
    """Models that the sidecars of their directory were not compared with."""

    @pytest.fixture(autouse=True)
    def model(self, library: Library) -> None:
        for sha256 in (SHA, OTHER):
            put_model(library, sha256)
        put_files(library, known_file("/m/ink.safetensors"), known_file(f"{ODD}/ink.safetensors"))

    @pytest.mark.parametrize("directory", ["/m", ODD])
    def test_until_they_were(self, library: Library, directory: str) -> None:
        assert sidecars.owed(library, directory) == {"ink.safetensors"}
        give(library, directory, "ink.safetensors", SHA)
        assert sidecars.owed(library, directory) == set()

    def test_other_content_is_owed_anew(self, library: Library) -> None:
        give(library, "/m", "ink.safetensors", OTHER)
        assert sidecars.owed(library, "/m") == {"ink.safetensors"}

    @pytest.mark.parametrize(
        "known", [OtherHashes(autov3="cd" * 32), OtherHashes(crc32="00" * 4), OtherHashes(blake3="ef" * 32)]
    )
    def test_another_hash_that_is_known_is_a_reason(self, library: Library, known: OtherHashes) -> None:
        give(library, "/m", "ink.safetensors", SHA)
        with library.transaction():
            contents.put_hashes(library, SHA, known)
        assert sidecars.owed(library, "/m") == {"ink.safetensors"}
        give(library, "/m", "ink.safetensors", SHA)
        assert sidecars.owed(library, "/m") == set()

    def test_a_missing_file_is_owed_nothing(self, library: Library) -> None:
        put_files(library, known_file("/m/ink.safetensors", missing_since=5))
        assert sidecars.owed(library, "/m") == set()
