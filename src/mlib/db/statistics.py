"""Counting models and files: by the indexes `models_kind` and `files_root`, and by `file_counts`.

A model's files all have its size.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import FINDING_HOLDS, path_of

if TYPE_CHECKING:
    from mlib.db.library import Library


class Figures(NamedTuple):
    """Counts and bytes. `unique_bytes` counts a file once however many hard links it has; `freeable_bytes`
    is what copies of the same content take beyond one; `missing` are models without a present file, and
    `findings` those with which something is wrong."""

    models: int = 0
    files: int = 0
    size_bytes: int = 0
    unique_bytes: int = 0
    duplicates: int = 0
    freeable_bytes: int = 0
    missing: int = 0
    findings: int = 0

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(*map(sum, zip(self, other, strict=True)))


class RootFigures(NamedTuple):
    """The present files of a root, and how many of it are missing; no id and path for files of no root."""

    id: int | None
    type: str
    path: str | None
    files: int
    size_bytes: int
    missing: int


#: The models with which something is wrong that holds now.
_TROUBLED = f"(SELECT DISTINCT w.sha256 FROM findings AS w WHERE {FINDING_HOLDS})"


def by_kind(library: Library) -> dict[tuple[str, str], Figures]:
    """The figures of each type and base model.

    Every model is counted as one file first; then what is different with those that are not.
    """
    found = {
        (kind, base): Figures(models, models, int(size), int(size))
        for kind, base, models, size in library.all(
            "SELECT type, base_model, count(*), total(size_bytes) FROM models INDEXED BY models_kind"
            " GROUP BY type, base_model"
        )
    }
    for kind, base, *values in library.all(
        "SELECT m.type, m.base_model, sum(c.present - 1), total((c.present - 1) * m.size_bytes),"
        " total((c.inodes - 1) * m.size_bytes), sum(max(c.inodes - 1, 0)),"
        " total(max(c.inodes - 1, 0) * m.size_bytes), sum(c.present = 0)"
        " FROM file_counts AS c CROSS JOIN models AS m ON m.sha256 = c.sha256 GROUP BY m.type, m.base_model"
    ):
        found[kind, base] = found[kind, base].plus(Figures(0, *map(int, values)))
    for kind, base, models in library.all(
        f"SELECT m.type, m.base_model, count(*) FROM {_TROUBLED} AS e CROSS JOIN models AS m"
        " ON m.sha256 = e.sha256 GROUP BY m.type, m.base_model"
    ):
        found[kind, base] = found[kind, base].plus(Figures(findings=models))
    return found


def by_root(library: Library) -> list[RootFigures]:
    """The figures of each remembered root, and last of the files of none."""
    present = {
        root_id: (files, int(size))
        for root_id, files, size in library.all(
            "SELECT root_id, count(*), total(size_bytes) FROM files INDEXED BY files_root"
            " WHERE missing_since IS NULL GROUP BY root_id"
        )
    }
    ids = "(SELECT id FROM roots)"
    missing = dict(
        library.all(
            "SELECT root_id, count(*) FROM files INDEXED BY files_root"
            f" WHERE root_id IN {ids} AND missing_since > 0 GROUP BY root_id"
            " UNION ALL SELECT NULL, count(*) FROM files INDEXED BY files_root"
            " WHERE root_id IS NULL AND missing_since > 0"
        )
    )
    found = [
        RootFigures(root_id, kind, path_of(path), *present.get(root_id, (0, 0)), missing.get(root_id, 0))
        for root_id, kind, path in library.all("SELECT id, type, path FROM roots ORDER BY position, id")
    ]
    if None in present or missing.get(None):
        found.append(RootFigures(None, "", None, *present.get(None, (0, 0)), missing.get(None, 0)))
    return found


def in_full_by_root(library: Library) -> dict[int | None, Figures]:
    """The figures of each root, by its id: of the models with a present file in it.

    Copies are those within the root, and `missing` are files. Looks at every file of models with several.
    """
    found = {
        root.id: Figures(root.files, root.files, root.size_bytes, root.size_bytes, missing=root.missing)
        for root in by_root(library)
    }
    for root_id, more_files, linked, *copies in library.all(
        "SELECT root_id, sum(files - 1), total((files - inodes) * size), sum(inodes - 1),"
        " total((inodes - 1) * size) FROM (SELECT f.root_id, count(*) AS files,"
        " count(DISTINCT f.device || ':' || f.inode) AS inodes, coalesce(m.size_bytes, 0) AS size"
        " FROM file_counts AS c CROSS JOIN files AS f INDEXED BY files_sha256"
        " ON f.sha256 = c.sha256 AND f.missing_since IS NULL CROSS JOIN models AS m ON m.sha256 = c.sha256"
        " WHERE c.present > 1 GROUP BY c.sha256, f.root_id HAVING count(*) > 1) GROUP BY root_id"
    ):
        found[root_id] = found[root_id].plus(Figures(-more_files, 0, 0, -int(linked), *map(int, copies)))
    for root_id, models in library.all(
        "SELECT f.root_id, count(DISTINCT w.sha256) FROM findings AS w CROSS JOIN files AS f"
        " ON f.sha256 = w.sha256 AND f.missing_since IS NULL"
        " AND (w.name = '' OR (f.directory = w.directory AND f.name = w.name)) GROUP BY f.root_id"
    ):
        found[root_id] = found[root_id].plus(Figures(findings=models))
    return found


def by_tag(library: Library) -> list[tuple[str, int]]:
    """How many models bear each tag, the commonest first."""
    rows = library.all(
        "SELECT t.name, count(*) AS models FROM model_tags AS mt JOIN tags AS t ON t.id = mt.tag_id"
        " GROUP BY mt.tag_id ORDER BY models DESC, t.folded"
    )
    return [(name, models) for name, models in rows]


def in_full_by_tag(library: Library) -> dict[str, Figures]:
    """The figures of each tag. Looks at every model that bears one."""
    rows = library.all(
        "SELECT name, count(*), sum(present), total(present * size), total(inodes * size),"
        " sum(max(inodes - 1, 0)), total(max(inodes - 1, 0) * size), sum(present = 0), sum(wrong) FROM"
        " (SELECT t.id, t.name, t.folded, coalesce(m.size_bytes, 0) AS size,"
        " coalesce(c.present, 1) AS present, coalesce(c.inodes, 1) AS inodes, e.sha256 IS NOT NULL AS wrong"
        " FROM tags AS t JOIN model_tags AS mt ON mt.tag_id = t.id JOIN models AS m ON m.sha256 = mt.sha256"
        f" LEFT JOIN file_counts AS c ON c.sha256 = m.sha256 LEFT JOIN {_TROUBLED} AS e"
        " ON e.sha256 = m.sha256) GROUP BY id ORDER BY count(*) DESC, folded"
    )
    return {name: Figures(*map(int, values)) for name, *values in rows}


def by_finding(library: Library) -> list[tuple[str, int, bool]]:
    """How many models have each finding, and whether it is serious; the commonest first.

    Of what is wrong with places only those at which a file is present.
    """
    rows = library.all(
        "SELECT w.code, count(DISTINCT w.sha256) AS models, max(w.serious) FROM findings AS w"
        f" WHERE {FINDING_HOLDS} GROUP BY w.code ORDER BY models DESC, w.code"
    )
    return [(code, models, bool(serious)) for code, models, serious in rows]


def waiting(library: Library) -> int:
    """How many pending imports there are."""
    return int(library.all("SELECT count(*) FROM pending_import")[0][0])
