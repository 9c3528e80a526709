"""Find copies of the same content, and replace them by hard links or trash them.

The last copy is never lost: the one that stays and each that goes are read whole right before. Copies that a
loader needs where they are stay.
"""

from __future__ import annotations

import fnmatch
import os
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui.folders import canonical_type
from mlib.core.disk.compare import stat_of
from mlib.core.disk.entries import changed
from mlib.core.disk.journal import expect_safe_moves, noted
from mlib.core.disk.storage import is_one_file
from mlib.core.disk.transfer import check_linkable, replace_by_link
from mlib.core.disk.walk import is_passed_over
from mlib.core.errors import MlibError
from mlib.core.events import Emit, HashingAdvanced, HashingStarted, silent
from mlib.core.kinds.bases import is_misplaced
from mlib.core.records import Problem
from mlib.core.text import composed
from mlib.db import contents, files, models, roots
from mlib.services.files.aliases import dangling_links, links_to, real_location, real_path, unique_files
from mlib.services.files.bundles import KnownSets
from mlib.services.files.selection import FolderCache, VerifiedFile, expect_content, following, touching
from mlib.services.files.trashing import (
    Removal,
    plan_removal,
    plan_removed,
    remove,
    remove_together,
    settle_journal,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from mlib.core.records import KnownFile, Stat
    from mlib.core.sets import FileSet
    from mlib.db.library import Library


# --- Copies that must stay because a loader looks there


class Needed(NamedTuple):
    """A copy that was to go and stays, and why."""

    copy: Copy
    reason: str


def spare_needed(library: Library, choices: Sequence[CopyChoice]) -> tuple[list[CopyChoice], list[Needed]]:
    """The choices without the copies that must not go to the trash, and those.

    Such are: a file of a folder that a loader takes as a whole; a part of a model in several files of which
    not all parts go, or of which no other copy stays whole; and the last copy below the folders of a type,
    where its loaders would find none, unless no loader of that type takes it.
    """
    known = KnownSets(library)
    whole = {copy: known.of(copy.row) for choice in choices for copy in (*choice.kept, *choice.gone)}
    needed = [*_in_folders(choices, whole), *_last_of_type(library, choices)]
    while True:
        spared = {each.copy for each in needed}
        choices = [
            choice._replace(
                kept=(*choice.kept, *(copy for copy in choice.gone if copy in spared)),
                gone=tuple(copy for copy in choice.gone if copy not in spared),
            )
            for choice in choices
        ]
        more = list(_parts_alone(choices, whole))
        if not more:
            return [choice for choice in choices if choice.gone], needed
        needed += more


def sets_going(library: Library, choices: Sequence[CopyChoice]) -> dict[Copy, FileSet]:
    """The copies that go and are parts of a model in several files, each with that."""
    known = KnownSets(library)
    found = {copy: known.of(copy.row) for choice in choices for copy in choice.gone}
    return {copy: whole for copy, whole in found.items() if whole is not None}


def _in_folders(choices: Sequence[CopyChoice], whole: Mapping[Copy, FileSet | None]) -> Iterator[Needed]:
    for choice in choices:
        for copy in choice.gone:
            found = whole[copy]
            if found is not None and found.kind == "folder":
                yield Needed(copy, f"the model in the folder {found.name} needs it")


def _last_of_type(library: Library, choices: Sequence[CopyChoice]) -> Iterator[Needed]:
    types = {root.id: canonical_type(root.type) for root in roots.all_roots(library)}
    for choice in choices:
        served = {types.get(copy.row.root_id) for copy in choice.kept}
        for copy in sorted(choice.gone, key=lambda copy: (len(copy.row.path), copy.row.path)):
            kind = types.get(copy.row.root_id)
            if kind is None or kind in served:
                continue
            content = contents.get(library, copy.row.sha256)
            if content is None or not is_misplaced(content.kind, kind):
                served.add(kind)
                yield Needed(copy, f"loaders of {kind} would find no copy")


def _parts_alone(choices: Sequence[CopyChoice], whole: Mapping[Copy, FileSet | None]) -> Iterator[Needed]:
    going = {real_location(copy.row) for choice in choices for copy in choice.gone}
    staying = {
        real_location(copy.row): {found.name for each in choice.kept if (found := whole[each]) is not None}
        for choice in choices
        for copy in choice.gone
    }
    for choice in choices:
        for copy in choice.gone:
            found = whole[copy]
            if found is None:
                continue
            parts = [real_path(part) for part in found.parts]
            if not going.issuperset(parts):
                yield Needed(copy, "the other parts of its model stay")
            elif not set.intersection(*(staying[part] for part in parts)):
                yield Needed(copy, "no other copy of its model is whole")


# --- Hard-linking or trashing copies

Action = Literal["hardlink", "trash"]
#: What the journal calls them.
_COMMANDS: Mapping[Action, str] = {"hardlink": "duplicates --hardlink", "trash": "duplicates --trash"}
#: What keeps one copy from being a link, and casts no doubt on the others.
_ONLY_THIS_ONE = frozenset({"other_file_system", "other_permissions"})


@dataclass(slots=True)
class DuplicatesReport:
    """What was found, and what was done about it: (path, path it is a link to now or where it lies).

    `links` are paths of links that lead nowhere since; `needed` are copies that had to stay, `folders` those
    of copies that went, with pictures or examples.
    """

    groups: list[CopyGroup] = field(default_factory=list)
    done: list[tuple[Copy, str]] = field(default_factory=list)
    left_alone: list[CopyGroup] = field(default_factory=list)
    needed: list[Needed] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    freed_bytes: int = 0
    links: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


def carry_out(
    library: Library,
    choices: Sequence[CopyChoice],
    action: Action,
    *,
    environ: Mapping[str, str],
    emit: Emit = silent,
) -> DuplicatesReport:
    """Make hard links of the copies that go, or move them to the trash with what lies beside them.

    Right before, the copy that stays and each that goes are read whole; nothing is done to a file that is not
    what it was, or if the one that stays is not. A failure leaves the rest of its group alone, unless it is
    only that a copy lies on another disk or has other permissions.
    """
    with touching(library):
        return _carry_out(library, choices, action, environ, emit)


def _carry_out(
    library: Library, choices: Sequence[CopyChoice], action: Action, environ: Mapping[str, str], emit: Emit
) -> DuplicatesReport:
    report = DuplicatesReport(groups=[choice.group for choice in choices])
    parts = _Parts(library, choices) if action == "trash" else None
    if action == "trash":
        settle_journal(library, command=_COMMANDS[action])
    read = 0

    def advance(size: int) -> None:
        nonlocal read
        read += size
        emit(HashingAdvanced(read))

    inodes = [
        {copy.inode: copy.stat.size_bytes for copy in (choice.kept[0], *choice.gone)} for choice in choices
    ]
    emit(HashingStarted(sum(map(len, inodes)), sum(sum(sizes.values()) for sizes in inodes)))
    for choice in choices:
        path = choice.kept[0].row.path
        try:
            kept = expect_content(choice.kept[0].row, advance=advance)
            _expect_no_link(path, kept.stat)
            with library.transaction():
                files.put(library, [kept.row])
            for copy in choice.gone:
                path = copy.row.path
                if parts is not None and parts.take(kept, copy, advance):
                    continue
                links = links_to(library, copy.row) if action == "trash" else ()
                try:
                    target, folders = _make_one(library, kept, copy, action, environ, advance)
                except MlibError as error:
                    if error.code not in _ONLY_THIS_ONE:
                        raise
                    report.failed.append(Problem(path, error.code, error.message))
                else:
                    report.done.append((copy, target))
                    report.links += dangling_links(links)
                    report.folders += folders
        except MlibError as error:
            report.failed.append(Problem(path, error.code, error.message))
    if parts is not None:
        parts.trash(report, environ)
    report.freed_bytes = _freed_by(choices, report.done)
    return report


class _Parts:
    """Copies of models in several files, gathered part by part: they go to the trash once all are read."""

    def __init__(self, library: Library, choices: Sequence[CopyChoice]) -> None:
        self._library = library
        self._sets = sets_going(library, choices)
        self._ready: dict[FileSet, list[tuple[VerifiedFile, Copy, VerifiedFile]]] = {}

    def take(self, kept: VerifiedFile, copy: Copy, advance: Callable[[int], None]) -> bool:
        """Read a copy that is such a part; whether it is one. Raises MlibError as `_make_one` does."""
        whole = self._sets.get(copy)
        if whole is None:
            return False
        found = expect_content(copy.row, advance=advance)
        self._ready.setdefault(whole, []).append((kept, copy, found))
        return True

    def trash(self, report: DuplicatesReport, environ: Mapping[str, str]) -> None:
        """Let every set go of which all parts were read, and tell of the others."""
        for whole, members in self._ready.items():
            links = [links_to(self._library, copy.row) for _, copy, _ in members]
            try:
                removals = self._planned(whole, members)
                removed = remove_together(
                    self._library,
                    removals,
                    command=_COMMANDS["trash"],
                    environ=environ,
                    staying=[kept.row for kept, _, _ in members],
                )
            except MlibError as error:
                report.failed += [Problem(copy.row.path, error.code, error.message) for _, copy, _ in members]
                continue
            for (_, copy, _), gone, those in zip(members, removed, links, strict=True):
                report.done.append((copy, gone.target or ""))
                report.links += dangling_links(those)
                report.folders += gone.folders

    def _planned(
        self, whole: FileSet, members: Sequence[tuple[VerifiedFile, Copy, VerifiedFile]]
    ) -> list[Removal]:
        if len(members) < len(whole.parts):
            raise MlibError("part_of_set", "another part of its model cannot go, so it stays")
        removals = []
        also = whole.listed_by
        for kept, copy, found in members:
            _expect_no_link(kept.row.path, kept.stat)
            removals.append(_removal(self._library, copy, found, also=also))
            also = ()
        return removals


def simulate(
    library: Library, choices: Sequence[CopyChoice], action: Action, *, environ: Mapping[str, str]
) -> DuplicatesReport:
    """What `carry_out` would most likely report, told from stats. Nothing is done.

    Raises MlibError (`cannot_move_safely`).
    """
    expect_safe_moves()
    report = DuplicatesReport(groups=[choice.group for choice in choices])
    around = FolderCache(library)
    leaving, taken = set[str](), set[str]()
    sets = sets_going(library, choices) if action == "trash" else {}
    listed: set[str] = set()
    for choice in choices:
        kept = choice.kept[0]
        for copy in choice.gone:
            target = kept.row.path
            try:
                if action == "hardlink":
                    check_linkable(copy.row.path, kept.row.path, expected=copy.stat, kept=kept.stat)
                else:
                    leaving.add(copy.row.path)
                    index = sets[copy].listed_by if copy in sets else ()
                    also = [path for path in index if path not in listed]
                    listed.update(also)
                    removal = plan_removal(library, copy.row, leaving=leaving, around=around, also=also)
                    removed = plan_removed(library, removal, environ=environ, taken=taken)
                    target = removed.target or ""
                    report.links += removed.links
                    report.folders += removed.folders
            except MlibError as error:
                leaving.discard(copy.row.path)
                report.failed.append(Problem(copy.row.path, error.code, error.message))
                if error.code in _ONLY_THIS_ONE:
                    continue
                break
            report.done.append((copy, target))
    report.freed_bytes = _freed_by(choices, report.done)
    return report


def _freed_by(choices: Sequence[CopyChoice], done: Sequence[tuple[Copy, str]]) -> int:
    went = {copy for copy, _ in done}
    parts = (choice._replace(gone=tuple(copy for copy in choice.gone if copy in went)) for choice in choices)
    return sum(part.freeable_bytes for part in parts)


def _make_one(
    library: Library,
    kept: VerifiedFile,
    copy: Copy,
    action: Action,
    environ: Mapping[str, str],
    advance: Callable[[int], None],
) -> tuple[str, tuple[str, ...]]:
    """Do it to one copy; where it leads or lies now, and its folders that stay. Raises MlibError."""
    if action == "hardlink":  # before a copy that cannot be one is read whole
        check_linkable(copy.row.path, kept.row.path, expected=copy.stat, kept=kept.stat)
    found = expect_content(copy.row, advance=advance)
    _expect_no_link(copy.row.path, found.stat)
    _expect_no_link(kept.row.path, kept.stat)
    if action == "trash":
        removal = _removal(library, copy, found)
        command = _COMMANDS[action]
        done = remove(library, removal, command=command, environ=environ, staying=kept.row)
        return done.target or "", done.folders
    pairs = [(copy.row.path, kept.row.path)]
    with noted(library.path, _COMMANDS[action], sha256=copy.row.sha256, moves=pairs):
        replace_by_link(copy.row.path, by=kept.row.path, expected=found.stat, kept=kept.stat)
        linked = kept.row._replace(directory=copy.row.directory, name=copy.row.name, root_id=copy.row.root_id)
        with following(library):
            files.put(library, [linked])
    return kept.row.path, ()


def _removal(library: Library, copy: Copy, found: VerifiedFile, *, also: Sequence[str] = ()) -> Removal:
    """What removing a copy means that was just read. Raises MlibError where it is not that any more."""
    _expect_no_link(copy.row.path, found.stat)
    removal = plan_removal(library, found.row, also=also)
    if not removal.steps or removal.steps[-1].stat != found.stat:
        raise changed(copy.row.path)
    return removal


def _expect_no_link(path: str, was: Stat) -> None:
    """A path that is a file of its own, and the one that was read."""
    try:
        status = os.lstat(path)
    except OSError:
        raise changed(path) from None
    if not stat.S_ISREG(status.st_mode) or stat_of(status) != was:
        raise changed(path)


# --- Finding copies and choosing which stay


class Copy(NamedTuple):
    """One path of a group as it is now; `links` counts all names of its inode, known here or not.

    `seen_as` is the inode by which a file is known that is seen twice: by two mounts or spellings, or by two
    names of a hard link to which FUSE gives an inode each.
    """

    row: KnownFile
    stat: Stat
    links: int
    seen_as: tuple[int, int] | None = None

    @property
    def inode(self) -> tuple[int, int]:
        return self.seen_as or (self.stat.device, self.stat.inode)

    @property
    def is_a_view(self) -> bool:
        """Whether it is no name of its own, and goes when that does."""
        return self.seen_as is not None and not (self.links > 1 and self.seen_as[0] == self.stat.device)


class CopyGroup(NamedTuple):
    """The copies of one content, or of the same weights. `key` is its SHA-256, or their AutoV3.

    `perhaps_one` are paths that may lead to one file, by two mounts: to take one away may free nothing.
    """

    key: str
    name: str
    copies: tuple[Copy, ...]
    perhaps_one: tuple[str, ...] = ()

    @property
    def freeable_bytes(self) -> int:
        """What all inodes but one take: one that other names keep anyway, or else the largest."""
        free = sorted(_freed(self.copies))
        inodes = {copy.inode for copy in self.copies}
        return sum(free if len(free) < len(inodes) else free[:-1])


class CopyChoice(NamedTuple):
    """What is to become of a group: paths that stay, the first of them above all, and those that go."""

    group: CopyGroup
    kept: tuple[Copy, ...]
    gone: tuple[Copy, ...]

    @property
    def freeable_bytes(self) -> int:
        """What the inodes of the copies that go take, where no other name keeps them."""
        return sum(_freed(self.gone))


def _freed(copies: Sequence[Copy]) -> list[int]:
    """The bytes of each inode of which no name would be left without these copies."""
    names: dict[tuple[int, int], list[Copy]] = {}
    for copy in copies:
        names.setdefault(copy.inode, []).append(copy)
    return [
        each[0].stat.size_bytes
        for each in names.values()
        if each[0].links == 1 or len(unique_files(copy.row for copy in each)) >= each[0].links
    ]


def find_duplicates(library: Library, shas: Sequence[str] | None = None) -> list[CopyGroup]:
    """Every content that lies in several inodes now, what can be freed first; of these models, or all.

    Hard links are one file, symbolic links none, and a path that is not what its row says is passed over.
    """
    known = files.repeated(library) if shas is None else files.of_models(library, list(shas))
    return _groups(library, known)


def find_same_weights(library: Library, shas: Sequence[str] | None = None) -> list[CopyGroup]:
    """Models that are other files and the same weights, as far as `mlib hash --all` has looked."""
    wanted = None if shas is None else set(shas)
    known = {
        autov3: rows
        for autov3, rows in files.same_weights(library).items()
        if wanted is None or any(row.sha256 in wanted for row in rows)
    }
    groups = _groups(library, known)
    return [group for group in groups if len({copy.row.sha256 for copy in group.copies}) > 1]


class Plan(NamedTuple):
    """Which copies go and which stay, the groups left alone, and copies that have to stay where they are."""

    choices: list[CopyChoice]
    left_alone: list[CopyGroup]
    needed: list[Needed]


def plan(library: Library, groups: Sequence[CopyGroup], keep: str, action: Action) -> Plan:
    """Choose by `keep` which copy of each group stays. Raises WrongUsage for a bad pattern."""
    choices, left = choose(groups, keep)
    if action != "trash":
        return Plan(choices, left, [])
    choices, needed = spare_needed(library, choices)
    return Plan(choices, left, needed)


def choose(groups: Sequence[CopyGroup], keep: str) -> tuple[list[CopyChoice], list[CopyGroup]]:
    """Which copy of each group stays: the `newest`, `oldest`, `shortest` path, or all that match a pattern.

    A path matches itself. Other names of a file that stays stay too. The groups of which no path matches are
    left alone: second.
    """
    choices: list[CopyChoice] = []
    left: list[CopyGroup] = []
    for group in groups:
        kept = _kept(group.copies, keep)
        inodes = {copy.inode for copy in kept}
        # Of a file that is seen twice, the path that was met first goes.
        going = [copy for copy in group.copies if copy.inode not in inodes and not copy.is_a_view]
        paths = {row.path for row in unique_files(copy.row for copy in going)}
        gone = tuple(copy for copy in going if copy.row.path in paths)
        if kept:
            choices.append(CopyChoice(group, tuple(kept), gone))
        else:
            left.append(group)
    return [choice for choice in choices if choice.gone], left


def _groups(library: Library, known: Mapping[str, Sequence[KnownFile]]) -> list[CopyGroup]:
    found = []
    places = {root.id: root.path for root in roots.all_roots(library)}
    for key, rows in known.items():
        # What was deleted into a bin is not a copy: it goes when somebody empties that.
        live = [row for row in rows if not is_passed_over(row.directory, places.get(row.root_id))]
        copies, perhaps_one = _told_apart([copy for row in live if (copy := _seen(row)) is not None])
        if len({copy.inode for copy in copies}) > 1:
            model = models.get(library, copies[0].row.sha256)
            found.append(CopyGroup(key, model.name if model else "", tuple(copies), tuple(perhaps_one)))
    return sorted(found, key=lambda group: (-group.freeable_bytes, group.name, group.key))


def _seen(row: KnownFile) -> Copy | None:
    """A row's file as it is now; None for a link, and for what is not what the row says."""
    try:
        status = os.lstat(row.path)
    except OSError:
        return None
    now = stat_of(status)
    if not stat.S_ISREG(status.st_mode) or row.stat is None or row.stat[:2] != now[:2]:
        return None
    return Copy(row, now, status.st_nlink)


def _told_apart(copies: Sequence[Copy]) -> tuple[list[Copy], list[str]]:
    """The copies, each file that is seen twice with one inode, and the paths of which that may be so."""
    found: list[Copy] = []
    perhaps: dict[str, None] = {}
    for copy in copies:
        for other in found:
            with suppress(OSError):
                if other.stat[2:] == copy.stat[2:]:
                    break  # a hard link
                is_one = is_one_file(copy.row.path, other.row.path)
                if is_one:
                    copy = copy._replace(seen_as=other.inode)  # noqa: PLW2901
                    break
                if is_one is None:
                    perhaps |= dict.fromkeys((other.row.path, copy.row.path))
        found.append(copy)
    return found, list(perhaps)


def _kept(copies: Sequence[Copy], keep: str) -> list[Copy]:
    """The copies that stay; of several that are as good, the shortest path first."""
    ordered = sorted(copies, key=lambda copy: (len(copy.row.path), copy.row.path))
    if keep == "newest":
        return [max(ordered, key=lambda copy: copy.stat.mtime_ns)]
    if keep == "oldest":
        return [min(ordered, key=lambda copy: copy.stat.mtime_ns)]
    if keep == "shortest":
        return ordered[:1]
    # Names like "style [v2].safetensors" do not match themselves.
    exact = os.path.abspath(keep)
    if any(copy.row.path == exact for copy in ordered):  # as typed, not its twin in another form of Unicode
        return [
            copy for copy in ordered if copy.row.path == exact or fnmatch.fnmatchcase(copy.row.path, keep)
        ]
    exact, pattern = composed(exact), composed(keep)
    paths = [(composed(copy.row.path), copy) for copy in ordered]
    return [copy for path, copy in paths if path == exact or fnmatch.fnmatchcase(path, pattern)]
