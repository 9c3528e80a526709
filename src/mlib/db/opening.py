"""Opening the library file: whose it is, how old it is, and bringing its tables up to date."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, suppress
from typing import Literal

from mlib.core.errors import MlibError, Refused
from mlib.db.connections import connect
from mlib.db.faults import (
    FAILURES,
    altered,
    expect_none_before,
    expect_nothing_strange,
    explained,
    no_library,
    not_a_file,
    restore_hint,
)
from mlib.db.library import Library
from mlib.db.schema import APPLICATION_ID, STEP_NAMES, applied_steps, differences, migrations

#: `read` and `write` want a library that exists, `create` makes one, `rehearse` reads one or makes none.
Mode = Literal["read", "write", "create", "rehearse"]


def open_library(path: str, *, mode: Mode) -> Library:
    """Open the library at `path`, bringing its tables up to date first.

    None is made where backups tell of one that is gone. Raises NotFound (`no_library`), Refused
    (`library_too_new`, `library_altered`), LibraryBusy, MlibError (`not_a_library`, `library_corrupt`, ...).
    """
    path = os.path.abspath(path)
    exists = _is_library_file(path)
    if not exists and mode in ("create", "rehearse"):
        expect_none_before(path)
    if not exists and mode == "rehearse":
        return _empty()
    if not exists and mode != "create":
        raise no_library(path)
    if not exists:
        _create(path)
    expect_nothing_strange(path)
    try:
        with suppress(*FAILURES), closing(connect(path, "glance")) as glance:
            _refuse_stranger(glance, path)
        connection = connect(path, "rw")
    except FAILURES as error:
        raise explained(error, path) from error
    library = Library(connection, path)
    try:
        _prepare(library, connection, read_only=mode == "read")
    except BaseException:  # Ctrl-C too: nobody else could close it
        connection.close()
        raise
    return library


def _empty() -> Library:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    library = Library(connection, ":memory:")
    migrations().apply(library.database)
    connection.execute("PRAGMA foreign_keys = ON")
    return library


def _prepare(library: Library, connection: sqlite3.Connection, *, read_only: bool) -> None:
    path = library.path
    try:
        _refuse_stranger(connection, path)
        applied = applied_steps(connection)
        _refuse_newer(applied, path)
        if not read_only or not applied.issuperset(STEP_NAMES):
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            connection.execute("PRAGMA synchronous = FULL")
        if applied.issuperset(STEP_NAMES):
            _refuse_altered(connection, path)
        else:
            _migrate(library, connection)
        connection.execute("PRAGMA foreign_keys = ON")
        if read_only:
            connection.execute("PRAGMA query_only = ON")
    except FAILURES as error:
        raise explained(error, path) from error


def _migrate(library: Library, connection: sqlite3.Connection) -> None:
    """Bring the tables up to date inside one transaction; whoever holds the lock first does it."""
    with library.transaction():
        applied = applied_steps(connection)
        _refuse_newer(applied, library.path)
        if applied.issuperset(STEP_NAMES):
            return
        if applied:
            library.backup("before-upgrade")
        migrations().apply(library.database)
        if connection.execute("PRAGMA foreign_key_check").fetchone() is not None:
            raise MlibError(
                "library_corrupt",
                f"the library holds rows that lead nowhere: {library.path}",
                hint=restore_hint(library.path),
            )
        _refuse_altered(connection, library.path)


def _refuse_stranger(connection: sqlite3.Connection, path: str) -> None:
    """Tell another program's file; at a glance first, or opening it would end what it left unfinished."""
    # One statement: between two, another mlib may have made the tables.
    look = "SELECT application_id, EXISTS (SELECT 1 FROM sqlite_master) FROM pragma_application_id"
    application_id, has_tables = connection.execute(look).fetchone()
    if application_id != APPLICATION_ID and (application_id or has_tables):
        raise MlibError("not_a_library", f"this SQLite file belongs to another program: {path}")


def _refuse_newer(applied: set[str], path: str) -> None:
    unknown = sorted(applied - set(STEP_NAMES))
    if unknown:
        raise Refused(
            "library_too_new",
            f"the library was made by a newer mlib ({unknown[-1]}) and is left untouched: {path}",
            hint="upgrade mlib, or use another library with --library",
        )


def _refuse_altered(connection: sqlite3.Connection, path: str) -> None:
    """Tell a library with triggers or views of a stranger: they would change what nobody asked to change."""
    wrong = differences(connection, STEP_NAMES)
    if wrong:
        raise altered(wrong, path)


def _is_library_file(path: str) -> bool:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise MlibError(
            "library_unreadable", f"the library cannot be opened: {error.strerror}: {path}"
        ) from error
    if not stat.S_ISREG(status.st_mode):
        raise not_a_file(path)
    return status.st_size > 0  # an empty one is what a library begins as


def _create(path: str) -> None:
    """Make the empty file first, so that nobody else on the machine may read the notes in it."""
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
    except OSError as error:
        raise MlibError(
            "library_unwritable", f"cannot create the library: {error.strerror}: {path}"
        ) from error
