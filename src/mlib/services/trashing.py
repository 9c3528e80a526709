"""Moving the files of models to the trash. What is known of the models stays."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import MlibError
from mlib.core.models import Problem
from mlib.core.placing.journal import cut_off, gone_to_trash
from mlib.db import files
from mlib.services.filework.around import Around
from mlib.services.filework.certain import touching
from mlib.services.filework.meant import united
from mlib.services.filework.removing import (
    TO_TRASH,
    Removal,
    Removed,
    foreseen,
    plan_removal,
    remove_together,
)
from mlib.services.sets import bundled

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.db.library import Library
    from mlib.services.filework.meant import Meant
    from mlib.services.targets import Target


@dataclass(slots=True)
class TrashPlan:
    """What is to go, the files of one set together, and which files cannot."""

    bundles: list[list[Removal]] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)

    @property
    def removals(self) -> list[Removal]:
        """Every file that is to go."""
        return list(chain.from_iterable(self.bundles))

    @property
    def size_bytes(self) -> int:
        """Of all files and companions."""
        return sum(removal.size_bytes for removal in self.removals)

    @property
    def companions(self) -> int:
        """How many files go along."""
        return sum(len(removal.steps) - 1 for removal in self.removals if removal.steps)

    @property
    def links_alone(self) -> int:
        """How many are links to a file that does not go."""
        real = {os.path.realpath(removal.row.path) for removal in self.removals if removal.bytes_at is None}
        return sum(removal.bytes_at not in real for removal in self.removals if removal.bytes_at is not None)


class TrashedBefore(NamedTuple):
    """A file that an earlier command moved to the trash, and where it lies now.

    That is not known (None) of a command that was killed before it could write it down.
    """

    sha256: str
    path: str
    target: str | None


@dataclass(slots=True)
class TrashReport:
    """What went, and which files could not."""

    removed: list[Removed] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)


def trashed_before(library: Library, target: Target) -> list[TrashedBefore]:
    """The files of a model without any, if they lie in the trash: the same command again has ended then."""
    rows = [] if target.sha256 is None else files.of_model(library, target.sha256)
    if any(row.missing_since is None for row in rows):
        return []
    known: dict[str, str | None] = dict.fromkeys(
        path for path, to in cut_off(library.path) if to == TO_TRASH and not os.path.lexists(path)
    )
    known |= {path: to for path, to in gone_to_trash(library.path).items() if os.path.lexists(to)}
    return [TrashedBefore(row.sha256, row.path, known[row.path]) for row in rows if row.path in known]


def plan_trash(library: Library, meant: Sequence[Meant]) -> TrashPlan:
    """Look at every file that is to go, and at what lies beside it. Nothing is changed.

    Raises Refused (`part_of_set`) where only some files of a model in several are meant.
    """
    plan = TrashPlan()
    rows = [row for each in united(meant) for row in each.files]
    leaving: set[str] = set()
    around = Around(library)
    # A companion that two of these files share goes with the last of them.
    for bundle in bundled(library, rows, "trash"):
        removals: list[Removal] = []
        also = bundle.whole.listed_by if bundle.whole else ()
        try:
            for row in bundle.rows:
                leaving.add(row.path)
                removals.append(plan_removal(library, row, leaving=leaving, around=around, also=also))
                also = ()
            if bundle.whole is not None and bundle.whole.kind == "folder":  # with its config at least
                last = removals[-1]
                removals[-1] = last._replace(folders=(*last.folders, bundle.whole.name))
            plan.bundles.append(removals)
        except MlibError as error:
            leaving.difference_update(row.path for row in bundle.rows)
            plan.failed += [Problem(row.path, error.code, error.message) for row in bundle.rows]
    return plan


def trash(library: Library, plan: TrashPlan, *, environ: Mapping[str, str]) -> TrashReport:
    """Carry out a plan file by file; one that cannot go leaves the others alone.

    `environ` tells where the system's trash is (XDG_DATA_HOME). The rows become missing: a file that is put
    back is known again by the next scan.
    """
    report = TrashReport(failed=list(plan.failed))
    stayed: set[str] = set()
    with touching(library):
        for bundle in plan.bundles:
            try:
                current = [_without_shared(library, removal, stayed) for removal in bundle]
                report.removed += remove_together(library, current, command="trash", environ=environ)
            except MlibError as error:
                stayed.update(removal.row.path for removal in bundle)
                report.failed += [Problem(removal.row.path, error.code, error.message) for removal in bundle]
    report.removed = _without_links_that_went(report.removed)
    return report


def rehearse(library: Library, plan: TrashPlan, *, environ: Mapping[str, str]) -> TrashReport:
    """The report that carrying out the plan would give."""
    taken: set[str] = set()
    removed = [foreseen(library, removal, environ=environ, taken=taken) for removal in plan.removals]
    return TrashReport(_without_links_that_went(removed), list(plan.failed))


def _without_links_that_went(removed: Sequence[Removed]) -> list[Removed]:
    went = {each.row.path for each in removed}
    real = {os.path.join(os.path.realpath(each.row.directory), each.row.name) for each in removed}
    return [
        each._replace(
            links=tuple(link for link in each.links if link not in went),
            bytes_at=None if each.bytes_at in real else each.bytes_at,
        )
        for each in removed
    ]


def _without_shared(library: Library, removal: Removal, stayed: set[str]) -> Removal:
    """The removal as it is planned, made anew where a file has stayed that was to go before it."""
    if not stayed:
        return removal
    return plan_removal(library, removal.row, also=removal.also)._replace(folders=removal.folders)
