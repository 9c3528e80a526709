"""Move and rename model files with their companions."""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui.folders import MODEL_EXTENSIONS
from mlib.core.disk.compare import is_racy, stat_of
from mlib.core.disk.entries import Folders, is_other_spelling, rename_new, rename_reserved
from mlib.core.disk.journal import cut_off, noted
from mlib.core.disk.system import file_system
from mlib.core.disk.transfer import (
    Moved,
    Step,
    expect_writable,
    move_together,
    release_target,
    remove_source,
    step,
    to_transfer_error,
)
from mlib.core.disk.uncached import reread
from mlib.core.disk.walk import is_passed_over, is_within
from mlib.core.errors import Hint, MlibError, NotFound, WrongUsage
from mlib.core.events import Emit, HashingAdvanced, HashingStarted, silent
from mlib.core.records import Problem
from mlib.core.sidecars.companions import renamed
from mlib.core.times import now
from mlib.db import files, roots, sidecars
from mlib.services.deriving import follow_file, judge_places
from mlib.services.files.aliases import dangling_links, links_to, other_paths
from mlib.services.files.bundles import bundled, is_incomplete, judge_sets
from mlib.services.files.selection import FolderCache, expect_content, expect_stat, following, touching

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlib.core.records import KnownFile, Root
    from mlib.db.library import Library
    from mlib.services.files.bundles import Action
    from mlib.services.files.selection import Selection


# --- The destination: its directory and root


class Destination(NamedTuple):
    """A path that a file is to have; `root` is None outside of all of them."""

    directory: str
    name: str
    root: Root | None

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.name)


def destination_of(dest: str, name: str, roots: Sequence[Root]) -> Destination:
    """What `mv` means by DEST for a file called `name`: a directory that is there, or a new path.

    Raises NotFound (`no_such_directory`), WrongUsage (`bad_name`, `passed_over`).
    """
    if not dest or "\0" in dest:
        raise WrongUsage("bad_name", "a file name cannot be empty or contain a zero byte")
    path = os.path.abspath(dest)
    if os.path.isdir(path):
        return _placed(path, name, roots)
    extension = os.path.splitext(name)[1]
    directory, new_name = os.path.split(path)
    if dest.endswith(os.sep) or not os.path.isdir(directory) or not _is_kept(new_name, extension):
        missing = directory if not os.path.isdir(directory) else path
        hint = f"`mkdir -p` makes it; a new name for the file would end in {extension}"
        raise NotFound("no_such_directory", f"no such directory: {missing}", hint=hint)
    return _placed(directory, new_name, roots)


def renamed_destination(directory: str, name: str, new_name: str, roots: Sequence[Root]) -> Destination:
    """The same directory with another file name; the extension of `name` is added where none is given.

    Raises WrongUsage (`bad_name`).
    """
    if "\0" in new_name or os.sep in new_name or not new_name.strip():
        raise WrongUsage(
            "bad_name",
            "a file name cannot be empty or contain a slash",
            hint=Hint("{} moves to other folders", ("mv",)),
        )
    if new_name.startswith("."):
        raise WrongUsage("bad_name", "scans skip files whose name begins with a dot")
    extension = os.path.splitext(name)[1]
    if not _is_kept(new_name, extension):
        new_name += extension
    return _placed(directory, new_name, roots)


def _is_kept(new_name: str, extension: str) -> bool:
    """Whether a scan takes `new_name` for a model where it took the extension it has for one."""
    stem, new_extension = os.path.splitext(new_name)
    return (
        bool(stem)
        and not new_name.startswith(".")
        and (new_extension.lower() == extension.lower() or new_extension.lower() in MODEL_EXTENSIONS)
    )


def _placed(directory: str, name: str, roots: Sequence[Root]) -> Destination:
    real = os.path.realpath(directory)
    lexical = [root for root in roots if is_within(directory, root.path)]
    by_length = sorted(roots, key=lambda root: (root in lexical, len(root.path)), reverse=True)
    for root in by_length:
        real_root = os.path.realpath(root.path)
        if is_within(real, real_root) and not _has_deeper(real, real_root, roots):
            spelled = os.path.normpath(os.path.join(root.path, os.path.relpath(real, real_root)))
            return _visited(Destination(spelled, name, root))
    if lexical:  # by a link that leads out of the root, which a scan follows
        return _visited(Destination(directory, name, max(lexical, key=lambda root: len(root.path))))
    return Destination(directory, name, None)


def _has_deeper(real: str, real_root: str, roots: Sequence[Root]) -> bool:
    """Whether another root lies between: its files are its own."""
    others = (os.path.realpath(root.path) for root in roots)
    return any(len(other) > len(real_root) and is_within(real, other) for other in others)


