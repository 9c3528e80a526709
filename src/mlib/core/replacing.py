"""Writing a file whole or not at all: beside its place first, and there only when it is on the disk."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlib.core.errors import MlibError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: The errors that mean that a disk, a quota or a size limit is at its end.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_new(path: str, parts: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write a file that must not be there yet; its size in bytes. Raises what `placed_new` raises."""
    with placed_new(path, mode=mode) as partial:
        return _fill(partial, parts)


def write_over(path: str, parts: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write a file in place of what is there; its size in bytes. Raises what `placed_over` raises."""
    with placed_over(path, mode=mode) as partial:
        return _fill(partial, parts)


@contextmanager
def placed_new(path: str, *, mode: int = 0o600) -> Iterator[str]:
    """The name of an empty file to be filled, which is at `path` afterwards if nothing is there.

    Raises Refused (`file_exists`), also where something came up meanwhile, and MlibError (`disk_full`,
    `cannot_write`). If what fills it fails nothing is left behind.
    """
    with _placed(path, mode) as partial:
        _refuse_what_is_there(path)
        yield partial
        _sync(partial)
        _place(partial, path)


@contextmanager
def placed_over(path: str, *, mode: int = 0o600) -> Iterator[str]:
    """The name of an empty file to be filled, which is in the place of `path` afterwards. A link stays one.

    Raises Refused (`not_a_file`) and MlibError as `placed_new` does.
    """
    path = os.path.realpath(path)
    with _placed(path, mode) as partial:
        if os.path.lexists(path) and not stat.S_ISREG(os.lstat(path).st_mode):
            raise Refused("not_a_file", f"this is not a file: {path}")
        yield partial
        _sync(partial)
        os.replace(partial, path)


def sync_directory(path: str) -> None:
    """Get the names in a directory onto the disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def failed(path: str, error: OSError) -> MlibError:
    """What it means that a file could not be written."""
    if error.errno in _FULL:
        return MlibError(
            "disk_full", f"the disk or quota is full: {path}", hint="free some space and run it again"
        )
    return MlibError("cannot_write", f"cannot write {path}: {error.strerror or error}")


@contextmanager
def _placed(path: str, mode: int) -> Iterator[str]:
    if not path:
        raise MlibError("cannot_write", "a file name cannot be empty")
    directory = os.path.dirname(os.path.abspath(path))
    # Not made of the name, which may be as long as the file system takes.
    partial = os.path.join(directory, f".mlib-{os.getpid()}.partial")
    try:
        with suppress(FileNotFoundError):
            os.unlink(partial)  # of a process of this number that was killed
        os.close(os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode))
        yield partial
        sync_directory(directory)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise failed(path, error) from error
    finally:
        with suppress(OSError):
            os.unlink(partial)


def _fill(partial: str, parts: Iterable[bytes]) -> int:
    with open(partial, "wb", buffering=1 << 20) as file:
        file.writelines(parts)
        file.flush()
        return file.tell()


def _sync(partial: str) -> None:
    with open(partial, "rb") as file:
        os.fsync(file.fileno())


def _place(partial: str, path: str) -> None:
    """Give the file its name, unless something has it: a link is refused where a rename would replace."""
    try:
        os.link(partial, path)
    except FileExistsError:
        raise
    except OSError:  # a file system that knows no links
        if os.path.lexists(path):
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), path) from None
        os.rename(partial, path)


def _refuse_what_is_there(path: str) -> None:
    if os.path.lexists(path):
        raise _exists(path)


def _exists(path: str) -> Refused:
    return Refused("file_exists", f"this file is there already: {path}", hint="add --yes to replace it")
