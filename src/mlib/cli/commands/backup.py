"""`mlib backup`."""

from __future__ import annotations

import os
from typing import Annotated

import typer

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.cli.confirming import YesOption, confirm
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, library_path, open_for
from mlib.core import times
from mlib.core.errors import MlibError, WrongUsage


def backup(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Argument(metavar="[FILE]", help="Write it there (-: into a pipe), beyond mlib's own tidying."),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List the backups there are, newest first.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Back the library up now: a whole, checked copy.

    Without FILE it lies in `backups` beside the library. The last five made so are kept, whatever mlib
    backs up by itself.
    """
    if list_:
        if to is not None:
            raise WrongUsage("bad_options", "--list writes nothing: it wants no FILE")
        _list(library_path(ctx, library), as_json=as_json)
        return
    from mlib.core.disk.writing import looked_at
    from mlib.services.backing_up import back_up, backed_up

    if to == "-":
        if as_json or output.is_terminal():
            raise WrongUsage(
                "bad_options", "a backup into a pipe is no text: no --json, and - only where > or | follows"
            )
        with open_for(ctx, library, mode="read") as opened:
            if dry_run:
                output.note("would back up into standard output")
            else:
                written = output.write_bytes(backed_up(opened))
                if output.is_abandoned():
                    raise MlibError("output_failed", "the backup is not whole: its reader went away")
                output.note(f"backed up: {fmt.size(written)}, checked")
        return
    made = None
    with open_for(ctx, library, mode="read") as opened:
        if not dry_run:
            replaces = None
            if to is not None and os.path.lexists(to):
                replaces = looked_at(to)
                confirm(f"replace {to}", yes=yes)
            made = back_up(opened, to, replaces=replaces)
    path = made or (os.path.abspath(to) if to is not None else None)
    size = os.path.getsize(made) if made else None
    if as_json:
        output.write_json({"backup": path, "bytes": size, "dry_run": dry_run})
    elif dry_run:
        output.note(f"would back up to {path or 'the backups beside the library'}")
    else:
        output.write_values([path or ""])
        output.note(f"backed up: {fmt.size(size)}, checked")


def _list(path: str, *, as_json: bool) -> None:
    from mlib.cli.tables import Column, write_table
    from mlib.services.backing_up import known_backups

    found = known_backups(path)
    if as_json:
        output.write_json(
            [
                {
                    "path": each.path,
                    "made_at": times.iso(each.made_at),
                    "reason": each.reason,
                    "size_bytes": each.size_bytes,
                }
                for each in found
            ]
        )
        return
    # The name is what `mlib restore` wants: it is never cut, and it says the reason.
    columns = (Column("made"), Column("size", right=True), Column("name"))
    rows = [
        (fmt.moment(each.made_at), fmt.size(each.size_bytes), os.path.basename(each.path))
        if output.is_terminal()
        else (times.iso(each.made_at) or "", each.reason, str(each.size_bytes), each.path)
        for each in found
    ]
    write_table(columns, rows)
    if not found:
        output.note("there are no backups yet")
