"""The sidecars that were read, by place, and what they said; and what they gave to the models beside them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import path_of, stored_path
from mlib.db.writing import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.db.library import Library

#: The kind of a sidecar that belongs to no model: its name was seen, it was not opened.
ORPHAN = "orphan"
#: The kind of a row that is about a model and no sidecar: what it was given. Its size tells which hashes
#: were known then; its JSON is a list of the model's SHA-256 and of the fields that sidecars filled.
GIVEN = "given"
#: The kind under which a model is listed that the sidecars of its directory were not compared with yet.
OWED = "owed"

#: Which hashes of a model are known that a sidecar may claim.
_KNOWN_HASHES = "(h.autov3 IS NOT NULL) + 2 * (h.crc32 IS NOT NULL) + 4 * (h.blake3 IS NOT NULL)"

_LAST = 2**63 - 1

#: Size, mtime in ns and inode: what must be equal for a sidecar to be believed unchanged.
Stamp = tuple[int, int, int]


class Seen(NamedTuple):
    """What is known of a sidecar without looking at what it said."""

    kind: str
    stamp: Stamp


@dataclass(frozen=True, slots=True)
class KnownSidecar:
    """A sidecar as it was read last; `sidecar_json` is None where it could not be, or said nothing."""

    name: str
    kind: str
    size_bytes: int
    mtime_ns: int
    inode: int
    sidecar_json: str | None

    @property
    def stamp(self) -> Stamp:
        """What must be equal for it to be believed unchanged."""
        return self.size_bytes, self.mtime_ns, self.inode


def directories(library: Library) -> set[str]:
    """Every directory in which a sidecar is known: one index probe each."""
    found: set[str] = set()
    row = library.one("SELECT min(directory) FROM sidecars")
    while row is not None and row[0] is not None:
        found.add(path_of(row[0]))
        row = library.one("SELECT min(directory) FROM sidecars WHERE directory > ?", [row[0]])
    return found


def in_directory(library: Library, directory: str) -> dict[str, Seen]:
    """The sidecars known in one directory, by name, and of kind OWED the models they were not compared with.

    That is so where a scan was cut off, a staged model was imported, or another of its hashes was computed.
    """
    rows = library.all(
        "SELECT name, kind, size_bytes, mtime_ns, inode FROM sidecars WHERE directory = ? AND kind != ?",
        [stored_path(directory), GIVEN],
    )
    owed = library.all(
        "SELECT f.name FROM files AS f LEFT JOIN hashes AS h ON h.sha256 = f.sha256"
        " LEFT JOIN sidecars AS s ON s.directory = f.directory AND s.name = f.name AND s.kind = ?"
        " WHERE f.directory = ? AND f.missing_since IS NULL AND (s.name IS NULL"
        f" OR substr(s.sidecar_json, 3, 64) != f.sha256 OR s.size_bytes != {_KNOWN_HASHES})",
        [GIVEN, stored_path(directory)],
    )
    found = {path_of(name): Seen(kind, (size, mtime, inode)) for name, kind, size, mtime, inode in rows}
    return {path_of(name): Seen(OWED, (0, 0, 0)) for (name,) in owed} | found


def get(library: Library, directory: str, name: str) -> KnownSidecar | None:
    """The sidecar known at one place."""
    row = library.one(
        "SELECT kind, size_bytes, mtime_ns, inode, sidecar_json FROM sidecars"
        " WHERE directory = ? AND name = ? AND kind != ?",
        [stored_path(directory), stored_path(name), GIVEN],
    )
    return None if row is None else KnownSidecar(name, *row)


def put(library: Library, directory: str, sidecars: Iterable[KnownSidecar]) -> None:
    """Keep what was read."""
    rows = [
        {
            "directory": stored_path(directory),
            "name": stored_path(each.name),
            "kind": each.kind,
            "size_bytes": each.size_bytes,
            # One beyond 2262 is kept as the last that SQLite can hold.
            "mtime_ns": min(each.mtime_ns, _LAST),
            "inode": each.inode,
            "sidecar_json": each.sidecar_json,
        }
        for each in sidecars
    ]
    upsert(library, "sidecars", rows, key=("directory", "name"))


def remove(library: Library, directory: str, names: Iterable[str]) -> None:
    """Forget sidecars that are gone."""
    for name in names:
        library.execute(
            "DELETE FROM sidecars WHERE directory = ? AND name = ? AND kind != ?",
            [stored_path(directory), stored_path(name), GIVEN],
        )


def given(library: Library, directory: str, name: str, sha256: str) -> frozenset[str]:
    """The fields of this model that sidecars have filled while its file lay at this place."""
    row = library.one(
        "SELECT sidecar_json FROM sidecars WHERE directory = ? AND name = ? AND kind = ?",
        [stored_path(directory), stored_path(name), GIVEN],
    )
    said = [] if row is None else json.loads(row[0])
    return frozenset(said[1:] if said[:1] == [sha256] else ())


def put_given(library: Library, directory: str, name: str, sha256: str, fields: Iterable[str]) -> None:
    """Note that the model at this place was compared with its sidecars, as they and its hashes are now."""
    known = library.one(f"SELECT {_KNOWN_HASHES} FROM hashes AS h WHERE h.sha256 = ?", [sha256])
    row = {
        "directory": stored_path(directory),
        "name": stored_path(name),
        "kind": GIVEN,
        "size_bytes": 0 if known is None else known[0],
        "mtime_ns": 0,
        "inode": 0,
        "sidecar_json": json.dumps([sha256, *sorted(fields)]),
    }
    upsert(library, "sidecars", [row], key=("directory", "name"))
