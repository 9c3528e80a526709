"""`mlib backup`, `mlib clean-meta`, `mlib doctor` and `mlib restore`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.options import (
    DryRunOption,
    JsonOption,
    LibraryOption,
    QueryOption,
    YesOption,
    confirm,
    expanded_or_all,
    library_path,
    open_session,
)
from mlib.core import times
from mlib.core.errors import FINISHED_WITH_PROBLEMS, MlibError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.restoring import Backup

# --- `mlib backup`


def backup(
    ctx: typer.Context,
    to: Annotated[
        str | None,
        typer.Argument(
            metavar="[FILE]", help="Write the copy to FILE, which mlib never deletes; - is standard output."
        ),
    ] = None,
    list_: Annotated[bool, typer.Option("--list", help="List existing backups, newest first.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Make a complete, checked copy of the library.

    Without FILE it goes to `backups` beside the library, which keeps the last five that you made and the last
    five that mlib made by itself.
    """
    if list_:
        if to is not None:
            raise WrongUsage("bad_options", "--list takes no FILE")
        with open_session(ctx, library) as session:
            _list(session.backups(), as_json=as_json)
        return
    from mlib.core.disk.writing import looked_at

    if to == "-":
        if as_json or output.is_terminal():
            raise WrongUsage(
                "bad_options", "a backup written to standard output is binary: use > or |, without --json"
            )
        with open_session(ctx, library) as session:
            if dry_run:
                session.expect()
                output.note("would back up to standard output")
            else:
                written = output.write_bytes(session.backed_up())
                if output.is_abandoned():
                    raise MlibError("output_failed", "the backup is incomplete: the reader closed the pipe")
                output.note(f"backed up: {fmt.size(written)}, checked")
        return
    made = None
    with open_session(ctx, library) as session:
        session.expect()
        if not dry_run:
            replaces = None
            if to is not None and os.path.lexists(to):
                replaces = looked_at(to)
                confirm(f"replace {to}", yes=yes)
            made = session.back_up(to, replaces=replaces)
    path = made or (os.path.abspath(to) if to is not None else None)
    size = os.path.getsize(made) if made else None
    if as_json:
        from mlib import documents

        output.write_json(documents.backup_document(path, size, dry_run=dry_run))
    elif dry_run:
        output.note(f"would back up to {path or 'the backups beside the library'}")
    else:
        output.write_values([path or ""])
        output.note(f"backed up: {fmt.size(size)}, checked")


def _list(found: Sequence[Backup], *, as_json: bool) -> None:
    from mlib.cli.layout import Column, write_table

    if as_json:
        from mlib import documents

        output.write_json([documents.known_backup_document(each) for each in found])
        return
    # Never truncate the name: `mlib restore` takes it, and it contains the reason.
    columns = (Column("made"), Column("size", right=True), Column("name"))
    rows = [
        (fmt.moment(each.made_at), fmt.size(each.size_bytes), os.path.basename(each.path))
        if output.is_terminal()
        else (times.iso(each.made_at) or "", each.reason, str(each.size_bytes), each.path)
        for each in found
    ]
    write_table(columns, rows)
    if not found:
        output.note("no backups yet")


# --- `mlib clean-meta`


def clean_meta(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Only these models; '-' reads them from standard input."),
    ] = None,
    query: QueryOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Remove image data from stored metadata.

    For every model and pending import, or only those named, after a backup. Everything else in the metadata
    stays exactly as it is; model files are not touched.
    """
    with open_session(ctx, library) as session:
        report = session.clean_meta(expanded_or_all(refs), query, dry_run=dry_run)
    if as_json:
        from mlib import documents

        output.write_json(documents.clean_meta_document(report, dry_run=dry_run))
        return
    verb = "would clean" if dry_run else "cleaned"
    freed = report.bytes_before - report.bytes_after
    output.write_lines(
        [
            (
                f"{verb} {fmt.number(report.cleaned)} of {fmt.plural(report.examined, 'entry', 'entries')}: "
                f"{fmt.plural(report.payloads_removed, 'payload')}, {fmt.size(freed)}"
            )
        ]
    )
    if report.backup:
        output.note(f"backup: {report.backup}")


# --- `mlib doctor`


def doctor(
    ctx: typer.Context,
    fix: Annotated[
        bool,
        typer.Option(
            "--fix", help="Fix what is safe to fix: permissions, leftovers, orphaned records, free pages."
        ),
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Check the library and suggest fixes.

    Checks the file and everything it depends on, and names the command that fixes each problem; works on a
    damaged library too. Exits with 3 if there is an error. --fix touches nothing that you typed.
    """
    with open_session(ctx, library) as session:
        diagnosis = session.doctor(fix=fix and not dry_run)
    errors, warnings = diagnosis.count("error"), diagnosis.count("warning")
    mends = [output.worded(check.mend) for check in diagnosis.checks]
    if as_json:
        from mlib import documents

        output.write_json(documents.doctor_document(diagnosis, mends, dry_run=dry_run))
    elif output.is_terminal():
        for check, mend in zip(diagnosis.checks, mends, strict=True):
            output.write_lines(
                [f"{'fixed' if check.fixed else check.state:<8} {check.name}: {check.message}"]
            )
            if mend and check.state != "ok" and not check.fixed:
                output.write_lines([f"{'':<8} fix: {mend}"])
    else:
        output.write_rows(
            (check.name, "fixed" if check.fixed else check.state, check.message, mend or "")
            for check, mend in zip(diagnosis.checks, mends, strict=True)
        )
    if not as_json:
        output.note(f"{fmt.plural(errors, 'error')}, {fmt.plural(warnings, 'warning')}")
    if errors:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


# --- `mlib restore`


def restore(
    ctx: typer.Context,
    given: Annotated[
        str | None, typer.Argument(metavar="[BACKUP]", help="A backup's name (`mlib backup --list`) or path.")
    ] = None,
    latest: Annotated[bool, typer.Option("--latest", help="Use the newest good backup.")] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Replace the library with a backup.

    Works even if the library no longer opens. The backup is checked first; the library it replaces is kept
    beside it, and its new name is printed.
    """
    if (given is None) == (not latest):
        raise WrongUsage("bad_options", "name a backup, or --latest", hint="`mlib backup --list` lists them")
    path = library_path(ctx, library)
    with open_session(ctx, library) as session:
        report = session.plan_restore(given)
        if not dry_run:
            if report.replaces:
                confirm(f"replace {path} with {report.backup}", yes=yes)
            report = session.restore(report.backup)
    if as_json:
        from mlib import documents

        output.write_json(documents.restore_document(path, report, dry_run=dry_run))
        return
    output.write_rows([("would restore" if dry_run else "restored", report.backup)])
    if report.kept:
        output.note(f"the previous library is kept: {report.kept}")
