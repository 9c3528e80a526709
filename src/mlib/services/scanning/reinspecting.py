"""Judging files anew that are known and unchanged: by better rules, or for the first time."""

from __future__ import annotations

import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

from mlib.core.formats.header_json import unpack
from mlib.core.inspection import Inspection, conclude
from mlib.core.walk import is_within
from mlib.db import contents, files
from mlib.services.scanning.inspecting import Looked, inspected_now, keep, looked_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.models import KnownFile, Problem
    from mlib.core.walk import Scope
    from mlib.db.library import Library
    from mlib.services.scanning.ledger import Ledger
    from mlib.services.scanning.report import ScanReport

#: Files judged in one transaction.
BATCH = 256


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
            for start in range(0, len(rows), BATCH):
                batch = rows[start : start + BATCH]
                looked = _looked(ledger.library, batch, report.problems)
                with ledger.library.transaction():
                    found = keep(ledger.library, batch, looked, ledger.roots)
                ledger.findings += [
                    (path, finding) for path, finding in found if (path, finding.code) not in told
                ]
                report.reinspected += len(batch)


def _looked(library: Library, rows: Sequence[KnownFile], problems: list[Problem]) -> dict[str, Looked]:
    looked: dict[str, Looked] = {}
    for row in rows:
        if row.sha256 not in looked:
            inspection = _kept(library, row) or inspected_now(row, problems)
            if inspection is not None:
                looked[row.sha256] = looked_at(row.sha256, inspection)
    return looked


def _kept(library: Library, row: KnownFile) -> Inspection | None:
    packed = contents.header(library, row.sha256)
    with suppress(ValueError, KeyError, TypeError, zlib.error):
        return None if packed is None else conclude(unpack(packed))
    return None
