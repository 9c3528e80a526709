"""Moving and renaming the files of models, with what belongs to them."""

from __future__ import annotations

import os
import stat
from contextlib import nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.compare import is_racy, stat_of
from mlib.core.disk.entries import Folders, is_other_spelling, rename_new, rename_reserved
from mlib.core.errors import MlibError, NotFound
from mlib.core.events import Emit, HashingAdvanced, HashingStarted, silent
from mlib.core.models import Problem
from mlib.core.placing.beside import renamed
from mlib.core.placing.journal import cut_off, noted
from mlib.core.placing.moving import Step, explained, move_together, remove_source, step
from mlib.core.rereading import reread
from mlib.core.times import now
from mlib.db import files, given, roots, sidecars
from mlib.services.filework.alike import other_paths
from mlib.services.filework.around import Around
from mlib.services.filework.certain import as_known, following, read_again, touching
from mlib.services.filework.links import dangling, links_to
from mlib.services.filework.places import Place, place_of, renamed_place
from mlib.services.following import follow_file
from mlib.services.judging import judge_places

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.core.models import KnownFile
    from mlib.db.library import Library
    from mlib.services.filework.meant import Meant


#: How files get their names: never where anything could come up meanwhile, or as well as the disk can do it.
Way = Literal["exclusive", "reserved"]


class _How(NamedTuple):
    """The command as the journal has it, how files get their names, and who is told of the bytes copied."""

    command: str
    way: Way
    emit: Emit


class Move(NamedTuple):
    """One model file with its companions, and where they are to go; the model comes last in `steps`.

    `copied` are steps that an earlier run got as far as the copy, so that only their sources have to go.
    Without the model's step it is there already, and only the row has to follow.
    """

    row: KnownFile
    place: Place
    steps: tuple[Step, ...] = ()
    copied: tuple[Step, ...] = ()
    shared: tuple[str, ...] = ()


class _Plans(NamedTuple):
    """What all moves of a command share: the folders, what earlier runs left half done, and the paths that
    those before left and took."""

    around: Around
    interrupted: set[tuple[str, str]]
    leaving: set[str]
    taken: set[str]


class MovedFile(NamedTuple):
    """What became of one: `moves` are (from, to), the model first; none where it was there already.

    `links` are paths of links that lead nowhere since.
    """

    sha256: str
    place: Place
    moves: tuple[tuple[str, str], ...]
    shared: tuple[str, ...]
    links: tuple[str, ...]


@dataclass(slots=True)
class MoveReport:
    """What was moved, and what could not be. `copied_bytes` went to another file system."""

    moved: list[MovedFile] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    copied_bytes: int = 0


def move(
    library: Library,
    meant: Sequence[Meant],
    dest: str,
    *,
    way: Way = "exclusive",
    dry_run: bool = False,
    emit: Emit = silent,
) -> MoveReport:
    """Move the file that each REF means to DEST: a directory, or for a single one a new path.

    Each goes with its companions or not at all; nothing is overwritten. On a disk that cannot rename without
    that risk, only the `reserved` way does it: an empty file takes the name first. The rows follow, so that
    the next scan has nothing to read. Raises MlibError where there is but one; of several, those that cannot
    go are told and the others go.
    """
    known = roots.all_roots(library)
    wanted = list(dict.fromkeys(meant))  # two copies of a model, each named by its path, are two
    if len(wanted) != 1 and not os.path.isdir(dest):
        raise NotFound("no_such_directory", f"several files go to a directory, and this is none: {dest}")

    def place(row: KnownFile) -> Place:
        return place_of(dest, row.name, known)

    with nullcontext() if dry_run else touching(library):
        return _move_all(library, wanted, place, _How("mv", way, emit), dry_run=dry_run)


def rename(
    library: Library,
    meant: Meant,
    name: str,
    *,
    way: Way = "exclusive",
    dry_run: bool = False,
    emit: Emit = silent,
) -> MoveReport:
    """Give the file that is meant another name, and its companions too. Raises MlibError."""
    known = roots.all_roots(library)

    def place(row: KnownFile) -> Place:
        return renamed_place(row.directory, row.name, name, known)

    with nullcontext() if dry_run else touching(library):
        return _move_all(library, [meant], place, _How("rename", way, emit), dry_run=dry_run)


def _move_all(
    library: Library,
    meant: Sequence[Meant],
    place: Callable[[KnownFile], Place],
    how: _How,
    *,
    dry_run: bool,
) -> MoveReport:
    report = MoveReport()
    plans = _Plans(Around(library), cut_off(library.path), leaving=set(), taken=set())
    for each in meant:
        row = each.files[0]
        try:
            row = _only(each)
            planned = _plan(row, place(row), plans)
            links = links_to(library, row) if planned.place.path != row.path else ()
            if not dry_run:
                report.copied_bytes += _carry_out(library, planned, how)
                links = dangling(links)
        except MlibError as error:
            if len(meant) == 1:
                raise
            report.failed.append(Problem(row.path, error.code, error.message))
            continue
        plans.leaving.update(one.source for one in planned.steps)
        plans.taken.update(one.target for one in planned.steps)
        done = [(one.source, one.target) for one in (*planned.steps, *planned.copied)]
        if not done and row.path != planned.place.path:
            done = [(row.path, planned.place.path)]
        done.sort(key=lambda pair: pair[0] != row.path)
        report.moved.append(MovedFile(row.sha256, planned.place, tuple(done), planned.shared, links))
    return report


