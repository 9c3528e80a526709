"""The history: what every command changed, row by row, written by triggers.

The triggers are temporary, so they see only what this connection does. Image data that is stripped from
metadata is not recorded, only when that was done.
"""

from __future__ import annotations

import json
import os
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.errors import MlibError
from mlib.db.connections import backup_directory
from mlib.db.rows import BEARERS, SUBJECTS, Table, tables
from mlib.db.schema import KEPT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.db.library import Library
    from mlib.db.rows import Key, Row, Values


# --- When image data was last stripped from metadata

_KEY = "cleaned"


class Cleaning(NamedTuple):
    """When it was (milliseconds), and the path of the backup that was made before it."""

    at: int
    backup: str


def note_cleaning(library: Library, backup: str) -> None:
    """Keep that it is done now; only inside `transaction`."""
    value = json.dumps({"at": times.now(), "backup": os.path.basename(backup)})
    library.execute("REPLACE INTO db_meta (key, value) VALUES (?, ?)", [_KEY, value])


def last(library: Library) -> Cleaning | None:
    """The last time, if ever."""
    row = library.one("SELECT value FROM db_meta WHERE key = ?", [_KEY])
    if row is None:
        return None
    kept = json.loads(row[0])
    return Cleaning(kept["at"], os.path.join(backup_directory(library.path), kept["backup"]))


# --- Triggers

#: Tables of which only what is lost is recorded: the rest can be read from the files again.
_ONLY_LOSSES = frozenset(name for name, table in KEPT.items() if table.found_again)
#: Of the table `recording`: a trigger has no other way to know for whom it works.
_TABLE = "CREATE TEMP TABLE recording (at INTEGER, command TEXT, undoes INTEGER, entry_id INTEGER)"


def set_up(library: Library, at: int, command: str, undoes: int | None) -> None:
    """Let every change of this connection be written to the history from now on."""
    library.all("PRAGMA temp_store = MEMORY")
    library.all(_TABLE)
    library.all("INSERT INTO recording VALUES (?, ?, ?, NULL)", [at, command, undoes])
    for sql in _all(library):
        library.all(sql)


def take_down(library: Library) -> int | None:
    """Let changes pass unrecorded again; the entry that was made, if any was."""
    for table in SUBJECTS:
        for event in _events(table):
            library.all(f"DROP TRIGGER IF EXISTS record_{event}_{table}")
    entry_id = open_entry(library)
    library.all("DROP TABLE recording")
    return entry_id


def are_set_up(library: Library) -> bool:
    """Whether this connection's changes are being recorded."""
    return library.one("SELECT 1 FROM sqlite_temp_master WHERE name = 'recording'") is not None


def open_entry(library: Library) -> int | None:
    """The entry that was made so far, if any was."""
    return next((found for (found,) in library.all("SELECT entry_id FROM recording")), None)


def make_entry(library: Library) -> None:
    """Have an entry although nothing was changed yet."""
    for statement in _MAKE_ENTRY:
        library.execute(statement)


def _all(library: Library) -> Iterator[str]:
    for name, table in tables(library).items():
        for event in _events(name):
            yield _trigger(event, table)


def _events(table: str) -> tuple[str, ...]:
    return ("DELETE",) if table in _ONLY_LOSSES else ("INSERT", "UPDATE", "DELETE")


_INSERT = (
    "INSERT INTO entries (at, command, undoes)"
    " SELECT at, command, undoes FROM recording WHERE entry_id IS NULL"
)
#: An entry is made by the first change, in its transaction: a rollback takes both back.
_MAKE_ENTRY = (
    _INSERT,
    "UPDATE recording SET entry_id = last_insert_rowid() WHERE entry_id IS NULL",
)


@cache
def _trigger(event: str, table: Table) -> str:
    name, names = table.name, table.columns
    row = "NEW" if event == "INSERT" else "OLD"
    before = after = "NULL"
    when = ""
    if event == "UPDATE":
        before, after = _changed("OLD", table), _changed("NEW", table)
        when = "WHEN " + " OR ".join(f"OLD.{column} IS NOT NEW.{column}" for column in names)
    elif event == "INSERT":
        after = _whole("NEW", table)
    else:
        before = _whole("OLD", table)
    return (
        f"CREATE TEMP TRIGGER record_{event}_{name} AFTER {event} ON main.{name} {when} BEGIN"
        f" {'; '.join(_MAKE_ENTRY)};"
        " INSERT INTO changes (entry_id, subject, table_name, row_key, before, after)"
        f" SELECT entry_id, {_subject(name, row)}, '{name}', {_key_sql(table, row)}, {before}, {after}"
        " FROM recording; END"
    )


def _subject(table: str, row: str) -> str:
    column = SUBJECTS[table]
    if column is None:
        return "NULL"
    return f"'pending:' || {row}.{column}" if table.startswith("pending") else f"{row}.{column}"


