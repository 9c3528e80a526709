"""Moving files together: all of them arrive, or all of them stay."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import stat_of
from mlib.core.errors import MlibError
from mlib.core.placing.copying import Copied, changed, copy_beside, discard, publish
from mlib.core.placing.journal import HALF_MOVED
from mlib.core.placing.renaming import rename_new, sync_directory

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.core.models import Stat


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


def step(source: str, target: str) -> Step:
    """A step for what `source` is now. Raises OSError, or MlibError `not_a_file`."""
    status = os.lstat(source)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
        raise MlibError("not_a_file", f"this is no file: {source}")
    return Step(source, target, stat_of(status), stat.S_ISLNK(status.st_mode))


def move_together(steps: Sequence[Step], *, advance: Callable[[int], None] = lambda _size: None) -> Moved:
    """Make every step, in this order, or none. Nothing that lies at a target is ever overwritten.

    Within a file system these are renames, each undone if a later one fails. To another one all is copied
    and read back first, then named, and only then do the sources go, each if it still is what was copied.
    Raises MlibError (`exists`, `changed`, `cannot_move`, ...) with everything as it was before; where even
    that could not be had again, its message says what lies where (`half_moved`).
    """
    done: list[Step] = []
    for at, each in enumerate(steps):
        try:
            expect_unchanged(each)
            if each.is_link:
                _move_link(each)
            else:
                rename_new(each.source, each.target)
        except (OSError, MlibError) as error:
            if isinstance(error, OSError) and error.errno == errno.EXDEV and not _regular(done):
                return _copied(steps, at, done, advance)
            _take_back(_begun(done, each), error)
            raise explained(error, each) from error
        except BaseException as interruption:  # Ctrl-C: what was moved so far goes back
            _take_back(_begun(done, each), interruption)
            raise
        done.append(each)
    return Moved(tuple(steps), {})


def _begun(done: Sequence[Step], each: Step) -> list[Step]:
    """The steps done, and the one that was cut off if its file is under its new name already."""
    with suppress(OSError):
        if not os.path.lexists(each.source) and stat_of(os.lstat(each.target)) == each.stat:
            return [*done, each]
    return list(done)


def _regular(steps: Sequence[Step]) -> bool:
    return any(not each.is_link for each in steps)


def _copied(steps: Sequence[Step], at: int, done: list[Step], advance: Callable[[int], None]) -> Moved:
    """The steps from `at` on, to another file system; those `done` so far moved links."""
    copies: dict[str, Copied] = {}
    each = steps[at]
    try:
        for each in steps[at:]:
            expect_unchanged(each)
            if not each.is_link:
                _expect_free(each.target)
                copies[each.target] = copy_beside(
                    each.source, each.target, expected=each.stat, sha256=each.sha256, advance=advance
                )
        for each in steps[at:]:
            if each.is_link:
                _move_link(each)
                done.append(each)
            else:
                publish(copies[each.target])
    except BaseException as error:  # Ctrl-C too: no half of the copies may stay under final names
        for copied in copies.values():
            discard(copied)
        _take_back(done, error)
        if isinstance(error, (OSError, MlibError)):
            raise explained(error, each) from error
        raise
    for each in steps[at:]:
        if not each.is_link:
            remove_source(each)
    return Moved(tuple(steps), copies)


def _expect_free(target: str) -> None:
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), target)


def remove_source(each: Step) -> None:
    """Remove what has been copied, if it is still what was copied. Raises MlibError `half_moved`."""
    try:
        expect_unchanged(each)
        os.unlink(each.source)
    except (OSError, MlibError) as error:
        message = f"copied to {each.target}, but the original could not be removed: {each.source}"
        raise MlibError(HALF_MOVED, message, hint="both are whole") from error
    sync_directory(os.path.dirname(each.source))


def expect_unchanged(each: Step) -> None:
    """Raise MlibError (`gone`, `changed`) where the source is not what it was when the step was planned."""
    try:
        now = stat_of(os.lstat(each.source))
    except FileNotFoundError:
        raise MlibError("gone", f"it is not there any more: {each.source}") from None
    if now != each.stat:
        raise changed(each.source)


def _move_link(each: Step) -> None:
    """A link leads to the same place afterwards; making it fails where there is something already."""
    text = os.readlink(each.source)
    if os.path.dirname(each.source) == os.path.dirname(each.target):
        rename_new(each.source, each.target)
        return
    if not os.path.isabs(text):
        text = os.path.join(os.path.realpath(os.path.dirname(each.source)), text)
    os.symlink(text, each.target)
    sync_directory(os.path.dirname(each.target))
    os.unlink(each.source)
    sync_directory(os.path.dirname(each.source))


def _take_back(done: Sequence[Step], cause: BaseException) -> None:
    stuck = []
    for each in reversed(done):
        try:
            if each.is_link and not os.path.lexists(each.source):
                _move_link(Step(each.target, each.source, each.stat, is_link=True))
            else:
                rename_new(each.target, each.source)
        except OSError:
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
    code = "disk_full" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "cannot_move"
    return MlibError(code, f"cannot move {each.source} to {each.target}: {why}", hint="nothing was moved")


def same_file_system(path: str, directory: str) -> bool:
    """Whether a move is likely to be a rename; what cannot be asked counts as yes."""
    with suppress(OSError):
        return os.lstat(path).st_dev == os.stat(directory).st_dev
    return True
