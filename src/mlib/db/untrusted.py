"""Open another program's SQLite file, broken or in use, without changing it or its folder."""

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

from mlib.core.disk.system import READ
from mlib.core.errors import MlibError, NotFound
from mlib.db.faults import FAILURES

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: The longest text or blob SQLite may handle, whether stored or computed.
CELL_LIMIT = 64 * 1024 * 1024

_State: TypeAlias = tuple[int, int, int]  # inode, size in bytes, mtime in ns
_CHUNK = 1024 * 1024
_SETTINGS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA query_only=ON",
    "PRAGMA cell_size_check=ON",
    "PRAGMA mmap_size=0",  # where a mapped file cannot be read, the process gets SIGBUS instead of an error
    "PRAGMA ignore_check_constraints=ON",  # a value that breaks a CHECK is no damage
)
# Which of our errors a primary result code of SQLite is; any other code means damage.
_UNREADABLE = ("unreadable_file", "{path} cannot be read: {reason}")
_TOO_BIG = ("database_too_big", "{path} holds values too big to read")
_MEANINGS = {
    sqlite3.SQLITE_BUSY: _UNREADABLE,
    sqlite3.SQLITE_CANTOPEN: _UNREADABLE,
    sqlite3.SQLITE_IOERR: _UNREADABLE,
    sqlite3.SQLITE_PERM: _UNREADABLE,
    sqlite3.SQLITE_READONLY: _UNREADABLE,
    sqlite3.SQLITE_ERROR: ("unknown_database", "{path} has an unexpected layout: {reason}"),
    sqlite3.SQLITE_FULL: ("temporary_copy_failed", "no space left to read {path}"),
    sqlite3.SQLITE_NOMEM: _TOO_BIG,
    sqlite3.SQLITE_NOTADB: ("not_a_database", "{path} is not an SQLite database, or it is encrypted"),
    sqlite3.SQLITE_TOOBIG: _TOO_BIG,
}


@contextmanager
def open_untrusted(path: str, *, deadline: float) -> Iterator[sqlite3.Connection]:
    """Give a read-only connection to the database at `path`; text comes as `bytes`.

    With nothing unfinished beside it the file is opened as immutable: a WAL database opened any other way
    leaves `-wal` and `-shm` files behind, or cannot be opened at all in a read-only folder. With a `-wal`
    or a `-journal` beside it, all of them are copied to a private temporary folder and read there, until
    `deadline` on the monotonic clock.

    Whatever SQLite raises inside the `with` block leaves it as MlibError: `no_such_file`, `not_a_file`,
    `unreadable_file`, `not_a_database`, `corrupt_database`, `unknown_database`, `database_too_slow`,
    `database_too_big`, `database_in_use` or `temporary_copy_failed`.
    """
    _refuse_irregular(path)
    real = os.path.realpath(path)
    before = _fingerprint(real)
    beside = [real + suffix for suffix in ("-wal", "-journal") if _holds_something(real + suffix)]
    with ExitStack() as stack:
        uri = _uri(real, "mode=ro&immutable=1")
        if beside:
            try:
                copy = _copied([real, *beside], stack, deadline=deadline)
            finally:
                # Whatever a copy of moving files failed with, the move is the cause.
                if _fingerprint(real) != before:
                    raise _in_use(path)
            uri = _uri(copy, "mode=rw")  # writable, for the journal to be played back
        try:
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
                db.text_factory = bytes
                db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, CELL_LIMIT)
                for setting in _SETTINGS:
                    db.execute(setting)
                if not beside:
                    _refuse_cut_short(path, db, before[0])
                yield db
        except (MlibError, *FAILURES) as error:
            if not beside and _fingerprint(real) != before:
                raise _in_use(path) from error
            if isinstance(error, MlibError):
                raise
            raise _explained(path, error) from error
        if not beside and _fingerprint(real) != before:
            raise _in_use(path)


def check_time(path: str, deadline: float) -> None:
    """Raise `database_too_slow` once the monotonic clock is past `deadline`."""
    if time.monotonic() > deadline:
        raise MlibError("database_too_slow", f"reading {path} took too long")


def _refuse_irregular(path: str) -> None:
    """Refuse what is not a regular file that can be read, without ever waiting for a FIFO or a device."""
    try:
        descriptor = os.open(path, READ)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFound("no_such_file", f"{path}: there is no such file") from error
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            raise _not_a_file(path) from error
        raise MlibError("unreadable_file", f"{path} cannot be read: {error.strerror}") from error
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            raise _not_a_file(path)
    finally:
        os.close(descriptor)


