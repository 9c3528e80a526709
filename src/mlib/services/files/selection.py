"""Select the files a REF means, and check that they still are what the library says."""

from __future__ import annotations

import os
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.disk.compare import is_racy, stat_of
from mlib.core.disk.entries import HALF_MOVED, changed, gone
from mlib.core.disk.journal import cut_off, expect_safe_moves, own_turn
from mlib.core.disk.leftovers import settle
from mlib.core.disk.storage import root_state, storage_of
from mlib.core.disk.transfer import rotten
from mlib.core.disk.uncached import reread
from mlib.core.disk.walk import reason
from mlib.core.errors import Hint, MlibError, NotFound, Refused, WrongUsage
from mlib.core.sidecars.companions import Companions, companions_of, listed
from mlib.db import files, roots
from mlib.services.files.aliases import unique_files

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from mlib.core.records import KnownFile, Root, Stat
    from mlib.core.sidecars.companions import Folder
    from mlib.db.library import Library
    from mlib.services.resolving import Target


# --- Folder cache


class FolderCache:
    """The folders of a library's files as they were when one was first asked about."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[str, tuple[Folder, frozenset[str]]] = {}

    def companions(self, row: KnownFile, *, leaving: Collection[str] = ()) -> Companions:
        """What goes where the file of a row goes; `leaving` are paths that go too, or went meanwhile.

        Raises OSError where its folder cannot be listed.
        """
        if row.directory not in self._known:
            rows = files.in_directory(self._library, row.directory)
            present = frozenset(each.name for each in rows if each.missing_since is None)
            self._known[row.directory] = listed(row.directory), present
        folder, models = self._known[row.directory]
        return companions_of(row.path, leaving=leaving, models=models, folder=folder)


# --- Offline roots


def offline_roots(library: Library) -> list[Root]:
    """The roots that cannot be asked now: absent, unreadable, or empty although files are known in them."""
    holding = roots.present_counts(library)
    states = [(root, root_state(root.path)) for root in roots.all_roots(library)]
    return [
        root
        for root, state in states
        if state in ("absent", "unreadable") or (state == "empty" and holding.get(root.id or 0))
    ]


# --- Re-checking a file before touching it


class VerifiedFile(NamedTuple):
    """A file that holds the content of its model: its stat, links followed, and a row that says so."""

    stat: Stat
    row: KnownFile


def expect_stat(row: KnownFile, *, advance: Callable[[int], None] = lambda _size: None) -> VerifiedFile:
    """The file of a row, believed where size, mtime and inode are proof, and read again where they are none.

    Raises MlibError: `gone`, `changed`, `unreadable`.
    """
    now = stat_now(row.path)
    before = row.stat
    if before is None or (now.size_bytes, now.mtime_ns) != (before.size_bytes, before.mtime_ns):
        raise changed(row.path)
    if not row.racy and (now.inode == before.inode or not storage_of(now.device).keeps_inodes):
        return VerifiedFile(now, row._replace(stat=now))
    return expect_content(row, advance=advance)


def expect_content(row: KnownFile, *, advance: Callable[[int], None] = lambda _size: None) -> VerifiedFile:
    """The file of a row, all its bytes read from the disk now.

    Raises MlibError: `gone`, `changed`, `rotten` where the bytes are others and size and mtime are not,
    `unreadable`.
    """
    try:
        found = reread(row.path, advance=advance)
    except FileNotFoundError:
        raise gone(row.path) from None
    except OSError as error:
        raise MlibError("unreadable", f"cannot read {row.path}: {reason(error)}") from error
    if found is None:
        raise changed(row.path)
    if found.sha256 != row.sha256:
        before = row.stat
        same = before is not None and found.stat[:2] == before[:2]
        if same and not row.racy:
            raise rotten(row.path)
        raise changed(row.path)
    racy = is_racy(mtime_ns=found.stat.mtime_ns, started_at=found.started_at, before=row)
    row = row._replace(stat=found.stat, xxh3=found.digests["xxh3"], hashed_at=found.started_at, racy=racy)
    return VerifiedFile(found.stat, row)


@contextmanager
def touching(library: Library, *, dry_run: bool = False) -> Iterator[None]:
    """The block in which a command moves or removes files: one at a time, and only if the rows can follow.

    What a command that was killed had moved aside goes back first. Raises as `own_turn`, and MlibError where
    the library cannot be written. A dry run only asks whether the system can do it.
    """
    if dry_run:
        expect_safe_moves()
        yield
        return
    with own_turn(library.path):
        library.expect_writable()
        for path in sorted({source for source, _ in cut_off(library.path)}):
            with suppress(OSError):
                settle(path)
        yield


@contextmanager
def following(library: Library) -> Iterator[None]:
    """A transaction in which the rows follow what was done to files.

    Raises MlibError `half_moved` where that fails: the same command again, or a scan, will do it.
    """
    try:
        with library.transaction():
            yield
    except MlibError as error:
        message = f"done on disk, but the library could not be updated: {error.message}"
        raise MlibError(HALF_MOVED, message, hint=Hint("run it again, or {}", ("scan",))) from error


def stat_now(path: str) -> Stat:
    """The stat of a file, links followed. Raises MlibError `gone` or `unreadable`."""
    try:
        return stat_of(os.stat(path))
    except (FileNotFoundError, NotADirectoryError):
        raise gone(path) from None
    except OSError as error:
        raise MlibError("unreadable", f"cannot look at {path}: {reason(error)}") from error


class Selection(NamedTuple):
    """A model and those of its present files that are meant."""

    sha256: str
    files: tuple[KnownFile, ...]


def select_files(library: Library, target: Target, *, ref: str | None = None) -> Selection:
    """The present files of `target`; where the `ref` that led to it is a path, only the file at it.

    One that is seen at several paths, through linked folders, counts once.
    A link that is no file of the library but leads to one means nothing: it, or its target? Raises Refused
    (`no_file_of_it`), WrongUsage (`not_a_model`) for a pending import, NotFound (`no_file`).
    """
    if target.sha256 is None:
        raise WrongUsage("not_a_model", "a pending import has no files of its own; import it first")
    present = [row for row in files.of_model(library, target.sha256) if row.missing_since is None]
    if ref is not None and "\0" not in ref:
        here = {row.path: row for row in present}
        for path in _spellings(ref):
            if path in here:
                return Selection(target.sha256, (here[path],))
        if os.sep in ref or os.path.isfile(ref) or os.path.islink(ref):
            raise Refused(
                "no_file_of_it",
                f"no file in the library has this path: {os.path.abspath(ref)}",
                hint=Hint("name the file itself, as {} lists it, or run {}", ("show",), ("scan",)),
            )
    if not present:
        raise NotFound(
            "no_file",
            f"none of its files is present: {target.sha256[:16]}",
            hint=Hint("{} says where it was", ("show",)),
        )
    return Selection(target.sha256, tuple(unique_files(present)))


def merge_selections(meant: Sequence[Selection]) -> list[Selection]:
    """The same with each model, and each of its files, once."""
    found: dict[str, dict[KnownFile, None]] = {}
    for each in meant:
        found.setdefault(each.sha256, {}).update(dict.fromkeys(each.files))
    return [Selection(sha256, tuple(rows)) for sha256, rows in found.items()]


def _spellings(ref: str) -> tuple[str, str]:
    """The paths `ref` may stand for: as it is, or with its directory's links followed; never its own."""
    absolute = os.path.abspath(ref)
    directory, name = os.path.split(absolute)
    return absolute, os.path.join(os.path.realpath(directory), name)
