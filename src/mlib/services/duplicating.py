"""Copies of the same content: finding them, and making one file of them without ever losing the last."""

from __future__ import annotations

import fnmatch
import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.compare import stat_of
from mlib.core.errors import MlibError
from mlib.core.events import Emit, HashingAdvanced, HashingStarted, silent
from mlib.core.models import Problem
from mlib.core.placing.copying import changed
from mlib.core.placing.journal import noted
from mlib.core.placing.linking import check_linkable, replace_by_link
from mlib.db import duplicates, files, models
from mlib.services.filework.alike import each_once
from mlib.services.filework.around import Around
from mlib.services.filework.certain import Certain, following, read_again, touching
from mlib.services.filework.links import dangling, links_to
from mlib.services.filework.removing import foreseen, plan_removal, remove, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlib.core.models import KnownFile, Stat
    from mlib.db.library import Library

Deed = Literal["hardlink", "trash"]
#: What the journal calls them.
_COMMANDS: Mapping[Deed, str] = {"hardlink": "duplicates --hardlink", "trash": "duplicates --trash"}
#: What keeps one copy from being a link, and casts no doubt on the others.
_ONLY_THIS_ONE = frozenset({"other_file_system", "other_permissions"})


class Copy(NamedTuple):
    """One path of a group as it is now; `links` counts all names of its inode, known here or not."""

    row: KnownFile
    stat: Stat
    links: int

    @property
    def inode(self) -> tuple[int, int]:
        return self.stat.device, self.stat.inode


class Group(NamedTuple):
    """The copies of one content, or of the same weights. `key` is its SHA-256, or their AutoV3."""

    key: str
    name: str
    copies: tuple[Copy, ...]

    @property
    def freeable_bytes(self) -> int:
        """What all inodes but the largest take."""
        sizes = sorted({copy.inode: copy.stat.size_bytes for copy in self.copies}.values())
        return sum(sizes[:-1])


class Choice(NamedTuple):
    """What is to become of a group: paths that stay, the first of them above all, and those that go."""

    group: Group
    kept: tuple[Copy, ...]
    gone: tuple[Copy, ...]

    @property
    def freeable_bytes(self) -> int:
        """What the inodes of the copies that go take, where no other name keeps them."""
        names: dict[tuple[int, int], list[Copy]] = {}
        for copy in self.gone:
            names.setdefault(copy.inode, []).append(copy)
        return sum(each[0].stat.size_bytes for each in names.values() if len(each) >= each[0].links)


@dataclass(slots=True)
class DuplicatesReport:
    """What was found, and what was done about it: (path, path it is a link to now or where it lies).

    `links` are paths of links that lead nowhere since.
    """

    groups: list[Group] = field(default_factory=list)
    done: list[tuple[Copy, str]] = field(default_factory=list)
    left_alone: list[Group] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    freed_bytes: int = 0
    links: list[str] = field(default_factory=list)


def find_duplicates(library: Library, shas: Sequence[str] | None = None) -> list[Group]:
    """Every content that lies in several inodes now, what can be freed first; of these models, or all.

    Hard links are one file, symbolic links none, and a path that is not what its row says is passed over.
    """
    known = duplicates.repeated(library) if shas is None else duplicates.of_models(library, list(shas))
    return _groups(library, known)


def find_same_weights(library: Library, shas: Sequence[str] | None = None) -> list[Group]:
    """Models that are other files and the same weights, as far as `mlib hash --all` has looked."""
    wanted = None if shas is None else set(shas)
    known = {
        autov3: rows
        for autov3, rows in duplicates.same_weights(library).items()
        if wanted is None or any(row.sha256 in wanted for row in rows)
    }
    groups = _groups(library, known)
    return [group for group in groups if len({copy.row.sha256 for copy in group.copies}) > 1]


def choose(groups: Sequence[Group], keep: str) -> tuple[list[Choice], list[Group]]:
    """Which copy of each group stays: the `newest`, `oldest`, `shortest` path, or all that match a pattern.

    Other names of a file that stays stay too. The groups of which no path matches are left alone: second.
    """
    choices: list[Choice] = []
    left: list[Group] = []
    for group in groups:
        kept = _kept(group.copies, keep)
        inodes = {copy.inode for copy in kept}
        going = [copy for copy in group.copies if copy.inode not in inodes]
        paths = {row.path for row in each_once(copy.row for copy in going)}
        gone = tuple(copy for copy in going if copy.row.path in paths)
        if kept:
            choices.append(Choice(group, tuple(kept), gone))
        else:
            left.append(group)
    return [choice for choice in choices if choice.gone], left


