from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools import write_model

from mlib.core.disk.compare import (
    RACY_NS,
    DirectoryDifference,
    compare_directory,
    fingerprints,
    is_racy,
    signed,
    stat_of,
)
from mlib.core.records import FoundFile, KnownFile, Root, Stat

if TYPE_CHECKING:
    from pathlib import Path

ROOT = Root(type="loras", path="/m/loras", origin="user", id=1)
SECOND = 1_000_000_000
OLD = Stat(size_bytes=100, mtime_ns=1_700_000_000 * SECOND, device=7, inode=42)


def status(stat: Stat) -> os.stat_result:
    """What `os.stat` gives for such a file."""
    times = {"st_atime_ns": 0, "st_mtime_ns": stat.mtime_ns, "st_ctime_ns": 0}
    return os.stat_result(
        (0o100644, stat.inode, stat.device, 1, 0, 0, stat.size_bytes, 0, stat.mtime_ns // SECOND, 0), times
    )


def row(stat: Stat | None = OLD, *, name: str = "a.pt", sha: str = "a", racy: bool = False) -> KnownFile:
    return KnownFile(
        directory=ROOT.path,
        name=name,
        sha256=sha * 64,
        root_id=1,
        stat=stat,
        xxh3="0" * 32,
        hashed_at=1_700_000_100_000,
        racy=racy,
        missing_since=None,
    )


def compared(
    now: dict[str, Stat], known: list[KnownFile], *, rehash: bool = False, inodes_mean_nothing: bool = False
) -> DirectoryDifference:
    return compare_directory(
        ROOT,
        ROOT.path,
        {name: status(stat) for name, stat in now.items()},
        known,
        rehash=rehash,
        inodes_mean_nothing=inodes_mean_nothing,
    )


def fresh(stat: Stat, before: KnownFile | None, name: str = "a.pt") -> DirectoryDifference:
    return DirectoryDifference(fresh=[(FoundFile(ROOT.path, name, stat, ROOT), before)])


# --- what is believed (promise 2) ---------------------------------------------------------------------------


def test_a_file_with_the_stat_of_its_row_is_unchanged() -> None:
    assert compared({"a.pt": OLD}, [row()]) == DirectoryDifference(unchanged=1)


@pytest.mark.parametrize(
    "now",
    [OLD._replace(size_bytes=101), OLD._replace(mtime_ns=OLD.mtime_ns + 1), OLD._replace(inode=43)],
    ids=["size", "mtime", "inode"],
)
def test_a_file_that_differs_in_size_mtime_or_inode_must_be_identified(now: Stat) -> None:
    """Promise 2."""
    assert compared({"a.pt": now}, [row()]) == fresh(now, row())


def test_an_older_mtime_is_a_change_too() -> None:
    """Promise 2: a backup put back has an older date."""
    now = OLD._replace(mtime_ns=OLD.mtime_ns - SECOND)
    assert compared({"a.pt": now}, [row()]) == fresh(now, row())


def test_a_racy_row_is_never_believed() -> None:
    """Promise 2."""
    racy = row(racy=True)
    assert compared({"a.pt": OLD}, [racy]) == fresh(OLD, racy)
    gone = racy._replace(missing_since=1)
    assert compared({"a.pt": OLD}, [gone]) == fresh(OLD, None)


def test_with_rehash_no_row_is_believed() -> None:
    assert compared({"a.pt": OLD}, [row()], rehash=True) == fresh(OLD, row())
    gone = row()._replace(missing_since=1)
    assert compared({"a.pt": OLD}, [gone], rehash=True) == fresh(OLD, None)


def test_where_inodes_mean_nothing_a_new_one_is_only_noted() -> None:
    now = OLD._replace(inode=43)
    difference = compared({"a.pt": now}, [row()], inodes_mean_nothing=True)
    assert difference == DirectoryDifference(refreshed=[(row(), FoundFile(ROOT.path, "a.pt", now, ROOT))])


def test_a_disk_that_got_another_device_number_is_only_noted() -> None:
    now = OLD._replace(device=8)
    assert compared({"a.pt": now}, [row()]).refreshed == [(row(), FoundFile(ROOT.path, "a.pt", now, ROOT))]


def test_an_unchanged_file_that_another_root_lists_now_is_only_noted() -> None:
    other = row()._replace(root_id=2)
    assert compared({"a.pt": OLD}, [other]).refreshed == [(other, FoundFile(ROOT.path, "a.pt", OLD, ROOT))]


# --- new, gone, back ----------------------------------------------------------------------------------------


def test_a_file_without_a_row_must_be_identified() -> None:
    assert compared({"a.pt": OLD}, []) == fresh(OLD, None)


def test_a_present_row_without_its_file_is_gone() -> None:
    assert compared({}, [row()]) == DirectoryDifference(gone=[row()])


def test_a_missing_row_without_its_file_says_nothing_new() -> None:
    assert compared({}, [row()._replace(missing_since=1)]) == DirectoryDifference()


def test_a_missing_row_whose_file_is_back_as_it_was_is_restored() -> None:
    gone = row()._replace(missing_since=1)
    assert compared({"a.pt": OLD}, [gone]) == DirectoryDifference(
        restored=[(gone, FoundFile(ROOT.path, "a.pt", OLD, ROOT))]
    )


def test_of_several_contents_that_lay_at_a_path_the_one_with_this_stat_is_restored() -> None:
    other = row(OLD._replace(mtime_ns=5), sha="b")._replace(missing_since=2)
    gone = row()._replace(missing_since=1)
    assert [known for known, _ in compared({"a.pt": OLD}, [other, gone]).restored] == [gone]


def test_a_missing_row_is_not_restored_where_other_content_lies() -> None:
    """It must be identified: only then is it known which of the two it is."""
    gone = row()._replace(missing_since=1)
    other = row(OLD._replace(mtime_ns=5), sha="b")
    assert compared({"a.pt": OLD}, [gone, other]) == fresh(OLD, other)


def test_a_row_that_only_a_word_vouches_for_is_never_believed() -> None:
    claimed = row(None)._replace(missing_since=1)
    assert compared({"a.pt": OLD}, [claimed]) == fresh(OLD, None)


NAMES = st.sampled_from(["a.pt", "b.pt", "c.pt", "d.pt"])
STATS = st.builds(Stat, st.integers(1, 2), st.integers(1, 2), st.just(7), st.integers(1, 2))


@given(now=st.dictionaries(NAMES, STATS), present=st.dictionaries(NAMES, STATS), rehash=st.booleans())
def test_every_file_and_every_present_row_is_accounted_for_once(
    now: dict[str, Stat], present: dict[str, Stat], rehash: bool
) -> None:
    difference = compared(now, [row(stat, name=name) for name, stat in present.items()], rehash=rehash)
    named = [found.name for found, _ in difference.fresh] + [found.name for _, found in difference.refreshed]
    assert difference.unchanged + len(named) == len(now)
    assert len(set(named)) == len(named)
    assert {known.name for known in difference.gone} == present.keys() - now.keys()
    expected = 0 if rehash else sum(present.get(name) == stat for name, stat in now.items())
    assert difference.unchanged == expected


# --- when a hash proves something (promise 2) ---------------------------------------------------------------


@given(since_ms=st.integers(-10_000, 10_000))
def test_a_hash_is_proof_only_if_the_file_had_been_still_for_two_seconds(since_ms: int) -> None:
    """Promise 2."""
    started_at = 1_700_000_000_000
    assert is_racy(mtime_ns=(started_at - since_ms) * 1_000_000, started_at=started_at) is (since_ms < 2_000)


def test_a_second_hash_two_seconds_after_the_first_settles_it_whatever_the_files_clock_says() -> None:
    """Promise 2: a server whose clock runs ahead must not be read at every scan for ever."""
    started_at = 1_700_000_000_000
    ahead = Stat(100, (started_at + 3_600_000) * 1_000_000, 7, 42)
    first = row(ahead, racy=True)._replace(hashed_at=started_at)
    assert is_racy(mtime_ns=ahead.mtime_ns, started_at=started_at, before=None)
    assert is_racy(mtime_ns=ahead.mtime_ns, started_at=started_at + 1_999, before=first)
    assert not is_racy(mtime_ns=ahead.mtime_ns, started_at=started_at + 2_000, before=first)
    assert is_racy(mtime_ns=ahead.mtime_ns + 1, started_at=started_at + 2_000, before=first)
    assert is_racy(mtime_ns=ahead.mtime_ns, started_at=started_at + 2_000, before=row(None))


def test_two_seconds_is_the_coarsest_clock_a_file_system_has() -> None:
    assert RACY_NS == 2 * SECOND


# --- numbers as SQLite holds them ---------------------------------------------------------------------------


@given(st.integers(0, 2**64 - 1))
def test_every_64_bit_number_fits_a_signed_one_and_stays_distinct(number: int) -> None:
    assert -(2**63) <= signed(number) < 2**63
    assert signed(number) % 2**64 == number


def test_a_stat_is_what_the_system_says(tmp_path: Path) -> None:
    write_model(tmp_path / "a.pt")
    now = os.stat(tmp_path / "a.pt")
    assert stat_of(now) == Stat(now.st_size, now.st_mtime_ns, now.st_dev, now.st_ino)


def test_a_time_that_no_library_can_hold_is_the_last_that_one_can() -> None:
    beyond = status(OLD._replace(mtime_ns=2**63 + 5))
    assert stat_of(beyond).mtime_ns == 2**63 - 1


def test_a_listing_has_one_fingerprint_a_file() -> None:
    huge = OLD._replace(inode=2**64 - 1)
    assert fingerprints({"b.pt": status(huge), "a.pt": status(OLD)}) == [
        ("a.pt", 100, OLD.mtime_ns, 42),
        ("b.pt", 100, OLD.mtime_ns, -1),
    ]
