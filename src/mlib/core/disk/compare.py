"""Comparing what the walk found in a directory with what the library knows of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core.records import FoundFile, KnownFile, Root, Stat

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

#: A hash is proof of a stat only if the file had been still for this long before: FAT keeps 2 s.
RACY_NS = 2_000_000_000

_SIGN = 1 << 63
#: In the year 2262; a later time is kept as this, for SQLite holds no more.
_LATEST = _SIGN - 1

#: (name, size, mtime_ns, inode): what must be equal for a file to be believed unchanged.
Fingerprint = tuple[str, int | None, int | None, int | None]


@dataclass(slots=True)
class DirectoryDifference:
    """How a directory differs from what is known of it.

    `fresh` must be identified; each comes with the row that lay at its path until now, if any. `restored`
    were missing and are back as they were. `moved_root` are unchanged files under another root than before,
    or whose inode changed where inodes mean nothing. `gone` were present and are not seen.
    """

    unchanged: int = 0
    fresh: list[tuple[FoundFile, KnownFile | None]] = field(default_factory=list)
    restored: list[tuple[KnownFile, FoundFile]] = field(default_factory=list)
    refreshed: list[tuple[KnownFile, FoundFile]] = field(default_factory=list)
    gone: list[KnownFile] = field(default_factory=list)


def signed(number: int) -> int:
    """A 64-bit device or inode number as SQLite can hold it."""
    return number - (1 << 64) if number >= _SIGN else number


def stat_of(status: os.stat_result) -> Stat:
    """What is remembered of a file's stat."""
    return Stat(
        status.st_size, min(status.st_mtime_ns, _LATEST), signed(status.st_dev), signed(status.st_ino)
    )


def fingerprints(files: Mapping[str, os.stat_result]) -> list[Fingerprint]:
    """The listing by name, in a form to compare as a whole."""
    return [
        (
            name,
            (s := files[name]).st_size,
            s.st_mtime_ns,
            inode if (inode := s.st_ino) < _SIGN else signed(inode),
        )
        for name in sorted(files)
    ]


def is_racy(*, mtime_ns: int, started_at: int, before: KnownFile | None = None) -> bool:
    """Whether a hash begun at `started_at` (ms) proves nothing about a later, equal stat.

    The file's clock may be another machine's. So a second hash of the same stat, begun RACY_NS after the
    first, settles it too: any write in between would have had to move the mtime.
    """
    if mtime_ns <= started_at * 1_000_000 - RACY_NS:
        return False
    if before is None or before.stat is None or before.hashed_at is None:
        return True
    return before.stat.mtime_ns != mtime_ns or (started_at - before.hashed_at) * 1_000_000 < RACY_NS


def compare_directory(
    root: Root,
    directory: str,
    files: Mapping[str, os.stat_result],
    known: Iterable[KnownFile],
    *,
    rehash: bool = False,
    inodes_mean_nothing: bool = False,
) -> DirectoryDifference:
    """Tell apart what is unchanged, fresh, restored and gone in one directory.

    A present row is believed if size, mtime_ns and inode agree and it is not racy; a missing row likewise
    means that the file is back. With `rehash` no row is believed. `inodes_mean_nothing` is for file systems
    that make inodes up (FUSE, SMB, FAT): there size, mtime_ns and path are enough.
    """
    difference = DirectoryDifference()
    present: dict[str, KnownFile] = {}
    missing: dict[str, list[KnownFile]] = {}
    for known_row in known:
        if known_row.missing_since is None:
            present[known_row.name] = known_row
        else:
            missing.setdefault(known_row.name, []).append(known_row)
    for name, status in files.items():
        found = FoundFile(directory, name, stat_of(status), root)
        row = present.pop(name, None)
        if row is not None and not rehash and _believed(row, found.stat, inodes_mean_nothing):
            if row.root_id == root.id and row.stat == found.stat:
                difference.unchanged += 1
            else:
                difference.refreshed.append((row, found))
            continue
        if row is None and not rehash:
            back = [r for r in missing.get(name, ()) if _believed(r, found.stat, inodes_mean_nothing)]
            if back:
                difference.restored.append((back[0], found))
                continue
        difference.fresh.append((found, row))
    difference.gone.extend(present.values())
    return difference


def _believed(row: KnownFile, now: Stat, inodes_mean_nothing: bool) -> bool:
    if row.racy or row.stat is None:
        return False
    same_content = (row.stat.size_bytes, row.stat.mtime_ns) == (now.size_bytes, now.mtime_ns)
    return same_content and (row.stat.inode == now.inode or inodes_mean_nothing)
