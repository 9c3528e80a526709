"""The triggers that write the history: temporary, so that they see only what this connection does."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from mlib.db.recorded import BEARERS, SUBJECTS, Table, tables

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.db.library import Library

#: Tables of which only what is lost is recorded: the rest can be read from the files again.
_ONLY_LOSSES = frozenset({"headers"})
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
    entry_id = entry(library)
    library.all("DROP TABLE recording")
    return entry_id


def are_set_up(library: Library) -> bool:
    """Whether this connection's changes are being recorded."""
    return library.one("SELECT 1 FROM sqlite_temp_master WHERE name = 'recording'") is not None


def entry(library: Library) -> int | None:
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
        f" SELECT entry_id, {_subject(name, row)}, '{name}', {_key(table, row)}, {before}, {after}"
        " FROM recording; END"
    )


def _subject(table: str, row: str) -> str:
    column = SUBJECTS[table]
    if column is None:
        return "NULL"
    return f"'pending:' || {row}.{column}" if table.startswith("pending") else f"{row}.{column}"


def _key(table: Table, row: str) -> str:
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
