"""`mlib export`."""

from __future__ import annotations

import os
from enum import StrEnum
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
    expanded,
    expanded_or_all,
    open_session,
)
from mlib.core.errors import FINISHED_WITH_PROBLEMS, Refused, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator


_BOM = "\ufeff"


class Format(StrEnum):
    """The values of --format."""

    jsonl = "jsonl"
    csv = "csv"


def export(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Only these models; '-' reads them from standard input."),
    ] = None,
    query: QueryOption = None,
    to: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="FILE",
            help="Write to FILE, completely or not at all; - is standard output.",
        ),
    ] = None,
    format_: Annotated[
        Format,
        typer.Option("--format", help="jsonl is complete and can be imported; csv is for spreadsheets."),
    ] = Format.jsonl,
    sidecars: Annotated[
        bool, typer.Option("--sidecars", help="Write what you typed to a sidecar file beside each model.")
    ] = False,
    no_bom: Annotated[
        bool,
        typer.Option("--no-bom", help="Leave out the byte order mark that spreadsheets expect."),
    ] = False,
    yes: YesOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Export the library, or write sidecar files.

    JSON Lines contain everything: a header, then one line per model and pending import. `mlib import --from`
    reads them back, and equal libraries give equal bytes. --sidecars writes what you typed to
    STEM.metadata.json beside each model, which other managers read; no other command writes there.
    """
    if to == "-":
        to = None  # as in most programs; a file named - would surprise
    if sidecars:
        if to is not None or format_ is not Format.jsonl:
            raise WrongUsage("bad_options", "--sidecars takes no --output or --format")
        _sidecars(ctx, library, refs, query, yes=yes, dry_run=dry_run, as_json=as_json)
        return
    if no_bom and format_ is not Format.csv:
        raise WrongUsage("bad_options", "--no-bom needs --format csv")
    from mlib.services import exporting

    with open_session(ctx, library) as session:
        targets = None if not refs and query is None else session.choose(expanded(refs), query)
        count = exporting.ExportCount()
        lines = session.export(targets, as_table=format_ is Format.csv, count=count)
        if format_ is Format.csv:
            is_marked = not no_bom and (to is not None or not output.is_terminal())
            lines = _marked(lines) if is_marked else lines
        size = None
        if to is None and not dry_run and not as_json:
            output.write_safe(lines)
        elif to is None or dry_run:
            for _ in lines:
                pass
        else:
            size = _write(to, lines, yes=yes, library=session.path)
    told = f"{fmt.plural(count.models, 'model')}, {fmt.plural(count.pending, 'pending import')}"
    if as_json:
        from mlib import documents

        path = None if to is None else os.path.abspath(to)
        output.write_json(
            documents.export_document(count, path=path, size_bytes=size, form=str(format_), dry_run=dry_run)
        )
    elif to is not None or dry_run:
        verb = "would export" if dry_run else "exported"
        output.note(f"{verb} {told}" + ("" if size is None else f": {fmt.size(size)} in {to}"))


def _sidecars(
    ctx: typer.Context,
    library: str | None,
    refs: list[str] | None,
    query: str | None,
    *,
    yes: bool,
    dry_run: bool,
    as_json: bool,
) -> None:
    with open_session(ctx, library) as session:
        report = session.plan_sidecars(expanded_or_all(refs), query)
        paths = [planned.path for planned in report.planned]
        if paths and not dry_run:
            confirm(f"write {fmt.plural(len(paths), 'sidecar')} beside the models", yes=yes)
            paths = session.write_sidecars(report).written
    if as_json:
        from mlib import documents

        output.write_json(documents.sidecar_export_document(report, paths, dry_run=dry_run))
    else:
        output.write_rows([("would write" if dry_run else "wrote", path) for path in paths])
        for problem in report.problems:
            output.note(f"skipped: {problem.path}: {problem.message}")
        told = [f"{'would write' if dry_run else 'wrote'} {fmt.plural(len(paths), 'sidecar')}"]
        if report.unchanged:
            told.append(f"{fmt.number(report.unchanged)} up to date")
        if report.untyped:
            told.append(f"nothing to write for {fmt.plural(report.untyped, 'model')}")
        output.note("; ".join(told))
    if report.problems:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _marked(lines: Iterator[str]) -> Iterator[str]:
    """Prepend a byte order mark, without which spreadsheets garble everything but ASCII."""
    yield _BOM + next(lines)
    yield from lines


def _write(to: str, lines: Iterator[str], *, yes: bool, library: str) -> int:
    if os.path.exists(to) and os.path.samefile(to, library):
        raise Refused("same_file", f"the output file is the library itself: {to}")
    from mlib.core.disk.writing import looked_at, write_new, write_over

    parts = (line.encode("utf-8", "backslashreplace") + b"\n" for line in lines)
    if not os.path.lexists(to):
        return write_new(to, parts)
    was = looked_at(to)
    confirm(f"replace {to}", yes=yes)
    return write_new(os.path.realpath(to), parts) if was is None else write_over(to, parts, was=was)
