"""Opens an SQLite file that somebody else made, without trusting it and without changing it or its folder."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from mlib.core.errors import MlibError, NotFound, Terminated
from mlib.db.faults import FAILURES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Mapping
    from typing import BinaryIO


#: The longest text or blob SQLite may handle, whether stored or computed.
CELL_LIMIT = 64 * 1024 * 1024

_State: TypeAlias = tuple[int, int, int]  # inode, size in bytes, mtime in ns
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_CHUNK = 1024 * 1024
# Virtual machine steps between two looks at the clock.
_STEPS = 200
_SETTINGS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA query_only=ON",
    "PRAGMA mmap_size=0",
    # quick_check would evaluate CHECK expressions, and one call of a function in them cannot be interrupted.
    "PRAGMA ignore_check_constraints=ON",
)
# Which of our errors a primary result code of SQLite is; any other code means damage.
_MEANINGS = {
    sqlite3.SQLITE_BUSY: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_CANTOPEN: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_ERROR: ("unknown_database", "{path} is not laid out as expected: {reason}"),
    sqlite3.SQLITE_FULL: ("temporary_copy_failed", "no room is left to read {path}"),
    sqlite3.SQLITE_INTERRUPT: ("database_too_slow", "reading {path} took too long"),
    sqlite3.SQLITE_IOERR: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_NOMEM: ("database_too_big", "{path} holds values too big to read"),
    sqlite3.SQLITE_NOTADB: ("not_a_database", "{path} is not an SQLite database, or it is encrypted"),
    sqlite3.SQLITE_PERM: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_READONLY: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_TOOBIG: ("database_too_big", "{path} holds values too big to read"),
}


@contextmanager
def open_untrusted(path: str, *, deadline_seconds: float) -> Iterator[sqlite3.Connection]:
    """Give a guarded read-only connection to the database at `path`; text comes as `bytes`.

    With nothing unfinished beside it the file is opened as immutable: a WAL database opened any other way
    leaves `-wal` and `-shm` files behind, or cannot be opened at all in a read-only folder. With a `-wal`
    or a `-journal` beside it, all of them are copied to a private temporary folder and read there.

    Whatever SQLite raises inside the `with` block leaves it as MlibError: `no_such_file`, `not_a_file`,
    `unreadable_file`, `not_a_database`, `corrupt_database`, `unknown_database`, `database_too_slow`,
    `database_too_big`, `database_in_use`, `unfinished_transaction` or `temporary_copy_failed`.
    """
    deadline = time.monotonic() + deadline_seconds
    os.close(_open_regular(path))
    real = os.path.realpath(path)
    before = _fingerprint(real)
    beside = [real + suffix for suffix in ("-wal", "-journal") if _holds_something(real + suffix)]
    stops: list[BaseException] = []
    with ExitStack() as stack:
        if beside:
            folder = stack.enter_context(_private_folder())
            try:
                _copy_all([real, *beside], folder, deadline=deadline)
            finally:
                # Whatever a copy of moving files failed with, the move is the cause.
                if _fingerprint(real) != before:
                    raise _in_use(path)
            uri = _uri(os.path.join(folder, os.path.basename(real)), "mode=rw")
        else:
            uri = _uri(real, "mode=ro&immutable=1")
        try:
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
                _guard(db, deadline=deadline, stops=stops)
                if not beside:
                    _refuse_cut_short(path, db, before[0])
                yield db
        except (MlibError, *FAILURES) as error:
            if stops:
                raise stops[0] from None
            if not beside and _fingerprint(real) != before:
                raise _in_use(path) from error
            if isinstance(error, MlibError):
                raise
            raise _explained(path, error) from error
        if stops:
            raise stops[0]
        if not beside and _fingerprint(real) != before:
            raise _in_use(path)


def is_too_big(error: sqlite3.Error) -> bool:
    """Tell whether SQLite gave up because one value is over CELL_LIMIT."""
    return _primary_code(error) == sqlite3.SQLITE_TOOBIG


def _guard(db: sqlite3.Connection, *, deadline: float, stops: list[BaseException]) -> None:
    db.text_factory = bytes
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, CELL_LIMIT)
    db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    clock = _clock(deadline, stops)
    next(clock)
    db.set_progress_handler(clock.__next__, _STEPS)
    for setting in _SETTINGS:
        db.execute(setting)


def _refuse_cut_short(path: str, db: sqlite3.Connection, state: _State | None) -> None:
    """Refuse a file that ends within a page: SQLite would read the rest of the page as zeros."""
    size_bytes = state[1] if state else 0
    (pages,), (page_size,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    if pages * page_size > size_bytes:
        raise corrupt(path, f"it is cut short, {pages * page_size} bytes are expected and {size_bytes} there")


def _clock(deadline: float, stops: list[BaseException]) -> Generator[bool, None, None]:
    """Say on each call whether to stop.

    The sqlite3 module swallows what a progress handler raises, and Ctrl-C during a query is raised in it.
    A generator resumes inside its `try`, so even a signal that is already waiting is caught here.
    """
    while True:
        try:
            yield bool(stops) or time.monotonic() > deadline
        except (KeyboardInterrupt, Terminated) as stop:
            stops.append(stop)


def _open_regular(path: str) -> int:
    """Open a regular file for reading without ever waiting for a FIFO or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFound("no_such_file", f"{path}: there is no such file") from error
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            raise _not_a_file(path) from error
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    return descriptor


