"""What SQLite's errors mean to a person."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.errors import LibraryBusy, MlibError, NotFound
from mlib.db.connections import BUSY_SECONDS, backup_directory, backups

if TYPE_CHECKING:
    import sqlite3


def explained(error: sqlite3.Error, path: str) -> MlibError:
    """The MlibError for an error of SQLite on the library at `path`."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if name.startswith(("SQLITE_BUSY", "SQLITE_LOCKED")):
        message = f"the library is locked by another program for over {BUSY_SECONDS:.0f} s: {path}"
        return LibraryBusy("library_busy", message, hint="try again when the other mlib has ended")
    # The first match wins: SQLITE_IOERR_WRITE is what a file size limit gives, its kin are the hardware.
    meanings = {
        ("SQLITE_NOTADB", "SQLITE_CORRUPT"): ("library_corrupt", "is damaged or not SQLite", _restore_hint),
        ("SQLITE_FULL", "SQLITE_IOERR_WRITE"): (
            "disk_full",
            "cannot grow, the disk or quota is full",
            _space_hint,
        ),
        ("SQLITE_READONLY", "SQLITE_PERM"): ("library_read_only", "cannot be written", _permission_hint),
        ("SQLITE_CANTOPEN",): ("library_unreadable", "cannot be opened", _permission_hint),
        ("SQLITE_IOERR",): ("library_io_error", f"cannot be read or written ({name})", _restore_hint),
    }
    for beginnings, (code, trouble, hint) in meanings.items():
        if name.startswith(beginnings):
            return MlibError(code, f"the library {trouble}: {path}", hint=hint(path))
    return MlibError("library_error", f"the library answers: {error} ({path})")


def no_library(path: str) -> NotFound:
    """The error where no library is at `path`; its backups say whether there was one."""
    from mlib.db.restoring import newest_good

    if not backups(path):
        hint = "`mlib scan --comfyui DIR` makes one"
        return NotFound("no_library", f"there is no library yet: {path}", hint=hint)
    kept = os.path.join(backup_directory(path), os.path.basename(path) + ".*.bak")
    restore = "none of its backups is good" if newest_good(path) is None else _restore_hint(path)
    hint = f"{restore}; to start a new one, move {kept} elsewhere"
    return NotFound("no_library", f"the library is gone: {path}", hint=hint)


def expect_none_before(path: str) -> None:
    """Raise NotFound (`no_library`) where backups say that there was a library at `path`.

    A new one in its place would hold nothing that was typed, and every command would go on with it.
    """
    if backups(path):
        raise no_library(path)


def copy_failed(error: sqlite3.Error, path: str) -> MlibError:
    """The MlibError for an error while the library at `path` was copied to a temporary file."""
    name = getattr(error, "sqlite_errorname", None) or ""
    if not name.startswith(("SQLITE_FULL", "SQLITE_IOERR_WRITE", "SQLITE_CANTOPEN", "SQLITE_READONLY")):
        return explained(error, path)
    return MlibError(
        "no_temporary_copy",
        f"there is no room for a temporary copy of the library: {path}",
        hint="TMPDIR says where it is made: name a directory with as much room as the library takes",
    )


def _restore_hint(path: str) -> str:
    from mlib.core.shell import library_option
    from mlib.db.restoring import newest_good

    good = newest_good(path)
    if good is None:
        return "no good backup of it is known; move the file aside to start a new library"
    return f"its newest good backup is {good}: mlib restore --latest {library_option(path)}"


def _space_hint(_path: str) -> str:
    return "free some space and run it again; all that was finished is kept"


def _permission_hint(path: str) -> str:
    return f"check the permissions of the file and of {os.path.dirname(path) or '.'}"
