"""`mlib unused`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.cli.exit_codes import FINISHED_WITH_PROBLEMS
from mlib.cli.options import JsonOption, LibraryOption, QueryOption, QuietOption, open_for
from mlib.core.errors import WrongUsage

if TYPE_CHECKING:
    from mlib.db.library import Library
    from mlib.services.workflows import UnusedReport

#: How kinds of other files are called for a person, and how many kinds are told.
_KINDS = {"empty_file": "empty", "lfs_pointer": "Git LFS pointer", "apple_double": "AppleDouble"}
_KINDS_TOLD = 8


def unused(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Only these models; '-' reads them from stdin."),
    ] = None,
    workflows: Annotated[
        list[str] | None,
        typer.Option(
            "--workflows",
            metavar="DIR",
            help="Where workflows lie, and images made by them; may be given many times.",
        ),
    ] = None,
    query: QueryOption = None,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List the models that no workflow names, the largest first. Nothing is deleted.

    A model counts as named under any doubt: a note that says its file name is enough, and so is a node that
    names its folder or chooses among models of its type. What images, videos and sounds were made with
    counts only where they are below DIR too.
    """
    from mlib.cli.progress import Progress
    from mlib.services.workflows import unused as find_unused

    if not workflows:
        raise WrongUsage("no_workflows_given", "say where your workflows are", hint="--workflows DIR")
    with Progress(wanted=not quiet) as progress, open_for(ctx, library, mode="read") as opened:
        report = find_unused(opened, workflows, among=_among(opened, refs, query), emit=progress.emit)
    if as_json:
        output.write_json(_document(report))
    elif quiet:
        output.write_lines(model.sha256 for model in report.models)
    else:
        _print(report)
    if pointers := report.others_by_kind["lfs_pointer"]:
        output.note(
            f"{fmt.plural(pointers, 'file')} not read: only Git LFS pointers. What they name may be listed as"
            " unused; fetch them with `git lfs pull`"
        )
    for problem in report.problems:
        output.note(f"problem: {problem.path}: {problem.message}")
    if report.problems:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _among(opened: Library, refs: list[str] | None, query: str | None) -> frozenset[str] | None:
    from mlib.cli.refs import chosen

    if not refs and query is None:
        return None
    return frozenset(target.sha256 for target in chosen(opened, refs or [], query) if target.sha256)


def _print(report: UnusedReport) -> None:
    from mlib.cli.tables import Column, write_table

    if output.is_terminal():
        columns = [Column("SIZE", right=True), Column("TYPE"), Column("SHA256"), Column("NAME", shrinks=True)]
        write_table(
            columns,
            [(fmt.size(each.disk_bytes), each.type, each.sha256[:10], each.name) for each in report.models],
        )
    else:
        output.write_rows(
            # The last column is there for the parts of a model in several files, which go together.
            (each.sha256, str(each.disk_bytes), each.type, each.name, each.paths[0])
            + ((each.set_name,) if each.set_name else ())
            for each in report.models
        )
    output.note(
        f"{fmt.number(len(report.models))} of {fmt.plural(report.examined, 'model')} unused,"
        f" {fmt.size(report.disk_bytes)}; {fmt.plural(report.workflows, 'workflow')} read,"
        f" {fmt.plural(report.others, 'other file')}{_kinds(report)},"
        f" {fmt.number(len(report.problems))} could not be read"
    )


def _kinds(report: UnusedReport) -> str:
    """What the other files are, the most frequent first."""
    counts = report.others_by_kind.most_common()
    told = [f"{fmt.number(count)} {_KINDS.get(kind, kind)}" for kind, count in counts[:_KINDS_TOLD]]
    rest = sum(count for _, count in counts[_KINDS_TOLD:])
    told += [f"{fmt.number(rest)} more"] if rest else []
    return f" ({', '.join(told)})" if told else ""


def _document(report: UnusedReport) -> dict[str, Any]:
    return {
        "models": [
            {
                "sha256": each.sha256,
                "name": each.name,
                "type": each.type,
                "size_bytes": each.size_bytes,
                "disk_bytes": each.disk_bytes,
                "paths": list(each.paths),
                "offline": list(each.offline),
                "set": each.set_name,
            }
            for each in report.models
        ],
        "unused": len(report.models),
        "examined": report.examined,
        "disk_bytes": report.disk_bytes,
        "workflows": report.workflows,
        "others": report.others,
        "others_by_kind": dict(report.others_by_kind.most_common()),
        "problems": [
            {"path": each.path, "code": each.code, "message": each.message} for each in report.problems
        ],
    }
