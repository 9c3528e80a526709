"""Identify new and changed files: by a known inode, else by hashing them."""

from __future__ import annotations

import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING

from mlib.core.disk.compare import RACY_NS, is_racy
from mlib.core.disk.hashing import unready
from mlib.core.disk.storage import storage_of
from mlib.core.disk.walk import reason
from mlib.core.errors import Terminated
from mlib.core.events import Emit, HashingAdvanced, HashingStarted
from mlib.core.records import FoundFile, KnownFile, Problem
from mlib.db import files, models, pending
from mlib.services.scanning.request import uninterrupted

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.disk.hashing import Hashed, Outcome
    from mlib.core.inspection import Inspection
    from mlib.services.scanning.ledger import Ledger
    from mlib.services.scanning.request import ScanReport, ScanRequest
    from mlib.services.scanning.survey import Survey


#: What is identified is written at least this often: seconds, files.
FLUSH_SECONDS = 1.0
FLUSH_FILES = 256

#: Codes of problems that are nobody's fault: the file is left alone until the next scan.
LEFT_ALONE = frozenset({"unfinished", "not_a_file", "vanished"})


def identify(seen: Survey, ledger: Ledger, request: ScanRequest, report: ScanReport, emit: Emit) -> None:
    """Find the content of every fresh file and give it to the ledger, at least once a second.

    An interruption is noted in the report; what was read by then is written first.
    """
    batch: list[tuple[FoundFile, KnownFile]] = []
    inspected: dict[str, Inspection] = {}
    taken_places = {found.path for found, before in seen.fresh if before is not None}
    taken_places |= pending.observed_paths(ledger.library)
    flushed_at = time.monotonic()

    def flush(*, now: bool = False) -> None:
        nonlocal batch, flushed_at
        if batch and (now or len(batch) >= FLUSH_FILES or time.monotonic() - flushed_at >= FLUSH_SECONDS):
            from mlib.services.scanning.headers import inspect_files
            from mlib.services.scanning.ledger import find_successors

            rows = [row for _, row in batch]
            looked = inspect_files(ledger.library, rows, inspected, report.problems)
            heirs = find_successors(ledger.library, [row for row in rows if row.path in taken_places])
            with uninterrupted():
                ledger.record(batch, looked, heirs)
                batch = []
                inspected.clear()
            flushed_at = time.monotonic()

    def advanced(before: int, size: int, slow: str | None) -> None:
        report.hashed_bytes = before + size
        flush()
        emit(HashingAdvanced(report.hashed_bytes, slow))

    try:
        unread: dict[tuple[int, int], list[tuple[FoundFile, KnownFile | None]]] = defaultdict(list)
        for found, before in seen.fresh:
            row = None if request.rehash else known_by_stat(ledger, found)
            if row is None:
                unread[found.stat.device, found.stat.inode].append((found, before))
            else:
                batch.append((found, row))
                flush()
        flush(now=True)
        if unread:
            from mlib.core.disk.hashing import hash_files  # an unchanged library needs none of it

            first = [group[0][0] for group in unread.values()]
            emit(HashingStarted(len(first), sum(found.stat.size_bytes for found in first)))
            for part in _settled_first(first):
                outcomes = hash_files(
                    part, jobs=request.jobs, advanced=partial(advanced, report.hashed_bytes)
                )
                for found, row in _identified(outcomes, unread, seen, report, inspected):
                    batch.append((found, row))
                    flush()
        flush(now=True)
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


def known_by_stat(ledger: Ledger, found: FoundFile) -> KnownFile | None:
    """The row of a file whose bytes need not be read: known under another name, or read and staged before."""
    library = ledger.library
    keeps_inodes = storage_of(found.stat.device).keeps_inodes
    known = (
        files.by_inode(library, found.stat) or ledger.left.by_stat.get(found.stat) if keeps_inodes else None
    )
    if known is None:
        known = pending.observed(library, found.path)
        if known is None or known.racy or known.stat != found.stat:
            return None
    return known._replace(
        directory=found.directory,
        name=found.name,
        root_id=found.root.id,
        stat=found.stat,
        missing_since=None,
    )


