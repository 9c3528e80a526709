"""`mlib list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlib.cli import columns, output
from mlib.cli.options import MOST, JsonOption, LibraryOption, QuietOption, open_for
from mlib.cli.words import QueryCommand
from mlib.core import jsontext, times
from mlib.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlib.db.library import Library
    from mlib.db.listed import Listed
    from mlib.services.targets import Target

#: A word of the query may begin with a dash.
COMMAND = QueryCommand


def list_(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY...]", help="Words to find; see `mlib help query`.")
    ] = None,
    sort: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD[:desc]", help="By name, type, base, size, added, updated, files or path."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=0, help="No more than so many.")] = None,
    only: Annotated[
        str | None, typer.Option("--columns", metavar="A,B,...", help="The fields to show.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option("--format", metavar="TEXT", help="A line for each, such as '{name}\\t{loader_name}'."),
    ] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="Print the paths of all files that are there.")
    ] = False,
    zero: Annotated[
        bool, typer.Option("-0", "--print0", help="End what -q, --paths, --format print with a zero byte.")
    ] = False,
    as_json: JsonOption = False,
    as_lines: Annotated[bool, typer.Option("--jsonl", help="Print a JSON object a line.")] = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List the models that a query finds, or all.

    Words must all be found, in the name, path, tags, notes or trigger words: `mlib list anime type:loras
    'size:>1GB' -tag:keep`. `mlib help query` tells the rest.
    """
    from mlib.core.query import parse
    from mlib.services.listing import parse_order, root_paths, select

    _only_one(
        {"--json": as_json, "--jsonl": as_lines, "-q": quiet, "--paths": paths}
        | {"--format": form is not None, "--columns": only is not None}
    )
    if zero and not (quiet or paths or form is not None):
        raise WrongUsage("bad_options", "-0 goes with -q, --paths or --format")
    names = None if only is None else columns.named(only)
    template = None if form is None else columns.template(form)
    query, order = parse(words or []), parse_order(sort or [])
    end = "\0" if zero else "\n"
    with open_for(ctx, library, mode="read") as opened:
        found = select(opened, query, order=order, limit=None if limit is None else min(limit, MOST))
        roots = {} if quiet else root_paths(opened)
        if as_json:
            output.write_json(
                [jsontext.Raw(jsontext.dump(each)) for each in _documents(opened, found, roots)]
            )
        elif as_lines:
            output.write_json_lines(_documents(opened, found, roots))
        elif quiet:
            output.write_values(
                (target.sha256 or f"pending:{target.pending_id}" for target in found), end=end
            )
        elif paths:
            output.write_values(_paths(opened, found), end=end)
        elif template is not None:
            rows = _rows(opened, found, template.names)
            output.write_values((template.filled(row, roots) for row in rows), end=end)
        else:
            _table(opened, found, names, roots)
    if not (found or limit == 0 or as_json or as_lines or quiet or paths or form is not None):
        _say_why_nothing(words or [])


def _rows(opened: Library, found: Sequence[Target], names: Sequence[str]) -> Iterator[Listed]:
    from mlib.services import listing

    return listing.rows(opened, found, parts=columns.parts(names))


def _paths(opened: Library, found: Sequence[Target]) -> Iterator[str]:
    for row in _rows(opened, found, ["path"]):
        yield from (file.path for file in row.files if file.missing_since is None)


def _table(
    opened: Library, found: Sequence[Target], names: Sequence[str] | None, roots: Mapping[int | None, str]
) -> None:
    from mlib.cli.tables import write_table

    exactly = not output.is_terminal()
    chosen = columns.DEFAULT if names is None else names
    rows = [columns.cells(row, chosen, roots, exactly=exactly) for row in _rows(opened, found, chosen)]
    heads = columns.heads(chosen)
    if names is None and not exactly:
        # On a narrow page there is no room for what is empty throughout.
        kept = [at for at in range(len(chosen)) if any(row[at] for row in rows)]
        heads, rows = [heads[at] for at in kept], [[row[at] for at in kept] for row in rows]
    write_table(heads, rows)


def _documents(
    opened: Library, found: Sequence[Target], roots: Mapping[int | None, str]
) -> Iterator[dict[str, Any]]:
    for row in _rows(opened, found, ["tags", "path", "kind", "findings"]):
        yield _document(row, roots)


def _document(row: Listed, roots: Mapping[int | None, str]) -> dict[str, Any]:
    """An object of `list --json`: the keys of `show --json` that cost little, and no free metadata."""
    from mlib.cli.views import file_json
    from mlib.services.listing import loader_name

    document: dict[str, Any] = {
        "sha256": row.sha256,
        "name": row.name,
        "type": row.type,
        "base_model": row.base_model,
        "size_bytes": row.size_bytes,
        "description": row.description,
        "notes": row.notes,
        "tags": list(row.tags),
        "present": any(file.missing_since is None for file in row.files),
        "created_at": times.iso(row.created_at),
        "updated_at": times.iso(row.updated_at),
        "files": [file_json(file, loader_name(file, roots)) for file in row.files],
        "pending": row.pending_id is not None,
        "kind": row.kind or None,
        "format": row.format or None,
        "trigger_words": list(row.trigger_words),
        "findings": list(row.findings),
    }
    return document if row.pending_id is None else {**document, "id": row.pending_id}


def _only_one(options: Mapping[str, bool]) -> None:
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise WrongUsage("bad_options", f"{given[0]} and {given[1]} cannot both be obeyed")


def _say_why_nothing(words: Sequence[str]) -> None:
    """Where the shell took quotes away, a value may have been cut at its spaces."""
    output.note("no model is found" if words else "there is no model yet")
    for word in words:
        field, colon, value = word.partition(":")
        if colon and " " in value.strip() and '"' not in word and ":" not in value:
            output.note(f"to keep the spaces of a value: '{field}:\"{value}\"'")
