"""A dry run: what a scan would do, told from stats, headers and the library alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.hashing import unready
from mlib.core.models import FoundFile, KnownFile, Problem
from mlib.core.walk import reason
from mlib.db import files, models
from mlib.services.scanning.identify import LEFT_ALONE, known_by_stat

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.services.scanning.ledger import Ledger
    from mlib.services.scanning.report import ScanReport, ScanRequest
    from mlib.services.scanning.survey import Survey


def foresee(seen: Survey, ledger: Ledger, request: ScanRequest, report: ScanReport) -> None:
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
