"""The files that REFs and a query mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.cli.refs import expanded
from mlib.core.errors import NotFound, WrongUsage
from mlib.services import catalog
from mlib.services.filework.meant import Meant, files_meant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.db.library import Library
    from mlib.services.targets import Target


def files_chosen(
    library: Library,
    refs: Sequence[str],
    query: str | None,
    *,
    is_done: Callable[[Target], bool] = lambda _target: False,
) -> list[Meant]:
    """The present files of each REF's model, or the one at it where it is a path; then those `query` finds.

    A model without files is an error where it was named, unless what is wanted of it `is_done`, and passed
    over where a query found it.
    """
    if not refs and query is None:
        raise WrongUsage("no_models", "name a model, or give --query")
    found = []
    for ref in expanded(refs):
        (target,) = catalog.resolve_all(library, [ref])
        if not is_done(target):
            found.append(files_meant(library, target, ref=ref))
    if query is not None:
        from mlib.services.listing import find

        for target in find(library, query):
            try:
                found.append(files_meant(library, target))
            except (NotFound, WrongUsage):
                continue
    return found
