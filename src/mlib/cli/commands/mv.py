"""`mlib mv`, `mlib rename` and `mlib trash`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
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
from mlib.core.errors import FINISHED_WITH_PROBLEMS, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.services.files.moving import MoveReport, Way
    from mlib.services.files.trashing import Removed, TrashedBefore, TrashPlan, TrashReport


NoExclusiveOption = Annotated[
    bool,
    typer.Option(
        "--no-exclusive",
        help="Move even if the disk (such as exFAT over FUSE) cannot rule out overwriting a file "
        "that another program creates at that moment.",
    ),
]


# --- `mlib mv`


def mv(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[REF...] DEST",
            help="Models or file paths ('-' reads them from standard input), and a folder or a new path.",
        ),
    ],
    query: QueryOption = None,
    no_exclusive: NoExclusiveOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Move files of models to another folder.

    Their companions (previews, sidecars) move with them, and nothing is ever overwritten. Across disks, files
    are copied and read back before the originals are deleted. If a model has several copies, name one by its
    path. The parts of a model must move together: name all of them.
    """
    from mlib.cli.progress import Progress

    *refs, dest = words
    if not refs and query is None:
        raise WrongUsage("no_models", "name a model and a destination", hint="see `mlib mv --help`")
    way: Way = "reserved" if no_exclusive else "exclusive"
    with (
        Progress(wanted=not quiet) as progress,
        open_session(ctx, library, emit=progress.emit) as session,
    ):
        report = session.move(expanded(refs), dest, query, way=way, dry_run=dry_run)
    report_moves(report, dry_run=dry_run, as_json=as_json, quiet=quiet)


def report_moves(report: MoveReport, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Print what was moved and exit with 3 if something failed."""
    if as_json:
        from mlib import documents

        output.write_json(documents.move_document(report, dry_run=dry_run))
    elif quiet:
        output.write_lines(each.sha256 for each in report.moved)
        _tell_failed(report)
    else:
        _tell(report, dry_run=dry_run)
    if report.failed:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _tell(report: MoveReport, *, dry_run: bool) -> None:
    verb = "would move" if dry_run else "moved"
    for each in report.moved:
        output.write_rows((verb, source, target) for source, target in each.moves)
        if not each.moves:
            output.note(f"already there: {each.place.path}")
    went = {source for each in report.moved for source, _ in each.moves}
    for path in dict.fromkeys(path for each in report.moved for path in each.shared):
        if path not in went:
            output.note(f"kept for another model of the same name: {path}")
    for path in dict.fromkeys(path for each in report.moved for path in each.folders):
        output.note(fmt.folder_stays(path, dry_run=dry_run))
    for path in dict.fromkeys(path for each in report.moved for path in each.links):
        output.note(fmt.dangling(path, dry_run=dry_run))
    outside = sum(each.place.root is None for each in report.moved)
    if outside:
        output.note(
            f"{fmt.plural(outside, 'file')} now outside every scanned folder; "
            "add the folder with --root TYPE=DIR"
        )
    for folder in report.unproven:
        output.note(
            "cannot tell in advance whether this disk can move files without the risk of overwriting; "
            f"if it cannot, the move needs --no-exclusive: {folder}"
        )
    if not (report.moved or report.failed):
        output.note("no files found")
    _tell_failed(report)


def _tell_failed(report: MoveReport) -> None:
    for problem in report.failed:
        output.note(fmt.problem(problem))


# --- `mlib rename`


def rename(
    ctx: typer.Context,
    ref: Annotated[str, typer.Argument(metavar="REF", help="A model with one file, or the path of a file.")],
    name: Annotated[
        str, typer.Argument(metavar="NEWNAME", help="The new file name; the extension can be left out.")
    ],
    no_exclusive: NoExclusiveOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Rename a model's file.

    Its companions (previews, sidecars) are renamed too. Parts of a multi-file model cannot be renamed, as
    loaders find them by name. To change only the model's name in the library, use `mlib update --name`.
    """
    way: Way = "reserved" if no_exclusive else "exclusive"
    (one,) = expanded([ref])
    with open_session(ctx, library) as session:
        report = session.rename(one, name, way=way, dry_run=dry_run)
    report_moves(report, dry_run=dry_run, as_json=as_json, quiet=quiet)


# --- `mlib trash`


def trash(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Models or file paths; '-' reads them from standard input."),
    ] = None,
    query: QueryOption = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Move the files of models to the system's trash.

    Their companions (previews, sidecars) go with them, unless another model of the same name needs them. A
    REF that is a path trashes only that file; any other REF, and --query, trashes all files of the model. Of
    a link, as in a Hugging Face cache, only the link is trashed, and its target is printed. Names, notes and
    tags are kept: the next scan recognises a file that was put back. The parts of a model must go together:
    name all of them.
    """
    if not refs and query is None:
        raise WrongUsage("no_models", "name a model, or give --query")
    with open_session(ctx, library) as session:
        plan, before = session.plan_trash(expanded(refs), query)
        if plan.removals and not dry_run:
            confirm(_deed(plan), yes=yes)
        report = session.trash(plan, dry_run=dry_run)
    _print(report, before, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if report.failed:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _deed(plan: TrashPlan) -> str:
    """The action to confirm."""
    links = plan.links_alone
    what = fmt.plural(len(plan.removals) - links, "model file")
    if links:
        told = f"{fmt.plural(links, 'link')} to {'a file that stays' if links == 1 else 'files that stay'}"
        what = f"{what} and {told}" if links < len(plan.removals) else told
    if plan.companions:
        what += f" and {fmt.plural(plan.companions, 'companion')}"
    return f"move {what} ({fmt.size(plan.size_bytes)}) to the trash"


def _print(
    report: TrashReport, before: Sequence[TrashedBefore], *, dry_run: bool, as_json: bool, quiet: bool
) -> None:
    if as_json:
        from mlib import documents

        output.write_json(documents.trash_document(report, before, dry_run=dry_run))
        return
    if quiet:
        output.write_lines(dict.fromkeys(each.row.sha256 for each in report.removed))
    else:
        _tell_trashed(report, before, dry_run=dry_run)
    for problem in report.failed:
        output.note(fmt.problem(problem))


def _tell_trashed(report: TrashReport, before: Sequence[TrashedBefore], *, dry_run: bool) -> None:
    verb = "would trash" if dry_run else "trashed"
    for each in report.removed:
        output.write_rows([(verb, path, to) for path, to in moves_of(each)])
    went = {path for each in report.removed for path, _ in moves_of(each)}
    for path in dict.fromkeys(path for each in report.removed for path in each.shared):
        if path not in went:
            output.note(f"kept for another model of the same name: {path}")
    for path in dict.fromkeys(path for each in report.removed for path in each.folders):
        output.note(fmt.folder_stays(path, dry_run=dry_run))
    for path in dict.fromkeys(path for each in report.removed for path in each.links):
        output.note(fmt.dangling(path, dry_run=dry_run))
    for each in report.removed:
        if each.bytes_at is not None:
            verb = "would trash" if dry_run else "trashed"
            output.note(f"{verb} only the link; the file it points to stays: {each.bytes_at}")
    for past in before:
        output.note(f"already in the trash: {past.path}" + (f": {past.target}" if past.target else ""))
    if not (report.removed or report.failed or before):
        output.note("no files found")


def moves_of(removed: Removed) -> list[tuple[str, str]]:
    """Source and target of each file, the model first."""
    companions = [(each.source, each.target) for each in removed.companions]
    return [(removed.row.path, removed.target or ""), *companions]
