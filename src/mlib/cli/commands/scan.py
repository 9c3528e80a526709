"""`mlib scan`."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QuietOption, open_session
from mlib.core.errors import FINISHED_WITH_PROBLEMS, INTERRUPTED, REFUSED, TERMINATED

if TYPE_CHECKING:
    from mlib.services.scanning.request import ScanReport


#: Maximum number of findings printed; a first scan may have thousands.
TOLD = 20


def scan(
    ctx: typer.Context,
    paths: Annotated[
        list[str] | None, typer.Argument(metavar="[PATH...]", help="Scan only these files and folders.")
    ] = None,
    comfyui: Annotated[
        list[str] | None,
        typer.Option(
            "--comfyui", metavar="DIR", help="A ComfyUI folder, or its models folder; can be repeated."
        ),
    ] = None,
    extra_paths: Annotated[
        list[str] | None,
        typer.Option(metavar="YAML", help="An extra_model_paths.yaml file; can be repeated."),
    ] = None,
    root: Annotated[
        list[str] | None,
        typer.Option(metavar="TYPE=DIR", help="A folder with models of one type; can be repeated."),
    ] = None,
    stage: Annotated[
        bool, typer.Option("--stage", help="Keep new models pending instead of importing them.")
    ] = False,
    rehash: Annotated[bool, typer.Option("--rehash", help="Hash every file again.")] = False,
    reinspect: Annotated[bool, typer.Option("--reinspect", help="Inspect every file again.")] = False,
    jobs: Annotated[
        int | None, typer.Option(min=1, max=64, metavar="N", help="Read N files at once from each disk.")
    ] = None,
    accept_missing: Annotated[
        bool,
        typer.Option("--accept-missing", help="Mark files missing even if a disk may be offline."),
    ] = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    verbose: Annotated[
        bool, typer.Option("-v", "--verbose", help="Also list sidecars without usable information.")
    ] = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Bring the library up to date with the disks.

    Folders you name are remembered, so a plain `mlib scan` is enough next time. A scan deletes nothing and
    never opens a model file for writing.
    """
    from mlib.cli.progress import Progress

    with (
        Progress(wanted=not quiet) as progress,
        open_session(ctx, library, emit=progress.emit) as session,
    ):
        report = session.scan(
            paths or (),
            comfyui=comfyui or (),
            extra_paths=extra_paths or (),
            roots=root or (),
            stage=stage,
            rehash=rehash,
            reinspect=reinspect,
            jobs=jobs,
            accept_missing=accept_missing,
            dry_run=dry_run,
        )
    if as_json:
        from mlib import documents

        output.write_json(documents.scan_document(report, dry_run=dry_run))
    elif quiet:
        output.write_lines(report.added)
        _tell_wrong(report)
    else:
        output.write_lines([_summary(report, dry_run=dry_run)])
        _tell_found(report)
        for path in report.silent if verbose else ():
            output.note(f"no usable information: {path}")
        _tell_wrong(report)
    raise typer.Exit(_exit_code(report))


def _exit_code(report: ScanReport) -> int:
    if report.interrupted is not None:
        return INTERRUPTED if isinstance(report.interrupted, KeyboardInterrupt) else TERMINATED
    if report.guarded_roots:
        return REFUSED.exit_code
    is_wrong = report.problems or report.offline_roots or report.conflicts or report.serious
    return FINISHED_WITH_PROBLEMS if is_wrong else 0


def _summary(report: ScanReport, *, dry_run: bool) -> str:
    counts = report.counts
    parts = [
        text
        for text, count in (
            (f"{fmt.number(counts['added'])} added", counts["added"]),
            (f"{fmt.number(counts['moved'])} moved", counts["moved"]),
            (fmt.plural(counts["copied"], "duplicate"), counts["copied"]),
            (f"{fmt.number(counts['replaced'])} changed", counts["replaced"]),
            (f"{fmt.number(counts['restored'])} found again", counts["restored"]),
            (f"{fmt.number(report.missing)} missing", report.missing),
            (f"{fmt.number(report.pending)} pending", report.pending),
            (f"{fmt.number(len(report.skipped))} skipped", len(report.skipped)),
            (f"{fmt.number(counts['unchanged'])} unchanged", counts["unchanged"]),
            (fmt.plural(len(report.problems), "problem"), len(report.problems)),
            (fmt.plural(len(report.findings), "finding"), len(report.findings)),
        )
        if count
    ]
    text = f"{fmt.plural(report.scanned, 'file')}: {', '.join(parts) or 'nothing new'}"
    if dry_run:
        return f"would find {text}; {fmt.size(report.hashed_bytes)} to hash"
    if report.hashed_bytes:
        text += f"; {fmt.size(report.hashed_bytes)} hashed"
    return f"{text} in {report.seconds:.1f} s" + (" (interrupted)" if report.interrupted is not None else "")


def _tell_found(report: ScanReport) -> None:
    """Print the findings that are not serious; `_tell_wrong` prints the others."""
    if report.passed_over:
        count = len(report.passed_over)
        more = "" if count == 1 else f" and {fmt.number(count - 1)} more"
        output.note(
            f"ignored: {fmt.plural(count, 'recycle bin or snapshot', 'recycle bins and snapshots')}"
            f" ({report.passed_over[0]}{more}); files in them do not count as present"
        )
    found = [(path, finding) for path, finding in report.findings if not finding.serious]
    for path, finding in found[:TOLD]:
        output.note(f"finding: {path}: {finding.message}")
    if len(found) > TOLD:
        output.note(f"finding: and {fmt.number(len(found) - TOLD)} more; --json lists them all")


def _tell_wrong(report: ScanReport) -> None:
    """Print the reasons for the exit code; with -q, cron mails only these."""
    for problem in report.problems:
        output.note(f"problem: {problem.path}: {problem.message}")
    for path, finding in report.serious:
        output.note(f"serious: {path}: {finding.message}")
    if not (report.offline_roots or report.guarded_roots or report.conflicts):
        return
    from mlib.core.disk.walk import topmost_missing

    absent = Counter(filter(None, map(topmost_missing, report.offline_roots)))
    for path, count in absent.items():
        output.note(
            f"offline: {path} is not there ({fmt.plural(count, 'folder')}); nothing was marked missing"
        )
    for path in report.offline_roots:
        if topmost_missing(path) is None:
            output.note(f"offline: {path} cannot be read in full; nothing in it was marked missing")
    for path in report.guarded_roots:
        output.note(
            f"refused: {path}: so many files are missing that the disk may be offline;"
            " nothing was marked missing"
        )
    if report.guarded_roots:
        output.note("hint: if you removed these files, run again with --accept-missing")
    if report.conflicts:
        older = fmt.plural(report.conflicts, "older entry", "older entries")
        output.note(f"in conflict with what you typed: {older}; `mlib pending` lists them")
