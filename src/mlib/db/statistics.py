"""Counting models and files: by the indexes alone (`models_kind`, `files_sha256`, `files_root`).

A model's files all have its size. So it is counted as one with one present file, and only those that have
more, or one that is missing, are looked at one by one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import FINDING_HOLDS, path_of

if TYPE_CHECKING:
    from mlib.db.library import Library


class Figures(NamedTuple):
    """Counts and bytes. `unique_bytes` counts a file once however many hard links it has; `freeable_bytes`
    is what copies of the same content take beyond one; `missing` are models without a present file."""

    models: int = 0
    files: int = 0
    size_bytes: int = 0
    unique_bytes: int = 0
    duplicates: int = 0
    freeable_bytes: int = 0
    missing: int = 0

    def plus(self, other: Figures) -> Figures:
        """Both together."""
        return Figures(*map(sum, zip(self, other, strict=True)))


class RootFigures(NamedTuple):
    """The present files of a root, and how many of it are missing; no path for files of no root."""

    type: str
    path: str | None
    files: int
    size_bytes: int
    missing: int


#: What is counted too much or too little for models that are not the ordinary case.
_CORRECTIONS = (
    "SELECT type, base_model, sum(present - 1), total((present - 1) * size), total((inodes - 1) * size),"
    " sum(max(inodes - 1, 0)), total(max(inodes - 1, 0) * size), sum(present = 0)"
    " FROM (SELECT m.type, m.base_model, coalesce(m.size_bytes, 0) AS size, count(f.sha256) AS present,"
    " count(DISTINCT f.device || ':' || f.inode) AS inodes"
    " FROM json_each(?) AS e CROSS JOIN models AS m ON m.sha256 = e.value"
    " LEFT JOIN files AS f INDEXED BY files_sha256 ON f.sha256 = m.sha256 AND f.missing_since IS NULL"
    " GROUP BY e.id) GROUP BY type, base_model"
)


#: Digests are spread evenly: about half of all models are below this one.
_MIDDLE = "8"


class Unusual(NamedTuple):
    """What the models with several rows in `files`, or with a missing one, differ by from the ordinary case,
    by type and base model; and how many rows the former have beyond one each."""

    corrections: dict[tuple[str, str], Figures]
    more_rows: int


def by_kind(library: Library) -> dict[tuple[str, str], Figures]:
    """The figures of each type and base model, as if each model had one present file."""
    return {
        (kind, base): Figures(models, models, int(size), int(size))
        for kind, base, models, size in library.all(
            "SELECT type, base_model, count(*), total(size_bytes) FROM models INDEXED BY models_kind"
            " GROUP BY type, base_model"
        )
    }


def unusual(library: Library, *, upper: bool) -> Unusual:
    """What must be added for the models on one side of the middle; two thirds of what all figures cost."""
    half = f"sha256 {'>=' if upper else '<'} '{_MIDDLE}'"
    # As one row: between two, a thread of Python waits for the other. In order: neighbours are found faster.
    ((found, more_rows),) = library.all(
        "SELECT json_group_array(sha256), total(more) FROM (SELECT sha256, max(more) AS more FROM"
        " (SELECT sha256, count(*) - 1 AS more FROM files INDEXED BY files_sha256"
        f" WHERE {half} GROUP BY sha256 HAVING count(*) > 1"
        " UNION ALL SELECT sha256, 0 FROM files INDEXED BY files_root"
        f" WHERE root_id IN (SELECT id FROM roots) AND missing_since > 0 AND {half}"
        " UNION ALL SELECT sha256, 0 FROM files INDEXED BY files_root"
        f" WHERE root_id IS NULL AND missing_since > 0 AND {half}) GROUP BY sha256)"
    )
    corrections = {
        (kind, base): Figures(0, *map(int, values))
        for kind, base, *values in library.all(_CORRECTIONS, [found])
    }
    return Unusual(corrections, int(more_rows))


def without_rows(library: Library) -> dict[tuple[str, str], Figures]:
    """What the models without any row in `files` differ by. Looks at every model."""
    return {
        (kind, base): Figures(0, -models, -int(size), -int(size), missing=models)
        for kind, base, models, size in library.all(
            "SELECT m.type, m.base_model, count(*), total(m.size_bytes) FROM models AS m"
            " WHERE NOT EXISTS (SELECT 1 FROM files AS f WHERE f.sha256 = m.sha256)"
            " GROUP BY m.type, m.base_model"
        )
    }


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
        RootFigures(kind, path_of(path), *present.get(root_id, (0, 0)), missing.get(root_id, 0))
        for root_id, kind, path in library.all("SELECT id, type, path FROM roots ORDER BY position, id")
    ]
    if None in present or missing.get(None):
        found.append(RootFigures("", None, *present.get(None, (0, 0)), missing.get(None, 0)))
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
        "SELECT t.name, count(*), sum(present), total(present * size), total(inodes * size),"
        " sum(max(inodes - 1, 0)), total(max(inodes - 1, 0) * size), sum(present = 0) FROM model_tags AS mt"
        " JOIN tags AS t ON t.id = mt.tag_id"
        " JOIN (SELECT m.sha256, coalesce(m.size_bytes, 0) AS size,"
        " count(f.sha256) AS present, count(DISTINCT f.device || ':' || f.inode) AS inodes FROM models AS m"
        " LEFT JOIN files AS f ON f.sha256 = m.sha256 AND f.missing_since IS NULL GROUP BY m.sha256) AS e"
        " ON e.sha256 = mt.sha256 GROUP BY mt.tag_id ORDER BY count(*) DESC, t.folded"
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
