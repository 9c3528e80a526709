"""What a library holds, in a form in which two libraries can be compared."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path

#: Everything but times and ids: those differ from run to run.
_ROWS = {
    "step": "SELECT name FROM _sqlite_migrations",
    "root": "SELECT type, path, origin, any_file, position FROM roots",
    "model": "SELECT sha256, name, type, base_model, size_bytes, description, notes, edited FROM models",
    "meta": "SELECT sha256, meta_json FROM model_meta",
    "tag": "SELECT sha256, name FROM model_tags JOIN tags ON tags.id = tag_id",
    "file": "SELECT directory, name, sha256, roots.path, size_bytes, mtime_ns, device, inode, xxh3, racy,"
    " missing_since IS NOT NULL FROM files LEFT JOIN roots ON roots.id = root_id",
    "pending": "SELECT path, sha256, claimed_hash, name, type, base_model, size_bytes, description, notes,"
    " edited, source, meta_json FROM pending_import",
    "content": "SELECT sha256, kind FROM contents",
    "header": "SELECT sha256, header FROM headers",
    "pending tag": "SELECT path, sha256, tags.name FROM pending_model_tags"
    " JOIN pending_import p ON p.id = pending_id JOIN tags ON tags.id = tag_id",
    "pending file": "SELECT path, sha256, f.size_bytes, mtime_ns, device, inode, xxh3, racy"
    " FROM pending_files f JOIN pending_import p ON p.id = pending_id",
}

#: Tables that a library of the first version has not.
_LATER = {"content": "contents", "header": "headers"}

State = frozenset[tuple[Any, ...]]
NOTHING: State = frozenset()


def state(library: Path) -> State:
    """Every row of a library, which must be sound. One that has no tables yet, or is not there, has none."""
    if not library.exists():
        return NOTHING
    # Writable, so that a transaction that was cut off is undone as the program would do it.
    with closing(sqlite3.connect(f"file:{library}?mode=rw", uri=True)) as db:
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        if not db.execute("SELECT 1 FROM sqlite_master").fetchall():
            return NOTHING
        there = [sql for sql in _ROWS.items() if _has(db, _LATER.get(sql[0]))]
        return frozenset((kind, *row) for kind, sql in there for row in db.execute(sql))


def entries(library: Path) -> int:
    """How many commands the history holds."""
    if not library.exists():
        return 0
    with closing(sqlite3.connect(f"file:{library}?mode=rw", uri=True)) as db:
        return db.execute("SELECT count(*) FROM entries").fetchone()[0] if _has(db, "entries") else 0


def _has(db: sqlite3.Connection, table: str | None) -> bool:
    sql = "SELECT 1 FROM sqlite_master WHERE name = ?"
    return table is None or db.execute(sql, [table]).fetchone() is not None