def _identified(
    outcomes: Iterator[Outcome],
    groups: dict[tuple[int, int], list[tuple[FoundFile, KnownFile | None]]],
    seen: Survey,
    report: ScanReport,
    inspected: dict[str, Inspection],
) -> Iterator[tuple[FoundFile, KnownFile]]:
    """Each path of every file that was read: the names of one inode share one reading.

    What lay where a download has begun since is gone.
    """
    for outcome in outcomes:
        group = groups.pop((outcome.file.stat.device, outcome.file.stat.inode))
        if outcome.hashed is None:
            assert outcome.problem is not None
            (report.skipped if outcome.problem.code in LEFT_ALONE else report.problems).append(
                outcome.problem
            )
            if outcome.problem.code == "unfinished":
                seen.gone += [row for found, row in group if row is not None and row.stat != found.stat]
            continue
        if outcome.hashed.inspection is not None:
            inspected[outcome.hashed.sha256] = outcome.hashed.inspection
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


# --- Dry runs: stats, headers and the library only


def simulate_scan(seen: Survey, ledger: Ledger, request: ScanRequest, report: ScanReport) -> None:
    """Count in `report` what a scan would do, as far as that can be told from headers: no file is read."""
    expected: list[tuple[FoundFile, KnownFile | None, KnownFile | None]] = []
    for found, before in seen.fresh:
        row = None if request.rehash else known_by_stat(ledger, found)
        if row is None and (problem := _why_not(found)) is not None:
            (report.skipped if problem.code in LEFT_ALONE else report.problems).append(problem)
            if before is not None and problem.code == "unfinished" and before.stat != found.stat:
                seen.gone.append(before)
            continue
        expected.append((found, row, before))
        if before is not None and not _stays(found, row, before):
            ledger.leaving[before.sha256].append(before)
    unread: set[tuple[int, int]] = set()
    for found, row, before in expected:
        inode = (found.stat.device, found.stat.inode)
        outcome = _foreseen(ledger, found, row, before, another_name=inode in unread)
        is_new = row is None or models.get(ledger.library, row.sha256) is None
        if request.stage and is_new and outcome != "unchanged":
            outcome = "pending"
        report.counts[outcome] += 1
        if before is not None and outcome != "unchanged":
            ledger.displaced[found.path] = (before, outcome)
        if row is None and inode not in unread:
            unread.add(inode)
            report.hashed_bytes += found.stat.size_bytes


def _stays(found: FoundFile, row: KnownFile | None, before: KnownFile) -> bool:
    """Whether the content of a path is, as far as can be told, what it was."""
    return before.stat == found.stat if row is None else before.sha256 == row.sha256


def _foreseen(
    ledger: Ledger, found: FoundFile, row: KnownFile | None, before: KnownFile | None, *, another_name: bool
) -> str:
    if before is not None and _stays(found, row, before):
        return "unchanged"
    if row is None:
        new = "copied" if another_name else "added"
    elif any(other.sha256 == row.sha256 for other in files.at_path(ledger.library, found.path)):
        return "restored"
    elif ledger.leaving[row.sha256]:
        ledger.settle(ledger.leaving[row.sha256].pop(0))
        return "moved"
    else:
        new = _new_place(files.of_model(ledger.library, row.sha256))
    return new if before is None else "replaced"


def _new_place(places: Sequence[KnownFile]) -> str:
    """What one more place of a model is, going by where else it lies or lay."""
    if not places:
        return "added"
    return "moved" if all(place.missing_since is not None for place in places) else "copied"


def _why_not(found: FoundFile) -> Problem | None:
    try:
        return unready(found.path)
    except OSError as error:
        return Problem(found.path, "unreadable", f"cannot read it: {reason(error)}")
