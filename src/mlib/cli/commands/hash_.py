"""`mlib hash`."""

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
    QuietOption,
    expanded,
    open_session,
)
from mlib.core.errors import FINISHED_WITH_PROBLEMS, NotFound, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.services.files.extra_hashes import DigestReport
    from mlib.session import Session


def hash_(
    ctx: typer.Context,
    targets: Annotated[
        list[str] | None, typer.Argument(metavar="[FILE|REF...]", help="Any files, or models with --all.")
    ] = None,
    every: Annotated[
        bool, typer.Option("--all", help="Compute and store the hashes of these models, or of all.")
    ] = False,
    query: QueryOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Print every hash a file is known by.

    SHA256, AutoV1 to AutoV3, CRC32 and BLAKE3. The hashes of a FILE are only printed; with --all, those of
    models are also stored (unless -n), so that every command finds a model by any of them.
    """
    from mlib.cli.progress import Progress
    from mlib.services.files.extra_hashes import digest_files

    if not (every or targets or query is not None):
        raise WrongUsage("no_files", "name a file, or use --all for every model in the library")
    nothing = "no files found"
    with (
        Progress(wanted=not quiet) as progress,
        open_session(ctx, library, emit=progress.emit) as session,
    ):
        if every:
            shas = _models(session, targets, query)
            report = session.hash_models(shas, dry_run=dry_run)
            nothing = "no models found" if shas == [] else "all hashes are up to date"
        else:
            paths = [*_paths(session, targets or ()), *_paths_found(session, query)]
            report = digest_files(dict.fromkeys(paths), emit=progress.emit)
    _print(report, as_json=as_json, quiet=quiet)
    for problem in report.problems:
        output.note(fmt.problem(problem))
    if (every or query is not None) and not (report.digests or report.problems or as_json or quiet):
        output.note(nothing)
    if report.problems:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _models(session: Session, targets: Sequence[str] | None, query: str | None) -> list[str] | None:
    if not targets and query is None:
        return None
    found = [target.sha256 for target in session.choose(expanded(targets), query)]
    if None in found:
        raise WrongUsage("not_a_model", "cannot store hashes of a pending import; import it first")
    return [sha256 for sha256 in found if sha256]


def _paths(session: Session, targets: Sequence[str]) -> Iterator[str]:
    """The files named; a target that is not a file is a REF, and gives a file of that model."""
    for target in targets:
        if os.path.lexists(target):
            yield target
            continue
        from mlib.cli.views import field_values

        try:
            session.expect()
        except NotFound as error:  # without a library it can only be a file name
            raise NotFound("no_such_path", f"no such file: {target}") from error
        for detail in session.details(expanded([target])):
            yield field_values(detail, "path")[0]


def _paths_found(session: Session, query: str | None) -> Iterator[str]:
    """A present file of every model that matches the query."""
    if query is None:
        return
    from mlib.core.disk.storage import first_present

    for row in session.rows_of(session.choose((), query), parts={"files"}):
        file = first_present(row.files)
        if file is not None and file.missing_since is None:
            yield file.path


def _print(report: DigestReport, *, as_json: bool, quiet: bool) -> None:
    if as_json:
        from mlib import documents

        output.write_json(documents.hash_document(report))
    elif quiet:
        output.write_lines(digest.hashes.sha256 for digest in report.digests)
    elif output.is_terminal():
        from mlib.cli.layout import entry, heading
        from mlib.core.text import visible

        for number, digest in enumerate(report.digests):
            lines = [heading(visible(digest.path or ""))]
            for name, value in digest.by_name.items():
                lines += entry(name, value or "-")
            output.write_safe(([""] if number else []) + lines)
    else:
        for digest in report.digests:
            output.write_rows(
                (name, value or "", digest.path or "") for name, value in digest.by_name.items()
            )
