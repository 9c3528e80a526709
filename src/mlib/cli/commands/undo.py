"""`mlib undo`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import output, past
from mlib.cli.options import MOST, DryRunOption, JsonOption, LibraryOption, open_for


def undo(
    ctx: typer.Context,
    entry: Annotated[
        int | None,
        typer.Argument(max=MOST, metavar="[ID]", help="An entry of `mlib log`; none: the last command."),
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Take back what a command did.

    To names, notes, tags, metadata, pending imports and models. Again and again goes further back; to
    undo an undo does it again. What was typed since is never overwritten, and what scans have found since
    stays. Files that were moved or trashed are not brought back, nor is image data: it says how they are.
    """
    from mlib.services.history import undo as take_back

    with open_for(ctx, library, mode="write") as opened:
        report = take_back(opened, entry, dry_run=dry_run)
    if as_json:
        output.write_json(
            {
                "undone": report.told.entry.id,
                "command": report.told.entry.command,
                "models": report.told.models,
                "pending": report.told.pending,
                "changes": [past.change_as_json(change) for change in report.changes],
                "dry_run": report.dry_run,
            }
        )
        return
    output.write_rows(past.change_row(change) for change in report.changes)
    verb = "would undo" if dry_run else "undid"
    output.note(f"{verb} {report.told.entry.id}: {report.told.entry.command}")
