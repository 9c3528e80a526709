"""`mlib workflow check` and `mlib unused`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.options import (
    JsonOption,
    LibraryOption,
    QueryOption,
    QuietOption,
    expanded_or_all,
    open_session,
)
from mlib.core.errors import FINISHED_WITH_PROBLEMS, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.services.workflows.checking import CheckReport, NeedAnswer, Suggestion
    from mlib.services.workflows.unused import UnusedReport


# --- `mlib unused`

#: Names of kinds of other files, and the maximum number of kinds printed.
_KINDS = {"empty_file": "empty", "lfs_pointer": "Git LFS pointer", "apple_double": "AppleDouble"}
_KINDS_TOLD = 8


def unused(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Only these models; '-' reads them from standard input."),
    ] = None,
    workflows: Annotated[
        list[str] | None,
        typer.Option(
            "--workflows",
            metavar="DIR",
            help="A folder with workflows, or images made by them; can be repeated.",
        ),
    ] = None,
    query: QueryOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List models that no workflow uses.

    Largest first; nothing is deleted. When in doubt, a model counts as used: it is enough that a note
    contains its file name, or that a node names its folder or picks from all models of its type. Images,
    videos and sounds below DIR are searched for the workflow that made them.
    """
    from mlib.cli.progress import Progress

    if not workflows:
        raise WrongUsage("no_workflows_given", "say where your workflows are", hint="--workflows DIR")
    with (
        Progress(wanted=not quiet) as progress,
        open_session(ctx, library, emit=progress.emit) as session,
    ):
        report = session.unused(workflows, expanded_or_all(refs), query)
    if as_json:
        from mlib import documents

        output.write_json(documents.unused_document(report))
    elif quiet:
        output.write_lines(model.sha256 for model in report.models)
    else:
        _print_unused(report)
    if pointers := report.others_by_kind["lfs_pointer"]:
        output.note(
            f"not read: {fmt.plural(pointers, 'Git LFS pointer')}; models that they use may be listed as"
            " unused: fetch them with `git lfs pull`"
        )
    for problem in report.problems:
        output.note(f"problem: {problem.path}: {problem.message}")
    if report.problems:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _print_unused(report: UnusedReport) -> None:
    from mlib.cli.layout import Column, write_table

    if output.is_terminal():
        columns = [Column("SIZE", right=True), Column("TYPE"), Column("SHA256"), Column("NAME", shrinks=True)]
        write_table(
            columns,
            [(fmt.size(each.disk_bytes), each.type, each.sha256[:10], each.name) for each in report.models],
        )
    else:
        output.write_rows(
            # Only parts of a multi-file model, which go together, have the last column.
            (each.sha256, str(each.disk_bytes), each.type, each.name, each.paths[0])
            + ((each.set_name,) if each.set_name else ())
            for each in report.models
        )
    output.note(
        f"{fmt.number(len(report.models))} of {fmt.plural(report.examined, 'model')} unused,"
        f" {fmt.size(report.disk_bytes)}; {fmt.plural(report.workflows, 'workflow')} read,"
        f" {fmt.plural(report.others, 'other file')}{_kinds(report)},"
        f" {fmt.number(len(report.problems))} unreadable"
    )


def _kinds(report: UnusedReport) -> str:
    """Counts of the other files by kind, most frequent first."""
    counts = report.others_by_kind.most_common()
    told = [f"{fmt.number(count)} {_KINDS.get(kind, kind)}" for kind, count in counts[:_KINDS_TOLD]]
    rest = sum(count for _, count in counts[_KINDS_TOLD:])
    told += [f"{fmt.number(rest)} more"] if rest else []
    return f" ({', '.join(told)})" if told else ""


# --- `mlib workflow check`

#: Why a file is suggested; short, since names are long.
_WHY = {
    "hash": "by hash", "moved": "moved to", "weights": "same weights", "case": "spelled", "name": "by name",
    "download": "by URL", "similar": "similar",
}  # fmt: skip


def workflow(ctx: typer.Context) -> None:
    """Check workflows against the library."""
    if ctx.invoked_subcommand is None:
        output.write_lines(ctx.get_help().split("\n"))


