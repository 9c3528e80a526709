"""Make, list and restore backups of the library."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core.errors import Hint, Refused
from mlib.core.text import library_option
from mlib.db import history, restoring
from mlib.db.backups import BY_HAND, copy_to, discard, make_backup
from mlib.db.connections import backup_directory
from mlib.db.faults import has_tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.errors import MlibError
    from mlib.core.records import Stat
    from mlib.db.library import Library
    from mlib.db.restoring import Backup

_PART = 1 << 20


@dataclass(frozen=True, slots=True)
class RestoreReport:
    """The backup that takes the library's place, and where what was there is kept (None: nowhere yet)."""

    backup: str
    kept: str | None
    replaces: bool


def back_up(library: Library, to: str | None, *, replaces: Stat | None = None) -> str:
    """Make a backup now, whole and checked; its path. With `to` it lies there, and is never removed by mlib.

    What it `replaces` there is as `looked_at` told it. Raises Refused (`file_exists`), MlibError
    (`backup_failed`, `disk_full`, `cannot_write`, `changed_since`).
    """
    if to is None:
        return make_backup(library.path, BY_HAND)
    if os.path.exists(to) and os.path.samefile(to, library.path):
        raise Refused("same_file", f"this is the library itself: {to}")
    copy_to(library.path, to, replaces=replaces)
    return os.path.abspath(to)


def backup_bytes(library: Library) -> Iterator[bytes]:
    """The bytes of a whole, checked copy, part by part; it lies in a temporary folder meanwhile (`TMPDIR`).

    Raises MlibError (`disk_full`, `cannot_write`, ...) before the first part.
    """
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "library.db")
        copy_to(library.path, path, replaces=None)
        with open(path, "rb") as copy:
            while part := copy.read(_PART):
                yield part


def keep_if_needed(library: Library, backup: str | None) -> str | None:
    """The backup that was made before what is being recorded; None, and removed, where that changed nothing.

    A nightly import that finds nothing new would push all older ones out.
    """
    if backup is None or not history.came_to_nothing(library):
        return backup
    discard(backup)
    return None


def list_backups(path: str) -> list[Backup]:
    """The backups of the library at `path`, newest first."""
    return restoring.all_backups(os.path.abspath(path))


def plan_restore(path: str, given: str | None) -> RestoreReport:
    """What `restore` would do: the backup is checked, nothing is changed. Raises as `restore` does."""
    backup = restoring.find(os.path.abspath(path), given)
    restoring.check(backup)
    restoring.check_place(os.path.realpath(path), backup)
    return RestoreReport(backup, None, os.path.lexists(os.path.realpath(path)))


def restore(path: str, backup: str) -> RestoreReport:
    """Put a backup in the place of the library at `path`, which need not be one any more, and is kept.

    Raises NotFound (`no_backup`), MlibError (`bad_backup`, `disk_full`, ...), Refused, LibraryBusy.
    """
    replaces = os.path.lexists(os.path.realpath(path))
    done = restoring.restore(os.path.abspath(path), backup)
    return RestoreReport(done.backup, done.kept, replaces)


def hint_of(error: MlibError) -> str | Hint | None:
    """What there is to do about an error: its own hint, and for a damaged library which backup helps.

    Reads the backups of that library, newest first, until one is good.
    """
    path = error.damaged
    if path is None:
        return error.hint
    way = _way_back(path, error.code)
    return way if error.hint is None else Hint("{}; {}", error.hint, way)


def _way_back(path: str, code: str) -> Hint:
    """Which backup brings a library back. That it may be left behind is said of one that does not open."""
    good = restoring.newest_good(path)
    if good is not None:
        way = Hint("its newest good backup is {}: {}", good, ("restore", "--latest", *library_option(path)))
    elif code == "not_a_library":
        way = Hint("move it elsewhere, or name another library with {}", ("--library", "FILE"))
    elif code == "no_library":
        way = Hint("none of its backups is good")
    else:
        way = Hint("no good backup of it is known; `sqlite3 FILE .recover` saves what can still be read")
        if not has_tables(path):
            way = Hint("{}; with the file moved elsewhere, {} starts a new library", way, ("scan",))
    if code == "no_library":
        kept = os.path.join(backup_directory(path), os.path.basename(path) + ".*.bak")
        way = Hint("{}; to start a new one, move {} elsewhere", way, kept)
    return way
