"""`mlib rename`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QuietOption, open_for


def rename(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="REF", help="A model with one file, or the path of a file.")],
    name: Annotated[
        str, typer.Argument(metavar="NEWNAME", help="The file's new name; its extension may be left out.")
    ],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Give a model's file another name.

    What lies beside it is renamed too. To change only what you call the model, use `mlib update --name`.
    """
    from mlib.cli.commands.mv import report_moves
    from mlib.cli.meant import files_chosen
    from mlib.services.moving import rename as rename_file

    with open_for(ctx, library, mode="write") as opened:
        (meant,) = files_chosen(opened, [ref], None)
        report = rename_file(opened, meant, name, dry_run=dry_run)
    report_moves(report, dry_run=dry_run, as_json=as_json, quiet=quiet)
