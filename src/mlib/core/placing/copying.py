"""Copying a file to another file system: under a temporary name, until its bytes are known to be there."""

from __future__ import annotations

import hashlib
import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import stat_of
from mlib.core.disk.entries import changed, give_to_owner, make_temporary, remove_own
from mlib.core.disk.leftovers import sweep_for
from mlib.core.errors import MlibError
from mlib.core.opening import open_for_reading
from mlib.core.rereading import reread
from mlib.core.storage import file_system

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.core.disk.entries import Directory
    from mlib.core.models import Stat
    from mlib.core.rereading import Reread

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
        while count := file.readinto(view):
            digest.update(view[:count])
            written = 0
            while written < count:
                written += os.write(descriptor, view[written:count])
            advance(count)
        give_to_owner(descriptor, before)
        # By descriptor, which `os` takes where it takes paths, and the stubs of this function do not know.
        shutil.copystat(file.fileno(), descriptor)  # type: ignore[arg-type]
        after = os.fstat(file.fileno())
    # FUSE remembers a ctime for a second after the file was renamed.
    keeps_ctime = not file_system(before.st_dev).startswith("fuse")
    if stat_of(after) != expected or (keeps_ctime and before.st_ctime_ns != after.st_ctime_ns):
        raise changed(source)
    return digest.hexdigest()


def rotten(path: str) -> MlibError:
    """What is said of a file that was not written to, and holds other bytes than it did."""
    message = f"its bytes are not what they were, its size and date are: {path}"
    return MlibError("rotten", message, hint="see `mlib verify`")


def busy(path: str) -> MlibError:
    """What is said where another mlib works on the same file."""
    return MlibError("busy", f"another mlib is copying to {os.path.dirname(path)}", hint="try again later")
