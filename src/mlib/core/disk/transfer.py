"""Moving files together: all of them arrive, or all of them stay."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.disk import entries
from mlib.core.disk.compare import stat_of
from mlib.core.disk.entries import (
    HALF_MOVED,
    Folders,
    changed,
    give_to_owner,
    gone,
    hold_inode,
    make_temporary,
    remove_own,
    rename_new,
    rename_reserved,
    replace,
    second_name,
)
from mlib.core.disk.leftovers import release, sweep_for
from mlib.core.disk.storage import chunks, open_for_reading
from mlib.core.disk.system import file_system
from mlib.core.disk.uncached import reread
from mlib.core.errors import Hint, MlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.core.disk.entries import Directory
    from mlib.core.disk.uncached import Reread
    from mlib.core.records import Stat


# --- Copying a file to another file system: under a temporary name, until its bytes are known to be there.

_CHUNK = 1 << 20


class Copied(NamedTuple):
    """A copy, at first under its temporary name, in the directory of its target.

    `sha256` is that of both files, `read_at` (ms) is when the copy was read back. `descriptor` is open as
    long as the copy may be discarded.
    """

    temporary: str
    target: str
    sha256: str
    stat: Stat
    read_at: int
    descriptor: int


def copy_beside(
    source: str,
    directory: Directory,
    target: str,
    *,
    expected: Stat,
    sha256: str | None = None,
    advance: Callable[[int], None] = lambda _size: None,
) -> Copied:
    """Copy a regular file with its mtime and mode to a temporary name in a directory, and read it there.

    `target` is the name that it is to have. What copies that were cut off have left for it is removed.
    `advance` is told of the bytes copied.

    Raises OSError, or MlibError: `changed` where the source is not what was expected, `rotten` where only its
    SHA-256 is not, `copy_differs` where the disk gives back other bytes than it was given, `busy` where
    another mlib is at it. Nothing is left behind then.
    """
    if not sweep_for(directory, target, "copy"):
        raise busy(directory.path_of(target))
    temporary, descriptor = make_temporary(directory, "copy", target)
    try:
        read = _copy(source, descriptor, expected, advance)
        _expect_same(read, sha256 or read, rotten(source))
        os.fsync(descriptor)
        found = _read_back(directory.path_of(temporary), read)
    except BaseException:  # Ctrl-C too: a copy that is not whole is of no use
        remove_own(directory, temporary, descriptor)
        os.close(descriptor)
        raise
    return Copied(temporary, target, read, found.stat, found.started_at, descriptor)


def discard(copied: Copied, directory: Directory) -> None:
    """Take a copy away, under whichever of its names it stands."""
    for name in (copied.temporary, copied.target):
        remove_own(directory, name, copied.descriptor)
    directory.sync()


def _read_back(temporary: str, sha256: str) -> Reread:
    found = reread(temporary, wanted=("sha256",))
    if found is None:
        raise changed(temporary)
    message = f"the copy does not hold the same bytes: {os.path.dirname(temporary)}"
    hint = "the disk, its cable or the memory may be bad"
    _expect_same(found.sha256, sha256, MlibError("copy_differs", message, hint=hint))
    return found


def _expect_same(one: str, other: str, error: MlibError) -> None:
    if one != other:
        raise error


def _copy(source: str, descriptor: int, expected: Stat, advance: Callable[[int], None]) -> str:
    digest = hashlib.sha256()
    view = memoryview(bytearray(_CHUNK))
    with open_for_reading(source) as file:
        before = os.fstat(file.fileno())
        if stat_of(before) != expected:
            raise changed(source)
        for _, chunk in chunks(file, expected.size_bytes, view):
            digest.update(chunk)
            written = 0
            while written < len(chunk):
                written += os.write(descriptor, chunk[written:])
            advance(len(chunk))
        give_to_owner(descriptor, before)
        # By descriptor, which `os` takes where it takes paths, and the stubs of this function do not know.
        shutil.copystat(file.fileno(), descriptor)  # type: ignore[arg-type]
        after = os.fstat(file.fileno())
    # Not as `stood_still` asks: FUSE remembers a ctime for a second after the file was renamed.
    keeps_ctime = not file_system(before.st_dev).startswith("fuse")
    if stat_of(after) != expected or (keeps_ctime and before.st_ctime_ns != after.st_ctime_ns):
        raise changed(source)
    return digest.hexdigest()


def rotten(path: str) -> MlibError:
    """What is said of a file that was not written to, and holds other bytes than it did."""
    message = f"its bytes are not what they were, its size and date are: {path}"
    return MlibError("rotten", message, hint=Hint("see {}", ("verify",)))


def busy(path: str) -> MlibError:
    """What is said where another mlib works on the same file."""
    return MlibError("busy", f"another mlib is copying to {os.path.dirname(path)}", hint="try again later")


# --- Replacing a copy by a hard link, with a whole file under its name at every moment


def replace_by_link(path: str, *, by: str, expected: Stat, kept: Stat) -> None:
    """Let `path` be another name of the file `by`, whose bytes are known to be the same.

    `expected` and `kept` are the stats that the two had when they were read. Both must be regular files of
    one file system, owner and mode. Raises MlibError (`changed`, `not_a_file`, `other_file_system`,
    `other_permissions`, `cannot_link`) with everything as it was.
    """
    check_linkable(path, by, expected=expected, kept=kept)
    try:
        with Folders() as folders:
            directory, name = folders.split(path)
            beside, kept_name = folders.split(by)
            sweep_for(directory, name, "link")
            with (
                hold_inode(beside, kept_name, kept) as file,
                second_name(beside, kept_name, directory, name) as temporary,
            ):
                if not file.is_at(directory, temporary):  # which FUSE may show with an inode of its own
                    raise changed(by)
                _check(directory.stat(name), beside.stat(kept_name), path, by, (expected, kept))
                replace(directory, temporary, name, was=expected)
    except OSError as error:
        code = "other_file_system" if error.errno == errno.EXDEV else "cannot_link"
        why = (error.strerror or str(error)).lower()
        raise MlibError(code, f"cannot link {path} to {by}: {why}") from error


def check_linkable(path: str, by: str, *, expected: Stat, kept: Stat) -> None:
    """Whether `path` can become another name of `by`. Raises MlibError as `replace_by_link` does."""
    try:
        one, other = os.lstat(path), os.lstat(by)
    except FileNotFoundError as error:
        raise MlibError("gone", f"it is not there any more: {error.filename}") from None
    except OSError as error:
        raise MlibError("unreadable", f"cannot look at {error.filename}: {error.strerror}") from error
    _check(one, other, path, by, (expected, kept))


def _check(
    one: os.stat_result, other: os.stat_result, path: str, by: str, expected: tuple[Stat, Stat]
) -> None:
    for status, where, was in ((one, path, expected[0]), (other, by, expected[1])):
        if not stat.S_ISREG(status.st_mode):
            raise MlibError("not_a_file", f"a link is not a copy: {where}")
        if stat_of(status) != was:
            raise changed(where)
    if one.st_dev != other.st_dev:
        raise MlibError("other_file_system", f"a hard link cannot lead to another disk: {path}")
    if (one.st_uid, one.st_gid, one.st_mode) != (other.st_uid, other.st_gid, other.st_mode):
        message = f"its owner or permissions are not those of {by}: {path}"
        raise MlibError("other_permissions", message, hint="a hard link has those of the other")


if TYPE_CHECKING:
    #: How a file gets a name that nothing has.
    Rename = Callable[[Directory, str, Directory, str], None]


class Step(NamedTuple):
    """One file or link from here to there; `stat` is what the name itself is now, links not followed.

    With `sha256` a copy is only made of exactly these bytes.
    """

    source: str
    target: str
    stat: Stat
    is_link: bool = False
    sha256: str | None = None


class Moved(NamedTuple):
    """What was moved; `copies` by target where the bytes were copied to another file system."""

    steps: tuple[Step, ...]
    copies: dict[str, Copied]


class _Done(NamedTuple):
    """A step that was made, and the stat of what lies at its target since."""

    step: Step
    arrived: Stat


class _Move(NamedTuple):
    """What the steps of a move share: the directories held open, how files get their names, who is told."""

    folders: Folders
    rename: Rename
    advance: Callable[[int], None]


def step(source: str, target: str) -> Step:
    """A step for what `source` is now. Raises OSError, or MlibError `not_a_file`."""
    status = os.lstat(source)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise MlibError("not_a_file", f"this is no file: {source}")
    return Step(source, target, stat_of(status), stat.S_ISLNK(status.st_mode))


def expect_writable(path: str) -> None:
    """Raise OSError where a name cannot be given or taken away, as far as that is told: by the folder or disk
    being read-only, by its length.

    Asked before a file is copied from a disk that would not let go of it.
    """
    with suppress(FileNotFoundError):
        os.lstat(path)
    folder = os.path.dirname(path)
    if not os.access(folder, os.W_OK):
        is_read_only = os.statvfs(folder).f_flag & os.ST_RDONLY
        number = errno.EROFS if is_read_only else errno.EACCES
        raise OSError(number, os.strerror(number), path)


def move_together(
    steps: Sequence[Step],
    *,
    rename: Rename = rename_new,
    advance: Callable[[int], None] = lambda _size: None,
) -> Moved:
    """Make every step, in this order, or none. Nothing that lies at a target is ever overwritten.

    Within a file system these are renames, each undone if a later one fails. To another one all is copied
    and read back first, then named, and only then do the sources go, each if it still is what was copied.
    `rename_reserved` serves file systems that cannot `rename_new`. Raises MlibError (`exists`, `changed`,
    `cannot_move`, ...) with everything as it was before; where even that could not be had again, its message
    says what lies where (`half_moved`).
    """
    done: list[_Done] = []
    with Folders() as folders:
        move = _Move(folders, rename, advance)
        for at, each in enumerate(steps):
            try:
                if each.is_link:
                    _move_link(each, move)
                else:
                    _move_file(each, move)
                done.append(_arrived(each, move))
                _expect_seen(each, move)
            except (OSError, MlibError) as error:
                if isinstance(error, OSError) and error.errno == errno.EXDEV and not _regular(done):
                    return _copied(steps, at, done, move)
                _take_back(done, move, error)
                raise to_transfer_error(error, each) from error
            except BaseException as interruption:  # Ctrl-C: what was moved so far goes back
                _take_back(_begun(done, each), move, interruption)
                raise
    return Moved(tuple(steps), {})


def _move_file(each: Step, move: _Move) -> None:
    source, name = _source(each, move)
    entries.move(source, name, *move.folders.split(each.target), was=each.stat, rename=move.rename)


def _source(each: Step, move: _Move) -> tuple[Directory, str]:
    try:
        return move.folders.split(each.source)
    except (FileNotFoundError, NotADirectoryError):
        raise gone(each.source) from None


def _arrived(each: Step, move: _Move) -> _Done:
    directory, name = move.folders.split(each.target)
    return _Done(each, stat_of(directory.stat(name)))


def _expect_seen(each: Step, move: _Move) -> None:
    """Raise MlibError (`changed`) where a folder has been swapped: what went into it is not at this path."""
    directory, name = move.folders.split(each.target)
    try:
        same = os.path.samestat(os.lstat(each.target), directory.stat(name))
    except OSError:
        same = False
    if not same:
        raise changed(os.path.dirname(each.target))


def _begun(done: Sequence[_Done], each: Step) -> list[_Done]:
    """The steps done, and the one that was cut off if its file is under its new name already."""
    with suppress(OSError):
        is_begun = all(each != other.step for other in done) and not os.path.lexists(each.source)
        if is_begun and stat_of(os.lstat(each.target)) == each.stat:
            return [*done, _Done(each, each.stat)]
    return list(done)


def _regular(steps: Sequence[_Done]) -> bool:
    return any(not each.step.is_link for each in steps)


def _copied(steps: Sequence[Step], at: int, done: list[_Done], move: _Move) -> Moved:
    """The steps from `at` on, to another file system; those `done` so far moved links."""
    copies: dict[str, Copied] = {}
    each = steps[at]
    try:
        for each in steps[at:]:
            _expect_unchanged(each, move)
            if not each.is_link:
                copies[each.target] = _copy_planned(each, move)
        for each in steps[at:]:
            if each.is_link:
                _move_link(each, move)
                done.append(_arrived(each, move))
            else:
                _publish(copies[each.target], each, move)
            _expect_seen(each, move)
    except BaseException as error:  # Ctrl-C too: no half of the copies may stay under final names
        for target, copied in copies.items():
            discard(copied, move.folders.split(target)[0])
        _take_back(done, move, error)
        if isinstance(error, (OSError, MlibError)):
            raise to_transfer_error(error, each) from error
        raise
    finally:
        for copied in copies.values():
            os.close(copied.descriptor)
    for each in steps[at:]:
        if not each.is_link:
            remove_source(each)
    return Moved(tuple(steps), copies)


def _copy_planned(each: Step, move: _Move) -> Copied:
    _expect_free(each, move)
    directory, name = move.folders.split(each.target)
    if move.rename is rename_new:
        entries.expect_exclusive(directory, name)
    return copy_beside(
        each.source, directory, name, expected=each.stat, sha256=each.sha256, advance=move.advance
    )


def _publish(copied: Copied, each: Step, move: _Move) -> None:
    """Give a copy its name, durably. Raises FileExistsError or OSError."""
    directory, name = move.folders.split(each.target)
    move.rename(directory, copied.temporary, directory, name)


def _expect_free(each: Step, move: _Move) -> None:
    directory, name = move.folders.split(each.target)
    if directory.has(name):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), each.target)


def _expect_unchanged(each: Step, move: _Move) -> None:
    directory, name = _source(each, move)
    with entries.hold_inode(directory, name, each.stat):
        pass


def release_target(each: Step) -> None:
    """Let a name be taken that a killed run had taken with an empty file. Raises MlibError."""
    try:
        with Folders() as folders:
            release(*folders.split(each.target))
    except OSError as error:
        raise to_transfer_error(error, each) from error


def remove_source(each: Step) -> None:
    """Remove what has been copied, if it still is what was copied. Raises MlibError `half_moved`."""
    try:
        with Folders() as folders:
            entries.remove(*folders.split(each.source), was=each.stat)
    except (OSError, MlibError) as error:
        message = f"copied to {each.target}, but the original could not be removed: {each.source}"
        raise MlibError(HALF_MOVED, message, hint="both are whole") from error


def _move_link(each: Step, move: _Move) -> None:
    """A link leads to the same place afterwards; making it fails where there is something already."""
    source, name = _source(each, move)
    target, new_name = move.folders.split(each.target)
    if source is target:
        entries.move(source, name, target, new_name, was=each.stat, rename=move.rename)
        return
    with entries.hold_inode(source, name, each.stat):
        text = os.readlink(source.at(name), dir_fd=source.descriptor)
    if not os.path.isabs(text):
        text = os.path.join(os.path.realpath(os.path.dirname(each.source)), text)
    os.symlink(text, target.at(new_name), dir_fd=target.descriptor)
    target.sync()
    made = stat_of(target.stat(new_name))
    try:
        entries.remove(source, name, was=each.stat)
    except BaseException:  # Ctrl-C too
        if source.has(name):
            with suppress(OSError, MlibError):
                entries.remove(target, new_name, was=made)
        raise


def _take_back(done: Sequence[_Done], move: _Move, cause: BaseException) -> None:
    stuck = []
    for each, arrived in reversed(done):
        back = each._replace(source=each.target, target=each.source, stat=arrived)
        try:
            if each.is_link:
                _move_link(back, move._replace(rename=rename_reserved))
            else:
                _move_file(back, move._replace(rename=rename_reserved))
        except (OSError, MlibError):
            stuck.append(each)
    if stuck:
        where = ", ".join(f"{each.target} (was {each.source})" for each in stuck)
        raise MlibError(HALF_MOVED, f"these could not be moved back: {where}") from cause


def to_transfer_error(error: OSError | MlibError, each: Step) -> MlibError:
    """An error with a path and in a person's words."""
    if isinstance(error, MlibError):
        return error
    if isinstance(error, FileExistsError):
        return MlibError("exists", f"there is something already: {each.target}", hint="nothing was moved")
    why = (error.strerror or str(error)).lower()
    if error.errno == errno.ENOTSUP:
        message = f"cannot move {each.source} to {each.target}: {why}"
        told = "nothing was moved; if no other program writes there, {} does it all the same"
        hint = Hint(told, ("--no-exclusive",))
        return MlibError("not_exclusive", message, hint=hint)
    code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot_move"
    return MlibError(code, f"cannot move {each.source} to {each.target}: {why}", hint="nothing was moved")
