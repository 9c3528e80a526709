"""The rubbish bins of a system, after the FreeDesktop.org Trash specification 1.0."""

from __future__ import annotations

import errno
import os
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import quote

from mlib.core.disk import system
from mlib.core.disk.compare import stat_of
from mlib.core.disk.entries import (
    HALF_MOVED,
    Directory,
    Folders,
    gone,
    hold_inode,
    lock,
    make_temporary,
    move,
    remove_own,
    rename_reserved,
)
from mlib.core.disk.leftovers import release, sweep_for
from mlib.core.disk.walk import is_passed_over, is_within
from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    from mlib.core.disk.transfer import Step
    from mlib.core.records import Stat

#: Where a root's own rubbish lies if the system's bin cannot be used; the walk passes over it.
OWN_BIN = ".mlib-trash"
#: Other files of one name that may lie in a bin.
_TRIES = 10_000
_LONGEST_NAME = 255
_INFO = ".trashinfo"
#: A bin that answers so cannot be used; another one may.
_UNUSABLE = frozenset(
    {errno.EXDEV, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}
    | {errno.ELOOP, errno.EEXIST}
)


class Bin(NamedTuple):
    """A directory with `files` and `info`. `top` is what the paths in it are relative to, if they are."""

    path: str
    top: str | None = None


class Trashed(NamedTuple):
    """Where a file was, where it and its description are now, and its stat there.

    Of one that is foreseen these are empty where there is no place for it.
    """

    source: str
    target: str
    info: str
    stat: Stat | None = None


def trash_together(
    steps: Sequence[Step], *, roots: Sequence[str], environ: Mapping[str, str]
) -> list[Trashed]:
    """Move files (the `source` of each step) to a bin of their file system, or all back if one cannot go.

    `roots` are directories of models: a bin in which a scan would find them again is not used. A link goes
    itself, not what it leads to. Raises MlibError (`gone`, `changed`, `cannot_trash`).
    """
    if not steps:
        return []
    with Folders() as folders:
        for each in steps:
            _expect_unchanged(each, folders)
        return _trash_somewhere(steps, folders, roots, environ)


def _expect_unchanged(each: Step, folders: Folders) -> None:
    try:
        directory, name = folders.split(each.source)
    except (FileNotFoundError, NotADirectoryError):
        raise gone(each.source) from None
    with hold_inode(directory, name, each.stat):
        pass


def _trash_somewhere(
    steps: Sequence[Step], folders: Folders, roots: Sequence[str], environ: Mapping[str, str]
) -> list[Trashed]:
    refused = OSError(errno.EXDEV, "there is no rubbish bin on its file system")
    # The model is the last: where it can go, what lies beside it can.
    for candidate in bins_for(steps[-1].source, roots=roots, environ=environ):
        try:
            _make(candidate.path)
            return _trash_in(steps, folders, candidate)
        except OSError as error:
            refused = error
            if error.errno not in _UNUSABLE:
                break
    raise not_trashed(steps[-1].source, refused) from refused


def not_trashed(path: str, error: OSError) -> MlibError:
    """What is said of a file that cannot go to the trash."""
    why = (error.strerror or str(error)).lower()
    return MlibError("cannot_trash", f"cannot move it to the trash: {path}: {why}")


def _trash_in(steps: Sequence[Step], folders: Folders, where: Bin) -> list[Trashed]:
    done: list[Trashed] = []
    try:
        for each in steps:
            done.append(_put_in(each, folders, where))  # noqa: PERF401 - what is done must be known if one fails
    except BaseException as error:  # Ctrl-C too: all of them go, or none
        bring_back(done, cause=error)
        raise
    return done


def bring_back(trashed: Sequence[Trashed], *, cause: BaseException | None = None) -> None:
    """Undo several, the last first. Raises MlibError (`half_moved`) for those that stay in the trash."""
    stuck = [each for each in reversed(trashed) if not put_back(each)]
    if stuck:
        places = ", ".join(f"{each.target} (was {each.source})" for each in stuck)
        raise MlibError(
            HALF_MOVED, f"these could not be put back: {places}", hint="take them out of the trash yourself"
        ) from cause


