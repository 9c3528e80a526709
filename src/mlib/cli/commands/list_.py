"""`mlib list`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import columns, output
from mlib.cli.options import MOST, JsonOption, LibraryOption, QuietOption, open_session
from mlib.core.disk.storage import is_there
from mlib.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlib.db.list_rows import Listed

#: The fields that an object of `list --json` needs.
_IN_DOCUMENT = ("description", "notes", "tags", "path", "kind", "findings")


def list_(
    ctx: typer.Context,
    words: Annotated[
        list[str] | None, typer.Argument(metavar="[QUERY...]", help="Query terms; see `mlib help query`.")
    ] = None,
    sort: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FIELD[:desc]", help="Sort by name, type, base, size, added, updated, files or path."
        ),
    ] = None,
    limit: Annotated[int | None, typer.Option(metavar="N", min=0, help="Show at most N models.")] = None,
    only: Annotated[
        str | None, typer.Option("--columns", metavar="A,B,...", help="Show these fields.")
    ] = None,
    form: Annotated[
        str | None,
        typer.Option(
            "--format", metavar="TEXT", help="Print a line per model, such as '{name}\\t{loader_name}'."
        ),
    ] = None,
    paths: Annotated[
        bool, typer.Option("--paths", help="Print the paths of files that are present.")
    ] = False,
    zero: Annotated[
        bool,
        typer.Option("-0", "--print0", help="End the lines of -q, --paths and --format with a NUL byte."),
    ] = False,
    as_json: JsonOption = False,
    as_lines: Annotated[bool, typer.Option("--jsonl", help="Print one JSON object per line.")] = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List the models that match a query, or all of them.

    Every word must match the name, path, tags, notes or trigger words: `mlib list anime type:loras
    'size:>1GB' -tag:keep`. See `mlib help query`.
    """
    from mlib.core.query import parse
    from mlib.services.listing import located, parse_order

    _only_one(
        {"--json": as_json, "--jsonl": as_lines, "-q": quiet, "--paths": paths}
        | {"--format": form is not None, "--columns": only is not None}
    )
    if zero and not (quiet or paths or form is not None):
        raise WrongUsage("bad_options", "-0 needs -q, --paths or --format")
    template = None if form is None else columns.parse_template(form)
    chosen = columns.DEFAULT if only is None else columns.named(only)
    wanted: Sequence[str] = chosen if template is None else template.names
    if as_json or as_lines or paths:
        wanted = ["path"] if paths else _IN_DOCUMENT
    query, order = parse(words or []), parse_order(sort or [])
    most = None if limit is None else min(limit, MOST)
    end = "\0" if zero else "\n"
    with open_session(ctx, library) as session:
        if quiet:
            found = session.select(query, order=order, limit=most)
            output.write_values((target.identifier for target in found), end=end)
            return
        count, rows = session.rows(query, order=order, limit=most, parts=columns.parts(wanted))
        roots = session.root_paths()
        if as_json:
            from mlib import documents

            output.write_json(documents.list_document((row, located(row.files, roots)) for row in rows))
        elif as_lines:
            from mlib import documents

            output.write_json_lines(documents.listed_document(row, located(row.files, roots)) for row in rows)
        elif paths:
            output.write_values(_paths(rows), end=end)
        elif template is not None:
            output.write_values((template.filled(row, roots) for row in rows), end=end)
        else:
            _table(rows, chosen, roots, narrow=only is None)
            if not (count or limit == 0):
                _say_why_nothing(words or [])


def _paths(rows: Iterable[Listed]) -> Iterator[str]:
    for row in rows:
        yield from (file.path for file in row.files if file.missing_since is None and is_there(file.path))


def _table(
    found: Iterable[Listed], chosen: Sequence[str], roots: Mapping[int | None, str], *, narrow: bool
) -> None:
    """Print the table; with `narrow`, a terminal gets no columns that are empty in every row."""
    from mlib.cli.layout import write_table

    exactly = not output.is_terminal()
    rows = columns.cells_of(found, chosen, roots, exactly=exactly)
    heads = columns.headings(chosen)
    if narrow and not exactly:
        kept = [at for at in range(len(chosen)) if any(row[at] for row in rows)]
        heads, rows = [heads[at] for at in kept], [[row[at] for at in kept] for row in rows]
    write_table(heads, rows)


def _only_one(options: Mapping[str, bool]) -> None:
    given = [name for name, is_given in options.items() if is_given]
    if len(given) > 1:
        raise WrongUsage("bad_options", f"{given[0]} and {given[1]} cannot be combined")


def _say_why_nothing(words: Sequence[str]) -> None:
    """Explain an empty list: the shell may have removed quotes around a value with spaces."""
    output.note("no models found" if words else "the library has no models yet")
    for word in words:
        field, colon, value = word.partition(":")
        if colon and " " in value.strip() and '"' not in word and ":" not in value:
            output.note(f"to match a value with spaces: '{field}:\"{value}\"'")
