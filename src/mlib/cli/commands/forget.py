"""`mlib forget`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import forgotten
from mlib.cli.confirming import YesOption, confirm
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QueryOption, QuietOption, open_for
from mlib.core.errors import WrongUsage


def forget(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Models, or pending:ID; '-' reads them from stdin."),
    ] = None,
    query: QueryOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Forget models or pending imports.

    With all you said about them; after a backup. No file is touched: one that is still there is found
    again as new by the next scan. `mlib undo` brings back what was forgotten.
    """
    from mlib.cli.recording import recorded
    from mlib.cli.refs import chosen
    from mlib.services.forgetting import forget as forget_these

    if not refs and query is None:
        raise WrongUsage("nothing_to_do", "no model was named", hint="see `mlib forget --help`")
    with open_for(ctx, library, mode="write") as opened:
        targets = chosen(opened, refs or [], query)
        report = forget_these(opened, targets, dry_run=True)
        if not dry_run and targets:
            confirm(f"forget {forgotten.counted(report)} and all you said about them", yes=yes)
            with recorded(ctx, opened, dry_run=False):
                report = forget_these(opened, targets)
    forgotten.write(report._replace(dry_run=dry_run), as_json=as_json, quiet=quiet)
