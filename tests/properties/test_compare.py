"""Promise 2: an equal stat is believed only where it proves something."""

from __future__ import annotations

import os
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from mlib.core.disk.compare import RACY_NS, compare_directory, is_racy
from mlib.core.records import KnownFile, Root, Stat

ROOT = Root(type="loras", path="/m/loras", origin="user", id=1)
NAMES = ("a.pt", "b.pt", "c.pt")

stats = st.builds(
    Stat,
    size_bytes=st.sampled_from([10, 20]),
    mtime_ns=st.sampled_from([10**18, 10**18 + 1]),
    device=st.sampled_from([7, 8]),
    inode=st.sampled_from([1, 2]),
)
listings = st.dictionaries(st.sampled_from(NAMES), stats)
rows = st.builds(
    KnownFile,
    directory=st.just(ROOT.path),
    name=st.sampled_from(NAMES),
    sha256=st.sampled_from(["a" * 64, "b" * 64]),
    root_id=st.sampled_from([1, 2]),
    stat=st.none() | stats,
    xxh3=st.just("0" * 32),
    hashed_at=st.just(10**12 + 10_000),
    racy=st.booleans(),
    missing_since=st.none() | st.just(10**12),
)


def as_stored(found: list[KnownFile]) -> list[KnownFile]:
    """Rows as the tables allow them: one for each content of a path, at most one of them present."""
    present: dict[str, KnownFile] = {}
    missing: dict[tuple[str, str], KnownFile] = {}
    for row in found:
        if row.missing_since is None:
            present[row.name] = row
        else:
            missing[row.name, row.sha256] = row
    gone = [
        row
        for row in missing.values()
        if present.get(row.name, row).sha256 != row.sha256 or row.name not in present
    ]
    return [*present.values(), *gone]


known_rows = st.lists(rows, max_size=8).map(as_stored)


def status(stat: Stat) -> os.stat_result:
    times = {"st_atime_ns": 0, "st_mtime_ns": stat.mtime_ns, "st_ctime_ns": 0}
    return os.stat_result((0o100644, stat.inode, stat.device, 1, 0, 0, stat.size_bytes, 0, 0, 0), times)


def is_proof(row: KnownFile, now: Stat, *, inodes_mean_nothing: bool) -> bool:
    """What the promise says, word by word."""
    return (
        not row.racy
        and row.stat is not None
        and row.stat.size_bytes == now.size_bytes
        and row.stat.mtime_ns == now.mtime_ns
        and (inodes_mean_nothing or row.stat.inode == now.inode)
    )


@given(listings, known_rows, st.booleans(), st.booleans())
def test_every_file_and_every_present_row_is_accounted_for_once_and_nothing_is_believed_without_proof(
    listing: dict[str, Stat], known: list[KnownFile], rehash: bool, inodes_mean_nothing: bool
) -> None:
    difference = compare_directory(
        ROOT,
        ROOT.path,
        {name: status(stat) for name, stat in listing.items()},
        known,
        rehash=rehash,
        inodes_mean_nothing=inodes_mean_nothing,
    )
    present = {row.name: row for row in known if row.missing_since is None}
    believed = [*difference.refreshed, *difference.restored]
    listed = Counter(found.name for _, found in believed) + Counter(
        found.name for found, _ in difference.fresh
    )
    unchanged = listing.keys() - listed.keys()
    assert max(listed.values(), default=1) == 1
    assert listed.keys() <= listing.keys()
    assert difference.unchanged == len(unchanged)
    assert {row.name for row in difference.gone} == present.keys() - listing.keys()
    assert len(difference.gone) == len(present.keys() - listing.keys())
    for found, row in difference.fresh:
        assert row == present.get(found.name)
    for row, found in difference.restored:
        assert row.missing_since is not None
        assert found.name not in present
    for row, found in difference.refreshed:
        assert row == present[found.name]
    assert not (rehash and (believed or unchanged))
    for row, found in believed:
        assert row.name == found.name
        assert is_proof(row, found.stat, inodes_mean_nothing=inodes_mean_nothing)
    for name in unchanged:
        assert is_proof(present[name], listing[name], inodes_mean_nothing=False)
        assert (present[name].stat, present[name].root_id) == (listing[name], ROOT.id)


# is_racy, against clocks as file systems have them: a time of change is that of the write, by a clock that
# may run ahead or behind, cut off to the granularity of the file system. Moments are milliseconds.

moments = st.integers(0, 20_000)
grains = st.sampled_from([1, 10, 1000, RACY_NS // 1_000_000])
skews = st.integers(-10_000, 10_000)
START = 1_700_000_000_000


def stamp(moment: int, *, grain: int, skew: int) -> int:
    """The mtime in nanoseconds that a write at this moment leaves."""
    return (START + moment + skew) // grain * grain * 1_000_000


def hashed(mtime_ns: int, started_at: int) -> KnownFile:
    return KnownFile(
        directory=ROOT.path,
        name="a.pt",
        sha256="a" * 64,
        root_id=1,
        stat=Stat(10, mtime_ns, 7, 1),
        xxh3=None,
        hashed_at=started_at,
        racy=True,
        missing_since=None,
    )


@given(moments, moments, moments, grains)
def test_no_write_after_a_hash_that_is_not_racy_can_leave_the_same_time(
    write: int, until_hash: int, until_next_write: int, grain: int
) -> None:
    mtime = stamp(write, grain=grain, skew=0)
    started = write + until_hash
    if not is_racy(mtime_ns=mtime, started_at=START + started):
        assert stamp(started + until_next_write, grain=grain, skew=0) > mtime


@given(moments, moments, moments, moments, grains, skews)
def test_nor_after_a_second_hash_of_the_same_file_though_its_clock_is_ahead(
    write: int, until_first: int, until_second: int, until_next_write: int, grain: int, skew: int
) -> None:
    mtime = stamp(write, grain=grain, skew=abs(skew))
    first = write + until_first
    second = first + until_second
    before = hashed(mtime, START + first)
    if not is_racy(mtime_ns=mtime, started_at=START + second, before=before):
        assert stamp(second + until_next_write, grain=grain, skew=abs(skew)) > mtime


@given(moments, moments, grains, skews)
def test_a_hash_that_is_not_racy_stays_so_later(write: int, until_hash: int, grain: int, skew: int) -> None:
    mtime = stamp(write, grain=grain, skew=skew)
    racy = [is_racy(mtime_ns=mtime, started_at=START + until_hash + later) for later in (0, 1, 1999, 2000)]
    assert racy == sorted(racy, reverse=True)


@given(moments, grains, skews)
def test_every_file_that_rests_is_believed_in_the_end(write: int, grain: int, skew: int) -> None:
    mtime = stamp(write, grain=grain, skew=skew)
    before = hashed(mtime, START + write)
    assert not is_racy(mtime_ns=mtime, started_at=START + write + RACY_NS // 1_000_000, before=before)
