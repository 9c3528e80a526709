"""`mlib duplicates`."""

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
    expanded_or_all,
    open_session,
)
from mlib.core.errors import FINISHED_WITH_PROBLEMS, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.services.files.duplicating import Action, CopyChoice, CopyGroup, DuplicatesReport


def duplicates(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Only these models; '-' reads them from standard input."),
    ] = None,
    query: QueryOption = None,
    same_weights: Annotated[
        bool,
        typer.Option("--same-weights", help="List files with the same weights (needs `mlib hash --all`)."),
    ] = False,
    hardlink: Annotated[
        bool, typer.Option("--hardlink", help="Replace copies with hard links to one file.")
    ] = False,
    trash: Annotated[bool, typer.Option("--trash", help="Move all copies but one to the trash.")] = False,
    keep: Annotated[
        str | None,
        typer.Option(
            metavar="WHICH",
            help="Which copy to keep: newest, oldest, shortest (path), or a pattern.",
        ),
    ] = None,
    dry_run: DryRunOption = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List models stored more than once, or free the space.

    Largest savings first. Hard links, symbolic links and one file seen through two mounts are not copies.
    --hardlink and --trash read both a copy and the one to keep in full before touching either. If no copy of
    a model matches the --keep pattern, all are kept. --trash also keeps copies that a loader needs in their
    place: the last one in the folders of its type, and parts of multi-file models.
    """
    from mlib.cli.progress import Progress
    from mlib.services.files.duplicating import DuplicatesReport

    action = _deed(hardlink=hardlink, trash=trash, keep=keep, same_weights=same_weights)
    with (
        Progress(wanted=not quiet) as progress,
        open_session(ctx, library, emit=progress.emit) as session,
    ):
        groups = session.duplicates(expanded_or_all(refs), query, same_weights=same_weights)
        report = DuplicatesReport(groups=groups)
        if action is not None:
            assert keep is not None
            plan = session.plan_one_copy(groups, keep, action)
            if plan.choices and not dry_run:
                confirm(_question(plan.choices, action), yes=yes)
            report = session.keep_one_copy(plan, action, dry_run=dry_run)
    if as_json:
        from mlib import documents

        output.write_json(
            documents.duplicates_document(report, action, dry_run=dry_run, same_weights=same_weights)
        )
    elif quiet:
        of_groups = (group.key for group in report.groups)
        done = dict.fromkeys(copy.row.sha256 for copy, _ in report.done)
        output.write_lines(of_groups if action is None else done)
        _tell_failed(report)
    elif action is None:
        _list(report.groups, same_weights=same_weights)
    else:
        _tell(report, action, dry_run=dry_run)
    if report.failed:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _deed(*, hardlink: bool, trash: bool, keep: str | None, same_weights: bool) -> Action | None:
    if hardlink and trash:
        raise WrongUsage("two_deeds", "--hardlink and --trash are mutually exclusive")
    if not (hardlink or trash):
        if keep is not None:
            raise WrongUsage("nothing_to_do", "--keep needs --hardlink or --trash")
        return None
    if same_weights:
        raise WrongUsage("only_a_list", "--same-weights only lists files: they are not identical")
    if not keep:
        raise WrongUsage(
            "keep_what",
            "say which copy to keep",
            hint="--keep newest, oldest, shortest or a pattern like '*/a/*'",
        )
    return "hardlink" if hardlink else "trash"


def _question(choices: Sequence[CopyChoice], action: Action) -> str:
    copies = fmt.plural(sum(len(choice.gone) for choice in choices), "copy", "copies")
    freed = fmt.size(sum(choice.freeable_bytes for choice in choices))
    models = fmt.plural(len(choices), "model")
    if action == "hardlink":
        return f"replace {copies} of {models} with hard links ({freed})"
    return f"move {copies} of {models} ({freed}) to the trash"


def _list(groups: Sequence[CopyGroup], *, same_weights: bool) -> None:
    from mlib.cli.layout import Column, write_table

    columns = [Column("SHA256"), Column("SIZE", right=True), Column("PATH", shrinks=True)]
    person = output.is_terminal()
    write_table(
        columns,
        [
            (
                copy.row.sha256[:10] if person else copy.row.sha256,
                fmt.size(copy.stat.size_bytes) if person else str(copy.stat.size_bytes),
                copy.row.path,
            )
            for group in groups
            for copy in group.copies
        ],
    )
    _tell_perhaps_one(groups)
    total = fmt.size(sum(group.freeable_bytes for group in groups))
    if same_weights:
        sets = fmt.plural(len(groups), "group")
        output.note(f"{sets} of files with the same weights, {total} stored more than once")
    else:
        output.note(f"{fmt.plural(len(groups), 'model')} stored more than once, {total} can be freed")


def _tell(report: DuplicatesReport, action: Action, *, dry_run: bool) -> None:
    verb = {"hardlink": "linked", "trash": "trashed"}[action]
    if dry_run:
        verb = {"hardlink": "would link", "trash": "would trash"}[action]
    output.write_rows((verb, copy.row.path, target) for copy, target in report.done)
    for group in report.left_alone:
        output.note(f"skipped: no path of {group.name} ({group.key[:10]}) matches --keep")
    for each in report.needed:
        output.note(f"kept: {each.copy.row.path}: {each.reason}")
    if report.needed:
        output.note("hint: --hardlink frees the space and leaves every copy where it is")
    for folder in report.folders:
        output.note(fmt.folder_stays(folder, dry_run=dry_run))
    for link in report.links:
        output.note(fmt.dangling(link, dry_run=dry_run))
    _tell_perhaps_one(report.groups)
    _tell_failed(report)
    freed = f"{'would free' if dry_run else 'freed'} {fmt.size(report.freed_bytes)}"
    output.note(f"{freed} once the trash is emptied" if action == "trash" else freed)


def _tell_perhaps_one(groups: Sequence[CopyGroup]) -> None:
    for group in groups:
        if group.perhaps_one:
            paths = ", ".join(group.perhaps_one)
            output.note(f"maybe one file seen through two mounts, so nothing would be freed: {paths}")


def _tell_failed(report: DuplicatesReport) -> None:
    for problem in report.failed:
        output.note(fmt.problem(problem))
