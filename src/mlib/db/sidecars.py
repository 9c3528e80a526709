"""The sidecars that were read, by place, and what they said."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import path_of, stored_path
from mlib.db.writing import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.db.library import Library

#: The kind of a sidecar that belongs to no model: its name was seen, it was not opened.
ORPHAN = "orphan"
#: Size, mtime in ns and inode: what must be equal for a sidecar to be believed unchanged.
Stamp = tuple[int, int, int]


class Seen(NamedTuple):
    """What is known of a sidecar without looking at what it said."""

    kind: str
    stamp: Stamp


class KnownSidecar(NamedTuple):
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
    """The sidecars known in one directory, by name."""
    rows = library.all(
        "SELECT name, kind, size_bytes, mtime_ns, inode FROM sidecars WHERE directory = ?",
        [stored_path(directory)],
    )
    return {path_of(name): Seen(kind, (size, mtime, inode)) for name, kind, size, mtime, inode in rows}


def get(library: Library, directory: str, name: str) -> KnownSidecar | None:
    """The sidecar known at one place."""
    row = library.one(
        "SELECT kind, size_bytes, mtime_ns, inode, sidecar_json FROM sidecars"
        " WHERE directory = ? AND name = ?",
        [stored_path(directory), stored_path(name)],
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
            "mtime_ns": each.mtime_ns,
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
            "DELETE FROM sidecars WHERE directory = ? AND name = ?",
            [stored_path(directory), stored_path(name)],
        )


def move(library: Library, old: tuple[str, str], new: tuple[str, str], stamp: Stamp) -> None:
    """Know a sidecar under the (directory, name) it was moved to; `stamp` is its own there."""
    place = [stored_path(part) for part in old]
    known = library.one("SELECT 1 FROM sidecars WHERE directory = ? AND name = ?", place)
    if known is None or old == new:
        return
    remove(library, new[0], [new[1]])
    library.execute(
        "UPDATE sidecars SET directory = ?, name = ?, size_bytes = ?, mtime_ns = ?, inode = ?"
        " WHERE directory = ? AND name = ?",
        [*(stored_path(part) for part in new), *stamp, *place],
    )