def _only(meant: Meant) -> KnownFile:
    if len(meant.files) > 1:
        paths = ", ".join(row.path for row in meant.files)
        raise NotFound(
            "several_files",
            f"there are {len(meant.files)} files of it",
            hint=f"name one by its path: {paths}",
        )
    return meant.files[0]


def _plan(row: KnownFile, place: Place, plans: _Plans) -> Move:
    """What moving the file of a row means now. Raises MlibError where it cannot be done."""
    if place.path == row.path:
        return Move(as_known(row).row, place)
    if (row.path, place.path) in plans.interrupted and not os.path.lexists(row.path):
        there = read_again(row._replace(directory=place.directory, name=place.name)).row
        return Move(there._replace(directory=row.directory, name=row.name), place)
    certain = as_known(row)
    try:
        beside = plans.around.companions(row, leaving=plans.leaving)
        pairs = [(path, _target(path, row, place)) for path in beside.own]
        steps = [step(source, target) for source, target in pairs if source != target]
        steps.append(step(row.path, place.path)._replace(sha256=row.sha256))
        return _sorted_out(Move(certain.row, place, tuple(steps), (), beside.shared), plans)
    except OSError as error:
        raise explained(error, Step(row.path, place.path, certain.stat)) from error


def _target(companion: str, row: KnownFile, place: Place) -> str:
    name = renamed(os.path.basename(companion), model=row.name, to=place.name)
    return os.path.join(place.directory, name)


def _sorted_out(planned: Move, plans: _Plans) -> Move:
    """The plan with what an earlier run had copied already set apart. Raises MlibError `exists`."""
    steps: list[Step] = []
    copied: list[Step] = []
    for each in planned.steps:
        if each.target in plans.taken or any(each.target == other.target for other in steps):
            raise _exists(each.target)
        if not os.path.lexists(each.target) or _is_respelled(each):
            steps.append(each)
        elif (each.source, each.target) in plans.interrupted and _is_same(each):
            copied.append(each)
        else:
            raise _exists(each.target)
    return planned._replace(steps=tuple(steps), copied=tuple(copied))


def _is_respelled(each: Step) -> bool:
    with Folders() as folders:
        return is_other_spelling(*folders.split(each.source), *folders.split(each.target))


def _exists(path: str) -> MlibError:
    return MlibError("exists", f"there is something already: {path}", hint="nothing was moved")


def _is_same(each: Step) -> bool:
    """Whether the target is a whole copy of the source, so that the source may go."""
    there = os.lstat(each.target)
    if each.is_link:
        return stat.S_ISLNK(there.st_mode) and os.path.realpath(each.source) == os.path.realpath(each.target)
    if not stat.S_ISREG(there.st_mode):
        return False
    if os.path.samestat(os.lstat(each.source), there):
        return True
    one, other = reread(each.source, wanted=("sha256",)), reread(each.target, wanted=("sha256",))
    return one is not None and other is not None and one.sha256 == other.sha256


def _carry_out(library: Library, planned: Move, how: _How) -> int:
    """Move the files, then the row; the bytes that were copied to another file system."""
    row, place = planned.row, planned.place
    if row.path == place.path:
        return 0
    steps = (*planned.steps, *planned.copied)
    pairs = [(each.source, each.target) for each in steps] or [(row.path, place.path)]
    copied_bytes = 0

    def advance(size: int) -> None:
        nonlocal copied_bytes
        if not copied_bytes:
            how.emit(HashingStarted(len(steps), sum(each.stat.size_bytes for each in steps)))
        copied_bytes += size
        how.emit(HashingAdvanced(copied_bytes))

    rename = rename_new if how.way == "exclusive" else rename_reserved
    with noted(library.path, how.command, sha256=row.sha256, moves=pairs):
        moved = move_together(planned.steps, rename=rename, advance=advance)
        for each in planned.copied:
            remove_source(each)
        arrived = row._replace(
            directory=place.directory, name=place.name, root_id=place.root.id if place.root else None
        )
        copy = moved.copies.get(place.path)
        if copy is not None:
            racy = is_racy(mtime_ns=copy.stat.mtime_ns, started_at=copy.read_at)
            arrived = arrived._replace(stat=copy.stat, hashed_at=copy.read_at, racy=racy)
        elif any(each.source == row.path for each in planned.copied):
            arrived = read_again(arrived).row
        stamps = [(each, stamp) for each in steps if (stamp := _stamp(each.target)) is not None]
        with following(library):
            _follow(library, row, arrived, place)
            for each, stamp in stamps:
                sidecars.move(library, os.path.split(each.source), os.path.split(each.target), stamp)
    return copied_bytes


def _stamp(path: str) -> sidecars.Stamp | None:
    try:
        size, mtime_ns, _, inode = stat_of(os.stat(path))
    except OSError:
        return None
    return size, mtime_ns, inode


def _follow(library: Library, old: KnownFile, new: KnownFile, place: Place) -> None:
    """Let the row, and what nobody typed, be as a scan would make it; part of a transaction."""
    at_target = [row for row in files.at_path(library, new.path) if row.missing_since is None]
    files.mark_missing(library, at_target, now())  # what it spoke of is not there: the name was free
    files.mark_missing(library, other_paths(library, old), now())
    files.remove(library, old)
    files.put(library, [new])
    given.move(library, new.sha256, (old.directory, old.name), (new.directory, new.name))
    judge_places(library, [new], [place.root] if place.root else [])
    follow_file(library, old, new, place.root)
