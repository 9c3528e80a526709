"""Writing a file whole or not at all: beside its place first, and there only when it is on the disk."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import suppress
from typing import TYPE_CHECKING

from mlib.core.errors import MlibError, Refused

if TYPE_CHECKING:
    from collections.abc import Iterable

#: The errors that mean that a disk, a quota or a size limit is at its end.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})


def write_new(path: str, parts: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write a file that must not be there yet; its size in bytes.

    Raises Refused (`file_exists`), also where it came up meanwhile, and MlibError (`disk_full`,
    `cannot_write`).
    """
    return _write(path, parts, mode=mode, may_replace=False)


def write_over(path: str, parts: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write a file in place of what is there; its size in bytes. A link stays one. Raises MlibError."""
    return _write(os.path.realpath(path), parts, mode=mode, may_replace=True)


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


def _write(path: str, parts: Iterable[bytes], *, mode: int, may_replace: bool) -> int:
    directory = os.path.dirname(os.path.abspath(path))
    # Not made of the name, which may be as long as the file system takes.
    partial = os.path.join(directory, f".mlib-{os.getpid()}.partial")
    try:
        _refuse_what_is_there(path, may_replace=may_replace)
        size = _fill(partial, parts, mode)
        if may_replace:
            os.replace(partial, path)
        else:
            _place(partial, path)
        sync_directory(directory)
    except FileExistsError as error:
        raise _exists(path) from error
    except OSError as error:
        raise failed(path, error) from error
    finally:
        with suppress(OSError):
            os.unlink(partial)
    return size


def _fill(partial: str, parts: Iterable[bytes], mode: int) -> int:
    with suppress(FileNotFoundError):
        os.unlink(partial)  # of a process of this number that was killed
    descriptor = os.open(partial, os.O_CREAT | os.O_EXCL | os.O_WRONLY, mode)
    with open(descriptor, "wb", buffering=1 << 20) as file:
        file.writelines(parts)
        file.flush()
        os.fsync(file.fileno())
        return file.tell()


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


def _refuse_what_is_there(path: str, *, may_replace: bool) -> None:
    try:
        status = os.stat(path)
    except FileNotFoundError:
        if not may_replace and os.path.lexists(path):
            raise _exists(path) from None
        return
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not_a_file", f"this is not a file: {path}")
    if not may_replace:
        raise _exists(path)


def _exists(path: str) -> Refused:
    return Refused("file_exists", f"this file is there already: {path}", hint="add --yes to replace it")
