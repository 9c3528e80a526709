"""Listing what a query finds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.errors import WrongUsage
from mlib.core.query import parse
from mlib.db.search import search
from mlib.services.targets import Target

if TYPE_CHECKING:
    from mlib.db.library import Library


def find(library: Library, query: str) -> list[Target]:
    """What a query finds, by name; pending imports only where it asks for them (`pending:yes`).

    Raises WrongUsage (`bad_query`), also for an empty one: all models at once must be asked for by name.
    """
    asked = parse(query)
    if not asked.groups:
        raise WrongUsage("bad_query", "the query is empty", hint="'type:*' finds every model")
    return [Target(*found) for found in search(library, asked, now=times.now())]
