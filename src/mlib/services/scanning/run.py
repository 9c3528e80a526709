"""Run a scan: survey the disks, identify what differs, write it batch by batch, mark what is missing."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

from mlib.core.disk.walk import Scope, holds_copies, is_within
from mlib.core.events import Emit, silent
from mlib.core.records import RULES_VERSION
from mlib.db import contents, files, roots, sidecars
from mlib.services.scanning.identify import FLUSH_FILES, identify
from mlib.services.scanning.ledger import Ledger, find_moved_pending
from mlib.services.scanning.mark_missing import judge_missing, may_have_moved
from mlib.services.scanning.reinspection import complete_waiting
from mlib.services.scanning.request import (
    ScanReport,
    ScanRequest,
    check_request,
    choose_scopes,
    noted,
    remember,
)
from mlib.services.scanning.survey import Survey, survey

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.records import Root
    from mlib.db.library import Library


def scan(library: Library, request: ScanRequest, *, emit: Emit = silent) -> ScanReport:
    """Bring the library up to date with the disks.

    Raises MlibError for roots that the user named and that are none. KeyboardInterrupt and Terminated end the
    scan early, with all that was finished kept and the report's `interrupted` set.
    """
    started = time.monotonic()
    report = ScanReport()
    with noted(report):
        _scan(library, request, report, emit)
    report.seconds = time.monotonic() - started
    return report


def _scan(library: Library, request: ScanRequest, report: ScanReport, emit: Emit) -> None:
    places = check_request(library, request)
    report.problems += places.problems
    remembered = roots.all_roots(library)
    types = {root.id: root.type for root in remembered}
    if not request.dry_run:
        places = remember(library, places)
    scopes = choose_scopes(library, places, request.paths)
    news = [] if request.dry_run else _judge_by_newer_rules(library, request, report, emit)
    seen = survey(
        library,
        scopes,
        roots=places.known,
        shadowed=_shadowed(remembered, places.known),
        rehash=request.rehash,
        accept_missing=request.accept_missing,
        emit=emit,
    )
    before = roots.present_counts(library) if seen.needs_judging else {}
    report.scanned = seen.scanned
    report.skipped += seen.skipped
    report.passed_over += [path for path in seen.passed_over if holds_copies(os.path.basename(path))]
    report.problems += seen.problems
    report.counts["unchanged"] = seen.unchanged + len(seen.refreshed)
    report.counts["restored"] = len(seen.restored)
    walked = [scope.directory for scope in scopes if scope.only is None]
    is_free = may_have_moved(seen, accept_missing=request.accept_missing)

    def was_walked(path: str) -> bool:
        return any(is_within(path, directory) for directory in walked)

    ledger = Ledger(
        library=library,
        stage=request.stage,
        emit=emit,
        roots=places.known,
        walked=was_walked,
        left=find_moved_pending(library, seen, walked=was_walked, is_free=is_free),
        counts=report.counts,
        added=report.added,
        pending_ids=report.pending_ids,
    )
    ledger.findings += news
    for row in filter(is_free, seen.gone):
        ledger.leaving[row.sha256].append(row)
    if request.dry_run:
        from mlib.services.scanning.identify import simulate_scan

        simulate_scan(seen, ledger, request, report)
    else:
        _write_known(library, seen, places.known)
        identify(seen, ledger, request, report, emit)
        with noted(report):
            if report.interrupted is None:
                retyped = [root for root in places.known if types.get(root.id, root.type) != root.type]
                _look_further(seen, ledger, scopes, retyped, request, report)
    report.conflicts = ledger.conflicts
    report.findings = ledger.findings
    judge_missing(library, seen, ledger, before, places.awaited, request, report)
    if not request.dry_run and report.interrupted is None:
        _judge_sets(library, seen, scopes if request.reinspect else (), report)


def _judge_sets(library: Library, seen: Survey, scopes: Sequence[Scope], report: ScanReport) -> None:
    """Find the models in several files that a part is missing of, where anything came or went."""
    directories = {found.directory for found, _ in seen.fresh}
    directories.update(row.directory for row in (*seen.gone, *(row for row, _ in seen.restored)))
    for scope in scopes:
        directories.update(files.known_directories(library, scope.directory))
    if directories:
        from mlib.services.files.bundles import judge_sets

        report.findings += judge_sets(library, directories)


def _judge_by_newer_rules(
    library: Library, request: ScanRequest, report: ScanReport, emit: Emit
) -> list[tuple[str, Finding]]:
    """Where an older version, or a person, has it judged anew: what is wrong that was not known."""
    if request.reinspect:
        with library.transaction():
            sidecars.mark_stale(library)
    if contents.judged(library) == (RULES_VERSION, None):
        return []
    from mlib.services.scanning.reinspection import judge_by_newer_rules

    return judge_by_newer_rules(library, roots.all_roots(library), report.problems, emit)


def _shadowed(remembered: Sequence[Root], known: Sequence[Root]) -> list[tuple[Root, Root]]:
    if {root.id for root in remembered} <= {root.id for root in known}:
        return []
    from mlib.services.scanning.survey import find_aliased_roots

    return find_aliased_roots(remembered, known)


def _look_further(
    seen: Survey,
    ledger: Ledger,
    scopes: Sequence[Scope],
    retyped: Sequence[Root],
    request: ScanRequest,
    report: ScanReport,
) -> None:
    """What comes after every file is known: entries that waited for one, sidecars, better rules.

    Files in a root of another type than before may be in the wrong folder now.
    """
    complete_waiting(ledger)
    if seen.beside:
        from mlib.services.scanning.sidecar_changes import read_news

        read_news(seen, ledger, report)
    judged = scopes if request.reinspect else [Scope(root, root.path) for root in retyped]
    if judged:
        from mlib.services.scanning.reinspection import reinspect

        reinspect(ledger, judged, report)


def _write_known(library: Library, seen: Survey, known: Sequence[Root]) -> None:
    """Rows that need no reading: back where they were, or the same file in another root."""
    rows = [row._replace(root_id=found.root.id, stat=found.stat) for row, found in seen.refreshed]
    rows += [
        row._replace(root_id=found.root.id, stat=found.stat, missing_since=None)
        for row, found in seen.restored
    ]
    if not rows:
        return
    kinds = {root.id: root.type for root in known}
    former = {row.path: row.root_id for row, _ in (*seen.refreshed, *seen.restored)}
    from mlib.services.deriving import follow_folder, judge_places

    for start in range(0, len(rows), FLUSH_FILES):
        with library.transaction():
            batch = rows[start : start + FLUSH_FILES]
            files.put(library, batch)
            judge_places(library, batch, known)
            newcomers = [row for row in batch if row.root_id != former[row.path]]
            for root_id in {row.root_id for row in newcomers}:
                shas = [row.sha256 for row in newcomers if row.root_id == root_id]
                follow_folder(library, shas, kinds[root_id])