def check(
    ctx: typer.Context,
    files: Annotated[
        list[str],
        typer.Argument(metavar="FILE...", help="Workflows (JSON), or images, videos and sounds made by one."),
    ],
    bypassed: Annotated[
        bool, typer.Option("--bypassed", help="Include models that only bypassed or muted nodes name.")
    ] = False,
    as_json: JsonOption = False,
    quiet: Annotated[
        bool, typer.Option("-q", "--quiet", help="Print only the names of missing models, one per line.")
    ] = False,
    library: LibraryOption = None,
) -> None:
    """List the models that workflows need, and which are missing.

    Names are compared as ComfyUI does on this system. Without a library, every model is listed as unknown.
    Exits with 3 if a model is missing or unknown, or if a file cannot be read.
    """
    with open_session(ctx, library) as session:
        report = session.check_workflows(files, with_bypassed=bypassed)
        if not session.exists:
            output.note(f"no library at {session.path}: every model is listed as unknown")
    if as_json:
        from mlib import documents

        output.write_json(documents.workflow_document(report))
    elif quiet:
        missing = (each for each in report.answers if each.match.state in {"missing", "unknown"})
        output.write_values(dict.fromkeys(each.need.name for each in missing))
    else:
        _print(report)
    for problem in report.problems:
        output.note(f"problem: {problem.path}: {problem.message}")
    if not report.is_complete:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _print(report: CheckReport) -> None:
    from mlib.cli.layout import Column, write_table

    several = len(report.files) > 1
    if not output.is_terminal():
        output.write_rows(_row(path, each) for path, each in _answers(report))
    else:
        columns = [
            Column("STATE"),
            Column("TYPE"),
            Column("NAME", shrinks=True),
            Column("WHERE", shrinks=True),
        ]
        lead = [Column("WORKFLOW", shrinks=True)] if several else []
        rows = [
            (*([os.path.basename(path)] if several else []), *_cells(each)) for path, each in _answers(report)
        ]
        write_table([*lead, *columns], rows)
        _print_sources(report)
    counts = report.counts
    told = ", ".join(f"{fmt.number(count)} {state}" for state, count in counts.items() if count)
    left_out = sum(file.left_out for file in report.files)
    more = f"; {fmt.number(left_out)} of bypassed nodes omitted" if left_out else ""
    output.note(f"{fmt.plural(sum(counts.values()), 'model')}: {told or 'none needed'}{more}")


def _print_sources(report: CheckReport) -> None:
    """Print the URLs of missing models in full, so that they can be copied."""
    from mlib.cli.layout import heading
    from mlib.core.text import visible

    missing = (each for each in report.answers if each.match.state in {"missing", "unknown"})
    urls = dict.fromkeys(each.need.url for each in missing if each.need.url)
    if urls:
        output.write_safe([heading("download missing models from"), *(f"  {visible(url)}" for url in urls)])


def _answers(report: CheckReport) -> Iterator[tuple[str, NeedAnswer]]:
    for file in report.files:
        for answer in file.answers:
            yield file.path, answer


def _cells(answer: NeedAnswer) -> tuple[str, str, str, str]:
    """State, type, name, and where it is or what is suggested, if that adds to the name."""
    need, places = answer.need, answer.match.places
    if places:
        where = places[0].loader_name or places[0].path
        if need.form == "folder":
            where = fmt.plural(len(places), "file")
        where = "" if where == need.name else where
        if not places[0].sha256:
            where = "not scanned yet"
        if answer.is_as_meant is False:
            where = "not the file the workflow means"
    elif not need.listed:
        where = f"its node does not list {os.path.splitext(need.name)[1]} files"
    elif answer.suggestions:
        first = answer.suggestions[0]
        where = f"{_WHY[first.why]}: {_short(first, need.type)}"
    elif answer.match.state == "automatic":
        where = "its node downloads it"
    else:
        where = ""
    return answer.match.state, need.type or "?", need.name, where


def _short(suggestion: Suggestion, kind: str | None) -> str:
    place = suggestion.place
    if place.loader_name is None:
        return place.path
    return place.loader_name if place.type == kind else f"{place.type}/{place.loader_name}"


def _row(path: str, answer: NeedAnswer) -> tuple[str, ...]:
    need, places = answer.need, answer.match.places
    return (
        path,
        answer.match.state,
        need.type or "",
        need.name,
        places[0].sha256 if places else "",
        places[0].path if places else "",
        need.url or "",
        answer.suggestions[0].place.path if answer.suggestions else "",
    )
