"""Pending imports."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlib.core.records import KnownFile, Pending, Stat
from mlib.core.tag_spelling import distinct
from mlib.db import tags
from mlib.db.rows import PENDING_COLUMNS, Row, insert, path_of, pending_of, pending_row, stored_path, update

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.db.library import Library

_OBSERVED = "root_id, size_bytes, mtime_ns, device, inode, xxh3, hashed_at, racy"


def get(library: Library, pending_id: int) -> Pending | None:
    """The pending import with this id, with its tags and what was seen of its file."""
    row = library.one(f"SELECT {PENDING_COLUMNS} FROM pending_import WHERE id = ?", [pending_id])
    return None if row is None else _pending_of(library, row)


def at_path(library: Library, path: str) -> list[Pending]:
    """The pending imports of this path: one for each content it is said to hold, one where none is."""
    rows = library.all(
        f"SELECT {PENDING_COLUMNS} FROM pending_import WHERE path = ? ORDER BY id", [stored_path(path)]
    )
    return [_pending_of(library, row) for row in rows]


def ids(library: Library) -> list[int]:
    """Every id, oldest first."""
    return [pending_id for (pending_id,) in library.all("SELECT id FROM pending_import ORDER BY id")]


def without_hash(library: Library) -> list[int]:
    """Ids of those whose content nobody has named in full, oldest first."""
    rows = library.all("SELECT id FROM pending_import WHERE sha256 IS NULL ORDER BY id")
    return [pending_id for (pending_id,) in rows]


def exists(library: Library, pending_id: int) -> bool:
    """Whether there is a pending import with this id."""
    return library.one("SELECT 1 FROM pending_import WHERE id = ?", [pending_id]) is not None


def observed_paths(library: Library) -> set[str]:
    """The paths of those whose bytes were read here."""
    rows = library.all("SELECT path FROM pending_import WHERE id IN (SELECT pending_id FROM pending_files)")
    return {path_of(path) for (path,) in rows}


def claiming(library: Library, sha256: str) -> list[int]:
    """Ids of those that name this content: by its full hash, or by its first digits (at least 8)."""
    prefixes = [sha256[:length] for length in range(8, 65)]
    marks = ", ".join("?" * len(prefixes))
    rows = library.all(
        "SELECT id FROM pending_import WHERE sha256 = ?"
        f" UNION SELECT id FROM pending_import WHERE claimed_hash IN ({marks}) ORDER BY id",
        [sha256, *prefixes],
    )
    return [pending_id for (pending_id,) in rows]


def observed(library: Library, path: str) -> KnownFile | None:
    """What a scan read last at a path that still waits: its hashes and the stat they belong to."""
    row = library.one(
        f"SELECT sha256, {', '.join('f.' + column for column in _OBSERVED.split(', '))} FROM pending_import p"
        " JOIN pending_files f ON f.pending_id = p.id WHERE p.path = ? AND p.sha256 IS NOT NULL"
        " ORDER BY f.hashed_at DESC",
        [stored_path(path)],
    )
    return None if row is None else observed_file(path, row[0], row[1:])


def all_observed(library: Library) -> list[tuple[int, KnownFile]]:
    """Every file that was read and still waits, with the id of its pending import, oldest first."""
    rows = library.all(
        f"SELECT p.id, p.path, p.sha256, {', '.join('f.' + column for column in _OBSERVED.split(', '))}"
        " FROM pending_files f JOIN pending_import p ON p.id = f.pending_id WHERE p.sha256 IS NOT NULL"
        " ORDER BY p.id"
    )
    return [(row[0], observed_file(path_of(row[1]), row[2], row[3:])) for row in rows]


def put(library: Library, pending: Pending) -> int:
    """Write a pending import whole with its tags and what was seen of its file; its id.

    One without an id replaces the one of the same path and content, keeping that one's id.
    """
    pending_id = pending.id
    if pending_id is None:
        row = library.one(
            "SELECT id FROM pending_import WHERE path = ? AND coalesce(sha256, '') = ?",
            [stored_path(pending.path), pending.sha256 or ""],
        )
        pending_id = None if row is None else row[0]
    if pending_id is None:
        pending_id = insert(library, "pending_import", pending_row(pending))
    else:
        update(library, "pending_import", pending_id, pending_row(pending))
    tags.set_of_pending(library, pending_id, distinct(pending.tags))
    library.execute("DELETE FROM pending_files WHERE pending_id = ?", [pending_id])
    if pending.observed is not None:
        insert(library, "pending_files", _observed_row(pending_id, pending.observed))
    return pending_id


def put_meta(library: Library, pending_id: int, meta_json: str | None) -> None:
    """Replace the metadata of one."""
    update(library, "pending_import", pending_id, {"meta_json": meta_json})


def forget_file(library: Library, pending_id: int) -> None:
    """Forget what was seen of its file: it does not lie at the path any more."""
    library.execute("DELETE FROM pending_files WHERE pending_id = ?", [pending_id])


def remove(library: Library, pending_id: int) -> None:
    """Drop one, with its tags."""
    library.execute("DELETE FROM pending_import WHERE id = ?", [pending_id])


def all_meta(library: Library, *, batch: int) -> Iterator[list[tuple[int, str]]]:
    """Every (id, meta_json) in batches by key, with no read left open between them."""
    after = 0
    while rows := library.all(
        "SELECT id, meta_json FROM pending_import WHERE id > ? AND meta_json IS NOT NULL ORDER BY id LIMIT ?",
        [after, batch],
    ):
        yield [(pending_id, text) for pending_id, text in rows]
        after = rows[-1][0]


def _pending_of(library: Library, row: Row) -> Pending:
    entry = pending_of(row)
    seen = library.one(f"SELECT {_OBSERVED} FROM pending_files WHERE pending_id = ?", [entry.id])
    known = None if seen is None or entry.sha256 is None else observed_file(entry.path, entry.sha256, seen)
    return entry._replace(tags=tags.of_pending(library, row[0]), observed=known)


def observed_file(path: str, sha256: str, row: Sequence[Any]) -> KnownFile:
    """The file of a pending import that was hashed here, from the columns of `pending_files`."""
    root_id, size, mtime_ns, device, inode, xxh3, hashed_at, racy = row
    directory, name = os.path.split(path)
    return KnownFile(
        directory=directory,
        name=name,
        sha256=sha256,
        root_id=root_id,
        stat=Stat(size, mtime_ns, device, inode),
        xxh3=xxh3,
        hashed_at=hashed_at,
        racy=bool(racy),
        missing_since=None,
    )


def _observed_row(pending_id: int, file: KnownFile) -> dict[str, Any]:
    assert file.stat is not None
    return {
        "pending_id": pending_id,
        "root_id": file.root_id,
        "size_bytes": file.stat.size_bytes,
        "mtime_ns": file.stat.mtime_ns,
        "device": file.stat.device,
        "inode": file.stat.inode,
        "xxh3": file.xxh3,
        "hashed_at": file.hashed_at,
        "racy": int(file.racy),
    }
