"""Turn SQLite's errors into MlibErrors."""

from __future__ import annotations

import errno
import os
import sqlite3
from contextlib import closing, suppress
from typing import TYPE_CHECKING

from mlib.core.errors import Hint, LibraryBusy, MlibError, NotFound, Refused
from mlib.db.connections import BUSY_SECONDS, backups, connect, strange_beside

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.schema import SchemaDifference

#: What the sqlite3 module raises at a damaged file. Not only its own errors: SQLite's message may quote bytes
#: that are not UTF-8, and a length may be beyond all memory.
FAILURES = (sqlite3.Error, UnicodeError, OverflowError, MemoryError)
#: What a value that nobody wrote so makes the rest of the program raise.
_CONSEQUENCES = (
    *FAILURES, ArithmeticError, AssertionError, AttributeError, LookupError, OSError, RecursionError,
    TypeError, ValueError,
)  # fmt: skip


def to_error(error: Exception, path: str) -> MlibError:
    """The MlibError for one of FAILURES on the library at `path`."""
    name = _name(error)
    if isinstance(error, UnicodeDecodeError) or str(error).startswith("Could not decode to UTF-8"):
        return corrupt(path, "text in it is not UTF-8")
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        message = f"the library is locked by another program for over {BUSY_SECONDS:.0f} s: {path}"
        return LibraryBusy("library_busy", message, hint="try again when the other program has finished")
    permissions = f"check the permissions of the file and of {os.path.dirname(path) or '.'}"
    # The first match wins: SQLITE_IOERR_WRITE is what a file size limit gives, its kin are the hardware.
    meanings = {
        ("SQLITE_NOTADB", "SQLITE_CORRUPT"): ("library_corrupt", "is damaged or not SQLite", None),
        ("SQLITE_FULL", "SQLITE_IOERR_WRITE"): (
            "disk_full",
            "cannot grow, the disk or quota is full",
            "free some space and run it again; all that was finished is kept",
        ),
        ("SQLITE_READONLY", "SQLITE_PERM"): ("library_read_only", "cannot be written", permissions),
        ("SQLITE_CANTOPEN",): ("library_unreadable", "cannot be opened", permissions),
        ("SQLITE_IOERR",): (
            "library_io_error",
            f"cannot be read or written ({name})",
            "check its disk first (see `dmesg`)",
        ),
    }
    for beginnings, (code, trouble, hint) in meanings.items():
        if name.startswith(beginnings):
            damaged = path if code in ("library_corrupt", "library_io_error") else None
            return MlibError(code, f"the library {trouble}: {path}", hint=hint, damaged=damaged)
    return MlibError("library_error", f"SQLite reported: {error} ({path})")


def corrupt(path: str, why: str) -> MlibError:
    """The MlibError for a library that can be opened, but not be read as a whole."""
    said = " ".join(why.split())[:200]
    return MlibError("library_corrupt", f"the library is damaged ({said}): {path}", damaged=path)


def damage_behind(error: BaseException, path: str) -> MlibError | None:
    """The MlibError for what broke while the library at `path` was in use, if damage to it may be the cause.

    A value that is not what was written may break anything that is done with it: only then, and if it is
    no error in words already, the whole file is looked through.
    """
    if isinstance(error, MlibError):
        if error.code != "library_error":
            return None
    elif not isinstance(error, _CONSEQUENCES):
        return None
    from mlib.db.statistics import first_damage

    with suppress(MlibError):
        found = first_damage(path)
        return None if found is None else corrupt(path, found)
    return None


def altered(wrong: Sequence[SchemaDifference], path: str) -> Refused:
    """The error where a library's tables, indexes, triggers and views are not those that mlib makes."""
    more = f", and {len(wrong) - 1} more" if len(wrong) > 1 else ""
    hint = None
    if all(each.is_extra and each.type != "table" for each in wrong):
        from mlib.core.text import library_option

        hint = Hint("{} removes it", ("doctor", "--fix", *library_option(path)))
    return Refused("library_altered", f"{wrong[0]}{more}: {path}", hint=hint, damaged=path)


def no_library(path: str) -> NotFound:
    """The error where no library is at `path`; that there are backups of it says that there was one."""
    if not backups(path):
        makes = Hint("{} makes one", ("scan", "--comfyui", "DIR"))
        return NotFound("no_library", f"there is no library yet: {path}", hint=makes)
    return NotFound("no_library", f"the library is missing: {path}", damaged=path)


def not_a_file(path: str) -> MlibError:
    """The error where something other than a file is at the library's path."""
    return MlibError("not_a_library", f"not a file: {path}", damaged=path)


def expect_none_before(path: str) -> None:
    """Raise NotFound (`no_library`) where backups say that there was a library at `path`.

    A new one in its place would hold nothing that was typed, and every command would go on with it.
    """
    if backups(path):
        raise no_library(path)


def expect_nothing_strange(path: str) -> None:
    """Raise MlibError (`library_unreadable`) where a journal, or what has its name, may not be used."""
    for beside, why in strange_beside(os.path.realpath(path)).items():
        from mlib.core.text import move_away

        raise MlibError(
            "library_unreadable",
            f"the library cannot be opened while this, which {why}, is beside it: {beside}",
            hint=f"move it elsewhere: {move_away(beside)}",
        )


def snapshot_failed(error: sqlite3.Error, path: str) -> MlibError:
    """The MlibError for an error while the library at `path` was copied to a temporary file."""
    if not _is_full(error) and not _is_sound(path):
        return to_error(error, path)
    return MlibError(
        "no_temporary_copy",
        f"no space for a temporary copy of the library: {path}",
        hint="set TMPDIR to a directory with as much free space as the library takes",
    )


def copy_failed(error: Exception, path: str, *, to: str) -> MlibError:
    """The MlibError for one of FAILURES while the library at `path` was copied to the file `to`.

    SQLite does not say at which of the two: it is at the library only if that cannot be read by itself.
    """
    from mlib.core.disk.writing import failed

    if _is_full(error):
        return failed(to, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))
    if _name(error).startswith(("SQLITE_BUSY", "SQLITE_LOCKED")) or not _is_sound(path):
        return to_error(error, path)
    return failed(to, OSError(errno.EIO, str(error)))


def bad_copy(path: str, *, to: str) -> MlibError:
    """The MlibError where a copy of the library at `path` is not sound."""
    if _is_sound(path):
        return MlibError(
            "cannot_write",
            f"what was written to {to} is not what is read from it",
            hint="the library is sound: write to another disk",
        )
    return corrupt(path, "the copy is damaged and was not kept")


def has_tables(path: str) -> bool:
    """Whether the file can be opened and SQLite knows what tables are in it."""
    with suppress(*FAILURES), closing(connect(path, "ro")) as connection:
        return bool(connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0])
    return False


def _is_full(error: Exception) -> bool:
    return _name(error).startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE"))


def _name(error: Exception) -> str:
    return getattr(error, "sqlite_errorname", None) or ""


def _is_sound(path: str) -> bool:
    """Whether every page of the library can be read and is as it should be."""
    with suppress(*FAILURES), closing(connect(path, "ro")) as connection:
        return bool(connection.execute("PRAGMA quick_check(1)").fetchone()[0] == "ok")
    return False
