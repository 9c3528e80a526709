"""Tags and what has them. A tag is identified by its folded form, never by an id from elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.core import tag_spelling as core_tags
from mlib.db.rows import BEARERS, SUBJECTS, insert

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlib.db.library import Library

_OWNED = {
    table: f"{SUBJECTS[table]} = ? AND tag_id = (SELECT id FROM tags WHERE folded = ?)" for table in BEARERS
}


class TagCount(NamedTuple):
    """A tag as it is spelled, and how many models and pending imports bear it."""

    name: str
    models: int
    pending: int


class TagBearers(NamedTuple):
    """The SHA-256s of the models and the ids of the pending imports that bear a tag."""

    models: list[str]
    pending: list[int]


def of_model(library: Library, sha256: str) -> tuple[str, ...]:
    """A model's tags as shown, in the order of their folded forms."""
    return _names(library, "SELECT tag_id FROM model_tags WHERE sha256 = ?", sha256)


def of_pending(library: Library, pending_id: int) -> tuple[str, ...]:
    """A pending import's tags as shown, in the order of their folded forms."""
    return _names(library, "SELECT tag_id FROM pending_model_tags WHERE pending_id = ?", pending_id)


def set_of_model(library: Library, sha256: str, tags: Mapping[str, str]) -> None:
    """Make these (folded to shown) all the tags of a model."""
    _set(library, "model_tags", "sha256", sha256, tags)


def set_of_pending(library: Library, pending_id: int, tags: Mapping[str, str]) -> None:
    """Make these (folded to shown) all the tags of a pending import."""
    _set(library, "pending_model_tags", "pending_id", pending_id, tags)


def counts(library: Library) -> list[TagCount]:
    """Every tag with how many models and pending imports bear it, in the order of their folded forms."""
    rows = library.all(
        "SELECT name, (SELECT count(*) FROM model_tags WHERE tag_id = id),"
        " (SELECT count(*) FROM pending_model_tags WHERE tag_id = id) FROM tags ORDER BY folded"
    )
    return [TagCount(*row) for row in rows]


def spelling(library: Library, folded: str) -> str | None:
    """How a tag is spelled; None if there is none."""
    row = library.one("SELECT name FROM tags WHERE folded = ?", [folded])
    return None if row is None else row[0]


def bearers(library: Library, folded: str) -> TagBearers:
    """All that bear a tag."""
    sql = "SELECT {} FROM {} WHERE tag_id = (SELECT id FROM tags WHERE folded = ?) ORDER BY 1"
    found = [
        [key for (key,) in library.all(sql.format(SUBJECTS[table], table), [folded])] for table in BEARERS
    ]
    return TagBearers(*found)


def id_of(library: Library, folded: str, shown: str) -> int:
    """The id of a tag, which is made and spelled as `shown` if there is none."""
    row = library.one("SELECT id FROM tags WHERE folded = ?", [folded])
    return insert(library, "tags", {"name": shown, "folded": folded}) if row is None else int(row[0])


def bears(library: Library, table: str, owner: str | int, folded: str) -> bool:
    """Whether a model (by its sha256) or a pending import (by its id) bears a tag."""
    return library.one(f"SELECT 1 FROM {table} WHERE {_OWNED[table]}", [owner, folded]) is not None


def give(library: Library, table: str, owner: str | int, shown: str) -> None:
    """Let a model or a pending import, which does not yet, bear a tag."""
    tag_id = id_of(library, core_tags.fold_tag(shown), shown)
    insert(library, table, {SUBJECTS[table] or "": owner, "tag_id": tag_id})


def take(library: Library, table: str, owner: str | int, folded: str) -> None:
    """Let a model or a pending import bear a tag no more."""
    library.execute(f"DELETE FROM {table} WHERE {_OWNED[table]}", [owner, folded])


def respell(library: Library, shown: str) -> None:
    """Show a tag in this spelling from now on."""
    library.execute(
        "UPDATE tags SET name = ?1 WHERE folded = ?2 AND name <> ?1", [shown, core_tags.fold_tag(shown)]
    )


def beginning_with(library: Library, folded: str, *, limit: int) -> list[str]:
    """Tags as shown whose folded form begins so: a range of the index."""
    rows = library.all(
        "SELECT name FROM tags WHERE folded >= ? AND folded < ? ORDER BY folded LIMIT ?",
        [folded, folded + "\U0010ffff", limit],
    )
    return [name for (name,) in rows]


def forget_unused(library: Library) -> None:
    """Forget tags that nothing bears, so that the next one who types them decides their spelling."""
    library.execute(
        "DELETE FROM tags WHERE NOT EXISTS (SELECT 1 FROM model_tags WHERE tag_id = tags.id)"
        " AND NOT EXISTS (SELECT 1 FROM pending_model_tags WHERE tag_id = tags.id)"
    )


def _set(library: Library, table: str, column: str, key: str | int, tags: Mapping[str, str]) -> None:
    before = {tag_id for (tag_id,) in library.all(f"SELECT tag_id FROM {table} WHERE {column} = ?", [key])}
    wanted = set(_ids(library, tags))
    for tag_id in before - wanted:
        library.execute(f"DELETE FROM {table} WHERE {column} = ? AND tag_id = ?", [key, tag_id])
    for tag_id in sorted(wanted - before):
        insert(library, table, {column: key, "tag_id": tag_id})


def _names(library: Library, ids: str, key: str | int) -> tuple[str, ...]:
    rows = library.all(f"SELECT name FROM tags WHERE id IN ({ids}) ORDER BY folded", [key])
    return tuple(name for (name,) in rows)


def _ids(library: Library, tags: Mapping[str, str]) -> Iterator[int]:
    for folded, shown in tags.items():
        yield id_of(library, folded, shown)
