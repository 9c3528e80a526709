"""REFs from the command line and standard input."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from mlib.core.errors import WrongUsage
from mlib.services import catalog

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.library import Library
    from mlib.services.targets import Target


def resolved(library: Library, refs: Sequence[str]) -> list[Target]:
    """What the REFs lead to, `-` replaced by the lines of standard input; each target once."""
    return catalog.resolve_all(library, expanded(refs))


def chosen(library: Library, refs: Sequence[str], query: str | None) -> list[Target]:
    """What the REFs lead to, and all that `query` finds; each target once."""
    targets = resolved(library, refs)
    if query is not None:
        from mlib.services.listing import find

        targets = list(dict.fromkeys([*targets, *find(library, query)]))
    return targets


def required(refs: Sequence[str] | None, query: str | None) -> list[str]:
    """The REFs, of which there may be none only where a query is given. Raises WrongUsage (`usage`)."""
    if not refs and query is None:
        raise WrongUsage("usage", "name a model, or find some with --query", hint="see `mlib help query`")
    return list(refs or ())


def expanded(refs: Sequence[str]) -> list[str]:
    """The REFs with `-` replaced by the lines of standard input."""
    if list(refs).count("-") > 1:
        raise WrongUsage("bad_ref", "standard input ('-') can be read once")
    if "-" in refs and sys.stdin is None:
        raise WrongUsage("bad_input", "standard input ('-') is closed")
    result: list[str] = []
    for ref in refs:
        result += catalog.read_refs(sys.stdin.buffer.read()) if ref == "-" else [ref]
    return result
