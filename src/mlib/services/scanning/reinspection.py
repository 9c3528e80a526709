"""Judge known files anew, and complete pending imports that lack a hash; only headers are read."""

from __future__ import annotations

import os
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from mlib.core.content_record import content_of
from mlib.core.disk.walk import is_within
from mlib.core.events import Judging
from mlib.core.formats.header import unpack
from mlib.core.inspection import Inspection, conclude
from mlib.core.records import RULES_VERSION
from mlib.db import contents, files, models, pending, sidecars
from mlib.db.contents import JudgedVersion
from mlib.services.deriving import judge_places
from mlib.services.files.bundles import judge_sets
from mlib.services.scanning.headers import InspectedContent, fill_base_model, inspected_now, keep, looked_at

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.disk.walk import Scope
    from mlib.core.events import Emit
    from mlib.core.formats.header import Finding
    from mlib.core.records import Content, KnownFile, Pending, Problem, Root
    from mlib.db.library import Library
    from mlib.services.scanning.ledger import Ledger
    from mlib.services.scanning.request import ScanReport


# --- Judging known, unchanged files

#: Files judged in one transaction.
REINSPECTED_AT_ONCE = 256


def reinspect(ledger: Ledger, scopes: Sequence[Scope], report: ScanReport) -> None:
    """Judge every present file of the scopes, from its kept header where there is one, else by reading it."""
    told = {(path, finding.code) for path, finding in ledger.findings}
    for scope in scopes:
        for directory in files.known_directories(ledger.library, scope.directory):
            rows = [
                row
                for row in files.in_directory(ledger.library, directory)
                if row.missing_since is None and (scope.only is None or row.name in scope.only)
            ]
            if scope.only is not None and not is_within(directory, scope.directory):
                continue
            for start in range(0, len(rows), REINSPECTED_AT_ONCE):
                batch = rows[start : start + REINSPECTED_AT_ONCE]
                looked = _looked(ledger.library, batch, report.problems)
                with ledger.library.transaction():
                    found = keep(ledger.library, batch, looked, ledger.roots)
                ledger.findings += [
                    (path, finding) for path, finding in found if (path, finding.code) not in told
                ]


def judge_by_newer_rules(
    library: Library, roots: Sequence[Root], problems: list[Problem], emit: Emit
) -> list[tuple[str, Finding]]:
    """Judge all that an older version has kept, if one has; what is wrong that was not known, by path.

    From the kept headers, so also what is missing, staged or on a drive that is off. Which models in several
    files lack one is told from the folders that are there. Where it is cut off the next scan goes on.
    Sidecars are read again by the scans that come by them.
    """
    state = contents.judged(library)
    if state.version > RULES_VERSION or state == (RULES_VERSION, None):
        return []
    total = contents.count(library)
    if state.version < RULES_VERSION:
        state = JudgedVersion(RULES_VERSION, "" if total else None)
        with library.transaction():
            sidecars.mark_stale(library)
            contents.note_judged(library, state)
    news: list[tuple[str, Finding]] = []
    done = 0
    while state.after is not None:
        batch = contents.ids_after(library, state.after, limit=REINSPECTED_AT_ONCE)
        looked = [(sha256, _renewed(library, sha256, problems)) for sha256 in batch]
        if not batch:  # before it is called done
            news += judge_sets(library, files.known_directories(library, os.sep))
        state = JudgedVersion(RULES_VERSION, batch[-1] if batch else None)
        with library.transaction():
            for sha256, inspection in looked:
                if inspection is not None:
                    news += _renew(library, content_of(sha256, inspection), inspection.findings, roots)
            contents.note_judged(library, state)
        done += len(batch)
        emit(Judging(min(done, total), total))
    return news


def _renewed(library: Library, sha256: str, problems: list[Problem]) -> Inspection | None:
    """What is known of a content means now; None where nothing is left to tell it from."""
    kept = _from_header(library, sha256)
    present = (row for row in files.of_model(library, sha256) if row.missing_since is None)
    return kept or next(filter(None, (inspected_now(row, problems) for row in present)), None)


def _renew(
    library: Library, content: Content, wrong: Sequence[Finding], roots: Sequence[Root]
) -> Iterator[tuple[str, Finding]]:
    """Keep what is news of a content; part of a transaction."""
    before = contents.get(library, content.sha256)
    known = {(path, each.code) for path, each in contents.findings(library, content.sha256)}
    same = {code for path, code in known if path is None} == {each.code for each in wrong}
    if before is None or (content == before and same):
        return
    contents.renew(library, content, findings=wrong)
    fill_base_model(library, content, before)
    rows = [row for row in files.of_model(library, content.sha256) if row.missing_since is None]
    yield from ((row.path, each) for row in rows[:1] for each in wrong if (None, each.code) not in known)
    found = judge_places(library, rows, roots)
    yield from ((path, each) for path, each in found if (path, each.code) not in known)


def _looked(
    library: Library, rows: Sequence[KnownFile], problems: list[Problem]
) -> dict[str, InspectedContent]:
    looked: dict[str, InspectedContent] = {}
    for row in rows:
        if row.sha256 not in looked:
            inspection = _from_header(library, row.sha256) or inspected_now(row, problems)
            if inspection is not None:
                looked[row.sha256] = looked_at(row.sha256, inspection)
    return looked


def _from_header(library: Library, sha256: str) -> Inspection | None:
    packed = contents.header(library, sha256)
    with suppress(ValueError, KeyError, TypeError, zlib.error):
        return None if packed is None else conclude(unpack(packed))
    return None


def complete_waiting(ledger: Ledger) -> None:
    """Give the pending imports without a hash that of their path, or of the one model their claim begins."""
    library = ledger.library
    for pending_id in pending.without_hash(library):
        with library.transaction():
            entry = pending.get(library, pending_id)
            complete = None if entry is None or entry.sha256 is not None else _completed(library, entry)
            if complete is not None:
                pending.put(library, complete)
                ledger.import_claims([pending_id])


def _completed(library: Library, entry: Pending) -> Pending | None:
    complete = _by_path(library, entry) or _by_claim(library, entry)
    if complete is None:
        return None
    said = {other.sha256 for other in pending.at_path(library, entry.path)}
    return None if complete.sha256 in said else complete


def _by_path(library: Library, entry: Pending) -> Pending | None:
    row = next((row for row in files.at_path(library, entry.path) if row.missing_since is None), None)
    if row is None or row.stat is None:
        return None
    return entry._replace(sha256=row.sha256, size_bytes=row.stat.size_bytes, observed=row)


def _by_claim(library: Library, entry: Pending) -> Pending | None:
    """One model only: a few digits prove little, and less where they fit two."""
    if entry.claimed_hash is None:
        return None
    found = models.with_prefix(library, entry.claimed_hash, limit=2)
    model = models.get(library, found[0]) if len(found) == 1 else None
    if model is None or entry.size_bytes not in (None, model.size_bytes):
        return None
    return entry._replace(sha256=model.sha256)
