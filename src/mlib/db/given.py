"""What sidecars gave to the models beside them, by place, and which models they are still owed to."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.db.rows import fields_of, path_of, stored_fields, stored_path
from mlib.db.writing import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.db.library import Library

#: Which hashes of a model are known that a sidecar may claim, as a number.
_KNOWN_HASHES = "(h.autov3 IS NOT NULL) + 2 * (h.crc32 IS NOT NULL) + 4 * (h.blake3 IS NOT NULL)"


def get(library: Library, directory: str, name: str, sha256: str) -> frozenset[str]:
    """The fields of this model that sidecars have filled while its file lay at this place."""
    row = library.one(
        "SELECT fields FROM given WHERE directory = ? AND name = ? AND sha256 = ?",
        [stored_path(directory), stored_path(name), sha256],
    )
    return frozenset() if row is None else fields_of(row[0])


def anywhere(library: Library, sha256: str) -> frozenset[str]:
    """The fields of this model that sidecars have filled at any place."""
    rows = library.all("SELECT fields FROM given WHERE sha256 = ?", [sha256])
    return frozenset().union(*(fields_of(fields) for (fields,) in rows))


def put(library: Library, directory: str, name: str, sha256: str, fields: Iterable[str]) -> None:
    """Note that the model at this place was compared with its sidecars, as they and its hashes are now."""
    known = library.one(f"SELECT {_KNOWN_HASHES} FROM hashes AS h WHERE h.sha256 = ?", [sha256])
    row = {
        "directory": stored_path(directory),
        "name": stored_path(name),
        "sha256": sha256,
        "known_hashes": 0 if known is None else known[0],
        "fields": stored_fields(frozenset(fields)),
    }
    upsert(library, "given", [row], key=("directory", "name"))


def owe(library: Library, directory: str, name: str) -> None:
    """Have the model at this place compared with its sidecars once more."""
    library.execute(
        "UPDATE given SET known_hashes = -1 WHERE directory = ? AND name = ?",
        [stored_path(directory), stored_path(name)],
    )


def move(library: Library, sha256: str, old: tuple[str, str], new: tuple[str, str]) -> None:
    """Let what a model was given at one (directory, name) be what it was given at another."""
    before = [*(stored_path(part) for part in old), sha256]
    held = "SELECT 1 FROM given WHERE directory = ? AND name = ? AND sha256 = ?"
    if library.one(held, before) is None or old == new:
        return
    after = [stored_path(part) for part in new]
    library.execute("DELETE FROM given WHERE directory = ? AND name = ?", after)
    library.execute(
        "UPDATE given SET directory = ?, name = ? WHERE directory = ? AND name = ? AND sha256 = ?",
        [*after, *before],
    )


def owed(library: Library, directory: str) -> set[str]:
    """The names of the models in one directory that their sidecars were not compared with yet.

    That is so where a scan was cut off, a staged model was imported, or another of its hashes was computed.
    """
    rows = library.all(
        "SELECT f.name FROM files AS f LEFT JOIN hashes AS h ON h.sha256 = f.sha256"
        " LEFT JOIN given AS g ON g.directory = f.directory AND g.name = f.name AND g.sha256 = f.sha256"
        " WHERE f.directory = ? AND f.missing_since IS NULL"
        f" AND (g.name IS NULL OR g.known_hashes != {_KNOWN_HASHES})",
        [stored_path(directory)],
    )
    return {path_of(name) for (name,) in rows}
