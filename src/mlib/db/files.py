"""Paths of models, present and missing."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple, cast

from mlib.db.rows import FILE_COLUMNS, file_of, file_row, path_of, stored_path, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.core.disk.compare import Fingerprint
    from mlib.core.records import KnownFile, Stat
    from mlib.db.library import Library


# --- Models at several paths, or with the same weights

_COLUMNS = ", ".join(f"f.{column}" for column in FILE_COLUMNS.split(", "))


def repeated(library: Library) -> dict[str, list[KnownFile]]:
    """The present files of every model that has several with different (device, inode), by SHA-256."""
    rows = library.all(
        f"SELECT {_COLUMNS} FROM files AS f WHERE f.missing_since IS NULL AND f.sha256 IN"
        " (SELECT sha256 FROM file_counts WHERE present > 1)"
        " ORDER BY f.sha256, f.directory, f.name"
    )
    return _by_model([file_of(row) for row in rows])


def of_models(library: Library, shas: list[str]) -> dict[str, list[KnownFile]]:
    """The present files of those of these models that have several, by SHA-256."""
    found = {}
    for sha256 in shas:
        rows = library.all(
            f"SELECT {_COLUMNS} FROM files AS f WHERE f.sha256 = ? AND f.missing_since IS NULL"
            " ORDER BY f.directory, f.name",
            [sha256],
        )
        if len(rows) > 1:
            found[sha256] = [file_of(row) for row in rows]
    return found


def same_weights(library: Library) -> dict[str, list[KnownFile]]:
    """The present files of models that differ, but not in their weights, by AutoV3."""
    rows = library.all(
        f"SELECT h.autov3, {_COLUMNS} FROM hashes AS h JOIN files AS f ON f.sha256 = h.sha256"
        " WHERE f.missing_since IS NULL AND h.autov3 IN"
        " (SELECT o.autov3 FROM hashes AS o WHERE o.autov3 IS NOT NULL AND EXISTS"
        " (SELECT 1 FROM files AS p WHERE p.sha256 = o.sha256 AND p.missing_since IS NULL)"
        " GROUP BY o.autov3 HAVING count(*) > 1)"
        " ORDER BY h.autov3, f.directory, f.name"
    )
    found: dict[str, list[KnownFile]] = {}
    for autov3, *row in rows:
        found.setdefault(autov3, []).append(file_of(tuple(row)))
    return found


def _by_model(files: list[KnownFile]) -> dict[str, list[KnownFile]]:
    found: dict[str, list[KnownFile]] = {}
    for file in files:
        found.setdefault(file.sha256, []).append(file)
    return found


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


def present_in(library: Library, directory: str) -> list[tuple[str, str]]:
    """Name and SHA-256 of every present file of one directory."""
    rows = library.all(
        "SELECT name, sha256 FROM files WHERE directory = ? AND missing_since IS NULL",
        [stored_path(directory)],
    )
    return [(path_of(name), sha256) for name, sha256 in rows]


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


def remove_all_of(library: Library, sha256: str) -> None:
    """Drop every row of one model; what was seen at those places stays."""
    library.execute("DELETE FROM files WHERE sha256 = ?", [sha256])


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


# --- Files by name, as loaders look them up

#: SQLite takes at least 999 parameters.
_AT_ONCE = 500


class Placed(NamedTuple):
    """A path where a model is, or was, and its root."""

    directory: str
    name: str
    sha256: str
    root_id: int | None
    present: bool


class PresentFile(NamedTuple):
    """A present file of a model; `identity` is the same for hard links."""

    sha256: str
    directory: str
    name: str
    identity: tuple[int | None, int | None]


class PresentModel(NamedTuple):
    """A model in one line; `size_bytes` is that of its content."""

    sha256: str
    name: str
    type: str
    size_bytes: int | None


def placed_by_names(library: Library, names: Iterable[str]) -> Iterator[Placed]:
    """Every row, present and missing, of files of exactly these names."""
    wanted = [stored_path(name) for name in dict.fromkeys(names)]
    for start in range(0, len(wanted), _AT_ONCE):
        batch = wanted[start : start + _AT_ONCE]
        marks = ",".join("?" * len(batch))
        rows = library.all(
            "SELECT directory, name, sha256, root_id, missing_since IS NULL FROM files"
            f" WHERE name IN ({marks}) ORDER BY name, directory, sha256",
            batch,
        )
        for directory, name, sha256, root_id, present in rows:
            yield Placed(path_of(directory), path_of(name), sha256, root_id, bool(present))


def all_names(library: Library) -> list[str]:
    """The name of every file, present or missing, once: read from an index alone."""
    return [path_of(name) for (name,) in library.all("SELECT DISTINCT name FROM files")]


def present_models(library: Library) -> list[PresentModel]:
    """Every model with a file, in no order."""
    rows = library.all(
        "SELECT sha256, name, type, size_bytes FROM models AS m WHERE EXISTS"
        " (SELECT 1 FROM files AS f WHERE f.sha256 = m.sha256 AND f.missing_since IS NULL)"
    )
    return [PresentModel(*row) for row in rows]


def paths_of_models(library: Library) -> Iterator[tuple[str, str, bool]]:
    """SHA-256, path and whether it is present, of every file, model by model in the order of
    `files.of_model`."""
    rows = library.all(
        "SELECT sha256, directory, name, missing_since IS NULL FROM files ORDER BY sha256,"
        " missing_since IS NOT NULL, missing_since DESC, length(directory) + length(name), directory, name"
    )
    for sha256, directory, name, present in rows:
        yield sha256, os.path.join(path_of(directory), path_of(name)), bool(present)


def present_files(library: Library) -> list[PresentFile]:
    """Every present file, by directory and name."""
    rows = library.all(
        "SELECT sha256, directory, name, device, inode FROM files WHERE missing_since IS NULL"
        " ORDER BY directory, name"
    )
    return [
        PresentFile(sha256, path_of(directory), path_of(name), (device, inode))
        for sha256, directory, name, device, inode in rows
    ]


# --- When files were last read in full

_VERIFIED_COLUMNS = ", ".join(f"f.{column}" for column in FILE_COLUMNS.split(", "))
#: A scan's hash is a reading of the whole file as much as a verification is.
_READ_AT = "max(coalesce(v.verified_at, 0), coalesce(f.hashed_at, 0))"
_FROM = (
    "FROM files AS f LEFT JOIN verified AS v"
    " ON v.directory = f.directory AND v.name = f.name AND v.sha256 = f.sha256"
)


class LastRead(NamedTuple):
    """A present file, and when all of it was last read (ms); 0 for never."""

    file: KnownFile
    read_at: int


def last_read(library: Library, sha256: str | None = None) -> list[LastRead]:
    """Every present file, or those of one model, the one that was not read for the longest time first."""
    of_model = "" if sha256 is None else " AND f.sha256 = ?"
    rows = library.all(
        f"SELECT {_READ_AT}, {_VERIFIED_COLUMNS} {_FROM} WHERE f.missing_since IS NULL{of_model}"
        " ORDER BY 1, f.directory, f.name",
        [] if sha256 is None else [sha256],
    )
    return [LastRead(file_of(row[1:]), row[0]) for row in rows]


def put_verified(library: Library, files: Iterable[KnownFile], moment: int) -> None:
    """Note that these files were read whole just now; one that another mlib has removed is passed over."""
    for file in files:
        key = {
            "directory": stored_path(file.directory),
            "name": stored_path(file.name),
            "sha256": file.sha256,
        }
        where = "SELECT 1 FROM files WHERE directory = ? AND name = ? AND sha256 = ?"
        if library.one(where, list(key.values())) is not None:
            upsert(library, "verified", [{**key, "verified_at": moment}], key=tuple(key))
