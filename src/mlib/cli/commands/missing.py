"""`mlib missing`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - Typer reads the annotations

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.cli.options import JsonOption, LibraryOption, QuietOption, open_for
from mlib.cli.tables import Column, write_table
from mlib.core import times

if TYPE_CHECKING:
    from mlib.services.forgetting import Missing

_COLUMNS = [
    Column("MODEL"),
    Column("NAME", shrinks=True),
    Column("MISSING SINCE"),
    Column("STATE"),
    Column("LAST SEEN AT", shrinks=True),
]


def missing(
    ctx: typer.Context,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List models that have no file any more.

    Since when, and where they lay last; the latest gone first. `offline` are those of a folder that is
    not there now: nobody can tell whether they are gone.
    """
    from mlib.services.forgetting import missing as find

    with open_for(ctx, library, mode="read") as opened:
        found = find(opened)
    if as_json:
        output.write_json([_as_json(each) for each in found])
    elif quiet:
        output.write_lines(each.model.sha256 for each in found)
    else:
        write_table(_COLUMNS, [_row(each) for each in found])


def _row(each: Missing) -> tuple[str, ...]:
    model = each.model
    state = "offline" if each.offline else "missing" if model.places else "never seen"
    path = model.places[0].path if model.places else ""
    short = model.sha256[:10] if output.is_terminal() else model.sha256
    return short, model.name, fmt.moment(model.since), state, path


def _as_json(each: Missing) -> dict[str, Any]:
    model = each.model
    return {
        "sha256": model.sha256,
        "name": model.name,
        "type": model.type,
        "size_bytes": model.size_bytes,
        "missing_since": times.iso(model.since),
        "path": model.places[0].path if model.places else None,
        "paths": [place.path for place in model.places],
        "offline": each.offline,
    }
