"""The scan itself: survey the disks, identify what differs, write it batch by batch, and close the books."""

from __future__ import annotations

import os
import time
from collections import defaultdict
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.compare import RACY_NS, is_racy
from mlib.core.errors import Terminated
from mlib.core.events import Emit, HashingAdvanced, HashingStarted, silent
from mlib.core.hashing import Outcome, hash_files
from mlib.core.models import FoundFile, Hashed, KnownFile
from mlib.core.storage import storage_of
from mlib.core.walk import is_within
from mlib.db import files, pending, roots
from mlib.services.scanning.ledger import Ledger
from mlib.services.scanning.places import Places, choose_roots, choose_scopes
from mlib.services.scanning.report import Importer, ScanReport, ScanRequest
from mlib.services.scanning.survey import Seen, Survey, survey

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.db.library import Library

#: What is identified is written at least this often: seconds, files.
FLUSH_SECONDS = 1.0
FLUSH_FILES = 256
#: More gone files than this, and a greater part of a root than that, look like a disk that is off.
GUARD_FILES = 10
GUARD_PART = 0.2

#: Codes of problems that are nobody's fault: the file is left alone until the next scan.
_LEFT_ALONE = frozenset({"unfinished", "not_a_file", "vanished"})


def scan(library: Library, request: ScanRequest, *, importer: Importer, emit: Emit = silent) -> ScanReport:
    """Bring the library up to date with the disks.

    `importer` makes models of pending imports (the import service). Raises MlibError for roots that the user
    named and that are none. KeyboardInterrupt and Terminated while hashing end the scan early, with all that
    was finished kept and the report's `interrupted` set.
    """
    started = time.monotonic()
    report = ScanReport()
    places = choose_roots(library, request)
    report.problems += places.problems
    choose_scopes(library, places, request.paths)  # a wrong path is refused before anything is remembered
    if not request.dry_run:
        places = _remember(library, places)
    scopes = choose_scopes(library, places, request.paths)
    before = roots.present_counts(library)
    seen = survey(library, scopes, roots=places.known, rehash=request.rehash, emit=emit)
    report.scanned = seen.scanned
    report.skipped += seen.skipped
    report.problems += seen.problems
    report.counts["unchanged"] = seen.unchanged + len(seen.refreshed)
    report.counts["restored"] = len(seen.restored)
    walked = [(scope.directory, scope.only) for scope in scopes if scope.only is None]
    ledger = Ledger(
        library=library,
        importer=importer,
        stage=request.stage,
        emit=emit,
        roots=places.known,
        walked=lambda path: any(is_within(path, directory) for directory, _ in walked),
        counts=report.counts,
        added=report.added,
        pending_ids=report.pending_ids,
    )
    for row in _free_to_move(seen, accept_missing=request.accept_missing):
        ledger.leaving[row.sha256].append(row)
    if request.dry_run:
        _foresee(library, seen, ledger, report)
    else:
        _write_known(library, seen)
        _identify_all(seen, ledger, request, report, emit)
    report.conflicts = ledger.conflicts
    _close(library, seen, ledger, before, request, report)
    report.seconds = time.monotonic() - started
    return report


def _remember(library: Library, places: Places) -> Places:
    """Give every root its id. Roots that do not exist are remembered once they have been seen."""
    wanted = [root for root in places.wanted if root.id is not None or os.path.isdir(root.path)]
    known = {root.path: root for root in roots.all_roots(library)}
    changed = [root for root in wanted if known.get(root.path) != root]
    if changed:
        with library.transaction():
            roots.remember(library, wanted)
        known = {root.path: root for root in roots.all_roots(library)}
    return replace(
        places,
        wanted=tuple(known.get(root.path, root) for root in places.wanted),
        known=tuple(known.get(root.path, root) for root in places.known),
    )


def _free_to_move(seen: Survey, *, accept_missing: bool) -> list[KnownFile]:
    """The gone rows that a path with the same content may take the place of.

    Nothing under a root that is offline. In one that is suddenly empty only what turns up elsewhere as the
    very same inode: the rest may lie on a disk that is not mounted, and copies of it elsewhere are copies.
    """
    states = {state.root.id: state for state in seen.roots.values()}
    fresh = {found.stat for found, _ in seen.fresh}

    def free(row: KnownFile) -> bool:
        state = states.get(row.root_id)
        if accept_missing or state is None:
            return True
        return not state.failed and (not _is_empty(state) or row.stat in fresh)

    return [row for row in seen.gone if free(row)]


def _write_known(library: Library, seen: Survey) -> None:
    """Rows that need no reading: back where they were, or the same file in another root."""
    rows = [replace(row, root_id=found.root.id, stat=found.stat) for row, found in seen.refreshed]
    rows += [
        replace(row, root_id=found.root.id, stat=found.stat, missing_since=None)
        for row, found in seen.restored
    ]
    for start in range(0, len(rows), FLUSH_FILES):
        with library.transaction():
            files.put(library, rows[start : start + FLUSH_FILES])