def _visited(place: Destination) -> Destination:
    assert place.root is not None
    if is_passed_over(place.directory, place.root.path):
        raise WrongUsage("passed_over", f"scans skip this folder: {place.directory}")
    return place


#: How files get their names: never where anything could come up meanwhile, or as well as the disk can do it.
Way = Literal["exclusive", "reserved"]


class _How(NamedTuple):
    """The command as the journal has it, how files get their names, and who is told of the bytes copied."""

    command: str
    way: Way
    emit: Emit


class PlannedMove(NamedTuple):
    """One model file with its companions, and where they are to go; the model comes last in `steps`.

    `copied` are steps that an earlier run got as far as the copy, so that only their sources have to go, and
    `reserved` those of `steps` of which it had only taken the name, with an empty file.
    Without the model's step it is there already, and only the row has to follow. `folders` are the model's
    and stay.
    """

    row: KnownFile
    place: Destination
    steps: tuple[Step, ...] = ()
    copied: tuple[Step, ...] = ()
    shared: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()
    reserved: tuple[Step, ...] = ()


class _Plans(NamedTuple):
    """What all moves of a command share: the folders, what earlier runs left half done, and the paths that
    those before left and took."""

    around: FolderCache
    interrupted: set[tuple[str, str]]
    leaving: set[str]
    taken: set[str]


class MovedFile(NamedTuple):
    """What became of one: `moves` are (from, to), the model first; none where it was there already.

    `links` are paths of links that lead nowhere since, `folders` those of the model's that stayed.
    """

    sha256: str
    place: Destination
    moves: tuple[tuple[str, str], ...]
    shared: tuple[str, ...]
    links: tuple[str, ...]
    folders: tuple[str, ...] = ()


@dataclass(slots=True)
class MoveReport:
    """What was moved, and what could not be. `copied_bytes` went to another file system.

    Of a dry run `unproven` are folders on disks of which only a file that is renamed can tell whether they do
    that without the risk of replacing another one.
    """

    moved: list[MovedFile] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    copied_bytes: int = 0
    unproven: list[str] = field(default_factory=list)


def move(
    library: Library,
    meant: Sequence[Selection],
    dest: str,
    *,
    way: Way = "exclusive",
    dry_run: bool = False,
    emit: Emit = silent,
) -> MoveReport:
    """Move the file that each REF means to DEST: a directory, or for a single one a new path.

    Each goes with its companions or not at all, and so do the parts of a model in several files; nothing is
    overwritten. On a disk that cannot rename without that risk, only the `reserved` way does it: an empty
    file takes the name first. The rows follow, so that the next scan has nothing to read. Raises Refused
    (`part_of_set`) where a part would stay behind, MlibError where only one is meant; of several, those that
    cannot go are told and the others go.
    """
    known = roots.all_roots(library)
    wanted = list(dict.fromkeys(meant))  # two copies of a model, each named by its path, are two
    if len(wanted) != 1 and not os.path.isdir(dest):
        raise NotFound("no_such_directory", f"the destination of several files must be a directory: {dest}")

    def place(row: KnownFile) -> Destination:
        return destination_of(dest, row.name, known)

    with touching(library, dry_run=dry_run):
        return _move_all(library, wanted, place, _How("mv", way, emit), dry_run=dry_run)


def rename(
    library: Library,
    meant: Selection,
    name: str,
    *,
    way: Way = "exclusive",
    dry_run: bool = False,
    emit: Emit = silent,
) -> MoveReport:
    """Give the file that is meant another name, and its companions too. Raises MlibError."""
    known = roots.all_roots(library)

    def place(row: KnownFile) -> Destination:
        return renamed_destination(row.directory, row.name, name, known)

    with touching(library, dry_run=dry_run):
        return _move_all(library, [meant], place, _How("rename", way, emit), dry_run=dry_run)


def _move_all(
    library: Library,
    meant: Sequence[Selection],
    place: Callable[[KnownFile], Destination],
    how: _How,
    *,
    dry_run: bool,
) -> MoveReport:
    report = MoveReport()
    plans = _Plans(FolderCache(library), cut_off(library.path), leaving=set(), taken=set())
    for bundle in _bundles(library, meant, place):
        planned: list[PlannedMove] = []
        try:
            _plan_bundle(bundle, place, plans, planned)
            links = {
                each.row.path: links_to(library, each.row) if each.place.path != each.row.path else ()
                for each in planned
            }
            if not dry_run:
                report.copied_bytes += _carry_out(library, planned, how)
                links = {path: dangling_links(those) for path, those in links.items()}
        except MlibError as error:
            if len(meant) == 1:
                raise
            for step_ in (step_ for each in planned for step_ in each.steps):
                plans.leaving.discard(step_.source)
                plans.taken.discard(step_.target)
            rows = [each.files[0] for each in bundle.meant]
            report.failed += [Problem(row.path, error.code, error.message) for row in rows]
            continue
        report.moved += [_told(each, links[each.row.path]) for each in planned]
        if dry_run and how.way == "exclusive":
            report.unproven += _unproven(planned)
    report.unproven = sorted(set(report.unproven))
    return report


