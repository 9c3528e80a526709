"""Read everything an export holds, batch by batch in a fixed order, from this library or another one.

Each batch is a separate read; a caller that needs one moment reads from a snapshot.
"""

from __future__ import annotations

import codecs
import json
import os
import stat
import tempfile
import time
from collections import defaultdict
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from mlib.core import export_lines
from mlib.core.disk.storage import open_for_reading
from mlib.core.disk.writing import failed
from mlib.core.errors import MlibError, NotFound, Refused
from mlib.core.export_lines import Exported, ExportedFacts, ExportedPlace
from mlib.core.records import Content, OtherHashes
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
from mlib.db.schema import APPLICATION_ID, BY_CONTENT, KEPT, SAID, STEP_NAMES, applied_steps
from mlib.db.untrusted import check_pages, check_time, open_untrusted, read_schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

    from mlib.core.records import Root
    from mlib.db.rows import Row


#: Models read at a time: their metadata is all that memory holds.
BATCH = 100


class ExportReader(Protocol):
    """What can be read: a moment of a Library, or somebody else's."""

    def all(self, sql: str, parameters: Sequence[Any] = ...) -> list[tuple[Any, ...]]:
        """Every row at once."""


def roots(reader: ExportReader) -> list[Root]:
    """The remembered roots, in their order."""
    return [root_of(row) for row in reader.all(f"SELECT {ROOT_COLUMNS} FROM roots ORDER BY position, path")]


def models(
    reader: ExportReader, shas: Sequence[str] | None = None, *, with_facts: bool = True
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
    reader: ExportReader, ids: Sequence[int] | None = None, *, with_facts: bool = True
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


def count(reader: ExportReader, shas: Sequence[str] | None, ids: Sequence[int] | None) -> int:
    """How many `models` and `pending` give."""
    return _count(reader, "models", "sha256", shas) + _count(reader, "pending_import", "id", ids)


def _count(reader: ExportReader, table: str, key: str, wanted: Sequence[str] | Sequence[int] | None) -> int:
    if wanted is None:
        return int(reader.all(f"SELECT count(*) FROM {table}")[0][0])
    chosen = f"{key} IN (SELECT value FROM json_each(?))"
    return int(reader.all(f"SELECT count(*) FROM {table} WHERE {chosen}", [json.dumps(list(wanted))])[0][0])


def _models(reader: ExportReader, shas: Sequence[str], *, with_facts: bool) -> list[Exported]:
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
            facts=facts.get(model.sha256, ExportedFacts()),
            places=tuple(
                sorted(map(_place, places[model.sha256]), key=lambda place: os.fsencode(place.path))
            ),
        )
        for model in map(model_of, rows)
    ]


def _pending(reader: ExportReader, ids: Sequence[int], *, with_facts: bool) -> list[Exported]:
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
            found.append(
                Exported(record, names, record.meta_json, facts.get(record.sha256 or "", ExportedFacts()))
            )
    return found


def _place(row: Row) -> ExportedPlace:
    directory, name, root, hashed_at, since, given = row
    is_known_gone = since is not None and hashed_at is not None
    return ExportedPlace(
        path=os.path.join(path_of(directory), path_of(name)),
        root=None if root is None else path_of(root),
        since=since if is_known_gone else None,
        hashed_at=hashed_at if is_known_gone else None,
        given=fields_of(given or ""),
        present=since is None,
    )


def _facts(reader: ExportReader, shas: Sequence[str]) -> dict[str, ExportedFacts]:
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
        sha256: ExportedFacts(
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


# --- Opening an export: a file of lines, or another library exported on the fly

#: Bytes of the longest line that is read; the longest metadata is some megabytes.
LINE_LIMIT = 64 * 2**20
#: How long another library may take to be read.
DEADLINE_SECONDS = 3600.0

_SQLITE = b"SQLite format 3\0"
_LOOK = 4096
_NEEDED = (*SAID, "files")
_FACTS = tuple(name for name in BY_CONTENT if not KEPT[name].found_again)


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that was not read."""

    reason: str


def is_export(path: str) -> bool:
    """Whether this looks like an export or a library of mlib: by its first bytes. Nothing else is read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open_for_reading(path) as file:
            beginning = file.read(_LOOK) or b""
    except (OSError, ValueError):
        return False
    if beginning.startswith(_SQLITE):
        # The application id of a database (SQLite's file format, 1.3.14): in its header, at byte 68.
        return beginning[68:72] == APPLICATION_ID.to_bytes(4, "big")
    return beginning.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")


@contextmanager
def opened_export(path: str) -> Iterator[BinaryIO]:
    """The lines of an export. Another library is written as one to a private temporary file first.

    So it is read to its end, and known to be sound, before the first line is taken over. Raises MlibError.
    """
    with _opened(path) as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            file.seek(0)
            yield file
            return
    with tempfile.TemporaryFile(prefix="mlib-") as spool:
        try:
            for line in _library_lines(path):
                spool.write(line.encode() + b"\n")
            spool.seek(0)
        except OSError as error:
            raise failed(tempfile.gettempdir(), error) from error
        yield spool


def lines_of(file: BinaryIO) -> Iterator[tuple[int, str | TooLong]]:
    """Each line with its number, from 1; one that is too long, or no UTF-8, is passed over and said.

    A byte order mark, which some editors put before the first, is not part of it.
    """
    number = 0
    try:
        while line := file.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                while line and not line.endswith(b"\n"):
                    line = file.readline(LINE_LIMIT)
                yield number, TooLong(f"it is over {LINE_LIMIT // 2**20} MiB long")
                continue
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                yield number, TooLong("not UTF-8 text")
    except OSError as error:
        raise MlibError("unreadable_file", f"the export cannot be read: {error.strerror}") from error


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise MlibError("not_a_file", f"{path} is not a regular file")
        raw = open_for_reading(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFound("no_such_file", f"{path}: there is no such file") from error
    except OSError as error:
        raise MlibError("unreadable_file", f"{path} cannot be read: {error.strerror}") from error
    with raw, open(os.dup(raw.fileno()), "rb", buffering=1 << 20) as file:
        yield file


def _library_lines(path: str) -> Iterator[str]:
    deadline = time.monotonic() + DEADLINE_SECONDS
    with open_untrusted(path, deadline=deadline) as db:
        if db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise MlibError("unknown_database", f"{path} is not an mlib library")
        schema = read_schema(db)
        check_pages(path, db)
        if not schema.tables.keys() >= set(_NEEDED) or not schema.others.keys().isdisjoint(_NEEDED + _FACTS):
            raise MlibError("unknown_database", f"{path} does not have the tables of an mlib library")
        db.text_factory = _text
        newer = sorted(applied_steps(db) - set(STEP_NAMES))
        if newer:
            raise Refused(
                "library_too_new", f"{path} was made by a newer mlib ({newer[-1]})", hint="upgrade mlib"
            )
        reader = _Reader(path, db, deadline)
        with_facts = schema.tables.keys() >= set(_FACTS)
        records = count(reader, None, None)
        yield export_lines.header_line(STEP_NAMES[-1], roots(reader), records=records)
        for exported in models(reader, with_facts=with_facts):
            yield export_lines.line(exported)
        for entry in pending(reader, with_facts=with_facts):
            yield export_lines.line(entry)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


class _Reader:
    """Another library, as far as it has to be read."""

    def __init__(self, path: str, db: sqlite3.Connection, deadline: float) -> None:
        self._path = path
        self._db = db
        self._deadline = deadline

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        check_time(self._path, self._deadline)
        with closing(self._db.execute(sql, parameters)) as cursor:
            return cursor.fetchall()
