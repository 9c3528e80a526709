"""Sidecars as last read, by place, and the fields that they filled."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import fields_of, path_of, stored_fields, stored_path, upsert

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlib.core.sidecars.filling import Named
    from mlib.core.sidecars.record import Sidecar
    from mlib.db.library import Library


# --- Fields that sidecars filled, by place

#: Which hashes of a model are known that a sidecar may claim, as a number.
_KNOWN_HASHES = "(h.autov3 IS NOT NULL) + 2 * (h.crc32 IS NOT NULL) + 4 * (h.blake3 IS NOT NULL)"


def filled_at(library: Library, directory: str, name: str, sha256: str) -> frozenset[str]:
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


def put_filled(library: Library, directory: str, name: str, sha256: str, fields: Iterable[str]) -> None:
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


def move_filled(library: Library, sha256: str, old: tuple[str, str], new: tuple[str, str]) -> None:
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


#: The kind of a sidecar that belongs to no model: its name was seen, it was not opened.
ORPHAN = "orphan"
#: Size, mtime in ns and inode: what must be equal for a sidecar to be believed unchanged.
Stamp = tuple[int, int, int]

#: SQLite takes at least 999 parameters.
_AT_ONCE = 500
#: What of a sidecar tells its words and whose they are: the rest, a description above all, is most of it.
_WORDS = ("trigger_words", "hashes", "other_sha256", "other_hashes")
_LIGHT = "json_extract(s.sidecar_json, {})".format(", ".join(f"'$.{name}'" for name in _WORDS))


class SeenSidecar(NamedTuple):
    """What is known of a sidecar without looking at what it said."""

    kind: str
    stamp: Stamp


class KnownSidecar(NamedTuple):
    """A sidecar as it was read last; `sidecar_json` is None where it could not be, or was not of its kind.

    One that said nothing is kept as a Sidecar of which only the kind is known.
    """

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


def in_directory(library: Library, directory: str) -> dict[str, SeenSidecar]:
    """The sidecars known in one directory, by name."""
    rows = library.all(
        "SELECT name, kind, size_bytes, mtime_ns, inode FROM sidecars WHERE directory = ?",
        [stored_path(directory)],
    )
    return {path_of(name): SeenSidecar(kind, (size, mtime, inode)) for name, kind, size, mtime, inode in rows}


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


def mark_stale(library: Library) -> None:
    """Have every sidecar read again, also of drives that are off now, when a scan next comes by."""
    library.execute("UPDATE sidecars SET mtime_ns = -1")


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


def are_known(library: Library) -> bool:
    """Whether any sidecar is known."""
    return library.one("SELECT 1 FROM sidecars LIMIT 1") is not None


def names_in(library: Library, directory: str) -> list[str]:
    """The names of the sidecars known in one directory."""
    rows = library.all("SELECT name FROM sidecars WHERE directory = ?", [stored_path(directory)])
    return [path_of(name) for (name,) in rows]


def said_by(library: Library, directory: str, names: Sequence[str]) -> dict[str, Named]:
    """What these sidecars of one directory said, by name; one that could not be read is left out."""
    from mlib.core.sidecars.filling import Named
    from mlib.core.sidecars.record import unpacked

    texts = _texts(library, directory, names, "s.sidecar_json")
    return {name: Named(name, unpacked(text)) for name, text in texts}


def words_of(library: Library, directory: str, names: Sequence[str]) -> dict[str, Named]:
    """The same of trigger words and hashes alone, at a fraction of the cost."""
    from mlib.core.sidecars.filling import Named

    return {name: Named(name, _lightly(text)) for name, text in _texts(library, directory, names, _LIGHT)}


def _texts(library: Library, directory: str, names: Sequence[str], column: str) -> Iterator[tuple[str, str]]:
    for start in range(0, len(names), _AT_ONCE):
        batch = [stored_path(name) for name in names[start : start + _AT_ONCE]]
        marks = ",".join("?" * len(batch))
        rows = library.all(
            f"SELECT s.name, {column} FROM sidecars AS s WHERE s.directory = ?"
            f" AND s.name IN ({marks}) AND s.sidecar_json IS NOT NULL",
            [stored_path(directory), *batch],
        )
        yield from ((path_of(name), text) for name, text in rows)


def _lightly(text: str) -> Sidecar:
    """What _LIGHT gives, as a Sidecar of no kind."""
    from mlib.core.sidecars import record

    words, hashes, other_sha256, other_hashes = json.loads(text)
    return record.Sidecar(
        "",
        trigger_words=tuple(words or ()),
        hashes=hashes or {},
        other_sha256=tuple(other_sha256 or ()),
        other_hashes=tuple(other_hashes or ()),
    )
