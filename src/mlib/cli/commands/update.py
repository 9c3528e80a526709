"""`mlib update`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import output
from mlib.cli.options import (
    DryRunOption,
    JsonOption,
    LibraryOption,
    QueryOption,
    QuietOption,
    expanded,
    open_session,
    required,
)
from mlib.core.errors import WrongUsage


def update(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Models; '-' reads them from standard input."),
    ] = None,
    query: QueryOption = None,
    name: Annotated[str | None, typer.Option(help="The model's name; '' resets it to the file's.")] = None,
    type_: Annotated[
        str | None, typer.Option("--type", help="ComfyUI's folder type; '' resets it to the folder's.")
    ] = None,
    base_model: Annotated[str | None, typer.Option(help="The base model, such as 'SDXL 1.0'.")] = None,
    description: Annotated[str | None, typer.Option(help="A description.")] = None,
    notes: Annotated[str | None, typer.Option(help="Your notes.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Add a tag; can be repeated.")] = None,
    untag: Annotated[list[str] | None, typer.Option(help="Remove a tag; can be repeated.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option(
            "--set", metavar="KEY=VALUE", help="Set metadata (dotted keys, JSON or text); can be repeated."
        ),
    ] = None,
    unset: Annotated[
        list[str] | None, typer.Option(metavar="KEY", help="Remove metadata; can be repeated.")
    ] = None,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Edit the names, notes, tags and metadata of models.

    An empty text clears a field. Running the same command again changes nothing.
    """
    fields = {
        "name": name,
        "type": type_,
        "base_model": base_model,
        "description": description,
        "notes": notes,
    }
    text = {key: value for key, value in fields.items() if value is not None}
    if not (text or tag or untag or set_ or unset):
        raise WrongUsage("nothing_to_do", "no changes given", hint="see `mlib update --help`")
    named = required(refs, query)
    with open_session(ctx, library) as session:
        report = session.update(
            expanded(named),
            query,
            text=text,
            tag=tag or (),
            untag=untag or (),
            set=set_ or (),
            unset=unset or (),
            dry_run=dry_run,
            with_details=as_json,
        )
    if as_json:
        from mlib import documents

        output.write_json(documents.update_document(report, dry_run=dry_run))
    elif quiet:
        output.write_lines(target.identifier for target in report.names)
    else:
        verb = "would update" if dry_run else "updated"
        for target, changes in report.updated.items():
            output.write_rows([(verb, target.short, report.names[target], ", ".join(changes))])
        if not report.names:
            output.note("no models found")
        if report.unchanged:
            output.note(f"unchanged: {len(report.unchanged)}")
