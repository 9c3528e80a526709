"""`mlib forget`, `mlib missing` and `mlib prune`."""

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
    QueryOption,
    QuietOption,
    YesOption,
    confirm,
    expanded,
    open_session,
)
from mlib.core import times
from mlib.core.errors import WrongUsage

if TYPE_CHECKING:
    from mlib.services.forgetting import ForgetReport, ForgottenModel, Missing


# --- Output of `forget` and `prune`


def write(report: ForgetReport, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Print the models and pending imports that were forgotten, or would be."""
    if as_json:
        from mlib import documents

        output.write_json(documents.forget_document(report, dry_run=dry_run))
        return
    if quiet:
        output.write_lines(_identifier(each) for each in report.forgotten)
        return
    output.write_rows(
        (
            _identifier(each)[:10] if each.sha256 else _identifier(each),
            each.name,
            fmt.moment(each.missing_since),
        )
        for each in report.forgotten
    )
    _tell(report, dry_run=dry_run)


def _tell(report: ForgetReport, *, dry_run: bool) -> None:
    verb = "would forget" if dry_run else "forgot"
    output.note(f"{verb} {counted(report)}")
    if report.kept_offline:
        kept = fmt.plural(report.kept_offline, "model")
        output.note(f"kept {kept} in offline folders")
    if present := sum(bool(each.paths) for each in report.forgotten):
        output.note(f"{fmt.plural(present, 'model')} still have files; the next scan adds them as new")
    if report.backup:
        output.note(f"backup: {report.backup}")
        output.note("hint: `mlib undo` restores them")


def counted(report: ForgetReport) -> str:
    """The number of models and pending imports: `3 models, 1 pending import`."""
    models = sum(each.sha256 is not None for each in report.forgotten)
    waiting = len(report.forgotten) - models
    parts = [fmt.plural(models, "model")] if models or not waiting else []
    parts += [fmt.plural(waiting, "pending import")] if waiting else []
    return ", ".join(parts)


def _identifier(each: ForgottenModel) -> str:
    return each.sha256 or f"pending:{each.pending_id}"


# --- `mlib forget`


def forget(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Models, or pending:ID; '-' reads them from standard input."),
    ] = None,
    query: QueryOption = None,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Forget models or pending imports.

    Deletes them and everything you typed about them from the library, after a backup. Files are not touched;
    the next scan adds those that are still there as new. `mlib undo` restores what was forgotten.
    """
    if not refs and query is None:
        raise WrongUsage("nothing_to_do", "no model given", hint="see `mlib forget --help`")
    with open_session(ctx, library) as session:
        targets = session.choose(expanded(refs), query)
        report = session.forget(targets, dry_run=True)
        if not dry_run and targets:
            confirm(f"forget {counted(report)} and everything you typed about them", yes=yes)
            report = session.forget(targets)
    write(report, dry_run=dry_run, as_json=as_json, quiet=quiet)


# --- `mlib missing`

_COLUMNS = [
    Column("MODEL"),
    Column("NAME", shrinks=True),
    Column("MISSING SINCE"),
    Column("STATE"),
    Column("LAST SEEN AT", shrinks=True),
]


def missing(
    ctx: typer.Context,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List models whose files are missing.

    Shows when they went missing and their last path, newest first. A model is `offline` if its folder cannot
    be found now: it may not be missing at all.
    """
    with open_session(ctx, library) as session:
        found = session.missing()
    if as_json:
        from mlib import documents

        output.write_json([documents.missing_document(each) for each in found])
    elif quiet:
        output.write_lines(each.model.sha256 for each in found)
    else:
        write_table(_COLUMNS, [_row(each) for each in found])


def _row(each: Missing) -> tuple[str, ...]:
    model = each.model
    state = "offline" if each.offline else "missing" if model.places else "never seen"
    path = model.places[0].path if model.places else ""
    short = model.sha256[:10] if output.is_terminal() else model.sha256
    return short, model.name, fmt.moment(model.since), state, path


# --- `mlib prune`


def prune(
    ctx: typer.Context,
    missing_for: Annotated[
        str, typer.Option(metavar="SPAN", help="Minimum time the files have been missing, such as 90d or 6m.")
    ],
    force: Annotated[
        bool, typer.Option("--force", help="With --yes: forget even more than a tenth of the library.")
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Forget models whose files have been missing for a long time.

    Deletes them and everything you typed about them from the library, after a backup; models in offline
    folders stay. `mlib missing` lists what is missing; `mlib undo` restores what was forgotten.
    """
    span = times.duration(missing_for)
    with open_session(ctx, library) as session:
        report = session.prune(span, force=True, dry_run=True)
        if report.too_many and not (force and yes) and dry_run:
            output.note("this is more than a tenth of the library: without -n it needs --yes --force")
        if not dry_run and report.forgotten:
            if not report.too_many:  # else only both options help, no answer
                confirm(f"forget {counted(report)} and everything you typed about them", yes=yes)
            report = session.prune(span, force=force and yes)
    write(report, dry_run=dry_run, as_json=as_json, quiet=quiet)
