"""Listing what a query finds."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.errors import WrongUsage
from mlib.core.query import parse
from mlib.db import listed, roots
from mlib.db.search import SORTS, Order, search
from mlib.services.targets import Target

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mlib.core.models import KnownFile
    from mlib.core.query import Query
    from mlib.db.library import Library
    from mlib.db.listed import Listed, Part

_BATCH = 500


def find(library: Library, query: str) -> list[Target]:
    """What a query finds, by name; pending imports only where it asks for them (`pending:yes`).

    Raises WrongUsage (`bad_query`), also for an empty one: all models at once must be asked for by name.
    """
    asked = parse(query)
    if not asked.groups:
        raise WrongUsage("bad_query", "the query is empty", hint="'type:*' finds every model")
    return select(library, asked)


def select(
    library: Library, query: Query, *, order: Sequence[Order] = (), limit: int | None = None
) -> list[Target]:
    """What a query finds, all of it where it is empty, in this order and then by name."""
    found = search(library, query, now=times.now(), order=order, limit=limit)
    return [Target(*each) for each in found]


def parse_order(keys: Sequence[str]) -> list[Order]:
    """What `--sort` was given: `size:desc`, or several (`type,size:desc`). Raises WrongUsage (`bad_sort`)."""
    order = []
    for key in (part.strip() for text in keys for part in text.split(",")):
        field, _, direction = key.partition(":")
        if field not in SORTS or direction not in ("", "asc", "desc"):
            raise WrongUsage(
                "bad_sort",
                f"a list cannot be sorted by '{key}'",
                hint=f"one of {', '.join(SORTS)}, with :desc behind it for the largest first",
            )
        order.append(Order(field, direction == "desc"))
    return order


def rows(
    library: Library, targets: Sequence[Target], *, parts: AbstractSet[Part] = frozenset()
) -> Iterator[Listed]:
    """What is known of each target, in batches; no read is open between them.

    One that went away meanwhile is left out.
    """
    for start in range(0, len(targets), _BATCH):
        batch = targets[start : start + _BATCH]
        shas = [target.sha256 for target in batch if target.sha256 is not None]
        ids = [target.pending_id for target in batch if target.pending_id is not None]
        with library.reading():
            found = listed.of_models(library, shas, parts=parts)
            waiting = listed.of_pending(library, ids, parts=parts) if ids else {}
        for target in batch:
            pending_id, sha256 = target.pending_id, target.sha256
            row = found.get(sha256 or "") if pending_id is None else waiting.get(pending_id)
            if row is not None:
                yield row


def root_paths(library: Library) -> dict[int | None, str]:
    """The directory of each root by its id, as `loader_name` wants them."""
    return {root.id: root.path for root in roots.all_roots(library)}


def loader_name(file: KnownFile, root_paths: Mapping[int | None, str]) -> str | None:
    """The name a workflow gives a file; None where its root is not known."""
    root = root_paths.get(file.root_id)
    if root is None:
        return None
    path, above = file.path, root if root.endswith(os.sep) else root + os.sep
    return path[len(above) :] if path.startswith(above) else os.path.relpath(path, root)
