"""Moving files together: all of them arrive, or all of them stay."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import stat_of
from mlib.core.disk import entries
from mlib.core.disk.entries import HALF_MOVED, Folders, changed, gone, rename_new, rename_reserved
from mlib.core.disk.leftovers import release
from mlib.core.errors import MlibError
from mlib.core.placing.copying import Copied, copy_beside, discard

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.core.disk.entries import Directory
    from mlib.core.models import Stat

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
                raise explained(error, each) from error
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
                copies[each.target] = _copy(each, move)
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
            raise explained(error, each) from error
        raise
    finally:
        for copied in copies.values():
            os.close(copied.descriptor)
    for each in steps[at:]:
        if not each.is_link:
            remove_source(each)
    return Moved(tuple(steps), copies)


def _copy(each: Step, move: _Move) -> Copied:
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
    with entries.held(directory, name, each.stat):
        pass


def release_target(each: Step) -> None:
    """Let a name be taken that a killed run had taken with an empty file. Raises MlibError."""
    try:
        with Folders() as folders:
            release(*folders.split(each.target))
    except OSError as error:
        raise explained(error, each) from error


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
    with entries.held(source, name, each.stat):
        text = os.readlink(name, dir_fd=source.descriptor)
    if not os.path.isabs(text):
        text = os.path.join(os.path.realpath(os.path.dirname(each.source)), text)
    os.symlink(text, new_name, dir_fd=target.descriptor)
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


def explained(error: OSError | MlibError, each: Step) -> MlibError:
    """An error with a path and in a person's words."""
    if isinstance(error, MlibError):
        return error
    if isinstance(error, FileExistsError):
        return MlibError("exists", f"there is something already: {each.target}", hint="nothing was moved")
    why = (error.strerror or str(error)).lower()
    if error.errno == errno.ENOTSUP:
        message = f"cannot move {each.source} to {each.target}: {why}"
        hint = "nothing was moved; if no other program writes there, --no-exclusive does it all the same"
        return MlibError("not_exclusive", message, hint=hint)
    code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot_move"
    return MlibError(code, f"cannot move {each.source} to {each.target}: {why}", hint="nothing was moved")