def _identify_all(seen: Survey, ledger: Ledger, request: ScanRequest, report: ScanReport, emit: Emit) -> None:
    batch: list[tuple[FoundFile, KnownFile]] = []
    flushed_at = time.monotonic()

    def flush(*, now: bool = False) -> None:
        nonlocal batch, flushed_at
        if batch and (now or len(batch) >= FLUSH_FILES or time.monotonic() - flushed_at >= FLUSH_SECONDS):
            ledger.record(batch)
            batch = []
            flushed_at = time.monotonic()

    def advanced(before: int, size: int, slow: str | None) -> None:
        report.hashed_bytes = before + size
        flush()
        emit(HashingAdvanced(report.hashed_bytes, slow))

    try:
        unread: dict[tuple[int, int], list[tuple[FoundFile, KnownFile | None]]] = defaultdict(list)
        for found, before in seen.fresh:
            row = None if request.rehash else _known_by_stat(ledger.library, found)
            if row is None:
                unread[found.stat.device, found.stat.inode].append((found, before))
            else:
                batch.append((found, row))
                flush()
        flush(now=True)
        if unread:
            first = [group[0][0] for group in unread.values()]
            emit(HashingStarted(len(first), sum(found.stat.size_bytes for found in first)))
            for part in _settled_first(first):
                outcomes = hash_files(
                    part, jobs=request.jobs, advanced=partial(advanced, report.hashed_bytes)
                )
                for found, row in _identified(outcomes, unread, report):
                    batch.append((found, row))
                    flush()
    except (KeyboardInterrupt, Terminated) as interruption:
        report.interrupted = interruption
    flush(now=True)


def _settled_first(unread: Sequence[FoundFile]) -> Iterator[list[FoundFile]]:
    """The files in two parts: those that have been still for a while, then, when they have too, the others.

    A hash of a file that changed a moment ago proves nothing to the next scan, which would read it all again.
    Waiting is bounded: a file that keeps changing, or whose clock runs ahead, is hashed as it is.
    """
    now = time.time_ns()
    settling = [found for found in unread if now - RACY_NS < found.stat.mtime_ns <= now]
    young = set(map(id, settling))
    yield [found for found in unread if id(found) not in young]
    if settling:
        latest = max(found.stat.mtime_ns for found in settling)
        time.sleep(max(0, latest + RACY_NS - time.time_ns()) / 1e9 + 0.005)
        yield settling


def _known_by_stat(library: Library, found: FoundFile) -> KnownFile | None:
    """The row of a file whose bytes need not be read: known under another name, or read and staged before."""
    keeps_inodes = storage_of(found.stat.device).keeps_inodes
    known = files.by_inode(library, found.stat) if keeps_inodes else None
    if known is None:
        known = pending.observed(library, found.path)
        if known is None or known.racy or known.stat != found.stat:
            return None
    return replace(
        known,
        directory=found.directory,
        name=found.name,
        root_id=found.root.id,
        stat=found.stat,
        missing_since=None,
    )


def _identified(
    outcomes: Iterator[Outcome],
    groups: dict[tuple[int, int], list[tuple[FoundFile, KnownFile | None]]],
    report: ScanReport,
) -> Iterator[tuple[FoundFile, KnownFile]]:
    """Each path of every file that was read: the names of one inode share one reading."""
    for outcome in outcomes:
        group = groups.pop((outcome.file.stat.device, outcome.file.stat.inode))
        if outcome.hashed is None:
            assert outcome.problem is not None
            (report.skipped if outcome.problem.code in _LEFT_ALONE else report.problems).append(
                outcome.problem
            )
            continue
        for found, before in group:
            if found is outcome.file or found.stat == outcome.hashed.stat:
                yield found, _row(found, outcome.hashed, before)


def _row(found: FoundFile, hashed: Hashed, before: KnownFile | None) -> KnownFile:
    return KnownFile(
        directory=found.directory,
        name=found.name,
        sha256=hashed.sha256,
        root_id=found.root.id,
        stat=hashed.stat,
        xxh3=hashed.xxh3,
        hashed_at=hashed.started_at,
        racy=is_racy(mtime_ns=hashed.stat.mtime_ns, started_at=hashed.started_at, before=before),
        missing_since=None,
    )


def _foresee(library: Library, seen: Survey, ledger: Ledger, report: ScanReport) -> None:
    """What a scan would do, as far as that can be told without reading a file."""
    for found, before in seen.fresh:
        row = _known_by_stat(library, found)
        if row is None:
            outcome = "replaced" if before is not None else "added"
            report.hashed_bytes += found.stat.size_bytes
        elif ledger.leaving[row.sha256]:
            ledger.settle(ledger.leaving[row.sha256].pop())
            outcome = "moved"
        else:
            outcome = "copied" if files.of_model(library, row.sha256) else "added"
        report.counts[outcome] += 1


def _close(
    library: Library,
    seen: Survey,
    ledger: Ledger,
    before: dict[int, int],
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
    for state in seen.roots.values():
        rows = gone.pop(state.root.id, [])
        verdict = _verdict(state, len(rows), before.get(state.root.id or 0, 0), request.accept_missing)
        if verdict == "offline":
            report.offline_roots.append(state.root.path)
        elif verdict == "guarded":
            report.guarded_roots.append(state.root.path)
        elif verdict == "judged":
            to_mark += rows
            if state.whole and not state.failed and state.root.id is not None:
                complete.append(state.root.id)
    for rows in gone.values():
        to_mark += rows
    report.missing += len(to_mark)
    if not request.dry_run:
        with library.transaction():
            files.mark_missing(library, to_mark, times.now())
            roots.mark_seen(library, complete, times.now())


def _verdict(state: Seen, gone: int, known: int, accept_missing: bool) -> str:
    """Whether what is gone from a root may be marked: `judged`, `offline`, `guarded`, or `nothing` to say."""
    if state.failed and not accept_missing:
        # A folder that never held anything and is no more (a type nobody uses) is no drive that is off.
        return "offline" if known or os.path.lexists(state.root.path) else "nothing"
    if not gone or accept_missing:
        return "judged"
    if _is_empty(state) or (gone > GUARD_FILES and gone > GUARD_PART * known):
        return "guarded"
    return "judged"


def _is_empty(state: Seen) -> bool:
    return state.whole and not state.files
