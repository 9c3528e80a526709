"""Count models, files and bytes by type, base model, tag, root and finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db import statistics
from mlib.db.statistics import Totals

if TYPE_CHECKING:
    from mlib.db.library import Library
    from mlib.db.statistics import RootTotals


class Counted(NamedTuple):
    """All figures. Of tags only the models, and of roots the files, unless they were asked for in full."""

    total: Totals
    types: dict[str, Totals]
    base_models: dict[str, Totals]
    tags: list[tuple[str, int]]
    tags_in_full: dict[str, Totals] | None
    roots: list[RootTotals]
    roots_in_full: dict[int | None, Totals] | None
    findings: list[tuple[str, int, bool]]
    pending: int


def count(library: Library, *, tags_in_full: bool = False, roots_in_full: bool = False) -> Counted:
    """The figures of everything as it is at one moment, the largest first."""
    with library.reading():
        kinds = statistics.by_kind(library)
        tags = statistics.by_tag(library)
        full = statistics.in_full_by_tag(library) if tags_in_full else None
        roots = statistics.by_root(library)
        roots_full = statistics.in_full_by_root(library) if roots_in_full else None
        findings = statistics.by_finding(library)
        pending = statistics.waiting(library)
    types: dict[str, Totals] = {}
    bases: dict[str, Totals] = {}
    total = Totals()
    for (kind, base), figures in kinds.items():
        total = total.plus(figures)
        types[kind] = types.get(kind, Totals()).plus(figures)
        bases[base] = bases.get(base, Totals()).plus(figures)
    return Counted(total, _sorted(types), _sorted(bases), tags, full, roots, roots_full, findings, pending)


def _sorted(groups: dict[str, Totals]) -> dict[str, Totals]:
    return dict(
        sorted(groups.items(), key=lambda group: (-group[1].unique_bytes, -group[1].models, group[0]))
    )
