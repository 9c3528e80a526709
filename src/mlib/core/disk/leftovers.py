"""What commands that were killed have left in a folder under temporary names, and nobody is at any more."""

from __future__ import annotations

import errno
import os
import re
import stat
import time
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.disk.compare import stat_of
from mlib.core.disk.entries import (
    Directory,
    expect_exclusive,
    key_of,
    lock,
    remove,
    remove_own,
    rename_reserved,
)
from mlib.core.disk.system import READ
from mlib.core.disk.uncached import reread
from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from mlib.core.disk.entries import Purpose

#: The temporary names of `entries`, and what SQLite lays beside one.
_NAME = re.compile(
    r"\.mlib-[0-9a-f]{16}-(?P<key>[0-9a-f]{16})\.(?P<purpose>partial|copy|link|aside)(?:-journal|-wal|-shm)?"
)
#: Those of mlib 0.1, which were made of process ids and of the names of targets.
_FORMER = re.compile(r"\.mlib-(?:\d{1,9}\.(?P<text>partial)|(?P<purpose>copy|link)-[0-9a-f]{16})")
#: What mlib 0.1 left of a library called so: of a restore, and of a backup.
_FORMER_OF = (
    r"{}\.(?:restoring|\d{{8}}T\d{{6}}\.\d{{6}}Z\.[\w-]+\.bak\.partial)(?P<purpose>)(?:-journal|-wal|-shm)?"
)
_DAY_SECONDS = 86_400


class Leftover(NamedTuple):
    """A file that was to become another one, or to be put back.

    `is_half` of one that is part of a text, or of a copy of the library, that was never put in its place.
    Others hold whole files or copies of models; `is_last` where no other name has its bytes, as far as the
    file system tells.
    """

    path: str
    size_bytes: int
    is_half: bool
    is_last: bool


def leftovers(directory: str, *, library: str | None = None) -> list[Leftover]:
    """What was left in a directory more than a day ago, and nobody holds. Raises OSError.

    `library` is the name of one that lies, or has its backups, there.
    """
    found = []
    former_of = re.compile(_FORMER_OF.format(re.escape(library))) if library else _FORMER
    with Directory(directory) as opened, os.scandir(directory) as entries:
        for entry in entries:
            name = entry.name
            match = _NAME.fullmatch(name) or _FORMER.fullmatch(name) or former_of.fullmatch(name)
            if match is None:
                continue
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                # By the time of the last change of any kind: a copy has the date of what it is a copy of.
                is_old = status.st_ctime < time.time() - _DAY_SECONDS
                if stat.S_ISREG(status.st_mode) and is_old and not _is_held(opened, name):
                    purpose = match["purpose"] or "partial"
                    is_last = purpose in {"link", "aside"} and status.st_nlink < 2
                    path = os.path.join(directory, name)
                    found.append(Leftover(path, status.st_size, purpose == "partial", is_last))
    return sorted(found)


def discard(left: Leftover) -> None:
    """Remove a leftover that nobody holds. Raises OSError."""
    directory, name = os.path.split(left.path)
    with Directory(directory) as opened:
        _remove_unheld(opened, name)


def sweep(directory: str, *, library: str | None = None) -> None:
    """Remove the halves of texts, or of `library`, that were left in a directory, as far as that goes."""
    with suppress(OSError):
        for left in leftovers(directory, library=library):
            if left.is_half:
                with suppress(OSError):
                    discard(left)


def sweep_for(directory: Directory, name: str, purpose: Purpose) -> bool:
    """Remove what was to become a file called `name` and was left by a kill; False if somebody is at one."""
    unheld = [
        _remove_unheld(directory, left)
        for left in _left_for(directory, name, purpose)
        if purpose != "link" or directory.stat(left).st_nlink > 1  # else it may be the last name of a model
    ]
    return all(unheld)


def release(directory: Directory, name: str) -> bool:
    """Remove the empty file by which `rename_reserved` had taken a name when it was killed; whether it did.

    Only on a disk where names are taken so, and not if somebody writes to it. Raises OSError.
    """
    status = directory.stat(name)
    if status.st_size or not stat.S_ISREG(status.st_mode):
        return False
    try:
        expect_exclusive(directory, name)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
    else:
        return False
    try:
        remove(directory, name, was=stat_of(status))
    except MlibError as error:
        if error.code not in {"changed", "gone"}:
            raise
        return False
    return True


def settle(path: str) -> None:
    """Let what a command that was killed had moved aside from `path` have its name again.

    Where the name is taken and what has it holds the same bytes, what was moved aside goes; where it holds
    others, both stay. Raises OSError.
    """
    directory, name = os.path.split(path)
    with Directory(directory) as opened:
        for left in _left_for(opened, name, "aside"):
            if _is_held(opened, left):
                continue
            with suppress(FileExistsError):
                rename_reserved(opened, left, opened, name)
                continue
            if _is_copy(opened, left, name):
                _remove_unheld(opened, left)
                continue
            if release(opened, name):
                rename_reserved(opened, left, opened, name)


def _left_for(directory: Directory, name: str, purpose: Purpose) -> list[str]:
    key = key_of(name)
    try:
        names = directory.names()
    except OSError:  # a folder that may be used and not listed
        return []
    found = map(_NAME.fullmatch, names)
    return sorted(each[0] for each in found if each and (each["key"], each["purpose"]) == (key, purpose))


def _is_copy(directory: Directory, left: str, name: str) -> bool:
    one, other = directory.stat(left), directory.stat(name)
    if stat.S_ISLNK(one.st_mode) and stat.S_ISLNK(other.st_mode):
        one_text, other_text = (
            os.readlink(directory.at(each), dir_fd=directory.descriptor) for each in (left, name)
        )
        return one_text == other_text
    if not (stat.S_ISREG(one.st_mode) and stat.S_ISREG(other.st_mode)) or one.st_size != other.st_size:
        return False
    if os.path.samestat(one, other):
        return True
    digests = [reread(directory.path_of(each), wanted=("sha256",)) for each in (left, name)]
    return digests[0] is not None and digests[1] is not None and digests[0].sha256 == digests[1].sha256


def _is_held(directory: Directory, name: str) -> bool:
    try:
        descriptor = directory.open(name, READ)
    except OSError:
        return False
    try:
        return not lock(descriptor)
    finally:
        os.close(descriptor)


def _remove_unheld(directory: Directory, name: str) -> bool:
    """Whether nobody held it, so that it is gone."""
    try:
        descriptor = directory.open(name, READ)
    except FileNotFoundError:
        return True
    try:
        if not lock(descriptor):
            return False
        remove_own(directory, name, descriptor)
        return True
    finally:
        os.close(descriptor)
