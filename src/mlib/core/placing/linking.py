"""Making a copy of a file a hard link to it: at every moment a whole file lies under its name."""

from __future__ import annotations

import errno
import os
import stat
from typing import TYPE_CHECKING

from mlib.core.compare import stat_of
from mlib.core.disk.entries import Folders, changed, held, replace, second_name
from mlib.core.disk.leftovers import sweep_for
from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from mlib.core.models import Stat


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
                held(beside, kept_name, kept) as file,
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
            raise MlibError("not_a_file", f"a link is no copy: {where}")
        if stat_of(status) != was:
            raise changed(where)
    if one.st_dev != other.st_dev:
        raise MlibError("other_file_system", f"a hard link cannot lead to another disk: {path}")
    if (one.st_uid, one.st_gid, one.st_mode) != (other.st_uid, other.st_gid, other.st_mode):
        message = f"its owner or permissions are not those of {by}: {path}"
        raise MlibError("other_permissions", message, hint="a hard link has those of the other")
