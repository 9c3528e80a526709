"""`mlib import` and `mlib pending`."""

from __future__ import annotations

from enum import StrEnum
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
    expanded,
    expanded_or_all,
    open_session,
)
from mlib.core.errors import FINISHED_WITH_PROBLEMS, WrongUsage

if TYPE_CHECKING:
    from mlib.services.importing.importer import ImportReport, WaitReason


# --- Output of an import


def write(report: ImportReport, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Print the report; with `quiet`, still the conflicts and failures behind the exit code."""
    if as_json:
        from mlib import documents

        output.write_json(documents.import_document(report, dry_run=dry_run))
    elif quiet:
        output.write_lines(dict.fromkeys(entry.sha256 for entry in report.success))
        for e in report.conflict:
            output.note(f"conflict: {_id(e.id)}: {e.sha256}: {', '.join(e.differs)}")
        _tell_failed(report)
        _tell_way_out(report)
    else:
        _tell(report, dry_run=dry_run)


def _id(pending_id: int | None) -> str:
    return "sidecar" if pending_id is None else str(pending_id)


def _tell(report: ImportReport, *, dry_run: bool) -> None:
    rows: list[tuple[str, ...]] = [
        (entry.change, _id(entry.id), entry.sha256) for entry in report.success if entry.change != "unchanged"
    ]
    rows += [("conflict", _id(e.id), e.sha256, ", ".join(e.differs)) for e in report.conflict]
    rows += [("ignored", str(pending_id)) for pending_id in report.ignored]
    rows += [("deleted", str(pending_id)) for pending_id in report.deleted]
    rows += [("waiting", str(e.id), e.path) for e in report.waiting]
    output.write_rows(rows)
    _tell_failed(report)
    changes = [entry.change for entry in report.success]
    parts = [
        f"{fmt.number(count)} {word}"
        for word, count in (
            ("created", changes.count("created")),
            ("updated", changes.count("updated")),
            ("unchanged", changes.count("unchanged")),
            ("in conflict", len(report.conflict)),
            ("ignored", len(report.ignored)),
            ("deleted", len(report.deleted)),
            ("waiting for a scan to find their file", len(report.waiting)),
            ("failed", len(report.failed)),
        )
        if count
    ]
    lead = "would import" if dry_run else "imported"
    output.note(
        f"{lead} {fmt.plural(report.total, 'entry', 'entries')}: {', '.join(parts) or 'nothing to do'}"
    )
    if report.backup:
        output.note(f"backup: {report.backup}")
    _tell_way_out(report)


def _tell_failed(report: ImportReport) -> None:
    for failure in report.failed:
        where = failure.path if failure.id is None else f"pending:{failure.id}"
        output.note(f"failed: {where}: {failure.message}" if where else f"failed: {failure.message}")


def _tell_way_out(report: ImportReport) -> None:
    if any(conflict.id is None for conflict in report.conflict):
        output.note(
            "hint: `mlib import --sidecars REF --on-conflict merge|override|ignore` resolves a conflict"
        )
    elif report.conflict:
        output.note("hint: `mlib import ID --on-conflict merge|override|ignore|delete` resolves a conflict")


# --- `mlib import`


class OnConflict(StrEnum):
    """The values of --on-conflict."""

    report = "report"
    override = "override"
    merge = "merge"
    ignore = "ignore"
    delete = "delete"


def import_(
    ctx: typer.Context,
    ids: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[ID...]",
            help="Pending imports (7 or pending:7), or models with --sidecars; default: all.",
        ),
    ] = None,
    from_: Annotated[
        str | None,
        typer.Option(
            "--from",
            metavar="FILE",
            help="Import an export, another library, or an older manager's database.",
        ),
    ] = None,
    map_: Annotated[
        list[str] | None,
        typer.Option(
            "--map",
            metavar="OLD=NEW",
            help="Replace the prefix OLD of imported or pending paths with NEW.",
        ),
    ] = None,
    sidecars: Annotated[
        bool, typer.Option("--sidecars", help="Import other managers' sidecar files.")
    ] = False,
    query: QueryOption = None,
    on_conflict: Annotated[
        OnConflict, typer.Option(help="What to do if the import differs from what you typed.")
    ] = OnConflict.report,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Import pending models, an export, or another manager's data.

    On a conflict with what you typed, `report` lists it and leaves it pending, `override` takes the import's
    values, `merge` fills only empty fields, `ignore` leaves a known model as it is, and `delete` drops the
    import. An empty field never replaces anything.
    """
    if sidecars:
        _check_for_sidecars(from_, map_, on_conflict)
    elif query is not None:
        raise WrongUsage("bad_options", "--query needs --sidecars")
    wanted = None if sidecars or not ids else _numbers(ids)
    with open_session(ctx, library) as session:
        strategy = str(on_conflict)
        if sidecars:
            report = session.import_sidecars(
                expanded_or_all(ids), query, on_conflict=strategy, dry_run=dry_run
            )
        elif from_ is not None:
            report = session.import_from(
                from_, ids=wanted, on_conflict=strategy, moves=map_ or (), dry_run=dry_run
            )
        else:
            report = session.import_pending(wanted, on_conflict=strategy, moves=map_ or (), dry_run=dry_run)
    if report.roots:
        output.note(f"added {fmt.plural(report.roots, 'folder')} to scan; `mlib roots` lists them")
    write(report, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if quiet and wanted is not None:
        for entry in report.waiting:
            output.note(f"waiting for a scan to find its file: pending:{entry.id}: {entry.path}")
    if report.conflict or report.failed or (wanted is not None and report.waiting):
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _check_for_sidecars(from_: str | None, map_: list[str] | None, on_conflict: OnConflict) -> None:
    if map_:
        raise WrongUsage("bad_options", "--map does not apply to --sidecars: they contain no paths")
    if from_ is not None:
        raise WrongUsage("bad_options", "--from and --sidecars are mutually exclusive")
    if on_conflict is OnConflict.delete:
        raise WrongUsage("bad_options", "--on-conflict delete does not apply to --sidecars")


def _numbers(ids: list[str]) -> list[int]:
    numbers = []
    for text in expanded(ids):
        digits = text.strip().removeprefix("pending:")
        if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
            raise WrongUsage(
                "bad_id", f"'{text}' is not a pending import", hint="give its number, such as 7 or pending:7"
            )
        numbers.append(int(digits))
    return numbers


# --- `mlib pending`

_COLUMNS = [
    Column("ID", right=True),
    Column("NAME", shrinks=True),
    Column("TYPE"),
    Column("WHY"),
    Column("PATH", shrinks=True),
    Column("SOURCE", shrinks=True),
]
_WORDS = {
    "path_not_found": "no such file",
    "unhashed": "not scanned yet",
    "bad_meta": "metadata is not JSON",
    "ready": "ready",
}


def pending_(
    ctx: typer.Context,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List pending imports and what they wait for.

    A conflict names the fields in which the import and the model differ; `mlib import ID --on-conflict …`
    resolves it. `mlib import` imports what is ready.
    """
    with open_session(ctx, library) as session:
        found = session.pending()
    if as_json:
        from mlib import documents

        output.write_json([documents.pending_document(wait) for wait in found])
    elif quiet:
        output.write_lines(f"pending:{wait.entry.id}" for wait in found)
    else:
        write_table(_COLUMNS, [_row(wait) for wait in found])


def _row(wait: WaitReason) -> tuple[str, ...]:
    entry = wait.entry
    why = _WORDS.get(wait.reason) or f"conflict: {', '.join(wait.differs)}"
    return str(entry.id), entry.name, entry.type, why, entry.path, entry.source
