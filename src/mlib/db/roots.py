"""Roots."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import ROOT_COLUMNS, root_of, stored_path, update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.records import Root
    from mlib.db.library import Library


class Holding(NamedTuple):
    """What the library knows in a root: present files, their models and bytes (a hard link takes none)."""

    files: int = 0
    models: int = 0
    size_bytes: int = 0
    missing: int = 0
    seen_at: int | None = None


def all_roots(library: Library) -> list[Root]:
    """Every remembered root, in the order they were remembered."""
    return [root_of(row) for row in library.all(f"SELECT {ROOT_COLUMNS} FROM roots ORDER BY position, id")]


def remember(library: Library, roots: Iterable[Root]) -> None:
    """Add roots, or bring their type, origin and order up to date; the path is what identifies one."""
    rows = [
        {
            "path": stored_path(root.path),
            "type": root.type,
            "origin": root.origin,
            "any_file": int(root.any_file),
            "position": position,
        }
        for position, root in enumerate(roots)
    ]
    known = {path: row_id for row_id, path in library.all("SELECT id, path FROM roots")}
    table = library.database.table("roots")
    for row in rows:
        if row["path"] in known:
            table.update(known[row["path"]], row)
        else:
            table.insert({**row, "seen_at": None}, pk="id")


def id_at(library: Library, path: str) -> int | None:
    """The id of the root with this path."""
    row = library.one("SELECT id FROM roots WHERE path = ?", [stored_path(path)])
    return None if row is None else int(row[0])


def type_of(library: Library, root_id: int | None) -> str | None:
    """The type of the root with this id; None where none has it."""
    row = library.one("SELECT type FROM roots WHERE id = ?", [root_id])
    return None if row is None else str(row[0])


def has_files(library: Library, root_id: int) -> bool:
    """Whether a file, present or missing, or one that waits belongs to a root."""
    used = "SELECT 1 FROM files WHERE root_id = ?1 UNION SELECT 1 FROM pending_files WHERE root_id = ?1"
    return library.one(used, [root_id]) is not None


def models_in(library: Library, root_id: int) -> list[str]:
    """The SHA-256s of all models with a file in a root, present or missing."""
    rows = library.all("SELECT DISTINCT sha256 FROM files WHERE root_id = ?", [root_id])
    return [sha256 for (sha256,) in rows]


def mark_seen(library: Library, ids: Iterable[int], moment: int) -> None:
    """Note that these roots could be listed completely."""
    for root_id in ids:
        update(library, "roots", root_id, {"seen_at": moment})


def present_counts(library: Library) -> dict[int, int]:
    """How many present files each root holds, by its id."""
    where = "missing_since IS NULL AND root_id IS NOT NULL"
    return dict(library.all(f"SELECT root_id, count(*) FROM files WHERE {where} GROUP BY root_id"))


def holdings(library: Library) -> dict[int, Holding]:
    """What each root holds, by its id."""
    found = {
        root_id: Holding(seen_at=seen_at) for root_id, seen_at in library.all("SELECT id, seen_at FROM roots")
    }
    counts = library.all(
        "SELECT root_id, sum(missing_since IS NULL),"
        " count(DISTINCT CASE WHEN missing_since IS NULL THEN sha256 END), sum(missing_since IS NOT NULL)"
        " FROM files WHERE root_id IS NOT NULL GROUP BY root_id"
    )
    sizes = dict(
        library.all(
            "SELECT root_id, sum(size_bytes) FROM (SELECT DISTINCT root_id, coalesce(device, directory) AS d,"
            " coalesce(inode, name) AS i, size_bytes FROM files"
            " WHERE missing_since IS NULL AND root_id IS NOT NULL) GROUP BY root_id"
        )
    )
    for root_id, present, contents, missing in counts:
        size = sizes.get(root_id) or 0
        found[root_id] = Holding(present, contents, size, missing, found[root_id].seen_at)
    return found


def hand_over(library: Library, root_id: int, heir: int | None, since: int) -> int:
    """Give the files of a root to another, or mark those present as missing; how many were present."""
    count = library.all("SELECT count(*) FROM files WHERE root_id = ? AND missing_since IS NULL", [root_id])
    library.execute(
        "UPDATE files SET root_id = ?2, missing_since ="
        " CASE WHEN ?2 IS NULL THEN coalesce(missing_since, ?3) ELSE missing_since END WHERE root_id = ?1",
        [root_id, heir, since],
    )
    library.execute("UPDATE pending_files SET root_id = ? WHERE root_id = ?", [heir, root_id])
    return int(count[0][0])


def forget(library: Library, root_id: int) -> None:
    """Drop a root that nothing belongs to any more."""
    library.execute("DELETE FROM roots WHERE id = ?", [root_id])
