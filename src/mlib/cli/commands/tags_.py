"""`mlib tags`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.layout import Column, write_table
from mlib.cli.options import (
    DryRunOption,
    JsonOption,
    LibraryOption,
    QuietOption,
    YesOption,
    confirm,
    hand_on,
    open_session,
)

if TYPE_CHECKING:
    from mlib.services.tagging import TagReport

_COLUMNS = [Column("TAG", shrinks=True), Column("MODELS", right=True), Column("PENDING", right=True)]
_Tag = Annotated[str, typer.Argument(metavar="TAG", help="A tag, in any letter case.")]


def tags_(
    ctx: typer.Context,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List tags, or rename or delete one."""
    if ctx.invoked_subcommand is not None:
        hand_on(ctx, library=library, as_json=as_json, quiet=quiet)
        return
    with open_session(ctx, library) as session:
        found = session.tags()
    if as_json:
        from mlib import documents

        output.write_json([documents.tag_document(tag) for tag in found])
    elif quiet:
        output.write_values(tag.name for tag in found)
    else:
        write_table(_COLUMNS, [(tag.name, str(tag.models), str(tag.pending)) for tag in found])


def _rename(
    ctx: typer.Context,
    tag: _Tag,
    new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")],
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Rename a tag everywhere; if NEW exists already, merge the two."""
    with open_session(ctx, library) as session:
        report = session.rename_tag(tag, new, dry_run=dry_run)
    _tell(report, dry_run=dry_run, as_json=as_json)


def _delete(
    ctx: typer.Context,
    tag: _Tag,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Remove a tag from everything that has it, after a backup."""
    with open_session(ctx, library) as session:
        report = session.delete_tag(tag, dry_run=True)
        if not dry_run:
            confirm(f"remove the tag '{report.before}' from {_bearers(report)}", yes=yes)
            report = session.delete_tag(tag)
    _tell(report, dry_run=dry_run, as_json=as_json)


def _tell(report: TagReport, *, dry_run: bool, as_json: bool) -> None:
    if as_json:
        from mlib import documents

        output.write_json(documents.tag_changed_document(report, dry_run=dry_run))
        return
    action = "delete" if report.after is None else "merge" if report.merged else "rename"
    action = f"would {action}" if dry_run else f"{action}d"
    output.write_rows(
        [(action, report.before, *([] if report.after is None else [report.after]), _bearers(report))]
    )
    if report.backup:
        output.note(f"backup: {report.backup}")


def _bearers(report: TagReport) -> str:
    models = fmt.plural(report.models, "model")
    return f"{models}, {fmt.plural(report.pending, 'pending import')}" if report.pending else models
