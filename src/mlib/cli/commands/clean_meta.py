"""`mlib clean-meta`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.cli.options import DryRunOption, JsonOption, LibraryOption, QueryOption, open_for


def clean_meta(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None, typer.Argument(metavar="[REF...]", help="Only these; '-' reads them from stdin.")
    ] = None,
    query: QueryOption = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Strip image data from the stored metadata.

    Of every model and pending import, or of these. Everything else in the metadata stays exactly as it
    is. A backup is made first; model files are not touched.
    """
    from mlib.cli.refs import chosen
    from mlib.services.cleaning import clean_meta as clean

    with open_for(ctx, library, mode="write") as opened:
        targets = chosen(opened, refs or (), query) if refs or query is not None else None
        report = clean(opened, targets, dry_run=dry_run)
    if as_json:
        output.write_json(
            {
                "examined": report.examined,
                "cleaned": report.cleaned,
                "payloads_removed": report.payloads_removed,
                "bytes_before": report.bytes_before,
                "bytes_after": report.bytes_after,
                "backup": report.backup,
                "dry_run": report.dry_run,
            }
        )
        return
    verb = "would clean" if dry_run else "cleaned"
    freed = report.bytes_before - report.bytes_after
    output.write_lines(
        [
            (
                f"{verb} {fmt.number(report.cleaned)} of {fmt.plural(report.examined, 'entry', 'entries')}: "
                f"{fmt.plural(report.payloads_removed, 'payload')}, {fmt.size(freed)}"
            )
        ]
    )
    if report.backup:
        output.note(f"backup: {report.backup}")
