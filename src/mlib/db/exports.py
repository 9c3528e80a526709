"""Everything that is exported, batch by batch in a fixed order; from this library or from another one.

Each batch is a read of its own: that they are all of one moment is the reader's affair.
"""

from __future__ import annotations

import json
import os
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Protocol

from mlib.core.exchange import Exported, Facts, Place
from mlib.core.models import Content, OtherHashes
from mlib.db.rows import (
    MODEL_COLUMNS,
    PENDING_COLUMNS,
    ROOT_COLUMNS,
    fields_of,
    model_of,
    path_of,
    pending_of,
    root_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.models import Root
    from mlib.db.rows import Row

#: Models read at a time: their metadata is all that memory holds.
BATCH = 100


class Reader(Protocol):
    """What can be read: a moment of a Library, or somebody else's."""

    def all(self, sql: str, parameters: Sequence[Any] = ...) -> list[tuple[Any, ...]]:
        """Every row at once."""


def roots(reader: Reader) -> list[Root]:
    """The remembered roots, in their order."""
    return [root_of(row) for row in reader.all(f"SELECT {ROOT_COLUMNS} FROM roots ORDER BY position, path")]


def models(
    reader: Reader, shas: Sequence[str] | None = None, *, with_facts: bool = True
) -> Iterator[Exported]:
    """All models, or these, in the order of their SHA-256.

    Without `with_facts` nothing but user data and paths is read: an old library has no tables for more.
    """
    wanted = None if shas is None else sorted(set(shas))
    after = ""
    while True:
        if wanted is None:
            sql = "SELECT sha256 FROM models WHERE sha256 > ? ORDER BY sha256 LIMIT ?"
            batch = [sha256 for (sha256,) in reader.all(sql, [after, BATCH])]
        else:
            batch, wanted = wanted[:BATCH], wanted[BATCH:]
        if not batch:
            return
        yield from _models(reader, batch, with_facts=with_facts)
        after = batch[-1]


def pending(
    reader: Reader, ids: Sequence[int] | None = None, *, with_facts: bool = True
) -> Iterator[Exported]:
    """All pending imports, or these, in the order of their paths and contents."""
    order = "ORDER BY path, coalesce(sha256, '')"
    if ids is None:
        rows = reader.all(f"SELECT id FROM pending_import {order}")
    else:
        rows = reader.all(
            f"SELECT id FROM pending_import WHERE id IN (SELECT value FROM json_each(?)) {order}",
            [json.dumps(list(ids))],
        )
    for start in range(0, len(rows), BATCH):
        batch = [pending_id for (pending_id,) in rows[start : start + BATCH]]
        yield from _pending(reader, batch, with_facts=with_facts)


def count(reader: Reader, shas: Sequence[str] | None, ids: Sequence[int] | None) -> int:
    """How many `models` and `pending` give."""
    return _count(reader, "models", "sha256", shas) + _count(reader, "pending_import", "id", ids)


def _count(reader: Reader, table: str, key: str, wanted: Sequence[str] | Sequence[int] | None) -> int:
    if wanted is None:
        return int(reader.all(f"SELECT count(*) FROM {table}")[0][0])
    chosen = f"{key} IN (SELECT value FROM json_each(?))"
    return int(reader.all(f"SELECT count(*) FROM {table} WHERE {chosen}", [json.dumps(list(wanted))])[0][0])


def _models(reader: Reader, shas: Sequence[str], *, with_facts: bool) -> list[Exported]:
    keys = [json.dumps(shas)]
    chosen = "IN (SELECT value FROM json_each(?))"
    rows = reader.all(f"SELECT {MODEL_COLUMNS} FROM models WHERE sha256 {chosen} ORDER BY sha256", keys)
    meta = dict(reader.all(f"SELECT sha256, meta_json FROM model_meta WHERE sha256 {chosen}", keys))
    tags = _grouped(
        reader.all(
            "SELECT mt.sha256, t.name FROM model_tags AS mt JOIN tags AS t ON t.id = mt.tag_id"
            f" WHERE mt.sha256 {chosen} ORDER BY t.folded",
            keys,
        )
    )
    given = "g.fields" if with_facts else "''"
    join = (
        " LEFT JOIN given AS g ON g.directory = f.directory AND g.name = f.name AND g.sha256 = f.sha256"
        if with_facts
        else ""
    )
    places = _grouped(
        reader.all(
            f"SELECT f.sha256, f.directory, f.name, r.path, f.hashed_at, f.missing_since, {given}"
            f" FROM files AS f LEFT JOIN roots AS r ON r.id = f.root_id{join} WHERE f.sha256 {chosen}",
            keys,
        )
    )
    facts = _facts(reader, shas) if with_facts else {}
    return [
        Exported(
            record=model,
            tags=tuple(name for (name,) in tags[model.sha256]),
            meta_json=meta.get(model.sha256),
            facts=facts.get(model.sha256, Facts()),
            places=tuple(
                sorted(map(_place, places[model.sha256]), key=lambda place: os.fsencode(place.path))
            ),
        )
        for model in map(model_of, rows)
    ]


def _pending(reader: Reader, ids: Sequence[int], *, with_facts: bool) -> list[Exported]:
    keys = [json.dumps(ids)]
    chosen = "IN (SELECT value FROM json_each(?))"
    rows = reader.all(f"SELECT {PENDING_COLUMNS} FROM pending_import WHERE id {chosen}", keys)
    tags = _grouped(
        reader.all(
            "SELECT pt.pending_id, t.name FROM pending_model_tags AS pt JOIN tags AS t ON t.id = pt.tag_id"
            f" WHERE pt.pending_id {chosen} ORDER BY t.folded",
            keys,
        )
    )
    facts = _facts(reader, [row[2] for row in rows if row[2]]) if with_facts else {}
    by_id = {row[0]: row for row in rows}
    found = []
    for pending_id in ids:
        if pending_id in by_id:
            record = pending_of(by_id[pending_id])
            names = tuple(name for (name,) in tags[pending_id])
            found.append(Exported(record, names, record.meta_json, facts.get(record.sha256 or "", Facts())))
    return found


def _place(row: Row) -> Place:
    directory, name, root, hashed_at, since, given = row
    is_known_gone = since is not None and hashed_at is not None
    return Place(
        path=os.path.join(path_of(directory), path_of(name)),
        root=None if root is None else path_of(root),
        since=since if is_known_gone else None,
        hashed_at=hashed_at if is_known_gone else None,
        given=fields_of(given or ""),
        present=since is None,
    )


def _facts(reader: Reader, shas: Sequence[str]) -> dict[str, Facts]:
    keys = [json.dumps(shas)]
    chosen = "sha256 IN (SELECT value FROM json_each(?))"
    contents = {
        sha256: Content(sha256, format_, kind, base_model, tuple(filter(None, evidence.split("\n"))), usage)
        for sha256, format_, kind, base_model, evidence, usage in reader.all(
            f"SELECT sha256, format, kind, base_model, evidence, usage_json FROM contents WHERE {chosen}",
            keys,
        )
    }
    hashes = {
        row[0]: OtherHashes(*row[1:])
        for row in reader.all(
            f"SELECT sha256, autov1, autov3, crc32, blake3 FROM hashes WHERE {chosen}", keys
        )
    }
    findings = _grouped(
        reader.all(
            f"SELECT sha256, code, message, serious FROM findings WHERE {chosen} AND name = ''"
            " ORDER BY code, message",
            keys,
        )
    )
    return {
        sha256: Facts(
            contents.get(sha256),
            hashes.get(sha256),
            tuple((code, message, bool(serious)) for code, message, serious in findings[sha256]),
        )
        for sha256 in shas
    }


def _grouped(rows: Sequence[Row]) -> defaultdict[Any, list[Row]]:
    groups: defaultdict[Any, list[Row]] = defaultdict(list)
    for key, *rest in rows:
        groups[key].append(tuple(rest))
    return groups
