"""Whether a known file still is what it was: sound, edited, rotten, damaged, unreadable or gone."""

from __future__ import annotations

import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.disk.compare import stat_of
from mlib.core.disk.storage import (
    expect_file,
    open_for_reading,
    read_unchanged,
    storage_of,
    until_it_stands_still,
)
from mlib.core.disk.system import let_go
from mlib.core.disk.walk import reason
from mlib.core.inspection import PLACE_CODES, inspect_file

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mlib.core.records import KnownFile, Stat


# --- Reading again what was read before: stat, read from the disk, stat again.


class Reread(NamedTuple):
    """Digests of one file in lower-case hex by name, of all its bytes as they were from `started_at` (ms)."""

    digests: dict[str, str]
    stat: Stat
    started_at: int

    @property
    def sha256(self) -> str:
        return self.digests["sha256"]


def reread(
    path: str,
    *,
    wanted: tuple[str, ...] = ("sha256", "xxh3"),
    view: memoryview | None = None,
    advance: Callable[[int], None] = lambda _size: None,
) -> Reread | None:
    """Digests (`sha256`, `xxh3`) of a regular file as the disk holds it; None if it keeps changing.

    What the system keeps of it in memory is let go first, and behind the reading: else a disk that forgets
    would go unseen, and all else would be pushed out of memory. Raises OSError, and what `advance` raises.
    """
    into = view if view is not None else memoryview(bytearray(1 << 20))
    return until_it_stands_still(lambda: _reread_once(path, wanted=wanted, view=into, advance=advance))


def _reread_once(
    path: str, *, wanted: tuple[str, ...], view: memoryview, advance: Callable[[int], None]
) -> Reread | None:
    """One try of `reread`; None if the file changed meanwhile."""
    started_at = time.time_ns() // 1_000_000
    with open_for_reading(path) as file:
        before = os.fstat(file.fileno())
        expect_file(before, path)
        let_go(file.fileno(), 0, 0)
        digests = {name: _new(name) for name in wanted}

        def take(start: int, chunk: memoryview) -> None:
            for digest in digests.values():
                digest.update(chunk)
            let_go(file.fileno(), start, len(chunk))
            advance(len(chunk))

        after = read_unchanged(file, path, before, view=view, take=take)
    if after is None:
        return None
    return Reread({name: digest.hexdigest() for name, digest in digests.items()}, stat_of(after), started_at)


def _new(name: str) -> Any:
    if name == "sha256":
        return hashlib.sha256()
    from xxhash import xxh3_128

    return xxh3_128()


#: `changed`: somebody wrote to it (size or mtime differ). `rotten`: nobody did, and its bytes are others.
#: `incomplete`: it is sound, and a part of a model of which another part is not there.
State = Literal["ok", "changed", "rotten", "gone", "unreadable", "damaged", "incomplete"]
#: What is wrong with a file from the start, and no damage.
_NO_DAMAGE = PLACE_CODES | {"may_run_code"}


class RereadVerdict(NamedTuple):
    """What became of a file, and why it is not ok; `stat` is what it was found with."""

    state: State
    message: str = ""
    stat: Stat | None = None


def glance(row: KnownFile) -> RereadVerdict:
    """Judge by stat and header: size, mtime and inode against the row, and whether the structure is whole."""
    verdict = _stat_verdict(row)
    if verdict.state != "ok":
        return verdict
    assert verdict.stat is not None
    if row.stat is not None and _is_replaced(row.stat, verdict.stat):
        message = "another file of the same size and date lies there; the next scan reads it"
        return RereadVerdict("changed", message, verdict.stat)
    return _structure(row.path, verdict.stat)


def read_whole(row: KnownFile, view: memoryview, advance: Callable[[int], None]) -> RereadVerdict:
    """Judge by every byte, as the disk gives it now; `advance` is told of each chunk.

    The quick xxh3 decides where it is known and agrees. Else SHA-256 does, and bytes that are found to be
    others are read a second time: a cable or memory that is bad gives other bytes each time.
    """
    verdict = _stat_verdict(row)
    if verdict.state != "ok":
        return verdict
    wanted = ("xxh3",) if row.xxh3 is not None and not row.racy else ("sha256",)
    try:
        found = reread(row.path, wanted=wanted, view=view, advance=advance)
        if found is None or _is_edited(row, found.stat):
            return RereadVerdict("changed", "it was written to while it was read")
        if not _agrees(row, found):
            return _doubted(row, view, advance)
    except FileNotFoundError:
        return RereadVerdict("gone", "it is not there any more")
    except OSError as error:
        return RereadVerdict("unreadable", f"cannot read it: {reason(error)}")
    return _structure(row.path, found.stat)


def _doubted(row: KnownFile, view: memoryview, advance: Callable[[int], None]) -> RereadVerdict:
    again = reread(row.path, wanted=("sha256",), view=view, advance=advance)
    if again is None or _is_edited(row, again.stat):
        return RereadVerdict("changed", "it was written to while it was read")
    if again.sha256 == row.sha256:
        message = "reading it twice gave different bytes: the disk, its cable or the memory may be bad"
        return RereadVerdict("unreadable", message, again.stat)
    if row.racy or row.stat is None:
        return RereadVerdict("changed", "its bytes are others than those that were hashed", again.stat)
    return RereadVerdict("rotten", "its bytes are not what they were, its size and date are", again.stat)


def _agrees(row: KnownFile, found: Reread) -> bool:
    return found.digests.get("xxh3", row.xxh3) == row.xxh3 and (
        found.digests.get("sha256", row.sha256) == row.sha256
    )


def _stat_verdict(row: KnownFile) -> RereadVerdict:
    try:
        status = os.stat(row.path)
    except (FileNotFoundError, NotADirectoryError):
        there = os.path.isdir(row.directory)
        return RereadVerdict("gone", "it is not there any more" if there else "its folder is not there")
    except OSError as error:
        return RereadVerdict("unreadable", f"cannot look at it: {reason(error)}")
    if not stat.S_ISREG(status.st_mode):
        return RereadVerdict("gone", "what is there now is no file")
    now = stat_of(status)
    if _is_edited(row, now):
        assert row.stat is not None
        what = "size" if row.stat.size_bytes != now.size_bytes else "date"
        return RereadVerdict("changed", f"its {what} is not what it was; the next scan reads it", now)
    return RereadVerdict("ok", stat=now)


def _is_edited(row: KnownFile, now: Stat) -> bool:
    return row.stat is not None and row.stat[:2] != now[:2]


def _is_replaced(before: Stat, now: Stat) -> bool:
    return before.inode != now.inode and storage_of(now.device).keeps_inodes


def _structure(path: str, now: Stat) -> RereadVerdict:
    try:
        inspection, _ = inspect_file(path)
    except OSError as error:
        return RereadVerdict("unreadable", f"cannot read it: {reason(error)}", now)
    except Exception as error:  # noqa: BLE001 - our reader's fault must not end the verifying of all other files
        message = f"its header could not be understood ({type(error).__name__}: {error})"
        return RereadVerdict("unreadable", message, now)
    for finding in inspection.findings:
        if finding.serious and finding.code not in _NO_DAMAGE:
            return RereadVerdict("damaged", finding.message, now)
    return RereadVerdict("ok", stat=now)
