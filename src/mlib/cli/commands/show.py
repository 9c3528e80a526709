"""`mlib show`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import output, views
from mlib.cli.options import (
    JsonOption,
    LibraryOption,
    QueryOption,
    QuietOption,
    expanded,
    open_session,
    required,
)


def show(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Models; '-' reads them from standard input."),
    ] = None,
    query: QueryOption = None,
    field: Annotated[
        str | None, typer.Option("--field", metavar="NAME", help="Print only the value of this field.")
    ] = None,
    with_meta: Annotated[bool, typer.Option("--meta", help="Also print the metadata.")] = False,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """Show everything known about a model.

    REF is a SHA-256 or its first 4 or more digits, the path of a file, an exact name, or pending:ID.
    """
    named = required(refs, query)
    with open_session(ctx, library) as session:
        details = session.details(expanded(named), query)
    one = len(named) == 1 and named != ["-"] and query is None
    if as_json:
        from mlib import documents

        shown = [
            documents.model_document(detail) if field is None else documents.field_document(detail, field)
            for detail in details
        ]
        output.write_json(shown[0] if one else shown)
    elif field is not None:
        output.write_values(value for detail in details for value in views.field_values(detail, field))
    elif quiet:
        output.write_lines(detail.identifier for detail in details)
    elif output.is_terminal():
        for number, detail in enumerate(details):
            output.write_safe(([""] if number else []) + list(views.as_page(detail, with_meta=with_meta)))
    else:
        for detail in details:
            output.write_rows(views.as_rows(detail, with_meta=with_meta))
    if not (details or as_json or quiet):
        output.note("no models found")
