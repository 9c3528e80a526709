"""Convert rows to records and back: the only module that knows how values are stored."""

from __future__ import annotations

import json
import os
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.records import KnownFile, Model, Pending, Root, Stat
from mlib.db.schema import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from mlib.db.library import Library


# --- Rows of recorded tables, for the history

#: Every table whose changes are recorded, and the column that says which model or pending import a row is
#: about.
SUBJECTS = {name: table.subject for name, table in KEPT.items()}
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


def add(library: Library, table: Table, values: Mapping[str, Any]) -> int:
    """Put a row back; the rowid it got."""
    return insert(library, table.name, values)


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


Row = tuple[Any, ...]
#: A path in a column of type ANY: text, or the bytes where they are no UTF-8.
StoredPath = str | bytes

#: Whether a finding `w` is about content, or about a place at which a file of it is present.
FINDING_HOLDS = (
    "(w.name = '' OR EXISTS (SELECT 1 FROM files AS f WHERE f.directory = w.directory AND f.name = w.name"
    " AND f.sha256 = w.sha256 AND f.missing_since IS NULL))"
)

FILE_COLUMNS = (
    "directory, name, sha256, root_id, size_bytes, mtime_ns, device, inode, "
    "xxh3, hashed_at, racy, missing_since"
)
MODEL_COLUMNS = (
    "sha256, name, type, base_model, size_bytes, description, notes, created_at, updated_at, edited"
)
PENDING_COLUMNS = (
    "id, path, sha256, claimed_hash, name, type, base_model, size_bytes, description, notes, created_at, "
    "edited, source, meta_json"
)
ROOT_COLUMNS = "id, type, path, origin, any_file"


def stored_path(path: str) -> StoredPath:
    """A path as it is kept."""
    try:
        path.encode()
    except UnicodeEncodeError:
        return os.fsencode(path)
    return path


def path_of(stored: StoredPath) -> str:
    """A kept path as the program knows it."""
    return os.fsdecode(stored)


def stored_fields(fields: frozenset[str]) -> str:
    """A set of field names as it is kept."""
    return ",".join(sorted(fields))


def fields_of(stored: str) -> frozenset[str]:
    """A kept set of field names."""
    return frozenset(filter(None, stored.split(",")))


def file_row(file: KnownFile) -> dict[str, Any]:
    """Every column of `files`."""
    stat = file.stat
    return {
        "directory": stored_path(file.directory),
        "name": stored_path(file.name),
        "sha256": file.sha256,
        "root_id": file.root_id,
        "size_bytes": stat.size_bytes if stat else None,
        "mtime_ns": stat.mtime_ns if stat else None,
        "device": stat.device if stat else None,
        "inode": stat.inode if stat else None,
        "xxh3": file.xxh3,
        "hashed_at": file.hashed_at,
        "racy": int(file.racy),
        "missing_since": file.missing_since,
    }


def file_of(row: Row) -> KnownFile:
    """A KnownFile from FILE_COLUMNS."""
    directory, name, sha256, root_id, size, mtime_ns, device, inode, xxh3, hashed_at, racy, missing_since = (
        row
    )
    return KnownFile(
        directory=path_of(directory),
        name=path_of(name),
        sha256=sha256,
        root_id=root_id,
        stat=None if mtime_ns is None else Stat(size, mtime_ns, device, inode),
        xxh3=xxh3,
        hashed_at=hashed_at,
        racy=bool(racy),
        missing_since=missing_since,
    )


def model_row(model: Model) -> dict[str, Any]:
    """Every column of `models`."""
    return {
        "sha256": model.sha256,
        "name": model.name,
        "type": model.type,
        "base_model": model.base_model,
        "size_bytes": model.size_bytes,
        "description": model.description,
        "notes": model.notes,
        "created_at": model.created_at,
        "updated_at": model.updated_at,
        "edited": stored_fields(model.edited),
    }


def model_of(row: Row) -> Model:
    """A Model from MODEL_COLUMNS."""
    *values, edited = row
    return Model(*values)._replace(edited=fields_of(edited))


def pending_row(pending: Pending) -> dict[str, Any]:
    """Every column of `pending_import` but the id."""
    return {
        "path": stored_path(pending.path),
        "sha256": pending.sha256,
        "claimed_hash": pending.claimed_hash,
        "name": pending.name,
        "type": pending.type,
        "base_model": pending.base_model,
        "size_bytes": pending.size_bytes,
        "description": pending.description,
        "notes": pending.notes,
        "created_at": pending.created_at,
        "edited": stored_fields(pending.edited),
        "source": pending.source,
        "meta_json": pending.meta_json,
    }


def root_of(row: Row) -> Root:
    """A Root from ROOT_COLUMNS."""
    identifier, kind, path, origin, any_file = row
    return Root(type=kind, path=path_of(path), origin=origin, any_file=bool(any_file), id=identifier)


def pending_of(row: Row) -> Pending:
    """A pending import from PENDING_COLUMNS, without its tags and the file that was hashed."""
    (
        pending_id, path, sha256, claimed_hash, name, kind, base_model, size_bytes, description, notes,
        created_at, edited, source, meta_json,
    ) = row  # fmt: skip
    return Pending(
        id=pending_id,
        path=path_of(path),
        sha256=sha256,
        claimed_hash=claimed_hash,
        name=name,
        type=kind,
        base_model=base_model,
        size_bytes=size_bytes,
        description=description,
        notes=notes,
        created_at=created_at,
        edited=fields_of(edited),
        source=source,
        meta_json=meta_json,
    )


# --- Prepared statements for single rows
#
# sqlite-utils asks for the whole schema on every call: eight times the price, which a scan pays for each
# file.


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
