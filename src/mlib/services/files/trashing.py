"""Move model files to the trash. The models stay in the library."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.disk.journal import cut_off, expect_safe_moves, gone_to_trash, noted
from mlib.core.disk.transfer import Step, expect_writable, step
from mlib.core.disk.trash_dirs import (
    Trashed,
    bins_for,
    bring_back,
    expected_target,
    not_trashed,
    trash_together,
)
from mlib.core.disk.walk import reason
from mlib.core.errors import MlibError
from mlib.core.records import Problem
from mlib.db import files, roots
from mlib.services.files.aliases import links_to, other_paths
from mlib.services.files.bundles import bundled
from mlib.services.files.selection import FolderCache, expect_stat, following, merge_selections, touching

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlib.core.records import KnownFile
    from mlib.db.library import Library
    from mlib.services.files.selection import Selection
    from mlib.services.resolving import Target


# --- Removing a file with its companions, reversibly

#: What the journal has for the target of a file whose place in the trash is not chosen yet.
TO_TRASH = "trash"


class Removal(NamedTuple):
    """A file that is to go: its steps, the model last, so that doing it again ends what was cut off.

    `shared` are paths of companions that stay with another model, `links` those of links that lead to the
    file, `also` those of what goes along that is not a companion, `folders` those of what stays though it is
    the model's. It may be a link itself: then `bytes_at` is
    the file with the bytes, which stays. Without steps the file went before, by a run that was cut off, and
    only its row has to follow.
    """

    row: KnownFile
    steps: tuple[Step, ...]
    shared: tuple[str, ...]
    links: tuple[str, ...] = ()
    bytes_at: str | None = None
    also: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def size_bytes(self) -> int:
        return sum(each.stat.size_bytes for each in self.steps)


class Removed(NamedTuple):
    """A file that went, and where to; its companions likewise, those that stayed, links to it, its folders.

    `bytes_at` of a link is the file that it led to, which stayed.
    """

    row: KnownFile
    target: str | None
    companions: tuple[Trashed, ...]
    shared: tuple[str, ...]
    size_bytes: int
    links: tuple[str, ...] = ()
    bytes_at: str | None = None
    folders: tuple[str, ...] = ()


def plan_removal(
    library: Library,
    row: KnownFile,
    *,
    leaving: Collection[str] = (),
    around: FolderCache | None = None,
    also: Sequence[str] = (),
) -> Removal:
    """What removing the file of a row means now; `leaving` are paths of files that go too.

    `also` are paths of what goes along besides its companions: the index of the parts of its model. Who
    plans for many files, and changes nothing meanwhile, gives `around`. Raises MlibError where the file is
    not what the library knows.
    """
    if not os.path.lexists(row.path) and (row.path, TO_TRASH) in cut_off(library.path):
        return Removal(row, (), ())
    certain = expect_stat(row)
    try:
        beside = (around or FolderCache(library)).companions(row, leaving=leaving)
        own = dict.fromkeys((*also, *beside.own))
        steps = [step(path, TO_TRASH) for path in (*own, row.path)]
    except OSError as error:
        raise MlibError("unreadable", f"cannot look at {row.path}: {reason(error)}") from error
    try:
        expect_writable(row.path)
    except OSError as error:
        raise not_trashed(row.path, error) from error
    bytes_at = os.path.realpath(row.path) if steps[-1].is_link else None
    links = links_to(library, row)
    return Removal(
        certain.row,
        tuple(steps),
        beside.shared,
        links,
        bytes_at=bytes_at,
        also=tuple(also),
        folders=beside.folders,
    )


def remove(
    library: Library,
    removal: Removal,
    *,
    command: str,
    environ: Mapping[str, str],
    staying: KnownFile | None = None,
) -> Removed:
    """Move the files to the trash and mark the row as missing. All of them go, or none. Raises MlibError.

    They come back (`same_file`) where `staying` went with them: a file that two mounts show looks like two.
    """
    kept = () if staying is None else (staying,)
    return remove_together(library, [removal], command=command, environ=environ, staying=kept)[0]


def remove_together(
    library: Library,
    removals: Sequence[Removal],
    *,
    command: str,
    environ: Mapping[str, str],
    staying: Sequence[KnownFile] = (),
) -> list[Removed]:
    """The same for the files of a model in several: all of them go, or none."""
    steps = [each for removal in removals for each in removal.steps]
    before = [removal.row for removal in removals if not removal.steps]
    pairs = [(each.source, TO_TRASH) for each in steps] + [(row.path, TO_TRASH) for row in before]
    places = [root.path for root in roots.all_roots(library)]
    with noted(library.path, command, sha256=removals[0].row.sha256, moves=pairs) as entry:
        trashed = trash_together(steps, roots=places, environ=environ)
        if not all(os.path.lexists(row.path) for row in staying):
            bring_back(trashed)
            path = removals[0].row.path
            raise MlibError("same_file", f"it is the file that stays, seen at another path: {path}")
        if trashed:
            entry["trashed"] = [{"from": each.source, "to": each.target} for each in trashed]
        _mark(library, [removal.row for removal in removals])
    lying = iter(trashed)
    return [_removed(removal, [next(lying) for _ in removal.steps]) for removal in removals]


def settle_journal(library: Library, *, command: str) -> None:
    """Mark the rows of files that a run which was cut off had moved to the trash already."""
    for path, target in sorted(cut_off(library.path)):
        if target == TO_TRASH and not os.path.lexists(path):
            for row in files.at_path(library, path):
                if row.missing_since is None:
                    remove(library, Removal(row, (), ()), command=command, environ={})


def plan_removed(
    library: Library, removal: Removal, *, environ: Mapping[str, str], taken: set[str]
) -> Removed:
    """What `remove` would most likely report; `taken` are places in the trash that others would have taken.

    Nothing is done.
    """
    places = [root.path for root in roots.all_roots(library)]
    trashed = []
    for each in removal.steps:
        likely = next(bins_for(each.source, roots=places, environ=environ), None)
        trashed.append(
            expected_target(each.source, likely, taken=taken) if likely else Trashed(each.source, "", "")
        )
        taken.add(trashed[-1].target)
    return _removed(removal, trashed)


def _removed(removal: Removal, trashed: Sequence[Trashed]) -> Removed:
    return Removed(
        removal.row,
        trashed[-1].target if trashed else None,
        tuple(trashed[:-1]),
        removal.shared,
        removal.size_bytes,
        removal.links,
        bytes_at=removal.bytes_at,
        folders=removal.folders,
    )


def _mark(library: Library, rows: Sequence[KnownFile]) -> None:
    with following(library):
        for row in rows:
            files.mark_missing(library, [row, *other_paths(library, row)], times.now())


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


def plan_trash(library: Library, meant: Sequence[Selection]) -> TrashPlan:
    """Look at every file that is to go, and at what lies beside it. Nothing is changed.

    Raises Refused (`part_of_set`) where only some files of a model in several are meant.
    """
    plan = TrashPlan()
    rows = [row for each in merge_selections(meant) for row in each.files]
    leaving: set[str] = set()
    around = FolderCache(library)
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


def simulate_trash(library: Library, plan: TrashPlan, *, environ: Mapping[str, str]) -> TrashReport:
    """The report that carrying out the plan would give. Raises MlibError (`cannot_move_safely`)."""
    expect_safe_moves()
    taken: set[str] = set()
    removed = [plan_removed(library, removal, environ=environ, taken=taken) for removal in plan.removals]
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
