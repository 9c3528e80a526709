"""Putting a backup in the place of the library: checked first, and nothing that was there is thrown away."""

from __future__ import annotations

import os
import re
import shutil
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import LibraryBusy, MlibError, NotFound, Refused
from mlib.core.replacing import failed, sync_directory
from mlib.db.connections import BESIDE, backup_directory, backups, connect, strange_beside
from mlib.db.faults import FAILURES
from mlib.db.schema import APPLICATION_ID, STEP_NAMES, applied_steps, differences

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

_NAME = re.compile(r"\.(\d{8}T\d{6}\.\d{6}Z)\.(.+)\.bak")


class Backup(NamedTuple):
    """A backup beside the library; `made_at` is in milliseconds, `reason` what it was made before."""

    path: str
    made_at: int
    reason: str
    size_bytes: int


class Restored(NamedTuple):
    """What was restored, and under which name what was there before is kept; None if nothing was."""

    backup: str
    kept: str | None


def all_backups(path: str) -> list[Backup]:
    """The backups of the library at `path`, newest first."""
    found = []
    for each in reversed(backups(path)):
        match = _NAME.search(os.path.basename(each))
        with suppress(OSError):
            status = os.stat(each)
            made_at = _moment(match[1]) if match else status.st_mtime_ns // 1_000_000
            found.append(Backup(each, made_at, match[2] if match else "", status.st_size))
    return found


def set_aside(path: str) -> list[list[str]]:
    """What earlier restores kept of the library at `path`: each the library and what was beside it."""
    directory, name = os.path.split(os.path.realpath(path))
    kept: dict[str, list[str]] = {}
    with suppress(OSError):
        for other in sorted(os.listdir(directory)):
            match = re.fullmatch(re.escape(name) + r"\.(\d[\dTZ-]*\.replaced)(?:-journal|-wal|-shm)?", other)
            if match:
                kept.setdefault(match[1], []).append(os.path.join(directory, other))
    return list(kept.values())


def newest_good(path: str) -> str | None:
    """The newest backup of the library at `path` that can be restored."""
    for each in reversed(backups(path)):
        with suppress(MlibError):
            check(each)
            return each
    return None


def check(path: str) -> None:
    """Make sure that a file can be a library again: sound, ours, and not of a newer mlib.

    Raises MlibError (`bad_backup`), NotFound (`no_backup`), Refused (`library_too_new`).
    """
    if not os.path.isfile(path):
        raise NotFound("no_backup", f"there is no such backup: {path}")
    try:
        with closing(connect(path, "ro")) as copy:
            _check(copy, path)
    except FAILURES as error:
        raise _bad(path, str(error)) from error


def find(path: str, given: str | None) -> str:
    """The backup that is meant: a path, or the name of one; None for the newest that is good.

    Raises NotFound (`no_backup`).
    """
    if given is None:
        good = newest_good(path)
        if good is None:
            raise NotFound("no_backup", f"there is no good backup in {backup_directory(path)}")
        return good
    beside = os.path.join(backup_directory(path), given)
    if not os.path.lexists(given) and os.sep not in given and os.path.lexists(beside):
        return beside
    return os.path.abspath(given)


def check_place(path: str, backup: str) -> None:
    """Make sure that a copy of `backup` may take the place of what is at `path`. Raises Refused."""
    if os.path.exists(path) and os.path.samefile(path, backup):
        raise Refused("same_file", f"this is the library itself: {backup}")
    if os.path.exists(path) and not os.path.isfile(path):
        raise Refused("not_a_file", f"this is not a file: {path}", hint="move it aside")


def restore(path: str, backup: str) -> Restored:
    """Put a copy of `backup` in the place of the library at `path`, which is kept beside it.

    At every moment there is a whole library at `path`, the old or the new, if the old was one. Raises what
    `check` raises, LibraryBusy while another program writes, MlibError (`disk_full`, `cannot_write`).
    """
    path = os.path.realpath(path)
    check(backup)
    check_place(path, backup)
    fresh = f"{path}.restoring"
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        _set_aside_what_is_no_file(path)
        _copy(backup, fresh)
        with _held(path):
            kept = _keep(path)
            os.replace(fresh, path)
            sync_directory(os.path.dirname(path))
    except OSError as error:
        raise failed(path, error) from error
    finally:
        for suffix in ("", *BESIDE):
            with suppress(OSError):
                os.unlink(fresh + suffix)
    return Restored(backup, kept)


