"""Looks at an untrusted database: its tables, whether its pages are sound, and its rows one by one."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

from mlib.core.errors import MlibError
from mlib.db.untrusted import corrupt, is_too_big

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

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