def put_back(trashed: Trashed) -> bool:
    """Undo a trashing; whether the file is where it was."""
    assert trashed.stat is not None
    try:
        with Folders() as folders:
            source, name = folders.split(trashed.target)
            target, former = folders.split(trashed.source)
            move(source, name, target, former, was=trashed.stat, rename=rename_reserved)
            directory, info = folders.split(trashed.info)
            with suppress(OSError):
                _remove_info(directory, info)
    except (OSError, MlibError):
        return False
    return True


def bins_for(path: str, *, roots: Sequence[str], environ: Mapping[str, str]) -> Iterator[Bin]:
    """The bins that may take the file at `path`, the best first; none of them need exist."""
    device = os.lstat(path).st_dev
    real_roots = [os.path.realpath(root) for root in roots]
    for candidate in _candidates(path, device, real_roots, environ):
        if _device_of(candidate.path) == device and not _is_walked(candidate.path, real_roots):
            yield candidate


def _candidates(
    path: str, device: int, real_roots: Sequence[str], environ: Mapping[str, str]
) -> Iterator[Bin]:
    data = environ.get("XDG_DATA_HOME", "")
    if not os.path.isabs(data):
        data = os.path.join(os.path.expanduser("~"), ".local", "share")
    if os.path.isabs(data):
        yield Bin(os.path.join(data, "Trash"))
    directory = os.path.realpath(os.path.dirname(path))
    top = directory
    while (parent := os.path.dirname(top)) != top and _device_of(parent) == device:
        top = parent
    user = system.user()
    shared = os.path.join(top, ".Trash")
    if user is not None and _is_shared_bin(shared):
        yield Bin(os.path.join(shared, str(user)), top)
    if user is not None:
        yield Bin(os.path.join(top, f".Trash-{user}"), top)
    holders = [root for root in real_roots if is_within(directory, root) and _device_of(root) == device]
    yield Bin(os.path.join(max(holders, key=len, default=directory), OWN_BIN))


def _is_shared_bin(path: str) -> bool:
    """A bin of all users counts only if it is a real directory with the sticky bit set."""
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISDIR(mode) and bool(mode & stat.S_ISVTX)


def _device_of(path: str) -> int | None:
    """The device of `path`, or of the directory it would be made in."""
    while True:
        try:
            return os.stat(path).st_dev
        except FileNotFoundError:
            parent = os.path.dirname(path)
            if parent == path:
                return None
            path = parent
        except OSError:
            return None


def _is_walked(path: str, real_roots: Sequence[str]) -> bool:
    """Whether a scan of one of the roots would come by what lies there."""
    real = os.path.realpath(path)
    return any(is_within(real, root) and not is_passed_over(real, root) for root in real_roots)