def _unproven(planned: Sequence[PlannedMove]) -> Iterator[str]:
    """The folders that files go to on a FUSE: each such file system has other ways, and one has to try."""
    for folder in {os.path.dirname(each.target) for move_ in planned for each in move_.steps}:
        with suppress(OSError):
            if file_system(os.stat(folder).st_dev).startswith("fuse"):
                yield folder


def _told(planned: PlannedMove, links: tuple[str, ...]) -> MovedFile:
    row, place = planned.row, planned.place
    done = [(each.source, each.target) for each in (*planned.steps, *planned.copied)]
    if not done and row.path != place.path:
        done = [(row.path, place.path)]
    done.sort(key=lambda pair: pair[0] != row.path)
    return MovedFile(row.sha256, place, tuple(done), planned.shared, links, planned.folders)


class _Bundle(NamedTuple):
    """What moves together or not at all; `also` are paths of what goes along: the index of its parts."""

    meant: tuple[Selection, ...]
    also: tuple[str, ...] = ()


def _bundles(
    library: Library, meant: Sequence[Selection], place: Callable[[KnownFile], Destination]
) -> list[_Bundle]:
    """The files that are meant, those of one set together. Raises Refused (`part_of_set`), MlibError."""
    single = {each.files[0].path: each for each in meant if len(each.files) == 1}
    rows = [each.files[0] for each in single.values()]
    action: Action = (
        "rename" if len(meant) == len(rows) == 1 and place(rows[0]).name != rows[0].name else "move"
    )
    bundles = bundled(library, rows, action)
    together = {
        row.path: _Bundle(
            tuple(single[one.path] for one in bundle.rows), bundle.whole.listed_by if bundle.whole else ()
        )
        for bundle in bundles
        for row in bundle.rows
    }
    # A model with several files, of which one should have been named, is told when its turn comes.
    found = [together.get(each.files[0].path, _Bundle((each,))) for each in meant]
    return list(dict.fromkeys(found))


def _plan_bundle(
    bundle: _Bundle, place: Callable[[KnownFile], Destination], plans: _Plans, planned: list[PlannedMove]
) -> None:
    """Add to `planned` what moving each file of a bundle means. Raises MlibError for one that cannot move."""
    also = bundle.also
    for each in bundle.meant:
        row = _only(each)
        one = _plan(row, place(row), plans, also=also)
        plans.leaving.update(step_.source for step_ in one.steps)
        plans.taken.update(step_.target for step_ in one.steps)
        planned.append(one)
        also = ()


def _only(meant: Selection) -> KnownFile:
    if len(meant.files) > 1:
        paths = ", ".join(row.path for row in meant.files)
        raise NotFound(
            "several_files",
            f"it has {len(meant.files)} files",
            hint=f"name one by its path: {paths}",
        )
    return meant.files[0]


def _plan(row: KnownFile, place: Destination, plans: _Plans, *, also: Sequence[str] = ()) -> PlannedMove:
    """What moving the file of a row, and what goes along, means now. Raises MlibError where it cannot be."""
    if place.path == row.path:
        return PlannedMove(expect_stat(row).row, place)
    if (row.path, place.path) in plans.interrupted and not os.path.lexists(row.path):
        there = expect_content(row._replace(directory=place.directory, name=place.name)).row
        return PlannedMove(there._replace(directory=row.directory, name=row.name), place)
    certain = expect_stat(row)
    try:
        beside = plans.around.companions(row, leaving=plans.leaving)
        pairs = [(path, os.path.join(place.directory, os.path.basename(path))) for path in also]
        pairs += [(path, _target(path, row, place)) for path in beside.own if path not in also]
        steps = [step(source, target) for source, target in pairs if source != target]
        steps.append(step(row.path, place.path)._replace(sha256=row.sha256))
        for each in steps:
            _expect_possible(each)
        return _sorted_out(
            PlannedMove(certain.row, place, tuple(steps), (), beside.shared, beside.folders), plans
        )
    except OSError as error:
        raise to_transfer_error(error, Step(row.path, place.path, certain.stat)) from error


def _expect_possible(each: Step) -> None:
    try:
        for path in (each.source, each.target):
            expect_writable(path)
    except OSError as error:
        raise to_transfer_error(error, each) from error


def _target(companion: str, row: KnownFile, place: Destination) -> str:
    name = renamed(os.path.basename(companion), model=row.name, to=place.name)
    return os.path.join(place.directory, name)


