"""The tables whose rows the history knows, one row at a time, whatever their columns."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlib.db.library import Library

#: Every table whose changes are recorded, and the column that says which model or pending import a row is
#: about.
SUBJECTS = {
    "roots": None,
    "models": "sha256",
    "model_meta": "sha256",
    "tags": None,
    "model_tags": "sha256",
    "pending_import": "id",
    "pending_model_tags": "pending_id",
    "pending_files": "pending_id",
    "files": "sha256",
    "given": "sha256",
    "contents": "sha256",
    "hashes": "sha256",
    "findings": "sha256",
    "sidecars": None,
    "headers": "sha256",
}
#: Tables that give a row to each tag that something bears.
BEARERS = ("model_tags", "pending_model_tags")

Values = dict[str, Any]
Key = tuple[Any, ...]


class Table(NamedTuple):
    """A table, its columns and those of its primary key, each in their order, and which may be bytes."""

    name: str
    columns: tuple[str, ...]
    key: tuple[str, ...]
    binary: frozenset[str]

    @property
    def where(self) -> str:
        """The condition that the primary key is met by."""
        return " AND ".join(f"{name} = ?" for name in self.key)


def tables(library: Library) -> dict[str, Table]:
    """Every recorded table with the columns it has in this library."""
    rows = library.all(
        "SELECT t.value, c.name, c.pk, c.type FROM json_each(?) AS t, pragma_table_info(t.value) AS c"
        " ORDER BY t.key, c.cid",
        [json.dumps(list(SUBJECTS))],
    )
    found = {}
    for table in SUBJECTS:
        columns = [(name, place, kind) for of, name, place, kind in rows if of == table]
        key = sorted((place, name) for name, place, _ in columns if place)
        found[table] = Table(
            table,
            tuple(name for name, _, _ in columns),
            tuple(name for _, name in key),
            frozenset(name for name, _, kind in columns if kind in ("ANY", "BLOB")),
        )
    return found


def get(library: Library, table: Table, key: Key) -> Values | None:
    """The row with this primary key, by column."""
    row = library.one(f"SELECT {', '.join(table.columns)} FROM {table.name} WHERE {table.where}", key)
    return None if row is None else dict(zip(table.columns, row, strict=True))


def put(library: Library, table: Table, key: Key, values: Mapping[str, Any]) -> None:
    """Write these columns of a row."""
    if values:
        assignments = ", ".join(f"{name} = ?" for name in values)
        library.execute(
            f"UPDATE {table.name} SET {assignments} WHERE {table.where}", (*values.values(), *key)
        )


def remove(library: Library, table: Table, key: Key) -> None:
    """Drop a row."""
    library.execute(f"DELETE FROM {table.name} WHERE {table.where}", key)
