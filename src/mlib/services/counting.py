"""Adding a library up: by type, base model, tag, root and finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db import statistics
from mlib.db.statistics import Figures

if TYPE_CHECKING:
    from mlib.db.library import Library
    from mlib.db.statistics import RootFigures


class Counted(NamedTuple):
    """All figures. Of tags only the models, and of roots the files, unless they were asked for in full."""

    total: Figures
    types: dict[str, Figures]
    base_models: dict[str, Figures]
    tags: list[tuple[str, int]]
    tags_in_full: dict[str, Figures] | None
    roots: list[RootFigures]
    roots_in_full: dict[int | None, Figures] | None
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
    types: dict[str, Figures] = {}
    bases: dict[str, Figures] = {}
    total = Figures()
    for (kind, base), figures in kinds.items():
        total = total.plus(figures)
        types[kind] = types.get(kind, Figures()).plus(figures)
        bases[base] = bases.get(base, Figures()).plus(figures)
    return Counted(total, _sorted(types), _sorted(bases), tags, full, roots, roots_full, findings, pending)


def _sorted(groups: dict[str, Figures]) -> dict[str, Figures]:
    return dict(
        sorted(groups.items(), key=lambda group: (-group[1].unique_bytes, -group[1].models, group[0]))
    )
