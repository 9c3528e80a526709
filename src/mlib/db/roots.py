"""The remembered roots."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.db.rows import ROOT_COLUMNS, root_of, stored_path
from mlib.db.writing import update

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.models import Root
    from mlib.db.library import Library


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
    known = {path for (path,) in library.all("SELECT path FROM roots")}
    table = library.database.table("roots")
    for row in rows:
        if row["path"] in known:
            row_id = library.all("SELECT id FROM roots WHERE path = ?", [row["path"]])[0][0]
            table.update(row_id, row)
        else:
            table.insert({**row, "seen_at": None}, pk="id")


def mark_seen(library: Library, ids: Iterable[int], moment: int) -> None:
    """Note that these roots could be listed completely."""
    for root_id in ids:
        update(library, "roots", root_id, {"seen_at": moment})


def present_counts(library: Library) -> dict[int, int]:
    """How many present files each root holds, by its id."""
    where = "missing_since IS NULL AND root_id IS NOT NULL"
    return dict(library.all(f"SELECT root_id, count(*) FROM files WHERE {where} GROUP BY root_id"))