def _fingerprint(real: str) -> tuple[_State | None, ...]:
    """Describe the database and the files SQLite keeps beside it, to see later whether anyone wrote."""
    return tuple(_state(real + suffix) for suffix in ("", "-wal", "-journal"))


def _state(path: str) -> _State | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _holds_something(path: str) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


@contextmanager
def _private_folder() -> Iterator[str]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="mlib-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _copy_failed(error) from error
    with folder as name:
        yield name


def _copy_all(sources: list[str], folder: str, *, deadline: float) -> None:
    """Copy the database and what lies beside it into `folder`, if there is room for them."""
    try:
        needed = sum(os.stat(source).st_size for source in sources)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _copy_failed(error) from error
    if needed > free:
        raise MlibError(
            "temporary_copy_failed",
            f"a copy of {sources[0]} needs {needed} bytes in {folder}, which has {free}",
            hint="set TMPDIR to a folder with more room",
        )
    for source in sources:
        descriptor = _open_regular(source)
        target = os.path.join(folder, os.path.basename(source))
        try:
            with open(descriptor, "rb") as reader, open(target, "xb") as writer:
                tail = _copy(reader, writer, deadline=deadline)
        except OSError as error:
            raise _copy_failed(error) from error
        # A rollback journal that ends so names a super-journal: SQLite may delete the file of that name.
        if source.endswith("-journal") and tail == _JOURNAL_MAGIC:
            raise MlibError(
                "unfinished_transaction",
                f"{source} belongs to an unfinished change of several databases",
                hint="let the program that wrote it finish, then try again",
            )


def _copy(reader: BinaryIO, writer: BinaryIO, *, deadline: float) -> bytes:
    """Copy to the end and return the last few bytes, as many as a journal's mark has."""
    tail = b""
    while chunk := reader.read(_CHUNK):
        if time.monotonic() > deadline:
            raise MlibError("database_too_slow", "copying the database took too long")
        writer.write(chunk)
        tail = (tail + chunk)[-len(_JOURNAL_MAGIC) :]
    return tail


def _uri(path: str, options: str) -> str:
    return f"file://{quote(os.fsencode(path))}?{options}"


def _primary_code(error: BaseException) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else sqlite3.SQLITE_ERROR


