"""`mlib log` and `mlib undo`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.layout import Column, write_table
from mlib.cli.options import (
    MOST,
    DryRunOption,
    JsonOption,
    LibraryOption,
    QueryOption,
    expanded_or_all,
    open_session,
)
from mlib.core import jsontext

if TYPE_CHECKING:
    from mlib.core.jsontext import Json
    from mlib.services.history.log_entries import DescribedEntry, FieldChange


# --- Rows of the history


def change_row(change: FieldChange) -> tuple[str, str, str, str]:
    """A changed field: REF, name of the model, field, and old and new value."""
    about = "-"
    if change.sha256 is not None:
        about = change.sha256[:10]
    elif change.pending_id is not None:
        about = f"pending:{change.pending_id}"
    return about, change.name, change.field, _became(change)


def entry_row(told: DescribedEntry) -> tuple[str, str, str, str, str]:
    """An entry: id, time, number of models, `undone` or empty, command."""
    entry = told.entry
    parts = [fmt.plural(told.models, "model")] if told.models else []
    parts += [fmt.plural(told.pending, "pending import")] if told.pending else []
    state = "undone" if entry.undone else ""
    return str(entry.id), fmt.moment(entry.at), ", ".join(parts), state, entry.command


def _became(change: FieldChange) -> str:
    if change.before is None:
        return f"+{_text(change.after)}"
    if change.after is None:
        return f"-{_text(change.before)}"
    return f"{_text(change.before)} -> {_text(change.after)}"


def _text(value: Json) -> str:
    return value or "''" if isinstance(value, str) else jsontext.dump(value)


# --- `mlib log`

_ENTRY = [Column("ID", right=True), Column("WHEN"), Column("OF"), Column(""), Column("COMMAND", shrinks=True)]
_CHANGE = [
    Column("ID", right=True),
    Column("WHEN"),
    Column("MODEL"),
    Column("NAME", shrinks=True),
    Column("FIELD"),
    Column("CHANGE", shrinks=True),
]


def log(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Show every changed field of these models."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="Show the newest N commands.")] = 20,
    query: QueryOption = None,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Show the history of changes, newest first.

    Lists every change to what you typed, but not scans, which only record facts. The last 1,000 commands and
    those of the last 90 days are kept. To see the history of a forgotten model, give its hash.
    """
    with open_session(ctx, library) as session:
        found = session.log(expanded_or_all(refs), query, limit=min(limit, MOST))
    if as_json:
        from mlib import documents

        output.write_json([documents.entry_document(told) for told in found])
    elif not refs and query is None:
        write_table(_ENTRY, [entry_row(told) for told in found])
    else:
        write_table(
            _CHANGE,
            [(*entry_row(told)[:2], *change_row(change)) for told in found for change in told.changes],
        )


# --- `mlib undo`


def undo(
    ctx: typer.Context,
    entry: Annotated[
        int | None,
        typer.Argument(max=MOST, metavar="[ID]", help="An entry of `mlib log`; default: the last command."),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Undo what a command changed.

    Restores names, notes, tags, metadata, pending imports and models. Repeat it to go further back; undo an
    undo to redo. What you typed or a scan found since is never overwritten. It does not restore moved or
    trashed files or removed image data; a hint says how to.
    """
    with open_session(ctx, library) as session:
        report = session.undo(entry, dry_run=dry_run)
    if as_json:
        from mlib import documents

        output.write_json(documents.undo_document(report, dry_run=dry_run))
        return
    output.write_rows(change_row(change) for change in report.changes)
    verb = "would undo" if dry_run else "undid"
    output.note(f"{verb} {report.told.entry.id}: {report.told.entry.command}")
