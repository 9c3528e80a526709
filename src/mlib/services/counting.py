"""Adding a library up: by type, base model, tag, root and finding."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db import statistics
from mlib.db.side_by_side import side_by_side
from mlib.db.statistics import Figures

if TYPE_CHECKING:
    from mlib.db.library import Library
    from mlib.db.statistics import RootFigures


class Counted(NamedTuple):
    """All figures. Of tags only the models are counted unless they were asked for in full."""

    total: Figures
    types: dict[str, Figures]
    base_models: dict[str, Figures]
    tags: list[tuple[str, int]]
    tags_in_full: dict[str, Figures] | None
    roots: list[RootFigures]
    findings: list[tuple[str, int, bool]]
    pending: int


def count(library: Library, *, tags_in_full: bool = False) -> Counted:
    """The figures of everything as it is at one moment, the largest first."""
    with library.reading():
        (lower, kinds, tags, full), (upper, roots, findings, pending) = side_by_side(
            library,
            lambda here: (
                statistics.unusual(here, upper=False),
                statistics.by_kind(here),
                statistics.by_tag(here),
                statistics.in_full_by_tag(here) if tags_in_full else None,
            ),
            lambda there: (
                statistics.unusual(there, upper=True),
                statistics.by_root(there),
                statistics.by_finding(there),
                statistics.waiting(there),
            ),
        )
        kinds = _added(_added(kinds, lower.corrections), upper.corrections)
        rows = sum(root.files + root.missing for root in roots)
        if rows - lower.more_rows - upper.more_rows < sum(figures.models for figures in kinds.values()):
            kinds = _added(kinds, statistics.without_rows(library))
    types: dict[str, Figures] = {}
    bases: dict[str, Figures] = {}
    total = Figures()
    for (kind, base), figures in kinds.items():
        total = total.plus(figures)
        types[kind] = types.get(kind, Figures()).plus(figures)
        bases[base] = bases.get(base, Figures()).plus(figures)
    return Counted(total, _sorted(types), _sorted(bases), tags, full, roots, findings, pending)


def _added(
    kinds: dict[tuple[str, str], Figures], corrections: dict[tuple[str, str], Figures]
) -> dict[tuple[str, str], Figures]:
    return {key: figures.plus(corrections.get(key, Figures())) for key, figures in kinds.items()}


def _sorted(groups: dict[str, Figures]) -> dict[str, Figures]:
    return dict(
        sorted(groups.items(), key=lambda group: (-group[1].unique_bytes, -group[1].models, group[0]))
    )