def _sorted_out(planned: PlannedMove, plans: _Plans) -> PlannedMove:
    """The plan with what an earlier run had copied already set apart. Raises MlibError `exists`."""
    steps: list[Step] = []
    copied: list[Step] = []
    reserved: list[Step] = []
    for each in planned.steps:
        if each.target in plans.taken or any(each.target == other.target for other in steps):
            raise _exists(each.target)
        if not os.path.lexists(each.target) or _is_respelled(each):
            steps.append(each)
        elif (each.source, each.target) in plans.interrupted and _is_same(each):
            copied.append(each)
        elif (each.source, each.target) in plans.interrupted and _is_empty(each.target):
            steps.append(each)
            reserved.append(each)
        else:
            raise _exists(each.target)
    return planned._replace(steps=tuple(steps), copied=tuple(copied), reserved=tuple(reserved))


def _is_empty(path: str) -> bool:
    status = os.lstat(path)
    return stat.S_ISREG(status.st_mode) and status.st_size == 0


def _is_respelled(each: Step) -> bool:
    with Folders() as folders:
        return is_other_spelling(*folders.split(each.source), *folders.split(each.target))


def _exists(path: str) -> MlibError:
    return MlibError("exists", f"already exists: {path}", hint="nothing was moved")


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


def _carry_out(library: Library, bundle: Sequence[PlannedMove], how: _How) -> int:
    """Move the files, then the rows; the bytes that were copied to another file system."""
    bundle = [planned for planned in bundle if planned.row.path != planned.place.path]
    if not bundle:
        return 0
    planned_steps = [each for planned in bundle for each in planned.steps]
    copied = [each for planned in bundle for each in planned.copied]
    steps = [*planned_steps, *copied]
    pairs = [(each.source, each.target) for each in steps]
    pairs += [
        (planned.row.path, planned.place.path) for planned in bundle if not (planned.steps or planned.copied)
    ]
    copied_bytes = 0

    def advance(size: int) -> None:
        nonlocal copied_bytes
        if not copied_bytes:
            how.emit(HashingStarted(len(steps), sum(each.stat.size_bytes for each in steps)))
        copied_bytes += size
        how.emit(HashingAdvanced(copied_bytes))

    rename = rename_new if how.way == "exclusive" else rename_reserved
    with noted(library.path, how.command, sha256=bundle[0].row.sha256, moves=pairs):
        for each in (each for planned in bundle for each in planned.reserved):
            release_target(each)
        moved = move_together(planned_steps, rename=rename, advance=advance)
        for each in copied:
            remove_source(each)
        arrived = [_arrived(planned, moved) for planned in bundle]
        stamps = [(each, stamp) for each in steps if (stamp := _stamp(each.target)) is not None]
        parted = any(is_incomplete(library, planned.row) for planned in bundle)
        with following(library):
            for planned, row in zip(bundle, arrived, strict=True):
                _follow(library, planned.row, row, planned.place)
            for each, stamp in stamps:
                sidecars.move(library, os.path.split(each.source), os.path.split(each.target), stamp)
    if parted:  # the other parts may lie where these have come
        with suppress(MlibError):  # the files have moved, which is what was asked
            judge_sets(library, {row.directory for row in (*arrived, *(each.row for each in bundle))})
    return copied_bytes


def _arrived(planned: PlannedMove, moved: Moved) -> KnownFile:
    """The row of a file at the place that it was moved to."""
    row, place = planned.row, planned.place
    arrived = row._replace(
        directory=place.directory, name=place.name, root_id=place.root.id if place.root else None
    )
    copy = moved.copies.get(place.path)
    if copy is not None:
        racy = is_racy(mtime_ns=copy.stat.mtime_ns, started_at=copy.read_at)
        return arrived._replace(stat=copy.stat, hashed_at=copy.read_at, racy=racy)
    if any(each.source == row.path for each in planned.copied):
        return expect_content(arrived).row
    return arrived


def _stamp(path: str) -> sidecars.Stamp | None:
    try:
        size, mtime_ns, _, inode = stat_of(os.stat(path))
    except OSError:
        return None
    return size, mtime_ns, inode


def _follow(library: Library, old: KnownFile, new: KnownFile, place: Destination) -> None:
    """Let the row, and what nobody typed, be as a scan would make it; part of a transaction."""
    at_target = [row for row in files.at_path(library, new.path) if row.missing_since is None]
    files.mark_missing(library, at_target, now())  # what it spoke of is not there: the name was free
    files.mark_missing(library, other_paths(library, old), now())
    files.remove(library, old)
    files.put(library, [new])
    sidecars.move_filled(library, new.sha256, (old.directory, old.name), (new.directory, new.name))
    judge_places(library, [new], [place.root] if place.root else [])
    follow_file(library, old, new, place.root)