def _key_sql(table: Table, row: str) -> str:
    """What tells a row for ever: the id of a tag may mean another one tomorrow."""
    parts = [_json(row, name, table) for name in table.key]
    if table.name == "tags":
        parts = [_json(row, "folded", table)]
    elif table.name in BEARERS:
        parts = [_json(row, SUBJECTS[table.name] or "", table), _of_tag("folded", row)]
    return "'[' || " + " || ',' || ".join(parts) + " || ']'"


def _whole(row: str, table: Table) -> str:
    names = [name for name in table.columns if (table.name, name) != ("tags", "id")]
    members = [f"'\"{name}\":' || {_json(row, name, table)}" for name in names]
    if table.name in BEARERS:
        members = ["'\"tag\":' || " + _of_tag("name", row)]
    return "'{' || " + " || ',' || ".join(members) + " || '}'"


def _of_tag(column: str, row: str) -> str:
    return f"coalesce((SELECT json_quote({column}) FROM tags WHERE id = {row}.tag_id), 'null')"


def _changed(row: str, table: Table) -> str:
    """A JSON object of the columns that differ between OLD and NEW."""
    members = [
        f"CASE WHEN OLD.{name} IS NEW.{name} THEN '' ELSE ',\"{name}\":' || {_json(row, name, table)} END"
        for name in table.columns
    ]
    return "'{' || substr(" + " || ".join(members) + ", 2) || '}'"


def _json(row: str, name: str, table: Table) -> str:
    """A value as JSON, bytes as an object: JSON has none."""
    value = f"{row}.{name}"
    if name not in table.binary:
        return f"json_quote({value})"
    blob = f"'{{\"blob\":\"' || hex({value}) || '\"}}'"
    return f"CASE typeof({value}) WHEN 'blob' THEN {blob} ELSE json_quote({value}) END"


#: At least so many entries are kept, and at least so long.
KEPT_ENTRIES = 1000
KEPT_MS = 90 * 86_400_000
#: Entries of more changes than this are not looked through for having come to nothing.
_SMALL = 500
#: The rows that one entry made and removed again, such as a pending import that became a model at once.
_CAME_AND_WENT = (
    "SELECT table_name, row_key FROM changes WHERE entry_id = ?1 GROUP BY table_name, row_key"
    " HAVING sum(before IS NULL) = sum(after IS NULL)"
    " AND min(id) = min(CASE WHEN before IS NULL THEN id END)"
)


class LogEntry(NamedTuple):
    """One command. `undoes` is the entry it took back; `undone` whether another one took this one back."""

    id: int
    at: int
    command: str
    undoes: int | None
    undone: bool


class Change(NamedTuple):
    """What an entry did to one row in all.

    `before` is None where it made the row, `after` where it removed it; of a row that stayed both hold the
    columns that changed.
    """

    subject: str | None
    table: str
    key: Key
    before: Values | None
    after: Values | None


@contextmanager
def recording(library: Library, command: str, *, undoes: int | None = None) -> Iterator[None]:
    """Record what is done to the library inside as one entry, named by `command`; nothing in a rehearsal.

    An entry is there as soon as its first change is, in the same transaction, so that a crash leaves what was
    really done. Where nothing changes there is none. Inside of another recording it is part of that one.
    """
    if library.is_rehearsal or are_set_up(library):
        yield
        return
    try:
        set_up(library, times.now(), command, undoes)
        yield
    except BaseException:  # Ctrl-C too: the next command of this connection must not be recorded as this one
        with suppress(MlibError):  # what went wrong first is what a person has to know
            take_down(library)
        raise
    entry_id = take_down(library)
    if entry_id is not None:
        _close(library, entry_id)


def note(library: Library) -> None:
    """Have the entry of this recording although nothing was changed; only inside `transaction`."""
    if are_set_up(library):
        make_entry(library)


def came_to_nothing(library: Library) -> bool:
    """Whether all that was recorded so far left no trace; False where nothing is recorded."""
    if not are_set_up(library):
        return False
    entry_id = open_entry(library)
    return entry_id is None or _is_void(library, entry_id)


def entry(library: Library, entry_id: int) -> LogEntry | None:
    """The entry with this id."""
    row = library.one("SELECT id, at, command, undoes FROM entries WHERE id = ?", [entry_id])
    return None if row is None else _entry(library, row)


def entries(library: Library, subject: str | None = None) -> Iterator[LogEntry]:
    """Every entry, or those that changed one model or pending import, the newest first."""
    chosen = "" if subject is None else " WHERE id IN (SELECT entry_id FROM changes WHERE subject = ?)"
    rows = library.all(
        f"SELECT id, at, command, undoes FROM entries{chosen} ORDER BY id DESC",
        [] if subject is None else [subject],
    )
    for row in rows:
        yield _entry(library, row)


def undone_by(library: Library, entry_id: int) -> int | None:
    """The entry that took this one back, if none has taken that one back."""
    rows = library.all("SELECT id FROM entries WHERE undoes = ? ORDER BY id DESC", [entry_id])
    return next((other for (other,) in rows if undone_by(library, other) is None), None)