def _explained(path: str, error: BaseException) -> MlibError:
    if isinstance(error, UnicodeError):
        return corrupt(path, "its table definitions are not text")
    code = _primary_code(error)
    if isinstance(error, MemoryError | OverflowError):
        code = sqlite3.SQLITE_NOMEM
    reason = " ".join(str(error).split())[:200]
    if code not in _MEANINGS:
        return corrupt(path, reason)
    name, message = _MEANINGS[code]
    return MlibError(name, message.format(path=path, reason=reason))


def corrupt(path: str, reason: str) -> MlibError:
    """Say that the database is damaged."""
    return MlibError(
        "corrupt_database",
        f"{path} is damaged: {' '.join(reason.split())[:200]}",
        hint="try a backup of it, or let `sqlite3 FILE .recover` save what can be read",
    )


def _in_use(path: str) -> MlibError:
    return MlibError(
        "database_in_use",
        f"{path} changed while it was read",
        hint="close the program that uses it, then try again",
    )


def _not_a_file(path: str) -> MlibError:
    return MlibError("not_a_file", f"{path} is not a regular file")


def _unreadable(path: str, error: OSError) -> MlibError:
    return MlibError("unreadable_file", f"{path} cannot be read: {error.strerror}")


def _copy_failed(error: OSError) -> MlibError:
    return MlibError(
        "temporary_copy_failed",
        f"the database could not be copied to read it: {error.strerror}",
        hint="set TMPDIR to a folder that can be written",
    )


# --- Looks at an untrusted database: its tables, whether its pages are sound, and its rows one by one.

#: A value as stored; text comes as bytes, like a blob.
Cell: TypeAlias = int | float | bytes | None

_ROW_COST = 200  # bytes of memory a row takes beside its text
_SMALLEST_ROWID, _LARGEST_ROWID = -(2**63), 2**63 - 1
# In pragma_table_xinfo: a column computed at each read.
_VIRTUAL_GENERATED = 2
# What quick_check says of a sound file with a value its column forbids.
_VALUE_REMARKS = ("NULL value in ", "NUMERIC value in ", "TEXT value in ", "non-")
# The name and type of a schema row agree with its SQL: SQLite refuses a schema where they do not.
_REAL_TABLE = "type = 'table' AND sql LIKE 'create table%'"


@dataclass(frozen=True, slots=True)
class Schema:
    """The real tables with their stored columns, and the other names with what they are; all in lower case.

    `computes` tells that some table has a column computed at each read; such columns are not listed.
    """

    tables: Mapping[str, frozenset[str]]
    others: Mapping[str, str]
    computes: bool


def read_schema(db: sqlite3.Connection) -> Schema:
    """List tables and columns without looking into any view or virtual table."""
    tables: dict[str, set[str]] = {}
    others: dict[str, str] = {}
    for name, kind, real in db.execute(
        f"SELECT name, type, {_REAL_TABLE} FROM sqlite_master WHERE type IN ('table', 'view')"
    ).fetchall():
        if real:
            tables[_folded(name)] = set()
        else:
            others[_folded(name)] = "view" if kind == b"view" else "virtual table"
    computes = False
    for table, column, hidden in db.execute(
        "SELECT m.name, c.name, c.hidden"
        f" FROM (SELECT name FROM sqlite_master WHERE {_REAL_TABLE}) AS m, pragma_table_xinfo(m.name) AS c"
    ):
        if hidden == _VIRTUAL_GENERATED:
            computes = True
        else:
            tables[_folded(table)].add(_folded(column))
    return Schema({name: frozenset(columns) for name, columns in tables.items()}, others, computes)


