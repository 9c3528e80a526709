"""Make backups of the library: whole, checked, and named only once they are on disk."""

from __future__ import annotations

import os
import time
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from mlib.core.disk.entries import Directory, unlink_own
from mlib.core.disk.writing import placed_new, placed_over
from mlib.core.errors import MlibError
from mlib.db.connections import backup_directory, backups, connect
from mlib.db.faults import FAILURES, bad_copy, copy_failed

if TYPE_CHECKING:
    from mlib.core.records import Stat

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
    from mlib.core.disk.leftovers import sweep

    directory = backup_directory(path)
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        final = _make(path, os.path.join(directory, os.path.basename(path)), reason)
    except OSError as error:
        raise MlibError(
            "backup_failed", f"cannot back up to {directory}: {error.strerror or error}"
        ) from error
    for old in _surplus(path, reason):
        discard(old)
    sweep(directory, library=os.path.basename(path))
    return final


def _make(path: str, beginning: str, reason: str) -> str:
    while True:
        final = f"{beginning}.{_stamp()}.{reason}.bak"
        try:
            with placed_new(final) as partial:
                try:
                    _copy(path, partial)
                except FAILURES as error:
                    why = copy_failed(error, path, to=partial)
                    if why.code == "cannot_write":
                        directory = os.path.dirname(final)
                        why = MlibError("backup_failed", f"cannot back up to {directory}: {error}")
                    raise why from error
        except MlibError as error:
            if isinstance(error.__cause__, OSError) and error.code != "file_exists":
                raise error.__cause__ from None
            if error.code != "file_exists":
                raise
        else:
            return final


def _surplus(path: str, reason: str) -> list[str]:
    """The backups of a kind that are too many, the oldest of them."""
    return [each for each in backups(path) if _is_by_hand(each) == (reason == BY_HAND)][:-BACKUPS_KEPT]


def discard(backup: str) -> None:
    """Remove a backup of which there are enough, or that holds nothing which the library does not."""
    with suppress(OSError), Directory(os.path.dirname(backup)) as directory:  # it does no harm
        unlink_own(directory, os.path.basename(backup))


def copy_to(path: str, to: str, *, replaces: Stat | None) -> None:
    """Copy the library at `path` to a file of the user's own, whole and checked.

    What it `replaces` is as `looked_at` told it, None where nothing was. Raises Refused (`file_exists`) and
    MlibError (`disk_full`, `cannot_write`, `changed_since`, `library_corrupt`, ...).
    """
    if os.path.islink(to):  # to nothing, or `placed_over` would see to it: it stays a link
        to = os.path.realpath(to)
    with placed_new(to) if replaces is None else placed_over(to, was=replaces) as partial:
        try:
            _copy(path, partial)
        except FAILURES as error:
            raise copy_failed(error, path, to=to) from error


def _is_by_hand(backup: str) -> bool:
    return backup.endswith(f".{BY_HAND}.bak")


def _copy(path: str, to: str) -> None:
    with closing(connect(path, "ro")) as source, closing(connect(to, "rw")) as target:
        source.backup(target)
        if target.execute("PRAGMA quick_check(1)").fetchone() != ("ok",):
            raise bad_copy(path, to=to)


def _stamp() -> str:
    """A moment in UTC that sorts as text."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return time.strftime("%Y%m%dT%H%M%S", time.gmtime(seconds)) + f".{nanoseconds // 1000:06d}Z"
