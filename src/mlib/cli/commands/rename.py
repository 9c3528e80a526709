"""`mlib rename`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli.commands.mv import NoExclusiveOption, report_moves
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QuietOption, open_for

if TYPE_CHECKING:
    from mlib.services.moving import Way


def rename(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="REF", help="A model with one file, or the path of a file.")],
    name: Annotated[
        str, typer.Argument(metavar="NEWNAME", help="The file's new name; its extension may be left out.")
    ],
    no_exclusive: NoExclusiveOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Give a model's file another name.

    What lies beside it is renamed too. A part of a model in several files, which loaders find by its name,
    keeps it. To change only what you call the model, use `mlib update --name`.
    """
    from mlib.cli.meant import files_chosen
    from mlib.services.moving import rename as rename_file

    with open_for(ctx, library, mode="write") as opened:
        (meant,) = files_chosen(opened, [ref], None)
        way: Way = "reserved" if no_exclusive else "exclusive"
        report = rename_file(opened, meant, name, way=way, dry_run=dry_run)
    report_moves(report, dry_run=dry_run, as_json=as_json, quiet=quiet)
