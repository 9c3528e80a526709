"""Open a library, read it, write it in transactions, back it up."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import closing, contextmanager, suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from mlib.core.disk.system import CREATE
from mlib.core.errors import Hint, MlibError, Refused
from mlib.db.connections import connect
from mlib.db.faults import (
    FAILURES,
    altered,
    damage_behind,
    expect_none_before,
    expect_nothing_strange,
    no_library,
    not_a_file,
    snapshot_failed,
    to_error,
)
from mlib.db.schema import APPLICATION_ID, STEP_NAMES, applied_steps, differences, migrations

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from sqlite_utils import Database


#: Pages of a snapshot that are copied at a time.
_PART = 4096


class Library:
    """An open library. Reads go through `all`/`one`, writes through `database` inside `transaction`."""

    def __init__(self, connection: sqlite3.Connection, path: str) -> None:
        self.path = path
        self._connection = connection
        self._inode = _inode(path)
        #: Whether all that is written now is undone in the end (see `rehearsal`).
        self.is_rehearsal = False

    @cached_property
    def database(self) -> Database:
        """The same connection as sqlite-utils wraps it; only for use inside `transaction`."""
        from sqlite_utils import Database

        return Database(self._connection, execute_plugins=False)

    def all(self, sql: str, parameters: Sequence[Any] | Mapping[str, Any] = ()) -> list[tuple[Any, ...]]:
        """Every row at once: a half-read cursor would keep all writers out."""
        try:
            return self._connection.execute(sql, parameters).fetchall()
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise to_error(error, self.path) from error

    def one(self, sql: str, parameters: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """The first row, or None."""
        rows = self.all(sql, parameters)
        return rows[0] if rows else None

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> int:
        """Run one writing statement inside `transaction`; the number of rows it touched."""
        if not self._connection.in_transaction:
            raise RuntimeError("a write outside of a transaction")
        return self._connection.execute(sql, parameters).rowcount

    def applied_steps(self) -> set[str]:
        """Names of the steps that this file has seen; empty where it has no tables."""
        try:
            return applied_steps(self._connection)
        except (sqlite3.Error, UnicodeDecodeError) as error:
            raise to_error(error, self.path) from error

    def create_function(self, name: str, function: Callable[..., Any], *, arguments: int) -> None:
        """Let statements call a function of this program; the same arguments must always give the same."""
        self._connection.create_function(name, arguments, function, deterministic=True)

    @contextmanager
    def reading(self) -> Iterator[None]:
        """One consistent view over several reads. Keep it short: it holds writers off."""
        if self._connection.in_transaction:
            yield
            return
        self.all("BEGIN")
        try:
            yield
        finally:
            self._connection.rollback()

    @contextmanager
    def snapshot(self) -> Iterator[Library]:
        """This moment of the library, however long it takes to read: a private copy, gone afterwards.

        Writers wait only while it is made, as for a backup. It has no name, and lies where SQLite keeps
        temporary files. Raises MlibError (`no_temporary_copy`).
        """
        with closing(self._copied()) as copy:
            yield Library(copy, self.path)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All of it or nothing. Takes the write lock first, so that what is read inside stays true.

        Joins a transaction that is already open. No hashing, stat, prompt or output belongs inside.
        """
        if self._connection.in_transaction:
            yield
            return
        self._check_identity()
        with self._locked(keep=True):
            yield

    @contextmanager
    def rehearsal(self) -> Iterator[None]:
        """A dry run: do everything inside, and undo it at the end. No backup is made, nothing is recorded.

        Permission to read the file is enough: where it cannot be written, a private copy is.
        """
        self._check_identity()
        if self._inode is not None and not _may_be_written(self.path):
            self._go_on_with_a_copy()
        self.is_rehearsal = True
        try:
            with self._locked(keep=False):
                yield
        finally:
            self.is_rehearsal = False

    def check_links_at_commit(self) -> None:
        """Let rows of this transaction lead nowhere until its end; only inside `transaction`."""
        self.execute("PRAGMA defer_foreign_keys = ON")

    def expect_writable(self) -> None:
        """Raise MlibError where a write would fail: before something is done that only rows can tell of."""
        self._check_identity()
        with self._locked(keep=False):
            # The first byte written is what needs a journal beside the library, and so its directory.
            self.execute(f"PRAGMA application_id = {APPLICATION_ID}")

    def backup(self, reason: str) -> str | None:
        """Copy the library beside itself, whole and checked; the path of the copy. None in a rehearsal."""
        if self.is_rehearsal:
            return None
        from mlib.db.backups import make_backup

        return make_backup(self.path, reason)

    def give_back_free_pages(self) -> None:
        """VACUUM: rewrite the file without its free pages, if they are worth it and there is room."""
        free, total = self.all("PRAGMA freelist_count")[0][0], self.all("PRAGMA page_count")[0][0]
        if free * 20 > total:
            self.all("VACUUM")

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Library:
        return self

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        """Close it. An error that damage to the file is behind becomes MlibError (`library_corrupt`)."""
        self.close()
        damaged = damage_behind(error, self.path) if error is not None else None
        if damaged is not None:
            raise damaged from error

    @contextmanager
    def _locked(self, *, keep: bool) -> Iterator[None]:
        """A transaction that takes the write lock first; at its end it is kept or undone."""
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
            except BaseException:  # Ctrl-C too: all of it or nothing
                self._rollback()
                raise
            if not keep:
                self._rollback()
                return
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._rollback()
                raise
        except sqlite3.Error as error:
            raise to_error(error, self.path) from error

    def _copied(self) -> sqlite3.Connection:
        """A copy of this moment without a name, where SQLite keeps temporary files. Raises as `snapshot`."""
        copy = sqlite3.connect("", isolation_level=None)
        try:
            with self.reading():
                self.one("SELECT count(*) FROM sqlite_master")  # waits for a writer, but not for ever
                try:
                    # In parts, with a word of Python between: Ctrl-C comes through there.
                    self._connection.backup(copy, pages=_PART, progress=lambda *_: None)
                except sqlite3.Error as error:
                    raise snapshot_failed(error, self.path) from error
        except BaseException:  # nobody else could close it
            copy.close()
            raise
        return copy

    def _go_on_with_a_copy(self) -> None:
        """From now on work on a private copy, which is gone when it is closed."""
        copy = self._copied()
        copy.execute("PRAGMA foreign_keys = ON")
        self._connection.close()
        self._connection = copy
        self.__dict__.pop("database", None)

    def _rollback(self) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _check_identity(self) -> None:
        if _inode(self.path) != self._inode:
            raise MlibError(
                "library_replaced", f"the library was moved or replaced while in use: {self.path}"
            )


