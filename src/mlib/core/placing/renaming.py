"""Giving a file another name without ever taking one that is in use."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

#: renameat2(2)
_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
#: The file system, or the system, does not know such a call.
_UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


def rename_new(source: str, target: str) -> None:
    """Rename `source`, which may be a link, to a name that nothing has.

    Both are durable when it returns. Raises FileExistsError, or OSError: EXDEV where they are on two file
    systems, ENOTSUP where the file system offers no way to do this that could not overwrite.
    """
    if is_other_spelling(source, target):
        os.rename(source, target)
    elif not _exclusive_rename()(source, target):
        _link_then_unlink(source, target)
    for directory in dict.fromkeys((os.path.dirname(target), os.path.dirname(source))):
        sync_directory(directory)


def sync_directory(path: str) -> None:
    """Make what was named and removed in a directory durable, where that can be asked for."""
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def is_other_spelling(source: str, target: str) -> bool:
    """Whether `target` is `source` in other letters where case means nothing: two names of one entry."""
    directory, name = os.path.split(source)
    other, wanted = os.path.split(target)
    if directory != other or name == wanted or name.casefold() != wanted.casefold():
        return False
    try:
        same = os.path.samestat(os.lstat(source), os.lstat(target))
    except FileNotFoundError:
        return False
    return same and wanted not in os.listdir(directory)  # else these are two hard links


def _link_then_unlink(source: str, target: str) -> None:
    """For file systems without an exclusive rename: a second name, then the first one goes."""
    try:
        os.link(source, target, follow_symlinks=False)
    except OSError as error:
        if error.errno in _UNKNOWN or error.errno == errno.EPERM:
            message = "this file system cannot rename without the risk of overwriting"
            raise OSError(errno.ENOTSUP, message, target) from error
        raise
    sync_directory(os.path.dirname(target))
    os.unlink(source)


@cache
def _exclusive_rename() -> Callable[[str, str], bool]:
    """A function that renames to a new name; False where it cannot be done by it."""
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None or not sys.platform.startswith("linux"):
        return lambda _source, _target: False

    def rename(source: str, target: str) -> bool:
        old, new = (ctypes.c_char_p(os.fsencode(path)) for path in (source, target))
        if function(_AT_FDCWD, old, _AT_FDCWD, new, ctypes.c_uint(_RENAME_NOREPLACE)) == 0:
            return True
        number = ctypes.get_errno()
        if number in _UNKNOWN:
            return False
        raise OSError(number, os.strerror(number), source, None, target)

    return rename