def carry_out(
    library: Library,
    choices: Sequence[Choice],
    deed: Deed,
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
        return _carry_out(library, choices, deed, environ, emit)


def _carry_out(
    library: Library, choices: Sequence[Choice], deed: Deed, environ: Mapping[str, str], emit: Emit
) -> DuplicatesReport:
    report = DuplicatesReport(groups=[choice.group for choice in choices])
    if deed == "trash":
        settle(library, command=_COMMANDS[deed])
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
            kept = read_again(choice.kept[0].row, advance=advance)
            _expect_no_link(path, kept.stat)
            with library.transaction():
                files.put(library, [kept.row])
            for copy in choice.gone:
                path = copy.row.path
                links = links_to(library, copy.row) if deed == "trash" else ()
                try:
                    target = _make_one(library, kept, copy, deed, environ, advance)
                except MlibError as error:
                    if error.code not in _ONLY_THIS_ONE:
                        raise
                    report.failed.append(Problem(path, error.code, error.message))
                else:
                    report.done.append((copy, target))
                    report.links += dangling(links)
        except MlibError as error:
            report.failed.append(Problem(path, error.code, error.message))
    report.freed_bytes = _freed(choices, report.done)
    return report


def foresee(
    library: Library, choices: Sequence[Choice], deed: Deed, *, environ: Mapping[str, str]
) -> DuplicatesReport:
    """What `carry_out` would most likely report, told from stats. Nothing is done."""
    report = DuplicatesReport(groups=[choice.group for choice in choices])
    around = Around(library)
    leaving, taken = set[str](), set[str]()
    for choice in choices:
        kept = choice.kept[0]
        for copy in choice.gone:
            target = kept.row.path
            try:
                if deed == "hardlink":
                    check_linkable(copy.row.path, kept.row.path, expected=copy.stat, kept=kept.stat)
                else:
                    leaving.add(copy.row.path)
                    removal = plan_removal(library, copy.row, leaving=leaving, around=around)
                    removed = foreseen(library, removal, environ=environ, taken=taken)
                    target = removed.target or ""
                    report.links += removed.links
            except MlibError as error:
                leaving.discard(copy.row.path)
                report.failed.append(Problem(copy.row.path, error.code, error.message))
                if error.code in _ONLY_THIS_ONE:
                    continue
                break
            report.done.append((copy, target))
    report.freed_bytes = _freed(choices, report.done)
    return report


def _freed(choices: Sequence[Choice], done: Sequence[tuple[Copy, str]]) -> int:
    went = {copy for copy, _ in done}
    parts = (choice._replace(gone=tuple(copy for copy in choice.gone if copy in went)) for choice in choices)
    return sum(part.freeable_bytes for part in parts)


def _make_one(
    library: Library,
    kept: Certain,
    copy: Copy,
    deed: Deed,
    environ: Mapping[str, str],
    advance: Callable[[int], None],
) -> str:
    """Do it to one copy; where it leads or lies now. Raises MlibError."""
    if deed == "hardlink":  # before a copy that cannot be one is read whole
        check_linkable(copy.row.path, kept.row.path, expected=copy.stat, kept=kept.stat)
    found = read_again(copy.row, advance=advance)
    _expect_no_link(copy.row.path, found.stat)
    _expect_no_link(kept.row.path, kept.stat)
    if deed == "trash":
        removal = plan_removal(library, found.row)
        if not removal.steps or removal.steps[-1].stat != found.stat:
            raise changed(copy.row.path)
        command = _COMMANDS[deed]
        done = remove(library, removal, command=command, environ=environ, staying=kept.row)
        return done.target or ""
    pairs = [(copy.row.path, kept.row.path)]
    with noted(library.path, _COMMANDS[deed], sha256=copy.row.sha256, moves=pairs):
        replace_by_link(copy.row.path, by=kept.row.path, expected=found.stat, kept=kept.stat)
        linked = kept.row._replace(directory=copy.row.directory, name=copy.row.name, root_id=copy.row.root_id)
        with following(library):
            files.put(library, [linked])
    return kept.row.path


def _expect_no_link(path: str, was: Stat) -> None:
    """A path that is a file of its own, and the one that was read."""
    try:
        status = os.lstat(path)
    except OSError:
        raise changed(path) from None
    if not stat.S_ISREG(status.st_mode) or stat_of(status) != was:
        raise changed(path)


def _groups(library: Library, known: Mapping[str, Sequence[KnownFile]]) -> list[Group]:
    found = []
    for key, rows in known.items():
        copies = [copy for row in rows if (copy := _seen(row)) is not None]
        if len({copy.inode for copy in copies}) > 1:
            model = models.get(library, copies[0].row.sha256)
            found.append(Group(key, model.name if model else "", tuple(copies)))
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


def _kept(copies: Sequence[Copy], keep: str) -> list[Copy]:
    """The copies that stay; of several that are as good, the shortest path first."""
    ordered = sorted(copies, key=lambda copy: (len(copy.row.path), copy.row.path))
    if keep == "newest":
        return [max(ordered, key=lambda copy: copy.stat.mtime_ns)]
    if keep == "oldest":
        return [min(ordered, key=lambda copy: copy.stat.mtime_ns)]
    if keep == "shortest":
        return ordered[:1]
    return [copy for copy in ordered if fnmatch.fnmatchcase(copy.row.path, keep)]
