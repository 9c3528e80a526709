"""The paths at which models lie, or lay."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, cast

from mlib.db.rows import FILE_COLUMNS, file_of, file_row, path_of, stored_path
from mlib.db.writing import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.core.compare import Fingerprint
    from mlib.core.models import KnownFile, Stat
    from mlib.db.library import Library

_KEY = ("directory", "name", "sha256")
_NEXT = "SELECT min(directory) FROM files WHERE directory {} AND directory < :high AND missing_since IS NULL"
#: SELECT DISTINCT would read every row between.
_DIRECTORIES = (
    f"WITH RECURSIVE each(at) AS ({_NEXT.format('>= :low')}"
    f" UNION ALL SELECT ({_NEXT.format('> at')}) FROM each WHERE at IS NOT NULL)"
    " SELECT at FROM each WHERE at IS NOT NULL"
)


def fingerprints_in(library: Library, directory: str, root_id: int | None) -> list[Fingerprint]:
    """Name, size, mtime and inode of every present row in one directory by name, undecoded and fast.

    A row that is racy or of another root has no mtime here, so that it never equals a file.
    """
    rows = library.all(
        "SELECT name, size_bytes, CASE WHEN racy OR root_id IS NOT ? THEN NULL ELSE mtime_ns END, inode"
        " FROM files WHERE directory = ? AND missing_since IS NULL ORDER BY name",
        [root_id, stored_path(directory)],
    )
    # Names that are no UTF-8 are kept as bytes, which SQLite sorts after all text.
    if rows and isinstance(rows[-1][0], bytes):
        rows = sorted((path_of(row[0]), *row[1:]) for row in rows)
    return cast("list[Fingerprint]", rows)


def in_directory(library: Library, directory: str) -> list[KnownFile]:
    """Every row of one directory, present and missing."""
    rows = library.all(f"SELECT {FILE_COLUMNS} FROM files WHERE directory = ?", [stored_path(directory)])
    return [file_of(row) for row in rows]


def known_directories(library: Library, tree: str) -> Iterator[str]:
    """Every directory at or below `tree` that holds a present file: one statement, one index probe each."""
    for low, high in _bounds(tree):
        rows = library.all(_DIRECTORIES, {"low": low, "high": high})
        for path in (path_of(at) for (at,) in rows):
            if path == tree or path.startswith(_slashed(tree)):
                yield path


def in_root(library: Library, root_id: int) -> list[KnownFile]:
    """The present files that belong to a root."""
    rows = library.all(
        f"SELECT {FILE_COLUMNS} FROM files WHERE root_id = ? AND missing_since IS NULL", [root_id]
    )
    return [file_of(row) for row in rows]


def in_no_root(library: Library) -> list[KnownFile]:
    """The present files that belong to no root: `mlib mv` took them there."""
    rows = library.all(f"SELECT {FILE_COLUMNS} FROM files WHERE root_id IS NULL AND missing_since IS NULL")
    return [file_of(row) for row in rows]


def by_inode(library: Library, stat: Stat) -> KnownFile | None:
    """A row that was hashed with exactly this stat, whatever its path: the same file under another name."""
    row = library.one(
        f"SELECT {FILE_COLUMNS} FROM files WHERE inode = ? AND size_bytes = ? AND device = ? AND mtime_ns = ?"
        " AND racy = 0 AND xxh3 IS NOT NULL ORDER BY missing_since IS NOT NULL LIMIT 1",
        [stat.inode, stat.size_bytes, stat.device, stat.mtime_ns],
    )
    return None if row is None else file_of(row)


def of_model(library: Library, sha256: str) -> list[KnownFile]:
    """Every path of a model: present ones first, the shortest first of them, then the latest gone."""
    rows = library.all(
        f"SELECT {FILE_COLUMNS} FROM files WHERE sha256 = ?"
        " ORDER BY missing_since IS NOT NULL, missing_since DESC, length(directory) + length(name),"
        " directory, name",
        [sha256],
    )
    return [file_of(row) for row in rows]


def at_path(library: Library, path: str) -> list[KnownFile]:
    """Every row at one path: at most one is present."""
    directory, name = os.path.split(path)
    rows = library.all(
        f"SELECT {FILE_COLUMNS} FROM files WHERE directory = ? AND name = ?"
        " ORDER BY missing_since IS NOT NULL, missing_since DESC",
        [stored_path(directory), stored_path(name)],
    )
    return [file_of(row) for row in rows]


def named(library: Library, name: str, *, limit: int) -> list[str]:
    """Full SHA-256s of the models with a file of exactly this name, missing or not."""
    rows = library.all(
        "SELECT DISTINCT sha256 FROM files WHERE name = ? ORDER BY sha256 LIMIT ?", [stored_path(name), limit]
    )
    return [sha256 for (sha256,) in rows]


def put(library: Library, files: Iterable[KnownFile]) -> None:
    """Write rows whole; the key is path and content."""
    upsert(library, "files", map(file_row, files), key=_KEY)


def mark_missing(library: Library, files: Iterable[KnownFile], since: int) -> None:
    """Mark present rows as missing; rows that another process changed meanwhile are left as they are."""
    for file in files:
        key = [stored_path(file.directory), stored_path(file.name), file.sha256]
        library.execute(
            "UPDATE files SET missing_since = ?"
            " WHERE directory = ? AND name = ? AND sha256 = ? AND missing_since IS NULL",
            [since, *key],
        )


def remove(library: Library, file: KnownFile) -> None:
    """Drop one row, and all that was seen at that place: its file is known to lie elsewhere now."""
    library.execute(
        "DELETE FROM files WHERE directory = ? AND name = ? AND sha256 = ?",
        [stored_path(file.directory), stored_path(file.name), file.sha256],
    )
    library.execute(
        "DELETE FROM findings WHERE sha256 = ? AND directory = ? AND name = ?",
        [file.sha256, stored_path(file.directory), stored_path(file.name)],
    )
    library.execute(
        "DELETE FROM pending_files WHERE pending_id IN"
        " (SELECT id FROM pending_import WHERE path = ? AND sha256 = ?)",
        [stored_path(file.path), file.sha256],
    )


def _slashed(directory: str) -> str:
    return directory if directory.endswith(os.sep) else directory + os.sep


def _bounds(tree: str) -> Iterator[tuple[str | bytes, str | bytes]]:
    """Where the directories of `tree` lie in the index: among the texts, and among the blobs."""
    stored = stored_path(tree)
    if isinstance(stored, str):
        yield stored, _slashed(stored)[:-1] + chr(ord(os.sep) + 1)
    raw = os.fsencode(tree)
    yield raw, os.fsencode(_slashed(tree))[:-1] + bytes([ord(os.sep) + 1])