def check_pages(path: str, db: sqlite3.Connection, schema: Schema) -> None:
    """Raise `corrupt_database` unless the file's pages fit together.

    A forbidden value, such as NULL in a NOT NULL column, is no damage: readers judge every value anyway.
    The check would evaluate computed columns, and one call of a function in them cannot be interrupted:
    a database that has any is read without it.
    """
    if schema.computes:
        return
    try:
        for (message,) in db.execute(f"PRAGMA quick_check({2**31 - 1})"):
            text = message.decode("utf-8", "backslashreplace")
            if text != "ok" and not text.startswith(_VALUE_REMARKS):
                raise corrupt(path, text)
    except sqlite3.Error as error:
        # The pages come first, so they are sound if a value stops the check; it is that row's matter then.
        if not is_too_big(error):
            raise


class RowReader:
    """Streams rows, and ends with `database_too_big` once they hold more than `text_limit` bytes in all."""

    def __init__(self, db: sqlite3.Connection, schema: Schema, *, path: str, text_limit: int) -> None:
        self._db = db
        self._schema = schema
        self._path = path
        self._left = text_limit

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[int, tuple[Cell, ...] | None]]:
        """Yield each rowid and its cells, in the order of rowids; a column that is not there reads as NULL.

        A table that is not there has no rows. Cells are None where SQLite refused one as over CELL_LIMIT.
        Names of tables and columns go into SQL as they are: they must be our own.
        """
        present = self._schema.tables.get(table)
        if present is None:
            return
        rowid = self._rowid(table)
        listed = ", ".join(column if column in present else "NULL" for column in columns)
        # NOT INDEXED: the values come from the table, whatever an index claims.
        query = f"SELECT {rowid}, {listed} FROM {table} NOT INDEXED WHERE {rowid} >= ? ORDER BY {rowid}"
        start: int | None = _SMALLEST_ROWID
        while start is not None:
            try:
                for number, *cells in self._db.execute(query, (start,)):
                    yield number, self._counted(cells)
                    start = _after(number)
            except sqlite3.Error as error:
                if not is_too_big(error):
                    raise
            else:
                return
            # The error came while fetching ahead, so it may mean the row at `start` or the next one.
            found = None if start is None else self._one(table, rowid, query, start)
            if found is None:
                return
            yield found
            start = _after(found[0])

    def cell(self, table: str, column: str, number: int) -> Cell:
        """Read one cell of a row whose other cells may be too big; None if it is too big itself."""
        if column not in self._schema.tables[table]:
            return None
        query = f"SELECT {column} FROM {table} WHERE {self._rowid(table)} = ?"
        try:
            found: tuple[Cell] | None = self._db.execute(query, (number,)).fetchone()
        except sqlite3.Error as error:
            if not is_too_big(error):
                raise
            return None
        return found[0] if found else None

    def _one(
        self, table: str, rowid: str, query: str, start: int
    ) -> tuple[int, tuple[Cell, ...] | None] | None:
        found: tuple[int | None, ...] | None
        try:
            found = self._db.execute(f"{query} LIMIT 1", (start,)).fetchone()
        except sqlite3.Error as error:
            if not is_too_big(error):
                raise
            lowest = f"SELECT min({rowid}) FROM {table} NOT INDEXED WHERE {rowid} >= ?"
            found = self._db.execute(lowest, (start,)).fetchone()
            return None if found is None or found[0] is None else (found[0], None)
        return None if found is None or found[0] is None else (found[0], self._counted(found[1:]))

    def _rowid(self, table: str) -> str:
        present = self._schema.tables[table]
        return next((name for name in ("rowid", "_rowid_", "oid") if name not in present), "rowid")

    def _counted(self, cells: Iterable[Cell]) -> tuple[Cell, ...]:
        row = tuple(cells)
        self._left -= _ROW_COST + sum(len(cell) for cell in row if isinstance(cell, bytes))
        if self._left < 0:
            raise MlibError("database_too_big", f"{self._path} holds more text than can be read at once")
        return row


def _after(number: int) -> int | None:
    return number + 1 if number < _LARGEST_ROWID else None


def _folded(name: bytes) -> str:
    # ASCII only, as SQLite compares names.
    return name.lower().decode("utf-8", "backslashreplace")