def _may_be_written(path: str) -> bool:
    """Whether the file may be, and the journal beside it."""
    journal = f"{path}-journal"
    beside = journal if os.path.exists(journal) else os.path.dirname(path)
    return os.access(path, os.W_OK) and os.access(beside, os.W_OK)


def _inode(path: str) -> tuple[int, int] | None:
    try:
        status = os.stat(path)
    except OSError:
        return None
    return status.st_dev, status.st_ino


# --- Opening and migrating

#: `read` and `write` want a library that exists, `create` makes one, `dry_run` reads one or makes none.
Mode = Literal["read", "write", "create", "dry_run"]


def open_library(path: str, *, mode: Mode) -> Library:
    """Open the library at `path`, bringing its tables up to date first.

    None is made where backups tell of one that is gone. Raises NotFound (`no_library`), Refused
    (`library_too_new`, `library_altered`), LibraryBusy, MlibError (`not_a_library`, `library_corrupt`, ...).
    """
    path = os.path.abspath(path)
    exists = _is_library_file(path)
    if not exists and mode in ("create", "dry_run"):
        expect_none_before(path)
    if not exists and mode == "dry_run":
        return _empty()
    if not exists and mode != "create":
        raise no_library(path)
    if not exists:
        _create(path)
    expect_nothing_strange(path)
    try:
        with suppress(*FAILURES), closing(connect(path, "immutable")) as immutable:
            _refuse_stranger(immutable, path)
        connection = connect(path, "rw")
    except FAILURES as error:
        raise to_error(error, path) from error
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
        raise to_error(error, path) from error


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
                f"the library has dangling references: {library.path}",
                damaged=library.path,
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
            hint=Hint("upgrade mlib, or use another library with {}", ("--library",)),
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
        os.close(os.open(path, CREATE, 0o600))
    except OSError as error:
        raise MlibError(
            "library_unwritable", f"cannot create the library: {error.strerror}: {path}"
        ) from error
