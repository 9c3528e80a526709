"""Files that were read and wait for import, and are not where they were: where they lie now."""

from __future__ import annotations

import os
from collections import defaultdict
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING

from mlib.core.models import SCANNED
from mlib.core.text import displayable
from mlib.core.walk import is_within
from mlib.db import contents, pending

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from mlib.core.models import KnownFile, Pending, Root, Stat
    from mlib.db.library import Library
    from mlib.services.scanning.survey import Survey


@dataclass(slots=True)
class Left:
    """Such files by content, each with the id of its pending import, and by the stat they were read with."""

    by_content: defaultdict[str, list[tuple[int, KnownFile]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    by_stat: dict[Stat, KnownFile] = field(default_factory=dict)


def find_left(
    library: Library, seen: Survey, *, walked: Callable[[str], bool], is_free: Callable[[KnownFile], bool]
) -> Left:
    """Those that are gone from where a scan came by, and of which `is_free` believes that they are."""
    left = Left()
    for pending_id, row in pending.all_observed(library):
        hidden = any(is_within(row.path, tree) for tree in seen.unknown)
        if not walked(row.path) or hidden or not is_free(row):
            continue
        if seen.is_passed_over(row.path) or not os.path.lexists(row.path):
            left.by_content[row.sha256].append((pending_id, row))
            if row.stat is not None and not row.racy:
                left.by_stat[row.stat] = row
    return left


def follow(library: Library, left: Left, row: KnownFile, root: Root) -> list[int]:
    """The id of the pending import whose file lies at `row` now, if one has left; part of a transaction.

    What a scan staged is staged here from now on. The word of an older manager keeps its path, under which
    it is known there.
    """
    others = left.by_content.get(row.sha256, [])
    others.sort(key=lambda each: each[1].name == row.name)
    while others:
        pending_id, old = others.pop()
        entry = pending.get(library, pending_id)
        if entry is not None and entry.observed == old:  # else another program was faster
            contents.forget_place(library, old)
            moved = _moved(entry, row, root) if entry.source == SCANNED else entry._replace(observed=None)
            return [pending.put(library, moved)]
    return []


def _moved(entry: Pending, row: KnownFile, root: Root) -> Pending:
    named_by_file = "name" not in entry.edited and entry.name == displayable(os.path.basename(entry.path))
    return entry._replace(
        path=row.path,
        name=displayable(row.name) if named_by_file else entry.name,
        type=entry.type if "type" in entry.edited else displayable(root.type),
        observed=row,
    )


def forget(library: Library, left: Left, judged: Container[int | None]) -> None:
    """Let those wait without a file that are gone for good from these roots; part of a transaction."""
    for pending_id, row in chain.from_iterable(left.by_content.values()):
        if row.root_id in judged:
            pending.forget_file(library, pending_id)
            contents.forget_place(library, row)
