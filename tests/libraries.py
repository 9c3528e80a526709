"""Filling a library with what a test starts from, and reading all that one holds."""

from __future__ import annotations

import os
import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any

from mlib.core.records import KnownFile, Model, Pending, Stat
from mlib.core.tag_spelling import distinct
from mlib.db import files, models, pending, rows, schema, tags
from mlib.services.scanning.request import ScanReport, ScanRequest
from mlib.services.scanning.run import scan

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.db.library import Library

#: Contents that no test has to make: only their names matter.
SHA, OTHER, THIRD = "a1" * 32, "b2" * 32, "c3" * 32
#: A moment long ago, in milliseconds.
BEFORE = 1_600_000_000_000


def make_older(path: str | os.PathLike[str], *, last: str) -> None:
    """Take from a library all that the steps after `last` made, as if it had never seen them."""
    names = [step.__name__ for step in schema.STEPS]
    later = names[names.index(last) + 1 :]
    scripts = {
        "m003_contents": schema._CONTENTS,
        "m004_history": schema._HISTORY,
        "m005_trigger_words": " ".join(schema._TRIGGER_WORDS),
        "m006_verified": schema._VERIFIED,
        "m007_counting": schema._COUNTING,
        "m008_file_counts": " ".join(schema._FILE_COUNTS),
    }
    made = re.findall(
        r"CREATE (TABLE|INDEX|TRIGGER) (\w+)", " ".join(scripts[step] for step in later if step in scripts)
    )
    # What stood there before such a step, and was made anew by it, stays as it is: it does no harm.
    before = set(re.findall(r"CREATE (?:UNIQUE )?INDEX (\w+)", schema._TABLES))
    with closing(sqlite3.connect(path)) as db:
        for kind, name in reversed(made):
            if name not in before:
                db.execute(f"DROP {kind} IF EXISTS {name}")
        db.executemany("DELETE FROM _sqlite_migrations WHERE name = ?", [(step,) for step in later])
        db.commit()


def scan_roots(library: Library, *roots: str, **request: Any) -> ScanReport:
    """Scan `TYPE=DIR` roots, importing what is new, as `mlib scan` does."""
    return scan(library, ScanRequest(roots=roots, **request))


def put_model(
    library: Library,
    sha256: str = SHA,
    *,
    tags_: Sequence[str] = (),
    meta_json: str | None = None,
    **fields: Any,
) -> str:
    """Keep a model; the text fields given are what a person typed. Its SHA-256."""
    model = Model(
        sha256=sha256,
        **{"name": "file.safetensors", "type": "loras"} | fields,
        created_at=BEFORE,
        updated_at=BEFORE,
        edited=frozenset(fields),
    )
    with library.transaction():
        models.put(library, [model])
        tags.set_of_model(library, sha256, distinct(list(tags_)))
        models.put_meta(library, sha256, meta_json)
    return sha256


def put_pending(
    library: Library,
    path: str = "/m/file.safetensors",
    *,
    sha256: str | None = SHA,
    seen: bool = False,
    tags_: Sequence[str] = (),
    meta_json: str | None = None,
    claimed_hash: str | None = None,
    **fields: Any,
) -> int:
    """Keep a pending import; the text fields given are what a person typed. Its id.

    `seen` says that a scan has read these bytes at the path.
    """
    entry = Pending(
        path=path,
        source="test",
        sha256=sha256,
        claimed_hash=claimed_hash,
        **{"name": os.path.basename(path), "type": "loras"} | fields,
        created_at=BEFORE,
        edited=frozenset(fields),
        meta_json=meta_json,
        tags=tuple(tags_),
        observed=known_file(path, sha256) if seen and sha256 is not None else None,
    )
    with library.transaction():
        return pending.put(library, entry)


def known_file(path: str, sha256: str = SHA, **changes: Any) -> KnownFile:
    """The row of a file as a scan writes it."""
    directory, name = os.path.split(path)
    row: dict[str, Any] = {
        "root_id": None,
        "stat": Stat(size_bytes=1000, mtime_ns=BEFORE * 10**6, device=7, inode=4711),
        "xxh3": "0" * 32,
        "hashed_at": BEFORE,
        "racy": False,
        "missing_since": None,
    }
    return KnownFile(directory=directory, name=name, sha256=sha256, **row | changes)


def put_files(library: Library, *rows: KnownFile) -> None:
    """Keep rows of files; their models must be there."""
    with library.transaction():
        files.put(library, rows)


def dump(path: str | os.PathLike[str]) -> Mapping[str, list[tuple[Any, ...]]]:
    """Every row of every table of a library file, but for SQLite's own counters.

    What is counted of files in a table of its own must be what is there, whatever a test did before.
    """
    with closing(sqlite3.connect(f"file:{os.fspath(path)}?mode=ro", uri=True)) as db:
        counts_are_true(db)
        names = [name for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: sorted(db.execute(f"SELECT * FROM {name}").fetchall(), key=repr)
            for name in sorted(names)
            if name != "sqlite_sequence"
        }


def counts_are_true(db: sqlite3.Connection) -> None:
    """Count the files of every model, and compare with what the library keeps of it."""
    if not db.execute("SELECT 1 FROM sqlite_master WHERE name = 'file_counts'").fetchall():
        return
    rows: dict[str, list[tuple[Any, ...]]] = {sha: [] for (sha,) in db.execute("SELECT sha256 FROM models")}
    for sha, *row in db.execute("SELECT sha256, missing_since, device, inode FROM files"):
        rows[sha].append(tuple(row))
    counted = set()
    for sha, each in rows.items():
        present = [(device, inode) for missing_since, device, inode in each if missing_since is None]
        if (len(each), len(present)) != (1, 1):
            inodes = len(set(present) - {(None, None)})
            counted.add((sha, len(each), len(present), max(inodes, int(bool(present)))))
    assert set(db.execute("SELECT * FROM file_counts")) == counted


def recorded_rows(library: Library) -> Mapping[str, list[tuple[Any, ...]]]:
    """Every row whose changes the history holds; a tag by its name, for its number means nothing."""
    named = {
        "model_tags": "SELECT sha256, name FROM model_tags JOIN tags ON id = tag_id",
        "pending_model_tags": "SELECT pending_id, name FROM pending_model_tags JOIN tags ON id = tag_id",
        "tags": "SELECT name, folded FROM tags",
    }
    return {
        table: sorted(library.all(named.get(table, f"SELECT * FROM {table}")), key=repr)
        for table in rows.SUBJECTS
    }


def snapshot(folder: str | os.PathLike[str]) -> Mapping[str, bytes | None]:
    """Every file below a folder with its bytes, and every folder (None); {} where there is no such folder."""
    found: dict[str, bytes | None] = {}
    for directory, _, names in os.walk(folder):
        found[directory] = None
        for name in names:
            with open(os.path.join(directory, name), "rb") as file:
                found[os.path.join(directory, name)] = file.read()
    return found
