"""Finding copies of the same content, and choosing which of them stay."""

from __future__ import annotations

import fnmatch
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import stat_of
from mlib.core.passed_over import is_passed_over
from mlib.core.storage import is_one_file
from mlib.core.text import composed
from mlib.db import duplicates, models, roots
from mlib.services.filework.alike import each_once

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.core.models import KnownFile, Stat
    from mlib.db.library import Library


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


class Group(NamedTuple):
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


class Choice(NamedTuple):
    """What is to become of a group: paths that stay, the first of them above all, and those that go."""

    group: Group
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
        if each[0].links == 1 or len(each_once(copy.row for copy in each)) >= each[0].links
    ]


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

    A path matches itself. Other names of a file that stays stay too. The groups of which no path matches are
    left alone: second.
    """
    choices: list[Choice] = []
    left: list[Group] = []
    for group in groups:
        kept = _kept(group.copies, keep)
        inodes = {copy.inode for copy in kept}
        # Of a file that is seen twice, the path that was met first goes.
        going = [copy for copy in group.copies if copy.inode not in inodes and not copy.is_a_view]
        paths = {row.path for row in each_once(copy.row for copy in going)}
        gone = tuple(copy for copy in going if copy.row.path in paths)
        if kept:
            choices.append(Choice(group, tuple(kept), gone))
        else:
            left.append(group)
    return [choice for choice in choices if choice.gone], left


def _groups(library: Library, known: Mapping[str, Sequence[KnownFile]]) -> list[Group]:
    found = []
    places = {root.id: root.path for root in roots.all_roots(library)}
    for key, rows in known.items():
        # What was deleted into a bin is not a copy: it goes when somebody empties that.
        live = [row for row in rows if not is_passed_over(row.directory, places.get(row.root_id))]
        copies, perhaps_one = _told_apart([copy for row in live if (copy := _seen(row)) is not None])
        if len({copy.inode for copy in copies}) > 1:
            model = models.get(library, copies[0].row.sha256)
            found.append(Group(key, model.name if model else "", tuple(copies), tuple(perhaps_one)))
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
