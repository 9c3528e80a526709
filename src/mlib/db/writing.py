"""Writing rows one by one, each by a statement that SQLite has prepared already.

sqlite-utils asks for the whole schema on every call: eight times the price, which a scan pays for each file.
"""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlib.db.library import Library


def insert(library: Library, table: str, row: Mapping[str, Any]) -> int:
    """Add a row; the rowid it got."""
    library.execute(_insert_sql(table, tuple(row)), tuple(row.values()))
    return int(library.all("SELECT last_insert_rowid()")[0][0])


def update(library: Library, table: str, row_id: int, row: Mapping[str, Any]) -> None:
    """Write these columns of the row with this `id`."""
    assignments = ", ".join(f"{column} = ?" for column in row)
    library.execute(f"UPDATE {table} SET {assignments} WHERE id = ?", (*row.values(), row_id))


def upsert(library: Library, table: str, rows: Iterable[Mapping[str, Any]], *, key: tuple[str, ...]) -> None:
    """Write rows whole, in place of those with the same `key`; every row names every column."""
    for row in rows:
        library.execute(_upsert_sql(table, tuple(row), key), tuple(row.values()))


@cache
def _insert_sql(table: str, columns: tuple[str, ...]) -> str:
    holders = ", ".join("?" * len(columns))
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({holders})"


@cache
def _upsert_sql(table: str, columns: tuple[str, ...], key: tuple[str, ...]) -> str:
    assignments = ", ".join(f"{column} = excluded.{column}" for column in columns if column not in key)
    return f"{_insert_sql(table, columns)} ON CONFLICT ({', '.join(key)}) DO UPDATE SET {assignments}"
