"""Taking a file of a model out of the way, with what belongs to it, so that it can be had back."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.errors import MlibError
from mlib.core.placing.journal import cut_off, noted
from mlib.core.placing.moving import Step, expect_writable, step
from mlib.core.placing.trashing import (
    Trashed,
    bins_for,
    bring_back,
    foresee,
    not_trashed,
    trash_together,
)
from mlib.core.walk import reason
from mlib.db import files, roots
from mlib.services.filework.alike import other_paths
from mlib.services.filework.around import Around
from mlib.services.filework.certain import as_known, following
from mlib.services.filework.links import links_to

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from mlib.core.models import KnownFile
    from mlib.db.library import Library

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
    around: Around | None = None,
    also: Sequence[str] = (),
) -> Removal:
    """What removing the file of a row means now; `leaving` are paths of files that go too.

    `also` are paths of what goes along besides its companions: the index of the parts of its model. Who
    plans for many files, and changes nothing meanwhile, gives `around`. Raises MlibError where the file is
    not what the library knows.
    """
    if not os.path.lexists(row.path) and (row.path, TO_TRASH) in cut_off(library.path):
        return Removal(row, (), ())
    certain = as_known(row)
    try:
        beside = (around or Around(library)).companions(row, leaving=leaving)
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


def settle(library: Library, *, command: str) -> None:
    """Mark the rows of files that a run which was cut off had moved to the trash already."""
    for path, target in sorted(cut_off(library.path)):
        if target == TO_TRASH and not os.path.lexists(path):
            for row in files.at_path(library, path):
                if row.missing_since is None:
                    remove(library, Removal(row, (), ()), command=command, environ={})


def foreseen(library: Library, removal: Removal, *, environ: Mapping[str, str], taken: set[str]) -> Removed:
    """What `remove` would most likely report; `taken` are places in the trash that others would have taken.

    Nothing is done.
    """
    places = [root.path for root in roots.all_roots(library)]
    trashed = []
    for each in removal.steps:
        likely = next(bins_for(each.source, roots=places, environ=environ), None)
        trashed.append(foresee(each.source, likely, taken=taken) if likely else Trashed(each.source, "", ""))
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
