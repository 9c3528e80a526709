"""Restore a backup: check it first, and set aside whatever is at the library's path."""

from __future__ import annotations

import os
import re
import shutil
import stat
import time
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.disk.compare import stat_of
from mlib.core.disk.entries import (
    Directory,
    HeldInode,
    give_to_owner,
    link_new,
    make_temporary,
    remove_own,
    rename_reserved,
    replace,
    unlink_own,
)
from mlib.core.disk.system import READ
from mlib.core.disk.writing import changed_since, looked_at, placed_new, putting_in_place
from mlib.core.errors import Hint, LibraryBusy, MlibError, NotFound, Refused
from mlib.db.connections import BESIDE, backup_directory, backups, connect, strange_beside
from mlib.db.faults import FAILURES
from mlib.db.schema import APPLICATION_ID, STEP_NAMES, applied_steps, differences

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator

    from mlib.core.records import Stat

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
        raise NotFound("no_backup", f"no such backup: {path}")
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
    with suppress(FileNotFoundError, NotADirectoryError):
        mode = os.stat(path, follow_symlinks=os.path.exists(path)).st_mode
        if stat.S_ISCHR(mode) or stat.S_ISBLK(mode):
            raise Refused(
                "not_a_file",
                f"this is a device: {path}",
                hint=Hint("name the library with {}", ("--library", "FILE")),
            )


def restore(path: str, backup: str) -> Restored:
    """Put a copy of `backup` in the place of what is at `path`, which is kept beside it.

    At every moment there is a whole library at `path`, the old or the new, if the old was one. Raises what
    `check` raises, LibraryBusy while another program writes, MlibError (`disk_full`, `cannot_write`).
    """
    path = os.path.realpath(path)
    check(backup)
    check_place(path, backup)
    with putting_in_place(path):
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        kept = _put(backup, path)
    return Restored(backup, kept)


def _put(backup: str, path: str) -> str | None:
    """Let a copy of the backup be the library; what was there is kept under the name that is returned."""
    folder, name = os.path.split(path)
    with Directory(folder) as directory:
        fresh, descriptor = make_temporary(directory, "partial", name)
        try:
            _copy(backup, directory.path_of(fresh))
            os.fsync(descriptor)
            # Not before: a folder in the library's place may hold the backup.
            kept = _set_aside_what_is_no_file(directory, name)
            while True:
                with _held(path) as held:
                    was = looked_at(path)
                    if held != _identity(was):
                        continue  # another restore came first
                    if was is None:
                        rename_reserved(directory, fresh, directory, name)
                        return kept
                    if stat_of(directory.stat(name)) != was:  # its folder is another one by now
                        raise changed_since(path)
                    give_to_owner(descriptor, directory.stat(name))
                    kept = directory.path_of(_keep(directory, name))
                    # Our own lock keeps the library open: nobody else can be writing to it.
                    replace(directory, fresh, name, was=was, is_right=HeldInode.is_unchanged_at)
                    return kept
        finally:
            remove_own(directory, fresh, descriptor)
            os.close(descriptor)


def _check(connection: sqlite3.Connection, path: str) -> None:
    if connection.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
        raise _bad(path, "not an mlib library")
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


@contextmanager
def _held(path: str) -> Iterator[tuple[int, int] | None]:
    """Keep other programs from writing to the library meanwhile, as far as it can still be opened.

    What the block gets is the identity of what is held. To open it also ends what a crash left unfinished, so
    that no journal is left that would be played back into the restored library. A library that cannot be
    opened was not whole with its journal either: that goes aside with it.
    """
    before = _identity(looked_at(path))
    if before is None:
        _set_aside_what_is_beside(path)
        yield before
        return
    try:
        connection = connect(path, "rw")
    except FAILURES:
        yield before
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
        yield before
    finally:
        connection.close()


def _identity(was: Stat | None) -> tuple[int, int] | None:
    return None if was is None else (was.device, was.inode)


def _keep(directory: Directory, name: str) -> str:
    """Give what is there a second name, and its journals with it; the name."""
    kept = _second_name(directory, name)
    for suffix in BESIDE:
        if directory.has(name + suffix) and directory.stat(name + suffix).st_size:
            _link_or_copy(directory, name + suffix, kept + suffix)
    directory.sync()
    _remove_what_is_beside(directory, name)
    return kept


def _second_name(directory: Directory, name: str) -> str:
    number = 1
    while True:
        kept = _kept_name(name, number)
        try:
            _link_or_copy(directory, name, kept)
        except (FileExistsError, Refused):
            number += 1
        else:
            return kept


def _kept_name(name: str, number: int) -> str:
    moment = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    return f"{name}.{moment}{'' if number == 1 else f'-{number}'}.replaced"


def _link_or_copy(directory: Directory, name: str, kept: str) -> None:
    try:
        link_new(directory, name, kept)
    except FileExistsError:
        raise
    except OSError:  # a file system that knows no links
        with (
            open(directory.open(name, READ), "rb") as source,
            placed_new(directory.path_of(kept)) as partial,
            open(partial, "r+b") as target,
        ):
            shutil.copyfileobj(source, target)


def _set_aside_what_is_no_file(directory: Directory, name: str) -> str | None:
    """Move away what is not a file at the library's place, and what may not be used with it beside that.

    The new path of the former; None where there is a file, or nothing.
    """
    kept = None
    with suppress(FileNotFoundError):
        if not stat.S_ISREG(directory.stat(name).st_mode):
            kept = _moved_aside(directory, name, "")
    for beside in strange_beside(directory.path_of(name)):
        _moved_aside(directory, name, beside.removeprefix(directory.path_of(name)))
    return kept


def _moved_aside(directory: Directory, name: str, suffix: str) -> str:
    """The new path of the library, or of what is beside it under a name with this suffix."""
    number = 1
    while True:
        kept = _kept_name(name, number) + suffix
        try:
            rename_reserved(directory, name + suffix, directory, kept)
        except FileExistsError:
            number += 1
        except OSError as error:  # a mount point, or a folder where none can be renamed exclusively
            from mlib.core.text import move_away

            path = directory.path_of(name + suffix)
            raise Refused(
                "not_a_file",
                f"this is not a file, and cannot be moved aside ({error.strerror}): {path}",
                hint=f"move it elsewhere: {move_away(path)}",
            ) from error
        else:
            return directory.path_of(kept)


def _set_aside_what_is_beside(path: str) -> None:
    """A journal without its library would be played back into the next one; one that is empty is none."""
    folder, name = os.path.split(path)
    with Directory(folder) as directory:
        for suffix in BESIDE:
            if directory.has(name + suffix) and directory.stat(name + suffix).st_size:
                _moved_aside(directory, name, suffix)
        _remove_what_is_beside(directory, name)


def _remove_what_is_beside(directory: Directory, name: str) -> None:
    for suffix in BESIDE:
        with suppress(FileNotFoundError):
            unlink_own(directory, name + suffix)
    directory.sync()  # or a journal could come back with the power, and be played into another library


def _moment(stamp: str) -> int:
    import calendar

    return calendar.timegm(time.strptime(stamp[:15], "%Y%m%dT%H%M%S")) * 1000
