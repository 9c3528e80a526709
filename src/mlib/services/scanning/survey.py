"""Walk the scopes and compare each directory with the library; reads only."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core.disk.compare import compare_directory, fingerprints, stat_of
from mlib.core.disk.storage import root_state, storage_of
from mlib.core.disk.walk import Listing, Scope, is_within, walk
from mlib.core.events import Emit, Walking
from mlib.core.records import Problem
from mlib.db import files, sidecars

if TYPE_CHECKING:
    from collections.abc import Container, Iterator, Mapping, Sequence

    from mlib.core.records import FoundFile, KnownFile, Root
    from mlib.db.library import Library


# --- Sidecars, compared by stat


@dataclass(slots=True)
class SidecarChanges:
    """The sidecars of one directory: as they are now, and the names of those that are news.

    `owed` are names of models that they were not compared with yet.
    """

    found: Mapping[str, os.stat_result]
    news: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)

    @property
    def is_news(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.news or self.gone or self.owed)


def compare_sidecars(
    library: Library, directory: str, found: Mapping[str, os.stat_result], *, rehash: bool
) -> SidecarChanges:
    """Which sidecars of a directory are new, changed or gone, and which models wait for a comparison."""
    known = sidecars.in_directory(library, directory)
    news = {
        name
        for name, status in found.items()
        if rehash or name not in known or known[name].stamp != stamp(status)
    }
    return SidecarChanges(found, news, known.keys() - found.keys(), sidecars.owed(library, directory))


def stamp(status: os.stat_result) -> tuple[int, int, int]:
    """What must be equal for a sidecar to be believed unchanged."""
    size, mtime_ns, _, inode = stat_of(status)
    return size, mtime_ns, inode


# --- Roots that lead to a folder walked already
#
# A folder that became a link to another is one. What is known in it under its own name is asked for here: no
# walk comes by it.


def find_aliased_roots(remembered: Sequence[Root], known: Sequence[Root]) -> list[tuple[Root, Root]]:
    """Each remembered root that is not among the `known`, with the one that leads to its folder."""
    ids = {root.id for root in known}
    others = [root for root in remembered if root.id not in ids]
    if not others:
        return []
    real = {os.path.realpath(root.path): root for root in known}
    pairs = ((other, real.get(os.path.realpath(other.path))) for other in others)
    return [(other, root) for other, root in pairs if root is not None]


def find_gone(library: Library, shadowed: Sequence[tuple[Root, Root]], result: Survey) -> None:
    """Tell what is known in these roots and is there no more, where the same folder was walked whole.

    It is judged with the root that was walked.
    """
    for root, walked in shadowed:
        seen = result.roots.get(walked.path)
        if seen is None or not seen.whole or seen.failed or root.id is None:
            continue
        seen.others.append(root.id)
        result.gone += [
            row
            for row in _present(library, root)
            if not _is_unknown(os.path.join(walked.path, os.path.relpath(row.path, root.path)), result)
            and _is_no_more(row)
        ]


def _present(library: Library, root: Root) -> Iterator[KnownFile]:
    for directory in files.known_directories(library, root.path):
        rows = files.in_directory(library, directory)
        yield from (row for row in rows if row.root_id == root.id and row.missing_since is None)


def _is_unknown(path: str, result: Survey) -> bool:
    return any(is_within(path, tree) for tree in result.unknown)


def _is_no_more(row: KnownFile) -> bool:
    """Whether it is not there, or another file is in its place."""
    try:
        now = stat_of(os.stat(row.path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return row.stat is not None and row.stat[:2] != now[:2]


#: Progress is told this often, in seconds.
TICK = 0.1


@dataclass(slots=True)
class SeenRoot:
    """What was seen of one root: how many candidates, and whether all of it could be listed.

    `others` are the ids of roots that lead to the same folder and are judged with it.
    """

    root: Root
    files: int = 0
    failed: bool = False
    whole: bool = False
    others: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Survey:
    """All that differs between the disks and the library, file by file. Unchanged files are only counted.

    `named` are the paths of all roots. `passed_over` are folders that are there and were not looked into;
    `set_aside` are rows of files in them, which an older version or a root that was forgotten brought in.
    """

    scanned: int = 0
    unchanged: int = 0
    fresh: list[tuple[FoundFile, KnownFile | None]] = field(default_factory=list)
    restored: list[tuple[KnownFile, FoundFile]] = field(default_factory=list)
    refreshed: list[tuple[KnownFile, FoundFile]] = field(default_factory=list)
    gone: list[KnownFile] = field(default_factory=list)
    named: Sequence[str] = ()
    passed_over: list[str] = field(default_factory=list)
    set_aside: list[KnownFile] = field(default_factory=list)
    skipped: list[Problem] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    unknown: list[str] = field(default_factory=list)
    roots: dict[str, SeenRoot] = field(default_factory=dict)
    beside: dict[str, SidecarChanges] = field(default_factory=dict)

    def is_passed_over(self, path: str) -> bool:
        """Whether `path` lies in a folder that was not looked into, and in no root within that."""
        return any(
            is_within(path, tree)
            and not any(is_within(path, root) and is_within(root, tree) for root in self.named)
            for tree in self.passed_over
        )

    @property
    def changed(self) -> int:
        """How many files came, went or came back."""
        return len(self.fresh) + len(self.gone) + len(self.restored)

    @property
    def needs_judging(self) -> bool:
        """Whether anything is or may turn out to be gone: an unchanged library has nothing to judge."""
        return bool(self.fresh or self.gone or self.set_aside) or any(
            seen.failed for seen in self.roots.values()
        )


def survey(
    library: Library,
    scopes: Sequence[Scope],
    *,
    roots: Sequence[Root],
    shadowed: Sequence[tuple[Root, Root]],
    rehash: bool,
    accept_missing: bool,
    emit: Emit,
) -> Survey:
    """Walk `scopes` and tell what differs. Memory grows with the differences and the directories only."""
    result = Survey(named=[root.path for root in roots])
    visited: set[str] = set()
    with_sidecars = sidecars.directories(library)
    told = 0.0
    for scope in scopes:
        seen = result.roots.setdefault(scope.root.path, SeenRoot(scope.root))
        seen.whole = seen.whole or (scope.only is None and scope.directory == scope.root.path)
    only = {scope.directory: scope.only for scope in scopes if scope.only is not None}
    for listing in walk(scopes, roots=roots):
        visited.add(listing.directory)
        before = result.changed
        _take(library, listing, result, only=only.get(listing.directory), rehash=rehash)
        if listing.sidecars or (listing.directory in with_sidecars and not listing.failed):
            beside = compare_sidecars(library, listing.directory, listing.sidecars, rehash=rehash)
            if beside.is_news or result.changed > before:
                result.beside[listing.directory] = beside
        if time.monotonic() - told > TICK:
            told = time.monotonic()
            emit(Walking(result.scanned))
    _find_gone_directories(library, scopes, visited, roots, result)
    if all(scope.only is None and scope.directory == scope.root.path for scope in scopes):
        _find_gone_outside(library, roots, result)
    if shadowed:
        find_gone(library, shadowed, result)
    _spare_unknown(result)
    if result.gone and not accept_missing:
        _doubt_empty_links(result, ends={*result.roots, *(root.path for root, _ in shadowed)})
    return result


def _take(
    library: Library, listing: Listing, result: Survey, *, only: frozenset[str] | None, rehash: bool
) -> None:
    seen = result.roots[listing.root.path]
    seen.files += len(listing.files)
    seen.failed = seen.failed or listing.failed
    result.scanned += len(listing.files)
    result.skipped += listing.left_alone
    result.passed_over += listing.passed_over
    result.problems += listing.problems
    result.unknown += listing.unknown
    if only is None and not rehash:
        here = fingerprints(listing.files)
        if here == files.fingerprints_in(library, listing.directory, listing.root.id):
            result.unchanged += len(here)
            return
    known = files.in_directory(library, listing.directory)
    if only is not None:
        known = [row for row in known if row.name in only]
    difference = compare_directory(
        listing.root,
        listing.directory,
        listing.files,
        known,
        rehash=rehash,
        inodes_mean_nothing=_inodes_mean_nothing(listing),
    )
    result.unchanged += difference.unchanged
    result.fresh += difference.fresh
    result.restored += difference.restored
    result.refreshed += difference.refreshed
    result.gone += difference.gone


def _inodes_mean_nothing(listing: Listing) -> bool:
    status = next(iter(listing.files.values()), None)
    return status is not None and not storage_of(status.st_dev).keeps_inodes


def _find_gone_directories(
    library: Library, scopes: Sequence[Scope], visited: set[str], roots: Sequence[Root], result: Survey
) -> None:
    """Directories the library knows files in, and the walk did not come by."""
    for scope in scopes:
        if scope.only is not None:
            continue
        inner = [
            root.path
            for root in roots
            if root.path != scope.root.path and is_within(root.path, scope.directory)
        ]
        for directory in files.known_directories(library, scope.directory):
            if directory not in visited and not any(is_within(directory, tree) for tree in inner):
                rows = [row for row in files.in_directory(library, directory) if row.missing_since is None]
                if result.is_passed_over(directory):
                    result.set_aside += rows
                else:
                    result.gone += rows


def _doubt_empty_links(result: Survey, *, ends: Container[str]) -> None:
    """A linked folder with nothing in it is where a disk belongs that is off, like a root that is empty.

    What turned up elsewhere as the very same inode has moved all the same.
    """
    moved = {found.stat for found, _ in result.fresh}
    emptied: dict[str, str | None] = {}
    gone: list[KnownFile] = []
    for row in result.gone:
        if row.directory not in emptied:
            emptied[row.directory] = _emptied_link(row.directory, ends=ends)
        place = emptied[row.directory]
        if place is None or row.stat in moved:
            gone.append(row)
        elif place not in result.unknown:
            result.unknown.append(place)
            message = (
                "the linked folder is empty, and models are known in it:"
                " unless its disk is off, scan again and accept that they are missing"
            )
            result.problems.append(Problem(place, "empty_link", message))
    result.gone = gone


def _emptied_link(directory: str, *, ends: Container[str]) -> str | None:
    """The link to an empty folder through which the way from a root to `directory` led, if one did."""
    while directory not in ends and directory != os.path.dirname(directory):
        if os.path.islink(directory):
            return directory if root_state(directory) == "empty" else None
        directory = os.path.dirname(directory)
    return None


def _find_gone_outside(library: Library, roots: Sequence[Root], result: Survey) -> None:
    """What `mlib mv` took out of all roots and is there no more: no walk comes by, so each is asked for."""
    result.gone += [
        row
        for row in files.in_no_root(library)
        if not any(is_within(row.path, root.path) for root in roots) and _is_gone(row)
    ]


def _is_gone(row: KnownFile) -> bool:
    """Whether a file is not there, while the disk that it lay on is."""
    path = row.path
    try:
        os.lstat(path)
    except (FileNotFoundError, NotADirectoryError):
        while not os.path.isdir(path):
            path = os.path.dirname(path)
        return row.stat is not None and os.stat(path).st_dev == row.stat.device
    except OSError:
        return False
    return False


def _spare_unknown(result: Survey) -> None:
    """Call nothing gone where nothing could be seen. A link that hides known files is worth a word."""
    told = {problem.path for problem in (*result.problems, *result.skipped)}
    gone: list[KnownFile] = []
    for row in result.gone:
        hidden_by = next((tree for tree in result.unknown if is_within(row.path, tree)), None)
        if hidden_by is None:
            gone.append(row)
        elif hidden_by not in told:
            told.add(hidden_by)
            message = "dangling link, but the library knows models behind it"
            result.problems.append(Problem(hidden_by, "broken_link", message))
    result.gone = gone
