"""The hashes beside the SHA-256, row by row."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.libraries import OTHER, SHA, THIRD, known_file, put_files, put_model

from mlib.core.records import OtherHashes
from mlib.db import contents

if TYPE_CHECKING:
    from mlib.db.library import Library

FULL = OtherHashes(autov1="0badf00d", autov3="ab" * 32, crc32="85114a0d", blake3="cd" * 32)


def put(library: Library, sha256: str, known: OtherHashes) -> None:
    with library.transaction():
        contents.put_hashes(library, sha256, known)


class TestPut:
    def test_of_nothing_nothing_is_kept(self, library: Library) -> None:
        assert contents.hashes_of(library, SHA) is None

    def test_comes_back(self, library: Library) -> None:
        put(library, SHA, FULL)
        assert contents.hashes_of(library, SHA) == FULL
        assert contents.hashes_of(library, OTHER) is None

    def test_what_is_not_known_leaves_what_is(self, library: Library) -> None:
        put(library, SHA, OtherHashes(crc32="85114a0d"))
        put(library, SHA, OtherHashes(blake3="cd" * 32))
        put(library, SHA, OtherHashes())
        assert contents.hashes_of(library, SHA) == OtherHashes(crc32="85114a0d", blake3="cd" * 32)

    def test_what_is_news_takes_its_place(self, library: Library) -> None:
        put(library, SHA, FULL)
        put(library, SHA, OtherHashes(crc32="00000000"))
        kept = contents.hashes_of(library, SHA)
        assert kept is not None
        assert (kept.crc32, kept.autov1) == ("00000000", FULL.autov1)


class TestFind:
    @pytest.fixture
    def three(self, library: Library) -> Library:
        for sha256, digit in ((SHA, "0"), (OTHER, "9"), (THIRD, "f")):
            put_model(library, sha256)
            put(library, sha256, OtherHashes(digit * 8, digit * 64, digit * 8, digit * 64))
        return library

    @pytest.mark.parametrize(
        ("name", "sha_and_digit"),
        list(product(["autov1", "autov3", "crc32", "blake3"], [(SHA, "0"), (OTHER, "9"), (THIRD, "f")])),
    )
    def test_each_by_its_beginning(self, three: Library, name: str, sha_and_digit: tuple[str, str]) -> None:
        sha256, digit = sha_and_digit
        whole = 8 if name in ("autov1", "crc32") else 64
        for length in (1, 7, 8, 12, 64):
            found = [sha256] if length <= whole else []
            assert contents.find(three, name, digit * length, limit=5) == found

    @pytest.mark.parametrize("digits", ["1", "00000001", "g", "0" * 65, "F" * 8, "%", "0_"])
    def test_and_by_nothing_else(self, three: Library, digits: str) -> None:
        assert contents.find(three, "crc32", digits, limit=5) == []

    def test_no_more_than_asked_for(self, three: Library) -> None:
        assert contents.find(three, "crc32", "", limit=2) == [SHA, OTHER]

    def test_only_of_models(self, library: Library) -> None:
        put(library, SHA, FULL)
        assert contents.find(library, "crc32", "85114a0d", limit=5) == []

    @pytest.mark.parametrize("name", ["sha256", "xxh3", "crc32 = '' OR 1", ""])
    def test_another_name_is_a_value_error(self, library: Library, name: str) -> None:
        with pytest.raises(ValueError, match="no hash that is kept"):
            contents.find(library, name, "00", limit=1)

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=20, deadline=None)
    @given(st.lists(st.text("0189abf", min_size=8, max_size=8), min_size=3, max_size=3), st.integers(1, 8))
    def test_is_what_a_comparison_of_beginnings_finds(
        self, library: Library, crcs: list[str], length: int
    ) -> None:
        known = dict(zip((SHA, OTHER, THIRD), crcs, strict=True))
        for sha256, crc32 in known.items():
            put_model(library, sha256)
            put(library, sha256, OtherHashes(crc32=crc32))
        begin = crcs[0][:length]
        expected = [sha256 for sha256, crc32 in known.items() if crc32.startswith(begin)]
        assert contents.find(library, "crc32", begin, limit=5) == expected


class TestSameWeights:
    def test_are_other_models_with_the_same_autov3(self, library: Library) -> None:
        for sha256, autov3 in ((SHA, "ab"), (OTHER, "ab"), (THIRD, "cd")):
            put_model(library, sha256)
            put(library, sha256, OtherHashes(autov3=autov3 * 32))
        assert contents.same_weights(library, SHA) == [OTHER]
        assert contents.same_weights(library, OTHER) == [SHA]
        assert contents.same_weights(library, THIRD) == []

    def test_are_none_where_no_autov3_is_known(self, library: Library) -> None:
        for sha256 in (SHA, OTHER):
            put_model(library, sha256)
            put(library, sha256, OtherHashes(crc32="85114a0d", blake3="cd" * 32))
        assert contents.same_weights(library, SHA) == contents.same_weights(library, THIRD) == []

    def test_are_models_only(self, library: Library) -> None:
        put_model(library, SHA)
        for sha256 in (SHA, OTHER):
            put(library, sha256, FULL)
        assert contents.same_weights(library, SHA) == []


class TestIncomplete:
    def test_are_models_with_a_file_the_smallest_first(self, library: Library) -> None:
        for sha256, size in ((SHA, 300), (OTHER, 100), (THIRD, 200)):
            put_model(library, sha256, size_bytes=size)
        put_files(library, known_file("/m/a", SHA), known_file("/m/b", OTHER), known_file("/m/c", THIRD))
        assert contents.incomplete(library, with_blake3=False) == [OTHER, THIRD, SHA]

    def test_and_none_that_is_missing_or_done(self, library: Library) -> None:
        for sha256 in (SHA, OTHER, THIRD):
            put_model(library, sha256)
        put_files(library, known_file("/m/a", SHA), known_file("/m/b", OTHER, missing_since=1))
        put(library, SHA, OtherHashes(autov3="ab" * 32))
        assert contents.incomplete(library, with_blake3=False) == [SHA]
        put(library, SHA, OtherHashes(crc32="85114a0d"))
        assert contents.incomplete(library, with_blake3=False) == []

    def test_with_several_files_come_once(self, library: Library) -> None:
        put_model(library)
        put_files(library, known_file("/m/a"), known_file("/m/b"), known_file("/m/c", missing_since=1))
        assert contents.incomplete(library, with_blake3=False) == [SHA]