def _make(path: str) -> None:
    """Make a bin with its two directories. One that is a link, or somebody else's, is none."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    for directory in (path, os.path.join(path, "files"), os.path.join(path, "info")):
        with suppress(FileExistsError):
            os.mkdir(directory, 0o700)
            with Directory(os.path.dirname(directory)) as parent:
                parent.sync()
        _expect_ones_own(os.lstat(directory), directory)


def _expect_ones_own(status: os.stat_result, directory: str) -> None:
    if not stat.S_ISDIR(status.st_mode) or status.st_uid not in (system.user(), 0):
        raise OSError(errno.EPERM, "the rubbish bin is not one's own", directory)


def _put_in(each: Step, folders: Folders, where: Bin) -> Trashed:
    """The description first, then the file: what lies in a bin always tells where it came from.

    As the specification has it, who makes the description has the name; so the file may be renamed to it even
    where nothing could be renamed exclusively.
    """
    source, former = folders.split(each.source)
    files, infos = (folders.at(os.path.join(where.path, part)) for part in ("files", "info"))
    for directory in (files, infos):
        _expect_ones_own(directory.status(), directory.path)
    described = _described(each.source, where)
    for name in _names(former):
        is_free = not files.has(name) or (each.stat.size_bytes and _released(files, infos, name, described))
        descriptor = _make_info(infos, name + _INFO, described) if is_free else None
        if descriptor is None:
            continue
        try:
            move(source, former, files, name, was=each.stat, rename=rename_reserved)
            arrived = stat_of(files.stat(name))
        except FileExistsError:
            remove_own(infos, name + _INFO, descriptor)
            continue
        except BaseException:  # Ctrl-C too: no description may stay of a file that did not go
            if source.has(former):
                remove_own(infos, name + _INFO, descriptor)
            raise
        finally:
            os.close(descriptor)
        return Trashed(each.source, files.path_of(name), infos.path_of(name + _INFO), arrived)
    raise OSError(errno.EEXIST, "too many files of this name are in the trash", each.source)


def _make_info(infos: Directory, name: str, content: bytes) -> int | None:
    """A new description, held; None if the name is taken. What a kill left of the same file is used up."""
    if infos.has(name) and not release(infos, name):
        return _orphan(infos, name, content)
    sweep_for(infos, name, "partial")
    temporary, descriptor = make_temporary(infos, "partial", name)
    try:
        with open(descriptor, "wb", closefd=False) as file:
            file.write(content)
        os.fsync(descriptor)
        rename_reserved(infos, temporary, infos, name)
    except BaseException as error:  # Ctrl-C too: no half description stays
        remove_own(infos, temporary, descriptor)
        remove_own(infos, name, descriptor)
        os.close(descriptor)
        if isinstance(error, FileExistsError):
            return None
        raise
    return descriptor


def _released(files: Directory, infos: Directory, name: str, described: bytes) -> bool:
    """Whether a killed run had only taken this name, with an empty file, which is gone now."""
    descriptor = _held_info(infos, name + _INFO, described)
    if descriptor is None:
        return False
    os.close(descriptor)
    return release(files, name)


def _orphan(infos: Directory, name: str, content: bytes) -> int | None:
    """The description of a file that is still at its place, if nobody is at it: a kill left it behind."""
    descriptor = _held_info(infos, name, content)
    if descriptor is not None:
        os.pwrite(descriptor, content, 0)
        os.fsync(descriptor)
    return descriptor


def _held_info(infos: Directory, name: str, content: bytes) -> int | None:
    """A description that names the same file, whatever its date, held; None for another, or one in use."""
    try:
        descriptor = infos.open(name, system.EDIT)
    except OSError:
        return None
    before = os.pread(descriptor, len(content) + 1, 0)
    path = content.split(b"\n")[:2]
    if not lock(descriptor) or before.split(b"\n")[:2] != path or len(before) != len(content):
        os.close(descriptor)
        return None
    return descriptor


def _remove_info(infos: Directory, name: str) -> None:
    descriptor = infos.open(name, system.READ)
    try:
        remove_own(infos, name, descriptor)
    finally:
        os.close(descriptor)


def expected_target(source: str, where: Bin, *, taken: Collection[str] = ()) -> Trashed:
    """Where a file would lie in a bin that holds what it does now, and the targets `taken` besides."""
    for name in _names(os.path.basename(source)):
        target = os.path.join(where.path, "files", name)
        info = os.path.join(where.path, "info", name + _INFO)
        if target not in taken and not (os.path.lexists(target) or os.path.lexists(info)):
            return Trashed(source, target, info, stat_of(os.lstat(source)))
    return Trashed(source, "", "")


def _names(name: str) -> Iterator[str]:
    """Names under which a file may lie in a bin: its own, then numbered ones, all short enough."""
    stem, extension = os.path.splitext(name)
    room = _LONGEST_NAME - len(_INFO) - len(os.fsencode(extension)) - 6
    short = _cut(stem, max(room, 1))
    if short == stem:
        yield name
    for number in range(2, _TRIES):
        yield f"{short}.{number}{extension}"


def _cut(name: str, room: int) -> str:
    """The beginning of a name that takes so many bytes, and ends with a whole character."""
    raw = os.fsencode(name)
    if len(raw) <= room:
        return name
    while room > 1 and raw[room] & 0xC0 == 0x80:  # within a character of UTF-8
        room -= 1
    return os.fsdecode(raw[:room])


def _described(source: str, where: Bin) -> bytes:
    path = os.path.join(os.path.realpath(os.path.dirname(source)), os.path.basename(source))
    if where.top is not None:
        path = os.path.relpath(path, where.top)
    moment = time.strftime("%Y-%m-%dT%H:%M:%S")
    return f"[Trash Info]\nPath={quote(os.fsencode(path))}\nDeletionDate={moment}\n".encode("ascii")
