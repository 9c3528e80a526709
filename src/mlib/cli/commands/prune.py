"""`mlib prune`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import forgotten, output
from mlib.cli.confirming import YesOption, confirm
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QuietOption, open_for


def prune(
    ctx: typer.Context,
    missing_for: Annotated[
        str, typer.Option(metavar="SPAN", help="For how long the files must be gone, such as 90d or 6m.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="Even if that is more than a tenth of the library.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Forget models whose files have been gone for long.

    With all you said about them; after a backup. Never those of a folder that is not there now. `mlib
    missing` lists what is gone, `mlib undo` brings back what was forgotten.
    """
    from mlib.cli.recording import recorded
    from mlib.core.spans import duration
    from mlib.services.forgetting import prune as forget_gone

    span = duration(missing_for)
    with open_for(ctx, library, mode="write") as opened:
        report = forget_gone(opened, span, dry_run=True)
        if report.too_many and not (force and yes) and dry_run:
            output.note("without --yes --force this is refused: it is more than a tenth of the library")
        if not dry_run and report.forgotten:
            if not report.too_many:  # else no answer will do, but both options
                confirm(f"forget {forgotten.counted(report)} and all you said about them", yes=yes)
            with recorded(ctx, opened, dry_run=False):
                report = forget_gone(opened, span, force=force and yes)
    forgotten.write(report._replace(dry_run=dry_run), as_json=as_json, quiet=quiet)
