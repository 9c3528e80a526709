"""Making one file of the copies of a content, without ever losing the last."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

from mlib.core.compare import stat_of
from mlib.core.disk.entries import changed
from mlib.core.errors import MlibError
from mlib.core.events import Emit, HashingAdvanced, HashingStarted, silent
from mlib.core.models import Problem
from mlib.core.placing.journal import noted
from mlib.core.placing.linking import check_linkable, replace_by_link
from mlib.db import files
from mlib.services.duplicating.needed import sets_going
from mlib.services.filework.around import Around
from mlib.services.filework.certain import Certain, following, read_again, touching
from mlib.services.filework.links import dangling, links_to
from mlib.services.filework.removing import Removal, foreseen, plan_removal, remove, remove_together, settle

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from mlib.core.models import Stat
    from mlib.core.sets import FileSet
    from mlib.db.library import Library
    from mlib.services.duplicating.finding import Choice, Copy, Group
    from mlib.services.duplicating.needed import Needed

Deed = Literal["hardlink", "trash"]
#: What the journal calls them.
_COMMANDS: Mapping[Deed, str] = {"hardlink": "duplicates --hardlink", "trash": "duplicates --trash"}
#: What keeps one copy from being a link, and casts no doubt on the others.
_ONLY_THIS_ONE = frozenset({"other_file_system", "other_permissions"})


@dataclass(slots=True)
class DuplicatesReport:
    """What was found, and what was done about it: (path, path it is a link to now or where it lies).

    `links` are paths of links that lead nowhere since; `needed` are copies that had to stay, `folders` those
    of copies that went, with pictures or examples.
    """

    groups: list[Group] = field(default_factory=list)
    done: list[tuple[Copy, str]] = field(default_factory=list)
    left_alone: list[Group] = field(default_factory=list)
    needed: list[Needed] = field(default_factory=list)
    failed: list[Problem] = field(default_factory=list)
    freed_bytes: int = 0
    links: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)


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
    parts = _Parts(library, choices) if deed == "trash" else None
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
                if parts is not None and parts.take(kept, copy, advance):
                    continue
                links = links_to(library, copy.row) if deed == "trash" else ()
                try:
                    target, folders = _make_one(library, kept, copy, deed, environ, advance)
                except MlibError as error:
                    if error.code not in _ONLY_THIS_ONE:
                        raise
                    report.failed.append(Problem(path, error.code, error.message))
                else:
                    report.done.append((copy, target))
                    report.links += dangling(links)
                    report.folders += folders
        except MlibError as error:
            report.failed.append(Problem(path, error.code, error.message))
    if parts is not None:
        parts.trash(report, environ)
    report.freed_bytes = _freed(choices, report.done)
    return report


class _Parts:
    """Copies of models in several files, gathered part by part: they go to the trash once all are read."""

    def __init__(self, library: Library, choices: Sequence[Choice]) -> None:
        self._library = library
        self._sets = sets_going(library, choices)
        self._ready: dict[FileSet, list[tuple[Certain, Copy, Certain]]] = {}

    def take(self, kept: Certain, copy: Copy, advance: Callable[[int], None]) -> bool:
        """Read a copy that is such a part; whether it is one. Raises MlibError as `_make_one` does."""
        whole = self._sets.get(copy)
        if whole is None:
            return False
        found = read_again(copy.row, advance=advance)
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
                report.links += dangling(those)
                report.folders += gone.folders

    def _planned(self, whole: FileSet, members: Sequence[tuple[Certain, Copy, Certain]]) -> list[Removal]:
        if len(members) < len(whole.parts):
            raise MlibError("part_of_set", "another part of its model cannot go, so it stays")
        removals = []
        also = whole.listed_by
        for kept, copy, found in members:
            _expect_no_link(kept.row.path, kept.stat)
            removals.append(_removal(self._library, copy, found, also=also))
            also = ()
        return removals


def foresee(
    library: Library, choices: Sequence[Choice], deed: Deed, *, environ: Mapping[str, str]
) -> DuplicatesReport:
    """What `carry_out` would most likely report, told from stats. Nothing is done."""
    report = DuplicatesReport(groups=[choice.group for choice in choices])
    around = Around(library)
    leaving, taken = set[str](), set[str]()
    sets = sets_going(library, choices) if deed == "trash" else {}
    listed: set[str] = set()
    for choice in choices:
        kept = choice.kept[0]
        for copy in choice.gone:
            target = kept.row.path
            try:
                if deed == "hardlink":
                    check_linkable(copy.row.path, kept.row.path, expected=copy.stat, kept=kept.stat)
                else:
                    leaving.add(copy.row.path)
                    index = sets[copy].listed_by if copy in sets else ()
                    also = [path for path in index if path not in listed]
                    listed.update(also)
                    removal = plan_removal(library, copy.row, leaving=leaving, around=around, also=also)
                    removed = foreseen(library, removal, environ=environ, taken=taken)
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
) -> tuple[str, tuple[str, ...]]:
    """Do it to one copy; where it leads or lies now, and its folders that stay. Raises MlibError."""
    if deed == "hardlink":  # before a copy that cannot be one is read whole
        check_linkable(copy.row.path, kept.row.path, expected=copy.stat, kept=kept.stat)
    found = read_again(copy.row, advance=advance)
    _expect_no_link(copy.row.path, found.stat)
    _expect_no_link(kept.row.path, kept.stat)
    if deed == "trash":
        removal = _removal(library, copy, found)
        command = _COMMANDS[deed]
        done = remove(library, removal, command=command, environ=environ, staying=kept.row)
        return done.target or "", done.folders
    pairs = [(copy.row.path, kept.row.path)]
    with noted(library.path, _COMMANDS[deed], sha256=copy.row.sha256, moves=pairs):
        replace_by_link(copy.row.path, by=kept.row.path, expected=found.stat, kept=kept.stat)
        linked = kept.row._replace(directory=copy.row.directory, name=copy.row.name, root_id=copy.row.root_id)
        with following(library):
            files.put(library, [linked])
    return kept.row.path, ()


def _removal(library: Library, copy: Copy, found: Certain, *, also: Sequence[str] = ()) -> Removal:
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
