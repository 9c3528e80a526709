"""Copying a file to another file system: under a temporary name, until its bytes are known to be there."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import stat_of
from mlib.core.errors import MlibError
from mlib.core.opening import open_for_reading
from mlib.core.placing.renaming import rename_new, sync_directory
from mlib.core.rereading import reread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlib.core.models import Stat
    from mlib.core.rereading import Reread

_CHUNK = 1 << 20


class Copied(NamedTuple):
    """A copy, at first under its temporary name.

    `sha256` is that of both files, `read_at` (ms) is when the copy was read back.
    """

    temporary: str
    target: str
    sha256: str
    stat: Stat
    read_at: int


def temporary_beside(path: str, purpose: str) -> str:
    """The name under which what is to become `path` grows: hidden, short enough, the same every time."""
    directory, name = os.path.split(path)
    return os.path.join(directory, f".mlib-{purpose}-{hashlib.sha256(os.fsencode(name)).hexdigest()[:16]}")


def copy_beside(
    source: str,
    target: str,
    *,
    expected: Stat,
    sha256: str | None = None,
    advance: Callable[[int], None] = lambda _size: None,
) -> Copied:
    """Copy a regular file with its mtime and mode to a temporary name beside `target`, and read it there.

    What a copy that was cut off has left there is overwritten. `advance` is told of the bytes copied.

    Raises OSError, or MlibError: `changed` where the source is not what was expected, `rotten` where only its
    SHA-256 is not, `copy_differs` where the disk gives back other bytes than it was given, `busy` where
    another mlib is at it. Nothing is left behind then.
    """
    temporary = temporary_beside(target, "copy")
    with _held(temporary) as descriptor:
        try:
            read = _copy(source, descriptor, expected, advance)
            _expect_same(read, sha256 or read, rotten(source))
            shutil.copystat(source, temporary)
            os.fsync(descriptor)
            found = _read_back(temporary, read)
        except BaseException:  # Ctrl-C too: a copy that is not whole is of no use
            with suppress(OSError):
                os.unlink(temporary)
            raise
    return Copied(temporary, target, read, found.stat, found.started_at)


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


def publish(copied: Copied) -> None:
    """Give a copy its name, durably. Raises FileExistsError or OSError."""
    rename_new(copied.temporary, copied.target)


def discard(copied: Copied) -> None:
    """Take a copy away, under whichever of its names it stands."""
    for path in (copied.temporary, copied.target):
        with suppress(OSError):
            if stat_of(os.lstat(path)) == copied.stat:
                os.unlink(path)
                sync_directory(os.path.dirname(path))


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
        after = os.fstat(file.fileno())
    if stat_of(after) != expected or before.st_ctime_ns != after.st_ctime_ns:
        raise changed(source)
    return digest.hexdigest()


def changed(path: str) -> MlibError:
    """What is said of a file that is not what it was."""
    return MlibError(
        "changed", f"it is not what the library knows: {path}", hint="`mlib scan` looks at it again"
    )


def rotten(path: str) -> MlibError:
    """What is said of a file that was not written to, and holds other bytes than it did."""
    message = f"its bytes are not what they were, its size and date are: {path}"
    return MlibError("rotten", message, hint="see `mlib verify`")


@contextmanager
def _held(temporary: str) -> Iterator[int]:
    """The temporary file, empty, and nobody else's until the end of the block."""
    flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0)
    descriptor = os.open(temporary, flags, 0o600)
    try:
        _lock(descriptor, temporary)
        os.ftruncate(descriptor, 0)
        yield descriptor
    finally:
        os.close(descriptor)


def _lock(descriptor: int, temporary: str) -> None:
    import fcntl

    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EWOULDBLOCK, errno.EACCES):
            raise busy(temporary) from None
        return  # a file system without locks: the exclusive rename at the end decides
    try:
        same = os.path.samestat(os.fstat(descriptor), os.lstat(temporary))
    except FileNotFoundError:
        same = False
    if not same:  # whoever held it has just finished
        raise busy(temporary)


def busy(path: str) -> MlibError:
    """What is said where another mlib works on the same file."""
    return MlibError("busy", f"another mlib is copying to {os.path.dirname(path)}", hint="try again later")
