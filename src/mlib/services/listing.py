"""List what a query finds, and complete half-typed words."""

from __future__ import annotations

import itertools
from operator import itemgetter
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mlib.core import times
from mlib.core.comfyui.folders import TYPE_FOLDERS, name_below
from mlib.core.disk.storage import is_there, present_first
from mlib.core.errors import WrongUsage
from mlib.core.query import fold_text, parse
from mlib.core.text import forms
from mlib.db import files, list_rows, models, roots, tags
from mlib.db.search import SORTS, Asked, Order, Sketch, search, sketch
from mlib.services.believing import Believed, beside_query, with_words_beside
from mlib.services.resolving import Target

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from collections.abc import Set as AbstractSet

    from mlib.core.query import Query
    from mlib.core.records import KnownFile
    from mlib.db.library import Library
    from mlib.db.list_rows import Listed, Part


# --- Shell completion of types, tags and names

#: More than this nobody reads.
_MOST = 100
_SHORTEST_SHA = 4
_SHA_SHOWN = 10


def types(library: Library, begun: str) -> list[str]:
    """Types in use or built into ComfyUI, in either case."""
    begun = fold_text(begun)
    return sorted(
        name for name in models.types(library) | set(TYPE_FOLDERS) if fold_text(name).startswith(begun)
    )


def tag_names(library: Library, begun: str) -> list[str]:
    """Tags in either case."""
    return tags.beginning_with(library, fold_text(begun), limit=_MOST)


def refs(library: Library, begun: str) -> list[str]:
    """Names of models and, of 4 digits or more, the short SHA-256s."""
    found = [
        name for form in forms(begun) for name in models.names_beginning_with(library, form, limit=_MOST)
    ]
    if len(begun) >= _SHORTEST_SHA and set(begun.lower()) <= set("0123456789abcdef"):
        shas = models.with_prefix(library, begun.lower(), limit=_MOST)
        found += [sha256[: max(_SHA_SHOWN, len(begun))] for sha256 in shas]
    return found


_BATCH = 500

_Found = TypeVar("_Found", Target, Sketch)


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
    found = search(library, query, _asked(library, query, order, limit))
    return [Target(*each) for each in found]


def _asked(library: Library, query: Query, order: Sequence[Order], limit: int | None) -> Asked:
    paths = _shown_paths(library) if _is_by_path(order) else {}
    return Asked(times.now(), order, limit, beside_query(library, query), paths)


def parse_order(keys: Sequence[str]) -> list[Order]:
    """What `--sort` was given: `size:desc`, or several (`type,size:desc`). Raises WrongUsage (`bad_sort`)."""
    order = []
    for key in (part.strip() for text in keys for part in text.split(",")):
        field, _, direction = key.partition(":")
        if field not in SORTS or direction not in ("", "asc", "desc"):
            raise WrongUsage(
                "bad_sort",
                f"cannot sort by '{key}'",
                hint=f"one of {', '.join(SORTS)}, optionally with :desc",
            )
        order.append(Order(field, direction == "desc"))
    return order


def select_rows(
    library: Library,
    query: Query,
    *,
    order: Sequence[Order] = (),
    limit: int | None = None,
    parts: AbstractSet[Part] = frozenset(),
) -> tuple[int, Iterator[Listed]]:
    """How many models and pending imports a query finds, and what is known of each.

    Texts only if they are among the `parts`: without them few look-ups are left.
    """
    if "texts" in parts:
        targets = select(library, query, order=order, limit=limit)
        return len(targets), rows(library, targets, parts=parts)
    found = sketch(library, query, _asked(library, query, order, limit))
    believed = Believed(library)

    def look_up(batch: Sequence[Sketch]) -> Mapping[str, Listed]:
        known = list_rows.of_sketches(library, batch, parts=parts)
        return with_words_beside(library, known, believed, parts)

    return len(found), _in_batches(library, found, look_up, parts)


def _is_by_path(order: Sequence[Order]) -> bool:
    return any(each.field == "path" for each in order)


def _shown_paths(library: Library) -> dict[str, str]:
    """The path of each model that a list shows (`core.standing.living`), by SHA-256: a stat for each of
    several."""
    shown: dict[str, str] = {}
    every = itertools.groupby(files.paths_of_models(library), key=itemgetter(0))
    for sha256, group in every:
        own = list(group)
        present = [path for _, path, is_present in own if is_present]
        first = own[0][1]
        shown[sha256] = next(filter(is_there, present), first) if len(present) > 1 else first
    return shown


def rows(
    library: Library, targets: Sequence[Target], *, parts: AbstractSet[Part] = frozenset()
) -> Iterator[Listed]:
    """What is known of each target, in batches; no read is open between them.

    One that went away meanwhile is left out.
    """

    believed = Believed(library)

    def look_up(batch: Sequence[Target]) -> Mapping[str, Listed]:
        shas = [each.sha256 for each in batch if each.sha256]
        known = list_rows.of_models(library, shas, parts=parts)
        return with_words_beside(library, known, believed, parts)

    return _in_batches(library, targets, look_up, parts)


def _in_batches(
    library: Library,
    found: Sequence[_Found],
    of_models: Callable[[Sequence[_Found]], Mapping[str, Listed]],
    parts: AbstractSet[Part],
) -> Iterator[Listed]:
    for start in range(0, len(found), _BATCH):
        batch = found[start : start + _BATCH]
        ids = [each.pending_id for each in batch if each.pending_id is not None]
        with library.reading():
            known = of_models([each for each in batch if each.pending_id is None])
            waiting = list_rows.of_pending(library, ids, parts=parts) if ids else {}
        for each in batch:
            pending_id, sha256 = each.pending_id, each.sha256
            row = known.get(sha256 or "") if pending_id is None else waiting.get(pending_id)
            if row is not None:
                yield row


def root_paths(library: Library) -> dict[int | None, str]:
    """The directory of each root by its id, as `loader_name` wants them."""
    return {root.id: root.path for root in roots.all_roots(library)}


class Located(NamedTuple):
    """A file, the name a workflow gives it, and whether it is not there though no scan has missed it."""

    file: KnownFile
    loader_name: str | None
    offline: bool


def located(files: Sequence[KnownFile], root_paths: Mapping[int | None, str]) -> list[Located]:
    """Files as they are on the disk now, what is there first."""
    ordered, offline = present_first(files)
    return [Located(file, loader_name(file, root_paths), file.path in offline) for file in ordered]


def loader_name(file: KnownFile, root_paths: Mapping[int | None, str]) -> str | None:
    """The name a workflow gives a file; None where its root is not known."""
    root = root_paths.get(file.root_id)
    return None if root is None else name_below(file.path, root)
