"""The paths at which models lie: found by directory, by inode, by model."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.libraries import OTHER, SHA, known_file, put_files, put_model, put_pending

from mlib.core.records import Stat
from mlib.db import files, pending
from mlib.db.library import open_library

if TYPE_CHECKING:
    from mlib.db.library import Library

BLOB = os.fsdecode(b"/a/\xff")
#: Directories that sort around one another, with and without what SQLite keeps as bytes.
DIRECTORIES = [
    "/",
    "/a",
    "/a!",
    "/a0",
    "/a/b",
    "/a/b/c",
    "/a/",
    "/a b",
    "/a/é",
    "/A",
    "/b",
    BLOB,
    f"{BLOB}/c",
]
DIRECTORIES += [os.fsdecode(b"/a\xff"), os.fsdecode(b"/a/b\xff/c"), os.fsdecode(b"/\xff"), "/a/\U0010ffff"]


@pytest.fixture
def full(library: Library) -> Library:
    put_model(library, SHA)
    put_model(library, OTHER)
    put_files(
        library, *(known_file(os.path.join(directory, "x")) for directory in set(DIRECTORIES) - {"/a/"})
    )
    return library


def below(tree: str, directories: list[str]) -> list[str]:
    inside = tree.rstrip("/") + "/"
    return sorted({one for one in directories if one == tree or one.startswith(inside)} - {"/a/"})


class TestKnownDirectories:
    @pytest.mark.parametrize("tree", ["/", "/a", "/a/b", "/a!", "/b", BLOB, "/nowhere", "/a/b/c/d"])
    def test_are_those_at_or_below_the_tree(self, full: Library, tree: str) -> None:
        found = list(files.known_directories(full, tree))
        assert sorted(found) == below(tree, DIRECTORIES)

    def test_come_once_however_many_files_they_hold(self, full: Library) -> None:
        put_files(full, *(known_file(f"/a/b/{n}") for n in range(50)))
        assert list(files.known_directories(full, "/a/b")).count("/a/b") == 1

    def test_without_a_present_file_are_none(self, full: Library) -> None:
        put_files(full, known_file("/b/x", missing_since=1), known_file("/gone/x", missing_since=1))
        assert list(files.known_directories(full, "/b")) == list(files.known_directories(full, "/gone")) == []

    def test_are_found_though_a_missing_file_comes_first(self, full: Library) -> None:
        put_files(full, known_file("/b/0", OTHER, missing_since=1), known_file("/b/a/0", missing_since=1))
        assert list(files.known_directories(full, "/b")) == ["/b"]

    @settings(deadline=None, max_examples=50)
    @given(
        st.lists(
            st.binary(min_size=1, max_size=4).filter(lambda raw: b"\0" not in raw and b"/" not in raw),
            max_size=8,
        ),
        st.lists(st.sampled_from([b"a", b"b", b"\xff", b"a!", b"a0", "é".encode()]), max_size=3),
    )
    def test_hold_for_any_names(self, odd: list[bytes], tree: list[bytes]) -> None:
        top = os.fsdecode(b"/" + b"/".join(tree))
        directories = [os.fsdecode(b"/a/" + name) for name in odd] + [
            f"{top}/x".replace("//", "/"),
            "/a",
            "/b",
        ]
        with open_library("/nonexistent/library.db", mode="dry_run") as library:
            put_model(library)
            put_files(library, *(known_file(f"{directory}/f") for directory in set(directories)))
            assert sorted(files.known_directories(library, top)) == below(top, directories)


class TestByInode:
    STAT = Stat(size_bytes=1000, mtime_ns=123_000_000_000, device=7, inode=4711)

    def test_the_very_same_stat_is_the_same_file(self, library: Library) -> None:
        put_model(library)
        put_files(library, known_file("/m/a", stat=self.STAT))
        found = files.by_inode(library, self.STAT)
        assert found is not None
        assert found.path == "/m/a"

    @pytest.mark.parametrize("field", Stat._fields)
    def test_any_difference_is_another_file(self, library: Library, field: str) -> None:
        """Promise 3: all four must agree, anything else is hashed."""
        put_model(library)
        put_files(library, known_file("/m/a", stat=self.STAT))
        assert files.by_inode(library, self.STAT._replace(**{field: 1})) is None

    def test_a_racy_row_proves_nothing(self, library: Library) -> None:
        """Promise 2."""
        put_model(library)
        put_files(library, known_file("/m/a", stat=self.STAT, racy=True))
        assert files.by_inode(library, self.STAT) is None

    def test_a_row_nobody_hashed_proves_nothing(self, library: Library) -> None:
        put_model(library)
        put_files(library, known_file("/m/a", stat=self.STAT, xxh3=None))
        assert files.by_inode(library, self.STAT) is None

    def test_a_present_row_comes_before_a_missing_one(self, library: Library) -> None:
        put_model(library)
        put_files(
            library,
            known_file("/m/a", stat=self.STAT, missing_since=1),
            known_file("/m/b", stat=self.STAT),
            known_file("/m/c", stat=self.STAT, missing_since=2),
        )
        found = files.by_inode(library, self.STAT)
        assert found is not None
        assert found.path == "/m/b"


class TestOfModel:
    def test_present_ones_come_first_then_the_latest_gone(self, library: Library) -> None:
        put_model(library)
        put_files(
            library,
            known_file("/m/before", missing_since=1),
            known_file("/m/lately", missing_since=2),
            known_file("/m/here"),
            known_file("/a/here"),
        )
        order = ["/a/here", "/m/here", "/m/lately", "/m/before"]
        assert [row.path for row in files.of_model(library, SHA)] == order


class TestFingerprints:
    def test_tell_name_size_time_and_inode(self, library: Library) -> None:
        put_model(library)
        blob = os.fsdecode(b"/m/\xff")
        put_files(library, known_file("/m/a"), known_file(blob), known_file("/m/gone", missing_since=1))
        stat = known_file("/m/a").stat
        assert stat is not None
        rest = (stat.size_bytes, stat.mtime_ns, stat.inode)
        assert files.fingerprints_in(library, "/m", None) == [("a", *rest), (os.path.basename(blob), *rest)]

    def test_of_a_racy_row_or_another_roots_equal_no_file(self, library: Library) -> None:
        put_model(library)
        put_files(library, known_file("/m/a", racy=True))
        assert {mtime for _, _, mtime, _ in files.fingerprints_in(library, "/m", None)} == {None}
        put_files(library, known_file("/m/a"))
        assert {mtime for _, _, mtime, _ in files.fingerprints_in(library, "/m", 5)} == {None}


def test_marking_leaves_what_another_process_changed(library: Library) -> None:
    """Promise 10: the row is another one by now, or is marked already."""
    put_model(library, SHA)
    put_model(library, OTHER)
    put_files(library, known_file("/m/a"), known_file("/m/b", missing_since=1))
    with library.transaction():
        files.mark_missing(library, [known_file("/m/a", OTHER), known_file("/m/b")], 99)
    assert [row.missing_since for row in files.of_model(library, SHA)] == [None, 1]


def test_removing_takes_one_row(library: Library) -> None:
    put_model(library, SHA)
    put_model(library, OTHER)
    put_files(library, known_file("/m/a"), known_file("/m/a", OTHER, missing_since=1))
    with library.transaction():
        files.remove(library, known_file("/m/a", OTHER))
    assert [row.sha256 for row in files.at_path(library, "/m/a")] == [SHA]


def test_removing_takes_what_a_pending_import_saw_there(library: Library) -> None:
    """Or importing it would bring the place back."""
    put_model(library, SHA)
    put_files(library, known_file("/m/a"))
    here, other = (
        put_pending(library, "/m/a", seen=True),
        put_pending(library, "/m/a", sha256=OTHER, seen=True),
    )
    with library.transaction():
        files.remove(library, known_file("/m/a"))
    assert [pending_id for pending_id, _ in pending.all_observed(library)] == [other]
    assert pending.exists(library, here)
