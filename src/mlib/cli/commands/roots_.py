"""`mlib roots`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.layout import Column, write_table
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QuietOption, hand_on, open_session
from mlib.core import times
from mlib.core.errors import FINISHED_WITH_PROBLEMS

if TYPE_CHECKING:
    from mlib.services.root_registry import RootReport

_COLUMNS = [
    Column("ID", right=True),
    Column("TYPE"),
    Column("STATE"),
    Column("FILES", right=True),
    Column("SIZE", right=True),
    Column("PATH", shrinks=True),
]


def roots_(
    ctx: typer.Context,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List, add or remove the folders to scan.

    Shows the state of each and how many known files it holds. A folder whose drive is not mounted may show
    as `empty`.
    """
    if ctx.invoked_subcommand is not None:
        hand_on(ctx, library=library, as_json=as_json, quiet=quiet)
        return
    with open_session(ctx, library) as session:
        found = session.roots()
    if as_json:
        from mlib import documents

        output.write_json([documents.root_document(each) for each in found])
    elif quiet:
        output.write_values(each.root.path for each in found)
    else:
        # Scripts get additional columns after those of the terminal.
        row = _row if output.is_terminal() else _whole_row
        write_table(_COLUMNS, [row(each) for each in found])


def _add(
    ctx: typer.Context,
    folders: Annotated[
        list[str],
        typer.Argument(
            metavar="TYPE=DIR|DIR...", help="A folder with models of one type, or a ComfyUI folder."
        ),
    ],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Add folders to scan."""
    with open_session(ctx, library) as session:
        report = session.add_roots(folders, dry_run=dry_run)
    if as_json:
        from mlib import documents

        output.write_json(documents.roots_added_document(report, dry_run=dry_run))
    else:
        output.write_rows(
            ("would add" if dry_run else "added", root.type, root.path) for root in report.added
        )
        if report.known:
            output.note(f"already known: {fmt.plural(len(report.known), 'folder')}")
        for problem in report.problems:
            output.note(f"problem: {problem.path}: {problem.message}")
        if report.added and not dry_run:
            output.note("hint: `mlib scan` scans them")
    if report.problems:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _remove(
    ctx: typer.Context,
    root: Annotated[str, typer.Argument(metavar="PATH|ID", help="A folder or ID from `mlib roots`.")],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Stop scanning a folder; its models stay, but count as missing.

    The next scan adds a folder again if it belongs to a ComfyUI that is still known.
    """
    with open_session(ctx, library) as session:
        report = session.remove_root(root, dry_run=dry_run)
    if as_json:
        from mlib import documents

        output.write_json(documents.root_removed_document(report, dry_run=dry_run))
        return
    output.write_rows([("would remove" if dry_run else "removed", report.root.type, report.root.path)])
    if report.missing:
        output.note(f"now missing: {fmt.plural(report.missing, 'file')}")
    if report.root.origin != "user":
        output.note("note: the next scan adds it again if another folder from the same source is known")


def _row(each: RootReport) -> tuple[str, ...]:
    root, holding = each.root, each.holding
    return (
        str(root.id),
        root.type,
        each.standing,
        fmt.number(holding.files),
        fmt.size(holding.size_bytes),
        root.path,
    )


def _whole_row(each: RootReport) -> tuple[str, ...]:
    root, holding = each.root, each.holding
    return (
        str(root.id),
        root.type,
        each.standing,
        str(holding.files),
        str(holding.size_bytes),
        root.path,
        str(holding.models),
        times.iso(holding.seen_at) or "",
        root.origin,
    )
