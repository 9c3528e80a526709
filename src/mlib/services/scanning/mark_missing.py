"""Decide which rows may be marked missing, and which roots are offline or guarded."""

from __future__ import annotations

import os
from collections import defaultdict
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.db import files, roots
from mlib.services.scanning.ledger import forget_moved

if TYPE_CHECKING:
    from collections.abc import Callable, Container

    from mlib.core.records import KnownFile
    from mlib.db.library import Library
    from mlib.services.scanning.ledger import Ledger
    from mlib.services.scanning.request import ScanReport, ScanRequest
    from mlib.services.scanning.survey import SeenRoot, Survey

#: More gone files than this, and a greater part of a root than that, look like a disk that is off.
GUARD_FILES = 10
MISSING_GUARD = 0.2


def may_have_moved(seen: Survey, *, accept_missing: bool) -> Callable[[KnownFile], bool]:
    """Tells of a row that is gone whether a path with the same content may take its place.

    Nothing under a root that is offline. In one that is suddenly empty only what turns up elsewhere as the
    very same inode: the rest may lie on a disk that is not mounted, and copies of it elsewhere are copies.
    """
    states = {at: state for state in seen.roots.values() for at in (state.root.id, *state.others)}
    fresh = {found.stat for found, _ in seen.fresh}

    def free(row: KnownFile) -> bool:
        state = states.get(row.root_id)
        if accept_missing or state is None:
            return True
        return not state.failed and (not _is_empty(state) or row.stat in fresh)

    return free


def judge_missing(
    library: Library,
    seen: Survey,
    ledger: Ledger,
    before: dict[int, int],
    awaited: Container[str],
    request: ScanRequest,
    report: ScanReport,
) -> None:
    """Mark what is really gone, root by root, and say which roots cannot be judged."""
    if report.interrupted is not None:
        return
    gone: dict[int | None, list[KnownFile]] = defaultdict(list)
    for row in seen.gone:
        if (row.path, row.sha256) not in ledger.settled:
            gone[row.root_id].append(row)
    to_mark: list[KnownFile] = list(gone.pop(None, ()))
    complete: list[int] = []
    judged: set[int | None] = set()
    for state in seen.roots.values():
        ids = (state.root.id, *state.others)
        rows = [row for at in ids for row in gone.pop(at, [])]
        known = sum(before.get(at or 0, 0) for at in ids)
        is_known = bool(known) or state.root.path in awaited
        verdict = _verdict(state, len(rows), known, is_known, request.accept_missing)
        if verdict == "offline":
            report.offline_roots.append(state.root.path)
        elif verdict == "guarded":
            report.guarded_roots.append(state.root.path)
        elif verdict == "judged":
            to_mark += rows
            judged.update(ids)
            if state.whole and not state.failed and state.root.id is not None:
                complete.append(state.root.id)
    for rows in gone.values():
        to_mark += rows
    # No guard counts them: they are where they were, in a bin or a snapshot, which no scan takes for a place.
    to_mark += seen.set_aside
    report.missing += len(to_mark) + ledger.overlaid()
    if not request.dry_run:
        with library.transaction():
            files.mark_missing(library, to_mark, times.now())
            roots.mark_seen(library, complete, times.now())
            forget_moved(library, ledger.left, judged)


def _verdict(state: SeenRoot, gone: int, known: int, is_known: bool, accept_missing: bool) -> str:
    """Whether what is gone from a root may be marked: `judged`, `offline`, `guarded`, or `nothing` to say."""
    if state.failed and not accept_missing:
        # A folder that never held anything and is no more (a type nobody uses) is no drive that is off.
        return "offline" if is_known or os.path.lexists(state.root.path) else "nothing"
    if not gone or accept_missing:
        return "judged"
    if _is_empty(state) or (gone > GUARD_FILES and gone > MISSING_GUARD * known):
        return "guarded"
    return "judged"


def _is_empty(state: SeenRoot) -> bool:
    """Whether a root holds no model any more; or, where only a part of it was walked, nothing at all."""
    if state.whole:
        return not state.files
    try:
        with os.scandir(state.root.path) as entries:
            return next(entries, None) is None
    except OSError:
        return True
