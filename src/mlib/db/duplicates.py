"""Which models lie at several paths, and which have the same weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.db.rows import FILE_COLUMNS, file_of

if TYPE_CHECKING:
    from mlib.core.models import KnownFile
    from mlib.db.library import Library

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
