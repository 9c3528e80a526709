"""Builds databases of older model managers, as they made them and as no one should.

A row is a mapping with `path` and any of the keys `name`, `type`, `size_bytes`, `created_at`, `meta`, `tags`,
`id`, and `hash_hex` and `extra` (v1) or `sha256` (v2); what is left out gets an ordinary value. `meta` and
`extra` may be a dict or list (written as JSON), raw text, bytes (a BLOB) or None. `RawText` is TEXT of any
bytes.

    hikaze1(path, [dict(path="/m/a.safetensors", hash_hex="ab" * 32, extra={"images": []}, tags=["sdxl"])])
    hikaze2(path, [dict(path="/m/a.safetensors", sha256="ab" * 32)], pending=[dict(path="/m/b.ckpt")])
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    Row = Mapping[str, Any]

HIKAZE1_SCHEMA = """
CREATE TABLE schema_version (version INTEGER NOT NULL);
INSERT INTO schema_version VALUES (2);
CREATE TABLE directories (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path TEXT NOT NULL UNIQUE, alias TEXT, parent_id INTEGER
);
CREATE TABLE models (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    path TEXT NOT NULL UNIQUE,
    name TEXT,
    type TEXT NOT NULL,
    size_bytes INTEGER,
    hash_hex TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    meta_json TEXT,
    extra_json TEXT
);
CREATE INDEX idx_models_hash ON models(hash_hex);
CREATE INDEX idx_models_type ON models(type);
CREATE INDEX idx_models_path ON models(path);
CREATE TABLE tags (
    id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL UNIQUE, color TEXT, created_at INTEGER
);
CREATE TABLE model_tags (
    model_id INTEGER NOT NULL REFERENCES models(id) ON DELETE CASCADE,
    tag_id INTEGER NOT NULL REFERENCES tags(id) ON DELETE CASCADE,
    PRIMARY KEY (model_id, tag_id)
);
"""

HIKAZE2_SCHEMA = """
CREATE TABLE models (
    sha256 TEXT PRIMARY KEY,
    path TEXT NOT NULL,
    name TEXT,
    type TEXT,
    size_bytes INTEGER,
    created_at INTEGER,
    meta_json TEXT
);
CREATE INDEX idx_models_path ON models(path);
CREATE TABLE tags (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT UNIQUE NOT NULL);
CREATE TABLE model_tags (
    model_hash TEXT REFERENCES models(sha256) ON DELETE CASCADE,
    tag_id INTEGER REFERENCES tags(id) ON DELETE CASCADE,
    PRIMARY KEY (model_hash, tag_id)
);
CREATE TABLE pending_import (
    id INTEGER PRIMARY KEY,
    path TEXT UNIQUE NOT NULL,
    sha256 TEXT,
    name TEXT,
    type TEXT,
    size_bytes INTEGER,
    created_at INTEGER,
    meta_json TEXT
);
CREATE TABLE pending_model_tags (
    model_id INTEGER REFERENCES pending_import(id) ON DELETE CASCADE,
    tag_id INTEGER REFERENCES tags(id) ON DELETE CASCADE,
    PRIMARY KEY (model_id, tag_id)
);
CREATE TABLE db_meta (key TEXT PRIMARY KEY, value TEXT);
INSERT INTO db_meta VALUES ('db_version', '2'), ('tags_id_max', '0');
"""

#: A time both managers would write, in milliseconds.
CREATED_AT = 1_725_600_000_000


class RawText(bytes):
    """Bytes to be stored as TEXT, whatever they are."""

    __slots__ = ()


def hikaze1(
    path: str | os.PathLike[str],
    models: Iterable[Row] = (),
    *,
    tag_ids: Mapping[str, int] | None = None,
    orphans: Iterable[tuple[int, int]] = (),
    sql: str = "",
    schema: str = HIKAZE1_SCHEMA,
) -> str:
    """Write a Hikaze v1 database and return its path.

    `tag_ids` fixes the ids of tags, `orphans` are links (model id, tag id) to add, `sql` runs last.
    """
    with closing(sqlite3.connect(path)) as db:
        db.executescript(schema)
        for row in models:
            columns = _common(row) | {
                "hash_hex": row.get("hash_hex", ""),
                "created_at": row.get("created_at", CREATED_AT),
                "meta_json": _json(row.get("meta")),
                "extra_json": _json(row.get("extra")),
            }
            _refuse_unknown(row, {"hash_hex", "extra"})
            _link(db, "model_tags", "model_id", _insert(db, "models", columns), row, tag_ids)
        db.executemany("INSERT INTO model_tags (model_id, tag_id) VALUES (?, ?)", orphans)
        db.commit()
        db.executescript(sql)
    return os.fspath(path)


def hikaze2(
    path: str | os.PathLike[str],
    models: Iterable[Row] = (),
    *,
    pending: Iterable[Row] = (),
    tag_ids: Mapping[str, int] | None = None,
    orphans: Iterable[tuple[str, int]] = (),
    sql: str = "",
    schema: str = HIKAZE2_SCHEMA,
) -> str:
    """Write a Hikaze v2 database and return its path.

    `tag_ids` fixes the ids of tags, `orphans` are links (hash, tag id) to add, `sql` runs last.
    """
    with closing(sqlite3.connect(path)) as db:
        db.executescript(schema)
        for table, links, key, rows in (
            ("models", "model_tags", "model_hash", models),
            ("pending_import", "pending_model_tags", "model_id", pending),
        ):
            for row in rows:
                columns = _common(row) | {
                    "sha256": row.get("sha256"),
                    "created_at": row.get("created_at", CREATED_AT),
                    "meta_json": _json(row.get("meta")),
                }
                _refuse_unknown(row, {"sha256"})
                number = _insert(db, table, columns)
                owner = row.get("sha256") if table == "models" else number
                _link(db, links, key, owner, row, tag_ids)
        db.executemany("INSERT INTO model_tags (model_hash, tag_id) VALUES (?, ?)", orphans)
        db.commit()
        db.executescript(sql)
    return os.fspath(path)


def _common(row: Row) -> dict[str, Any]:
    path = row["path"]
    name = path.replace("\\", "/").rpartition("/")[2] if isinstance(path, str) else None
    columns = {
        "path": path,
        "name": row.get("name", name),
        "type": row.get("type", "loras"),
        "size_bytes": row.get("size_bytes", 1000),
    }
    if "id" in row:
        columns["id"] = row["id"]
    return columns


def _refuse_unknown(row: Row, own: set[str]) -> None:
    known = {"id", "path", "name", "type", "size_bytes", "created_at", "meta", "tags"} | own
    if unknown := set(row) - known:
        raise TypeError(f"no such keys of a row: {sorted(unknown)}")


def _json(value: object) -> object:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value


def _insert(db: sqlite3.Connection, table: str, columns: Mapping[str, Any]) -> int:
    holders = ", ".join(
        "CAST(? AS TEXT)" if isinstance(value, RawText) else "?" for value in columns.values()
    )
    cursor = db.execute(
        f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({holders})", tuple(columns.values())
    )
    assert cursor.lastrowid is not None
    return cursor.lastrowid


def _link(
    db: sqlite3.Connection,
    table: str,
    key: str,
    owner: object,
    row: Row,
    tag_ids: Mapping[str, int] | None,
) -> None:
    tags: Sequence[str | bytes] = row.get("tags", ())
    for tag in tags:
        holder = "CAST(? AS TEXT)" if isinstance(tag, RawText) else "?"
        found = db.execute(f"SELECT id FROM tags WHERE name = {holder}", (tag,)).fetchone()
        if found is None:
            number = (tag_ids or {}).get(tag) if isinstance(tag, str) else None
            found = (
                db.execute(f"INSERT INTO tags (id, name) VALUES (?, {holder})", (number, tag)).lastrowid,
            )
        db.execute(f"INSERT INTO {table} ({key}, tag_id) VALUES (?, ?)", (owner, found[0]))