def _check(connection: sqlite3.Connection, path: str) -> None:
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise _bad(path, "it is no library of mlib")
    applied = applied_steps(connection)
    newer = sorted(applied - set(STEP_NAMES))
    if newer:
        raise Refused(
            "library_too_new", f"it was made by a newer mlib ({newer[-1]}): {path}", hint="upgrade mlib"
        )
    if not applied:
        raise _bad(path, "it has no tables")
    (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
    if found != "ok":
        raise _bad(path, found)
    wrong = differences(connection, applied)
    if wrong:
        raise _bad(path, str(wrong[0]))


def _bad(path: str, reason: str) -> MlibError:
    return MlibError("bad_backup", f"this backup cannot be used ({' '.join(reason.split())[:200]}): {path}")


def _copy(backup: str, fresh: str) -> None:
    """A checked copy of the backup that is on the disk."""
    for suffix in ("", *BESIDE):
        with suppress(FileNotFoundError):
            os.unlink(fresh + suffix)  # of a restore that was killed
    os.close(os.open(fresh, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    try:
        with closing(connect(backup, "ro")) as source, closing(connect(fresh, "rw")) as target:
            source.backup(target)
            _check(target, fresh)
    except FAILURES as error:
        if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE")):
            raise MlibError("disk_full", f"the disk or quota is full: {fresh}") from error
        if getattr(error, "sqlite_errorname", "").startswith("SQLITE_IOERR"):
            raise MlibError("library_io_error", f"cannot be read or written ({error}): {fresh}") from error
        raise _bad(backup, str(error)) from error
    with open(fresh, "rb") as copy:
        os.fsync(copy.fileno())


@contextmanager
def _held(path: str) -> Iterator[None]:
    """Keep other programs from writing to the library meanwhile, as far as it can still be opened.

    To open it also ends what a crash left unfinished, so that no journal is left that would be played back
    into the restored library. A library that cannot be opened was not whole with its journal either: that
    goes aside with it.
    """
    if not os.path.exists(path):
        _set_aside_what_is_beside(path)
        yield
        return
    try:
        connection = connect(path, "rw")
    except FAILURES:
        yield
        return
    try:
        try:
            connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("BEGIN EXCLUSIVE")
        except FAILURES as error:
            if getattr(error, "sqlite_errorname", "").startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
                raise LibraryBusy(
                    "library_busy",
                    f"another program uses the library: {path}",
                    hint="try again when it has ended",
                ) from error
        yield
    finally:
        connection.close()


def _keep(path: str) -> str | None:
    """Give what is there a second name, and its journals with it; the name."""
    if not os.path.exists(path):
        return None
    kept = f"{path}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}.replaced"
    number = 1
    while os.path.lexists(kept):
        number += 1
        kept = f"{path}.{time.strftime('%Y%m%dT%H%M%SZ', time.gmtime())}-{number}.replaced"
    _second_name(path, kept)
    for suffix in BESIDE:
        if os.path.exists(path + suffix) and os.path.getsize(path + suffix):
            _second_name(path + suffix, kept + suffix)
    sync_directory(os.path.dirname(path))
    _remove_what_is_beside(path)
    return kept


def _second_name(path: str, name: str) -> None:
    try:
        os.link(path, name)
    except FileExistsError:
        raise
    except OSError:  # a file system that knows no links
        shutil.copy2(path, name)
        with open(name, "rb") as copy:
            os.fsync(copy.fileno())


def _set_aside_what_is_no_file(path: str) -> None:
    """A link that leads round in a circle, and what is not a file but has a journal's name."""
    for other in ([path] if os.path.islink(path) else []) + strange_beside(path):
        os.rename(other, f"{path}.{time.time_ns()}.replaced{other.removeprefix(path)}")


def _set_aside_what_is_beside(path: str) -> None:
    """A journal without its library would be played back into the next one; one that is empty is none."""
    for suffix in BESIDE:
        if os.path.exists(path + suffix) and os.path.getsize(path + suffix):
            os.replace(path + suffix, f"{path}.{time.time_ns()}.replaced{suffix}")
    _remove_what_is_beside(path)


def _remove_what_is_beside(path: str) -> None:
    removed = False
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            os.unlink(path + suffix)
            removed = True
    if removed:
        sync_directory(os.path.dirname(path))


def _moment(stamp: str) -> int:
    import calendar

    return calendar.timegm(time.strptime(stamp[:15], "%Y%m%dT%H%M%S")) * 1000