def _refuse_cut_short(path: str, db: sqlite3.Connection, state: _State | None) -> None:
    """Refuse a file that ends within a page: SQLite would read the rest of the page as zeros."""
    size_bytes = state[1] if state else 0
    (pages,), (page_size,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    if pages * page_size > size_bytes:
        raise corrupt(path, f"truncated: {size_bytes} of {pages * page_size} bytes")


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
    return os.path.isfile(path) and os.path.getsize(path) > 0


def _copied(sources: list[str], stack: ExitStack, *, deadline: float) -> str:
    """Copy the database and what lies beside it, if there is room for them; the path of its copy."""
    try:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mlib-", ignore_cleanup_errors=True))
        needed, free = sum(map(os.path.getsize, sources)), shutil.disk_usage(folder).free
        if needed > free:
            raise MlibError(
                "temporary_copy_failed",
                f"a copy of {sources[0]} needs {needed} bytes in {folder}, which has {free}",
                hint="set TMPDIR to a directory with more space",
            )
        for source in sources:
            target = os.path.join(folder, os.path.basename(source))
            with open(source, "rb") as reader, open(target, "xb") as writer:
                while chunk := reader.read(_CHUNK):
                    check_time(sources[0], deadline)
                    writer.write(chunk)
    except OSError as error:
        raise MlibError(
            "temporary_copy_failed",
            f"the database could not be copied to read it: {error.strerror}",
            hint="set TMPDIR to a folder that can be written",
        ) from error
    return os.path.join(folder, os.path.basename(sources[0]))


def _uri(path: str, options: str) -> str:
    return f"file://{quote(os.fsencode(path))}?{options}"


def _primary_code(error: BaseException) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else sqlite3.SQLITE_ERROR


def _is_too_big(error: sqlite3.Error) -> bool:
    """Tell whether SQLite gave up because one value is over CELL_LIMIT."""
    return _primary_code(error) == sqlite3.SQLITE_TOOBIG


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


# --- Reading tables row by row

#: A value as stored; text comes as bytes, like a blob.
Cell: TypeAlias = int | float | bytes | None

_ROW_COST = 200  # bytes of memory a row takes beside its text
# What quick_check says of a sound file with a value its column forbids.
_VALUE_REMARKS = ("NULL value in ", "NUMERIC value in ", "TEXT value in ", "non-")


@dataclass(frozen=True, slots=True)
class Schema:
    """The real tables with their stored columns, and what the other names are; all in lower case."""

    tables: Mapping[str, frozenset[str]]
    others: Mapping[str, str]


def read_schema(db: sqlite3.Connection) -> Schema:
    """List tables and columns without looking into any view or virtual table."""
    tables: dict[str, frozenset[str]] = {}
    others: dict[str, str] = {}
    for name, kind, is_virtual in db.execute(
        "SELECT name, type, sql LIKE 'create virtual%' FROM sqlite_master WHERE type IN ('table', 'view')"
    ).fetchall():
        if kind == b"view" or is_virtual:
            others[_folded(name)] = "view" if kind == b"view" else "virtual table"
        else:
            columns = db.execute("SELECT name FROM pragma_table_info(CAST(? AS TEXT))", (name,))
            tables[_folded(name)] = frozenset(_folded(column) for (column,) in columns)
    return Schema(tables, others)


def check_pages(path: str, db: sqlite3.Connection) -> None:
    """Raise `corrupt_database` unless the file's pages fit together.

    A forbidden value, such as NULL in a NOT NULL column, is no damage: readers judge every value anyway.
    """
    try:
        for (message,) in db.execute("PRAGMA quick_check(1000)"):
            text = message.decode("utf-8", "backslashreplace")
            if text != "ok" and not text.startswith(_VALUE_REMARKS):
                raise corrupt(path, text)
    except sqlite3.Error as error:
        # The pages come first, so they are sound if a value stops the check; it is that row's matter then.
        if not _is_too_big(error):
            raise


class RowReader:
    """Reads tables row by row, so that one bad row costs no other.

    Ends with `database_too_big` once the rows hold more than `text_limit` bytes in all, and with
    `database_too_slow` at `deadline` on the monotonic clock.
    """

    def __init__(
        self, db: sqlite3.Connection, schema: Schema, *, path: str, text_limit: int, deadline: float
    ) -> None:
        self._db = db
        self._schema = schema
        self._path = path
        self._left = text_limit
        self._deadline = deadline

    def rows(self, table: str, columns: tuple[str, ...]) -> Iterator[tuple[int, tuple[Cell, ...] | None]]:
        """Yield each rowid and its cells, in the order of rowids; a column that is not there reads as NULL.

        A table that is not there has no rows. Cells are None where SQLite refused one as over CELL_LIMIT.
        Names of tables and columns go into SQL as they are: they must be our own.
        """
        if table not in self._schema.tables:
            return
        # NOT INDEXED: the rows come from the table, whatever an index claims.
        numbers = self._db.execute(f"SELECT _rowid_ FROM {table} NOT INDEXED ORDER BY _rowid_").fetchall()
        for (number,) in numbers:
            check_time(self._path, self._deadline)
            yield number, self.row(table, columns, number)

    def row(self, table: str, columns: tuple[str, ...], number: int) -> tuple[Cell, ...] | None:
        """Read these cells of one row; None if one of them is too big."""
        present = self._schema.tables[table]
        listed = ", ".join(column if column in present else "NULL" for column in columns)
        try:
            query = f"SELECT {listed} FROM {table} WHERE _rowid_ = ?"
            found: tuple[Cell, ...] | None = self._db.execute(query, (number,)).fetchone()
        except sqlite3.Error as error:
            if not _is_too_big(error):
                raise
            return None
        if found is None:
            raise corrupt(self._path, f"row {number} of {table} cannot be found by its number")
        self._left -= _ROW_COST + sum(len(cell) for cell in found if isinstance(cell, bytes))
        if self._left < 0:
            raise MlibError("database_too_big", f"{self._path} holds more text than can be read at once")
        return found


def _folded(name: bytes) -> str:
    # ASCII only, as SQLite compares names.
    return name.lower().decode("utf-8", "backslashreplace")
