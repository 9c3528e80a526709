"""Columns of a list for many models at once: one statement per table."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias

from mlib.db.pending import observed_file
from mlib.db.rows import FILE_COLUMNS, FINDING_HOLDS, file_of, path_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mlib.core.records import KnownFile
    from mlib.db.library import Library
    from mlib.db.rows import Row
    from mlib.db.search import Sketch

#: What is read only where it is wanted.
Part: TypeAlias = Literal["texts", "tags", "files", "content", "findings"]


class Listed(NamedTuple):
    """A model, or a pending import (its `pending_id` is set), without free metadata.

    What was not asked for is empty; texts are description and notes. Files stand in the order of
    `files.of_model`. Kind, format and trigger words are those of the content itself; `findings` are codes,
    each once.
    """

    sha256: str | None
    pending_id: int | None
    name: str
    type: str
    base_model: str
    size_bytes: int | None
    description: str
    notes: str
    created_at: int
    updated_at: int
    tags: tuple[str, ...] = ()
    files: tuple[KnownFile, ...] = ()
    kind: str = ""
    format: str = ""
    trigger_words: tuple[str, ...] = ()
    findings: tuple[str, ...] = ()


_COLUMNS = "name, type, base_model, size_bytes, description, notes, created_at"
_GIVEN = "IN (SELECT value FROM json_each(?))"
# A plain join would go through every bearer of every tag, to have them in order.
_TAGS = (
    "SELECT b.{0}, t.name FROM {1} AS b CROSS JOIN tags AS t ON t.id = b.tag_id"
    " WHERE b.{0} {2} ORDER BY t.folded"
)
_FILES = (
    f"SELECT {FILE_COLUMNS} FROM files WHERE sha256 {_GIVEN} ORDER BY missing_since IS NOT NULL,"
    " missing_since DESC, length(directory) + length(name), directory, name"
)
_PRESENT = (
    f"SELECT directory, name, sha256 FROM files WHERE sha256 {_GIVEN} AND missing_since IS NULL"
    " ORDER BY length(directory) + length(name), directory, name"
)
_WAITING_FILES = (
    "SELECT p.id, p.path, coalesce(p.sha256, ''), f.root_id, f.size_bytes, f.mtime_ns, f.device, f.inode,"
    " f.xxh3, f.hashed_at, f.racy FROM pending_import AS p JOIN pending_files AS f ON f.pending_id = p.id"
    f" WHERE p.id {_GIVEN}"
)
_CONTENTS = (
    "SELECT sha256, kind, format, json_extract(usage_json, '$.trigger_words') FROM contents"
    f" WHERE sha256 {_GIVEN}"
)
_FINDINGS = (
    f"SELECT w.sha256, w.code FROM findings AS w WHERE w.sha256 {_GIVEN} AND {FINDING_HOLDS}"
    " GROUP BY w.sha256, w.code ORDER BY max(w.serious) DESC, w.code"
)


def of_models(library: Library, shas: Sequence[str], *, parts: AbstractSet[Part]) -> dict[str, Listed]:
    """These models by SHA-256, always with their texts; one that went away meanwhile is left out."""
    given = json.dumps(shas)
    rows = library.all(f"SELECT sha256, {_COLUMNS}, updated_at FROM models WHERE sha256 {_GIVEN}", [given])
    return _completed(library, rows, given, parts)


def of_sketches(
    library: Library, sketches: Sequence[Sketch], *, parts: AbstractSet[Part]
) -> dict[str, Listed]:
    """Models of which a search has told enough, by SHA-256; without texts."""
    rows = [
        (sha256, name, kind, base_model, size_bytes, "", "", created_at, updated_at)
        for sha256, _, name, kind, base_model, size_bytes, created_at, updated_at in sketches
    ]
    return _completed(library, rows, json.dumps([row[0] for row in rows]), parts)


def present_places(library: Library, shas: Sequence[str]) -> list[tuple[str, str, str]]:
    """Directory, name and SHA-256 of every present file of these models, in the order of `files.of_model`."""
    rows = library.all(_PRESENT, [json.dumps(shas)])
    return [(path_of(directory), path_of(name), sha256) for directory, name, sha256 in rows]


def _completed(
    library: Library, rows: Sequence[Row], shas: str, parts: AbstractSet[Part]
) -> dict[str, Listed]:
    given = [shas]
    tags, files = {}, {}
    if "tags" in parts:
        tags = _grouped(library.all(_TAGS.format("sha256", "model_tags", _GIVEN), given))
    if "files" in parts:
        files = _grouped((file.sha256, file) for file in map(file_of, library.all(_FILES, given)))
    told = _told(library, given, parts)
    return {
        row[0]: Listed._make(
            (row[0], None, *row[1:], tags.get(row[0], ()), files.get(row[0], ()), *told(row[0]))
        )
        for row in rows
    }


def of_pending(library: Library, ids: Sequence[int], *, parts: AbstractSet[Part]) -> dict[int, Listed]:
    """These pending imports by id; one that went away meanwhile is left out."""
    given = [json.dumps(ids)]
    rows = library.all(
        f"SELECT id, sha256, {_COLUMNS}, created_at FROM pending_import WHERE id {_GIVEN}", given
    )
    tags = _grouped(library.all(_TAGS.format("pending_id", "pending_model_tags", _GIVEN), given))
    files = _grouped(
        (pending_id, observed_file(path_of(path), sha256, rest))
        for pending_id, path, sha256, *rest in library.all(_WAITING_FILES, given)
    )
    told = _told(library, [json.dumps([row[1] for row in rows if row[1]])], parts)
    return {
        row[0]: Listed._make(
            (row[1], row[0], *row[2:], tags.get(row[0], ()), files.get(row[0], ()), *told(row[1]))
        )
        for row in rows
    }


def _told(library: Library, given: list[str], parts: AbstractSet[Part]) -> Callable[[str | None], Row]:
    """Kind, format, trigger words and findings of a content."""
    contents: Mapping[str, Row] = {}
    findings: Mapping[str, Row] = {}
    if "content" in parts:
        contents = {
            sha256: (kind, format_, tuple(json.loads(words)) if words else ())
            for sha256, kind, format_, words in library.all(_CONTENTS, given)
        }
    if "findings" in parts:
        findings = _grouped(library.all(_FINDINGS, given))

    def told(sha256: str | None) -> Row:
        return (*contents.get(sha256 or "", ("", "", ())), findings.get(sha256 or "", ()))

    return told


def _grouped(pairs: Iterable[tuple[Any, ...]]) -> dict[Any, tuple[Any, ...]]:
    found: dict[Any, list[Any]] = {}
    for key, value in pairs:
        found.setdefault(key, []).append(value)
    return {key: tuple(values) for key, values in found.items()}
