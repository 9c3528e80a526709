"""`mlib verify`."""

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
    expanded_or_all,
    open_session,
)
from mlib.core.errors import FINISHED_WITH_PROBLEMS, INTERRUPTED, TERMINATED, WrongUsage

if TYPE_CHECKING:
    from mlib.services.files.verifying import VerifyReport


def verify(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[REF...]", help="Only these models or files; '-' reads them from standard input."
        ),
    ] = None,
    query: QueryOption = None,
    deep: Annotated[
        bool, typer.Option("--deep", help="Read every byte, not only sizes, dates and headers.")
    ] = False,
    max_rate: Annotated[
        str | None, typer.Option(metavar="SIZE", help="Read at most SIZE per second, such as 100MB.")
    ] = None,
    older_than: Annotated[
        str | None, typer.Option(metavar="SPAN", help="Only files not read completely for SPAN, such as 90d.")
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Check that model files have not changed or decayed.

    Compares size, date and structure, or with --deep every byte, starting with the files unread for longest;
    after an interruption, --older-than skips what was already read. Bytes that changed without a write are
    reported as `rotten`, an edited file as `changed`, a model with a missing part as `incomplete`. Files in
    offline folders are not reported. Findings change nothing in the library; with -n, not even the time of
    reading is recorded.
    """
    from mlib.cli.progress import Progress
    from mlib.core.times import duration

    rate = None if max_rate is None else _rate(max_rate)
    unread_for = None if older_than is None else duration(older_than)
    with (
        Progress(wanted=not quiet) as progress,
        open_session(ctx, library, emit=progress.emit) as session,
    ):
        report = session.verify(
            expanded_or_all(refs), query, deep=deep, max_rate=rate, unread_for=unread_for, dry_run=dry_run
        )
    _print(report, deep=deep, dry_run=dry_run, as_json=as_json, quiet=quiet)
    if report.interrupted is not None:
        raise typer.Exit(INTERRUPTED if isinstance(report.interrupted, KeyboardInterrupt) else TERMINATED)
    if report.bad or report.offline:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _rate(text: str) -> int:
    from mlib.core.query import size

    try:
        rate = size(text.removesuffix("/s"))
    except (ValueError, WrongUsage):
        rate = 0
    if rate <= 0:
        raise WrongUsage("bad_rate", f"'{text}' is not a rate", hint="such as 100MB")
    return rate


def _print(report: VerifyReport, *, deep: bool, dry_run: bool, as_json: bool, quiet: bool) -> None:
    if as_json:
        from mlib import documents

        output.write_json(documents.verify_document(report, deep=deep, dry_run=dry_run))
        return
    for root, count in sorted(report.offline.items()):
        output.note(f"offline: {root}: {fmt.plural(count, 'file')} could not be checked")
    if quiet:
        output.write_lines(dict.fromkeys(bad.sha256 for bad in report.bad))
        return
    told = (bad for found in report.by_state.values() for bad in found)
    output.write_rows((bad.state, bad.sha256[:10], bad.path, bad.message) for bad in told)
    output.note(_summary(report))


def _summary(report: VerifyReport) -> str:
    parts = [f"{fmt.number(report.ok)} ok"] + [
        f"{fmt.number(len(found))} {state}" for state, found in report.by_state.items() if found
    ]
    if report.skipped:
        parts.append(f"{fmt.number(report.skipped)} read recently")
    text = f"{fmt.plural(report.checked, 'file')} checked: {', '.join(parts)}"
    if report.bytes_read:
        text += f"; {fmt.size(report.bytes_read)} read in {report.seconds:.1f} s"
    return text
