"""`mlib mv`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.cli.exit_codes import FINISHED_WITH_PROBLEMS
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QueryOption, QuietOption, open_for
from mlib.core.errors import WrongUsage

if TYPE_CHECKING:
    from mlib.services.moving import MoveReport, Way


NoExclusiveOption = Annotated[
    bool,
    typer.Option(
        "--no-exclusive",
        help="Go on where a disk (exFAT by FUSE) cannot rename without the risk of replacing a file "
        "that another program makes in that moment.",
    ),
]


def mv(
    ctx: typer.Context,
    words: Annotated[
        list[str],
        typer.Argument(
            metavar="[REF...] DEST",
            help="Models, or paths of files; '-' reads them from stdin. DEST is a folder, or a new path.",
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

    What lies beside them goes with them. Nothing is ever overwritten. To another disk they are copied and
    read back before the originals go. Of a model with several copies, name one by its path. Parts of one
    model go together: name all of them.
    """
    from mlib.cli.meant import files_chosen
    from mlib.cli.progress import Progress
    from mlib.services.moving import move

    *refs, dest = words
    if not refs and query is None:
        raise WrongUsage("no_models", "say which model, and where to", hint="see `mlib mv --help`")
    with (
        open_for(ctx, library, mode="write") as opened,
        Progress(wanted=not quiet) as progress,
    ):
        meant = files_chosen(opened, refs, query)
        way: Way = "reserved" if no_exclusive else "exclusive"
        report = move(opened, meant, dest, way=way, dry_run=dry_run, emit=progress.emit)
    report_moves(report, dry_run=dry_run, as_json=as_json, quiet=quiet)


def report_moves(report: MoveReport, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """Print what was moved and leave with the exit code."""
    if as_json:
        output.write_json(
            {
                "moved": [
                    {
                        "sha256": each.sha256,
                        "path": each.place.path,
                        "moves": [{"from": source, "to": target} for source, target in each.moves],
                        "left": list(each.shared),
                        "left_folders": list(each.folders),
                        "in_root": each.place.root is not None,
                        "dangling_links": list(each.links),
                    }
                    for each in report.moved
                ],
                "failed": [
                    {"path": each.path, "code": each.code, "message": each.message} for each in report.failed
                ],
                "copied_bytes": report.copied_bytes,
                "perhaps_not_exclusive": report.unproven,
                "dry_run": dry_run,
            }
        )
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
            output.note(f"left for another model of that name: {path}")
    for path in dict.fromkeys(path for each in report.moved for path in each.folders):
        output.note(fmt.folder_stays(path, dry_run=dry_run))
    for path in dict.fromkeys(path for each in report.moved for path in each.links):
        output.note(fmt.dangling(path, dry_run=dry_run))
    outside = sum(each.place.root is None for each in report.moved)
    if outside:
        output.note(
            f"{fmt.plural(outside, 'file')} now outside of all folders that `mlib scan` looks at; "
            "add the folder with --root TYPE=DIR"
        )
    for folder in report.unproven:
        output.note(
            "only the move itself shows whether this disk can do it without the risk of replacing another "
            f"file; where it cannot, it needs --no-exclusive: {folder}"
        )
    if not (report.moved or report.failed):
        output.note("no file is found")
    _tell_failed(report)


def _tell_failed(report: MoveReport) -> None:
    for problem in report.failed:
        output.note(fmt.problem(problem))
