"""`mlib restore`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import output
from mlib.cli.confirming import YesOption, confirm
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, library_path
from mlib.core.errors import WrongUsage


def restore(
    ctx: typer.Context,
    given: Annotated[
        str | None, typer.Argument(metavar="[BACKUP]", help="A backup's name (`mlib backup --list`) or path.")
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="The newest backup that is good.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Put a backup in the place of the library.

    The library need not open any more for that. The backup is checked first. What was there is kept
    beside it, under a name that is told.
    """
    if (given is None) == (not latest):
        raise WrongUsage("bad_options", "name a backup, or --latest", hint="`mlib backup --list` lists them")
    from mlib.services import backing_up

    path = library_path(ctx, library)
    report = backing_up.plan_restore(path, given)
    if not dry_run:
        if report.replaces:
            confirm(f"put {report.backup} in the place of {path}", yes=yes)
        report = backing_up.restore(path, report.backup)
    if as_json:
        output.write_json({"library": path, "backup": report.backup, "kept": report.kept, "dry_run": dry_run})
        return
    output.write_rows([("would restore" if dry_run else "restored", report.backup)])
    if report.kept:
        output.note(f"what was there before is kept: {report.kept}")
