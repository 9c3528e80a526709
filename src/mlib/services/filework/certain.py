"""Making sure that a file still is what its row says, before anything is done with it."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import is_racy, stat_of
from mlib.core.disk.entries import HALF_MOVED, changed, gone
from mlib.core.disk.leftovers import settle
from mlib.core.errors import MlibError
from mlib.core.placing.copying import rotten
from mlib.core.placing.journal import cut_off
from mlib.core.placing.turns import own_turn
from mlib.core.rereading import reread
from mlib.core.storage import storage_of
from mlib.core.walk import reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlib.core.models import KnownFile, Stat
    from mlib.db.library import Library


class Certain(NamedTuple):
    """A file that holds the content of its model: its stat, links followed, and a row that says so."""

    stat: Stat
    row: KnownFile


def as_known(row: KnownFile, *, advance: Callable[[int], None] = lambda _size: None) -> Certain:
    """The file of a row, believed where size, mtime and inode are proof, and read again where they are none.

    Raises MlibError: `gone`, `changed`, `unreadable`.
    """
    now = stat_now(row.path)
    before = row.stat
    if before is None or (now.size_bytes, now.mtime_ns) != (before.size_bytes, before.mtime_ns):
        raise changed(row.path)
    if not row.racy and (now.inode == before.inode or not storage_of(now.device).keeps_inodes):
        return Certain(now, row._replace(stat=now))
    return read_again(row, advance=advance)


def read_again(row: KnownFile, *, advance: Callable[[int], None] = lambda _size: None) -> Certain:
    """The file of a row, all its bytes read from the disk now.

    Raises MlibError: `gone`, `changed`, `rotten` where the bytes are others and size and mtime are not,
    `unreadable`.
    """
    try:
        found = reread(row.path, advance=advance)
    except FileNotFoundError:
        raise gone(row.path) from None
    except OSError as error:
        raise MlibError("unreadable", f"cannot read {row.path}: {reason(error)}") from error
    if found is None:
        raise changed(row.path)
    if found.sha256 != row.sha256:
        before = row.stat
        same = before is not None and found.stat[:2] == before[:2]
        if same and not row.racy:
            raise rotten(row.path)
        raise changed(row.path)
    racy = is_racy(mtime_ns=found.stat.mtime_ns, started_at=found.started_at, before=row)
    row = row._replace(stat=found.stat, xxh3=found.digests["xxh3"], hashed_at=found.started_at, racy=racy)
    return Certain(found.stat, row)


@contextmanager
def touching(library: Library) -> Iterator[None]:
    """The block in which a command moves or removes files: one at a time, and only if the rows can follow.

    What a command that was killed had moved aside goes back first. Raises as `own_turn`, and MlibError where
    the library cannot be written.
    """
    with own_turn(library.path):
        library.expect_writable()
        for path in sorted({source for source, _ in cut_off(library.path)}):
            with suppress(OSError):
                settle(path)
        yield


@contextmanager
def following(library: Library) -> Iterator[None]:
    """A transaction in which the rows follow what was done to files.

    Raises MlibError `half_moved` where that fails: the same command again, or a scan, will do it.
    """
    try:
        with library.transaction():
            yield
    except MlibError as error:
        message = f"it is done on the disk, but the library could not be told: {error.message}"
        raise MlibError(HALF_MOVED, message, hint="run it again, or `mlib scan`") from error


def stat_now(path: str) -> Stat:
    """The stat of a file, links followed. Raises MlibError `gone` or `unreadable`."""
    try:
        return stat_of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        raise gone(path) from None
    except OSError as error:
        raise MlibError("unreadable", f"cannot look at {path}: {reason(error)}") from error