def changes(library: Library, entry_id: int, *, subject: str | None = None) -> list[Change]:
    """What an entry did in all, to every row or to those about one model, in their order."""
    only = "" if subject is None else " AND subject = ?"  # by its index: a bulk edit is asked for each model
    rows = library.all(
        "SELECT subject, table_name, row_key, before, after FROM changes"
        f" WHERE entry_id = ?{only} ORDER BY id",
        [entry_id] if subject is None else [entry_id, subject],
    )
    net: dict[tuple[str, str], Change] = {}
    for about, table, row_key, before, after in rows:
        now = Change(about, table, _key(row_key), _values(before), _values(after))
        earlier = net.get((table, row_key))
        net[table, row_key] = now if earlier is None else _joined(earlier, now)
    return [change for change in net.values() if change.before != change.after]


def subjects(library: Library, entry_id: int) -> list[str]:
    """The models, and the pending imports as `pending:ID`, that an entry is about."""
    rows = library.all(
        "SELECT DISTINCT subject FROM changes WHERE entry_id = ? AND subject IS NOT NULL ORDER BY subject",
        [entry_id],
    )
    return [subject for (subject,) in rows]


def is_known(library: Library, subject: str) -> bool:
    """Whether any entry is about this model or pending import."""
    return library.one("SELECT 1 FROM changes WHERE subject = ? LIMIT 1", [subject]) is not None


def with_prefix(library: Library, prefix: str, *, limit: int) -> list[str]:
    """SHA-256s that begin so of models that entries are about, in the library still or not."""
    rows = library.all(
        "SELECT DISTINCT subject FROM changes WHERE subject >= ?1 AND subject < ?1 || 'g' LIMIT ?2",
        [prefix, limit],
    )
    return [subject for (subject,) in rows]


def later(library: Library, entry_id: int, subject: str | None, *, table: str | None = None) -> int | None:
    """The newest entry after this one that changed such rows and stands: neither undone nor an undo."""
    # `IS ?` would serve both, but not from the index: an undo asks this for every model that it is about.
    about = "subject IS NULL AND ?2 IS NULL" if subject is None else "subject = ?2"
    rows = library.all(
        f"SELECT DISTINCT entry_id FROM changes WHERE {about} AND entry_id > ?1"
        " AND (?3 IS NULL OR table_name = ?3) ORDER BY entry_id DESC",
        [entry_id, subject, table],
    )
    for (other,) in rows:
        found = entry(library, other)
        if found is not None and found.undoes is None and not found.undone:
            return found.id
    return None


def _entry(library: Library, row: Row) -> LogEntry:
    entry_id, at, command, undoes = row
    return LogEntry(entry_id, at, command, undoes, undone_by(library, entry_id) is not None)


def _close(library: Library, entry_id: int) -> None:
    """Drop an entry that came to nothing, and those that are older than anybody will ask for."""
    is_undo = library.one("SELECT 1 FROM entries WHERE id = ? AND undoes IS NOT NULL", [entry_id])
    is_void = _is_void(library, entry_id) and is_undo is None
    old = "id < ? AND at < ?"
    bounds = [entry_id - KEPT_ENTRIES, times.now() - KEPT_MS]
    if is_void or library.one(f"SELECT 1 FROM entries WHERE {old} LIMIT 1", bounds):
        with library.transaction():
            if is_void:
                library.execute("DELETE FROM entries WHERE id = ?", [entry_id])
            library.execute(f"DELETE FROM entries WHERE {old}", bounds)


def _is_void(library: Library, entry_id: int) -> bool:
    """Whether nothing is left of what an entry did. Drops from it what came and went."""
    if library.one(f"SELECT 1 FROM ({_CAME_AND_WENT}) LIMIT 1", [entry_id]) is not None:
        with library.transaction():
            library.execute(
                f"DELETE FROM changes WHERE entry_id = ?1 AND (table_name, row_key) IN ({_CAME_AND_WENT})",
                [entry_id],
            )
    few = library.all("SELECT 1 FROM changes WHERE entry_id = ? LIMIT ?", [entry_id, _SMALL])
    return len(few) < _SMALL and not changes(library, entry_id)


def _joined(earlier: Change, now: Change) -> Change:
    """Two changes of one row as one."""
    if earlier.before is None or earlier.after is None:  # made or gone before
        before = earlier.before
        after = now.after if earlier.after is None or now.after is None else earlier.after | now.after
    elif now.after is None:
        assert now.before is not None
        before, after = now.before | earlier.before, None
    else:
        assert now.before is not None
        before, after = now.before | earlier.before, earlier.after | now.after
    if before is not None and after is not None:
        names = [name for name in after if before[name] != after[name]]
        before, after = {name: before[name] for name in names}, {name: after[name] for name in names}
    return Change(now.subject, now.table, now.key, before, after)


def _values(text: str | None) -> Values | None:
    if text is None:
        return None
    values: Values = json.loads(text)
    for name, value in values.items():
        if isinstance(value, dict):
            values[name] = bytes.fromhex(value["blob"])
    return values


def _key(text: str) -> Key:
    return tuple(bytes.fromhex(part["blob"]) if isinstance(part, dict) else part for part in json.loads(text))
