"""Backups of the library: whole, checked, and only under their name when they are on the disk."""

from __future__ import annotations

import glob
import os
import sqlite3
import time
from contextlib import suppress

from mlib.core.errors import MlibError
from mlib.core.replacing import placed_new, placed_over, sync_directory
from mlib.db.connections import backup_directory, backups, connect
from mlib.db.faults import FAILURES, bad_copy, copy_failed

#: So many of those that a person asked for are kept, and so many of those that mlib makes by itself.
BACKUPS_KEPT = 5
#: The reason of a backup that a person asked for.
BY_HAND = "by-hand"


def make_backup(path: str, reason: str) -> str:
    """Copy the library at `path` into its backup directory; the path of the copy.

    Works while another connection of this process holds the write lock, if it has not written yet. All but
    the newest few of its kind are removed: a nightly job must not push out what was made on purpose.
    Raises MlibError (`backup_failed`, `disk_full`, `library_corrupt`, ...).
    """
    directory = backup_directory(path)
    final = os.path.join(directory, f"{os.path.basename(path)}.{_stamp()}.{reason}.bak")
    partial = f"{final}.partial"
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        _copy(path, partial)
        with open(partial, "rb") as copy:
            os.fsync(copy.fileno())
        os.replace(partial, final)
        sync_directory(directory)
    except FAILURES as error:
        why = copy_failed(error, path, to=partial)
        if why.code == "cannot_write":
            why = MlibError("backup_failed", f"cannot back up to {directory}: {error}")
        raise why from error
    except OSError as error:
        raise MlibError(
            "backup_failed", f"cannot back up to {directory}: {error.strerror or error}"
        ) from error
    finally:
        with suppress(OSError):
            os.unlink(partial)
    alike = [each for each in backups(path) if _is_by_hand(each) == (reason == BY_HAND)]
    for old in [*alike[:-BACKUPS_KEPT], *_left_behind(path)]:
        with suppress(OSError):
            os.unlink(old)
    return final


def discard(backup: str) -> None:
    """Remove a backup that holds nothing which the library does not."""
    with suppress(OSError):  # it does no harm
        os.unlink(backup)


def copy_to(path: str, to: str, *, may_replace: bool) -> None:
    """Copy the library at `path` to a file of the user's own, whole and checked.

    Raises Refused (`file_exists`) and MlibError (`disk_full`, `cannot_write`, `library_corrupt`, ...).
    """
    with (placed_over if may_replace else placed_new)(to) as partial:
        try:
            _copy(path, partial)
        except FAILURES as error:
            raise copy_failed(error, path, to=to) from error


def _is_by_hand(backup: str) -> bool:
    return backup.endswith(f".{BY_HAND}.bak")


def _left_behind(path: str) -> list[str]:
    """Partial backups so old that whoever was making them is gone."""
    long_ago = time.time() - 86_400
    beginning = os.path.join(backup_directory(path), os.path.basename(path) + ".")
    partials = glob.glob(glob.escape(beginning) + "*.partial")
    return [partial for partial in partials if os.stat(partial).st_mtime < long_ago]


def _copy(path: str, to: str) -> None:
    source = connect(path, "ro")
    target = sqlite3.connect(to, isolation_level=None)
    try:
        source.backup(target)
        if target.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise bad_copy(path, to=to)
    finally:
        target.close()
        source.close()


def _stamp() -> str:
    """A moment in UTC that sorts as text."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)) + f".{nanoseconds // 1000:06d}Z"
