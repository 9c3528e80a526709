"""`mlib log`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output, past
from mlib.cli.options import MOST, JsonOption, LibraryOption, QueryOption, open_for
from mlib.cli.tables import Column, write_table
from mlib.core.errors import NotFound

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.library import Library
    from mlib.services.targets import Target

_ENTRY = [Column("ID", right=True), Column("WHEN"), Column("OF"), Column(""), Column("COMMAND", shrinks=True)]
_CHANGE = [
    Column("ID", right=True),
    Column("WHEN"),
    Column("MODEL"),
    Column("NAME", shrinks=True),
    Column("FIELD"),
    Column("CHANGE", shrinks=True),
]


def log(
    ctx: typer.Context,
    refs: Annotated[
        list[str] | None,
        typer.Argument(metavar="[REF...]", help="Tell field by field what became of these models."),
    ] = None,
    limit: Annotated[int, typer.Option(min=1, metavar="N", help="The newest N commands.")] = 20,
    query: QueryOption = None,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Tell what was done to the library, newest first.

    Every change of what you typed. Scans are not in it: they find facts. At least the last 1,000 commands
    and those of the last 90 days are kept. What was forgotten is found by its hash.
    """
    from mlib.services.history import log as recount

    wanted = bool(refs) or query is not None
    with open_for(ctx, library, mode="read") as opened:
        targets = _chosen(opened, refs or [], query) if wanted else None
        found = recount(opened, targets, limit=min(limit, MOST))
    if as_json:
        output.write_json([past.as_json(told) for told in found])
    elif targets is None:
        write_table(_ENTRY, [past.entry_row(told) for told in found])
    else:
        write_table(
            _CHANGE,
            [
                (*past.entry_row(told)[:2], *past.change_row(change))
                for told in found
                for change in told.changes
            ],
        )


def _chosen(library: Library, refs: Sequence[str], query: str | None) -> list[Target]:
    """As for every command; and what the history alone knows."""
    from mlib.cli.refs import chosen, expanded
    from mlib.services.history import forgotten

    targets: list[Target] = []
    for ref in expanded(refs):
        try:
            targets += chosen(library, [ref], None)
        except NotFound as error:
            found = (
                forgotten(library, ref) if error.code in ("model_not_found", "pending_not_found") else None
            )
            if found is None:
                raise
            targets.append(found)
    return list(dict.fromkeys([*targets, *chosen(library, [], query)]))
