"""What a library stands on: permissions, disk, SQLite, what killed processes left, backups."""

from __future__ import annotations

import os
import shutil
import stat
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from mlib.core.disk.leftovers import discard, leftovers
from mlib.core.errors import MlibError
from mlib.core.placing.journal import foreign_lines, journal_path
from mlib.core.shell import library_option, move_away, quoted
from mlib.core.storage import NETWORK, file_system
from mlib.db import health, restoring
from mlib.db.connections import backup_directory, strange_beside
from mlib.services.diagnosing.checks import Check, done, restoring_command

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.disk.leftovers import Leftover
    from mlib.services.diagnosing.checks import State

_DAY_MS = 86_400_000
#: A backup that is older than this is hardly one.
_OLD_BACKUP = 30 * _DAY_MS


def permissions(path: str, fix: bool) -> Iterator[Check]:
    places = [path, *(each.path for each in restoring.all_backups(path))]
    for place in places:
        status = os.stat(place)
        if not stat.S_ISREG(status.st_mode):
            way_out = restoring_command(path) if place == path else move_away(place)
            yield Check("permissions", "error", f"this is not a file: {place}", way_out)
            continue
        mode = stat.S_IMODE(status.st_mode)
        if not health.is_marked(place):
            continue  # of another program, whose concern it is
        if mode & 0o077:
            check = Check(
                "permissions",
                "warning",
                f"others on this machine may read your notes (mode {mode:03o}): {place}",
                f"chmod 600 {quoted(place)}",
            )
            yield done(check, partial(os.chmod, place, 0o600), fix)
        elif status.st_uid != os.geteuid():
            yield Check("permissions", "warning", f"the file belongs to another user: {place}")
    directory = os.path.dirname(path)
    mode = stat.S_IMODE(os.stat(directory).st_mode)
    if mode & 0o022 and not mode & stat.S_ISVTX:
        message = f"others may replace the library (mode {mode:03o} of its directory): {directory}"
        yield Check("permissions", "warning", message, f"chmod go-w {quoted(directory)}")
    elif not os.access(directory, os.W_OK) or not os.access(path, os.W_OK):
        message = f"the library, or its directory, cannot be written: {path}"
        owners = {os.stat(path).st_uid, os.stat(directory).st_uid}
        mend = f"chmod u+rwX {quoted(directory)} {quoted(path)}" if owners == {os.geteuid()} else None
        yield Check("permissions", "error", message, mend)
    else:
        yield Check("permissions", "ok", "the library can be written by you")


def storage(path: str) -> Iterator[Check]:
    kind = file_system(os.stat(path).st_dev)
    if kind in NETWORK:
        message = f"the library lies on a network file system ({kind}), whose locks cannot be relied on"
        yield Check("storage", "warning", message, "move it to a local disk, and name it with --library FILE")
    else:
        yield Check("storage", "ok", f"on a local file system ({kind or 'unknown'})")
    free, size = shutil.disk_usage(os.path.dirname(path)).free, os.path.getsize(path)
    if free < 2 * size + 16 * 2**20:
        message = f"{free:,} bytes are free: too few for a backup and a rewrite of {size:,} bytes"
        yield Check("space", "warning", message, "free some space on that disk")
    else:
        yield Check("space", "ok", f"{free:,} bytes are free")


def sqlite() -> Iterator[Check]:
    version = ".".join(map(str, health.sqlite_version()))
    if health.sqlite_version() < health.OLDEST_SQLITE:
        yield Check(
            "sqlite", "error", f"SQLite {version} is too old", "upgrade Python or SQLite to 3.37 or newer"
        )
    else:
        yield Check("sqlite", "ok", f"SQLite {version}")


def unfinished(path: str, fix: bool) -> Iterator[Check]:
    """What a process that was killed has left; to open the library, as is done next, ends the first."""
    strange = strange_beside(os.path.realpath(path))
    for beside, why in strange.items():
        message = f"this, which {why}, keeps the library from being opened: {beside}"
        yield Check("journal", "error", message, move_away(beside))
    found = bool(strange)
    for suffix in ("-journal", "-wal"):
        if os.path.realpath(path) + suffix in strange:
            continue
        if os.path.exists(path + suffix) and os.path.getsize(path + suffix):
            found = True
            message = f"an unfinished change, which is taken back on opening the library: {path}{suffix}"
            yield Check("journal", "warning", message, f"mlib list --limit 1 {library_option(path)}")
    for left in _left_behind(path):
        found = True
        message = f"left by a process that was killed: {left.path}"
        if left.is_last:
            yield Check("journal", "warning", f"{message}; no other name has these bytes")
            continue
        check = Check("journal", "warning", message, f"rm {quoted(left.path)}")
        yield done(check, partial(discard, left), fix and left.is_half)
    if not found:
        yield Check("journal", "ok", "nothing is unfinished")


def _left_behind(path: str) -> Iterator[Leftover]:
    """Files that were to become a backup or a library, so old that nobody is at them any more."""
    for directory in (os.path.dirname(path), backup_directory(path)):
        with suppress(OSError):
            yield from leftovers(directory, library=os.path.basename(path))


def journal_of_files(path: str) -> Iterator[Check]:
    """Lines in the journal of what was done to files that no mlib of this age wrote: they are passed over."""
    place = journal_path(path)
    numbers = foreign_lines(path)
    if os.path.lexists(place) and not os.path.isfile(place):
        yield Check("files_journal", "error", f"this is not a file: {place}", move_away(place))
    elif numbers:
        more = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        message = f"not of this mlib, and passed over: {place}, line {numbers[0]}{more}"
        yield Check("files_journal", "warning", message, f"sed -n {numbers[0]}p {quoted(place)}")
    else:
        yield Check("files_journal", "ok", "every line of what was done to files is understood")


def kept_backups(path: str) -> Iterator[Check]:
    kept = restoring.all_backups(path)
    mend = f"mlib backup {library_option(path)}"
    if not kept:
        yield Check("backups", "warning", "there is none", mend)
        return
    newest = kept[0]
    age_ms = time.time_ns() // 1_000_000 - newest.made_at
    age = f"{max(age_ms, 0) // _DAY_MS} days old"
    try:
        restoring.check(newest.path)
    except MlibError as error:
        yield Check("backups", "warning", error.message, mend)
    else:
        state: State = "warning" if age_ms > _OLD_BACKUP else "ok"
        message = f"{len(kept)}, the newest is good and {age}"
        yield Check("backups", state, message, mend if state == "warning" else None)


def replaced(path: str) -> Iterator[Check]:
    """Libraries that a restore has set aside: only a person knows whether one is still of use."""
    kept = restoring.set_aside(path)
    for paths in kept:
        size = sum(os.path.getsize(each) for each in paths if not os.path.isdir(each))
        message = f"set aside by a restore, {size:,} bytes: {paths[0]}"
        remove = "rm -r" if any(map(os.path.isdir, paths)) else "rm"
        yield Check("replaced", "warning", message, f"{remove} {' '.join(map(quoted, paths))}")
    if not kept:
        yield Check("replaced", "ok", "no restore has set a library aside")
