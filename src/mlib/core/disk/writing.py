"""Writing a file whole or not at all: beside its place first, and there only when it is on the disk."""

from __future__ import annotations

import errno
import os
import stat
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from mlib.core.disk import system
from mlib.core.disk.compare import stat_of
from mlib.core.disk.entries import (
    Directory,
    HeldInode,
    changed,
    content_of,
    give_to_owner,
    make_temporary,
    remove_own,
    rename_new,
    replace,
)
from mlib.core.errors import Hint, MlibError, Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlib.core.records import Stat

#: The errors that mean that a disk, a quota or a size limit is at its end.
_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_CHUNK = 1 << 20


def looked_at(path: str) -> Stat | None:
    """Stat a path, following links, for `write_over` or `placed_over`; None if nothing is there.

    Raises Refused (`not_a_file`) and MlibError (`cannot_write`).
    """
    path = os.path.realpath(path)
    try:
        status = os.lstat(path)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise failed(path, error) from error
    if not stat.S_ISREG(status.st_mode):
        raise Refused("not_a_file", f"this is not a file: {path}")
    return stat_of(status)


def write_new(path: str, parts: Iterable[bytes], *, mode: int = 0o600) -> int:
    """Write a file that must not be there yet; its size in bytes. Raises what `placed_new` raises."""
    with placed_new(path, mode=mode) as partial:
        return _fill(partial, parts)


def write_over(
    path: str, parts: Iterable[bytes], *, was: Stat, content: bytes | None = None, mode: int = 0o600
) -> int:
    """Write a file in place of what `was` so, and had this `content` if that is given; its size in bytes.

    Raises what `placed_over` raises.
    """
    with placed_over(path, was=was, content=content, mode=mode) as partial:
        return _fill(partial, parts)


@contextmanager
def placed_new(path: str, *, mode: int = 0o600) -> Iterator[str]:
    """The name of an empty file to be filled, which is at `path` afterwards if nothing is there.

    Raises Refused (`file_exists`), also where something came up meanwhile, and MlibError (`disk_full`,
    `cannot_write`). If what fills it fails nothing is left behind.
    """

    def place(directory: Directory, temporary: str, descriptor: int, name: str) -> None:
        try:
            rename_new(directory, temporary, directory, name)
        except OSError as error:
            if error.errno != errno.ENOTSUP:
                raise
            _write_in_place(directory, descriptor, name, mode)

    with _placed(path, mode, place, is_new=True) as partial:
        yield partial


@contextmanager
def placed_over(
    path: str,
    *,
    was: Stat,
    content: bytes | None = None,
    mode: int = 0o600,
) -> Iterator[str]:
    """The name of an empty file to be filled, which is in the place of `path` afterwards. A link stays one.
    The owner stays too.

    It replaces only what `was` so, as `looked_at` tells it, and had this `content` if that is given. Raises
    MlibError (`changed_since`) where that is another file, and as `placed_new` does.
    """

    def is_same(old: HeldInode, directory: Directory, name: str) -> bool:
        return old.stood_still(directory, name) and (
            content is None or content_of(directory, name) == content
        )

    def place(directory: Directory, temporary: str, descriptor: int, name: str) -> None:
        give_to_owner(descriptor, directory.stat(name))
        with suppress(OSError):
            os.fchmod(descriptor, mode)  # whatever the umask
        replace(directory, temporary, name, was=was, is_right=is_same)

    with _placed(os.path.realpath(path), mode, place, is_new=False) as partial:
        yield partial


def failed(path: str, error: OSError) -> MlibError:
    """What it means that a file could not be written."""
    if error.errno in _FULL:
        return MlibError(
            "disk_full", f"the disk or quota is full: {path}", hint="free some space and run it again"
        )
    return MlibError("cannot_write", f"cannot write {path}: {error.strerror or error}")


def changed_since(path: str) -> MlibError:
    """What is said of a file that was to be replaced, and is not the one that was looked at."""
    message = f"another program changed it meanwhile, and it is left alone: {path}"
    return MlibError("changed_since", message, hint="look at it, and run it again")


@contextmanager
def putting_in_place(path: str) -> Iterator[None]:
    """The block that writes a file and puts it at `path`: its errors, in words about that path.

    Raises MlibError (`disk_full`, `cannot_write`, `changed_since`).
    """
    try:
        yield
    except OSError as error:
        raise failed(path, error) from error
    except MlibError as error:
        if error.code not in {"changed", "gone"}:
            raise
        raise changed_since(path) from error


@contextmanager
def _placed(
    path: str, mode: int, place: Callable[[Directory, str, int, str], None], *, is_new: bool
) -> Iterator[str]:
    if not path:
        raise MlibError("cannot_write", "a file name cannot be empty")
    folder, name = os.path.split(os.path.abspath(path))
    with putting_in_place(path), Directory(folder) as directory:
        if is_new and directory.has(name):
            raise _exists(path)
        temporary, descriptor = make_temporary(directory, "partial", name, mode=mode)
        try:
            yield directory.path_of(temporary)
            os.fsync(descriptor)
            # By its path, as it was filled: its folder may have been swapped for another one.
            if not os.path.samestat(os.fstat(descriptor), os.lstat(directory.path_of(temporary))):
                raise changed(directory.path_of(temporary))
            try:
                place(directory, temporary, descriptor, name)
            except FileExistsError as error:
                raise _exists(path) from error
            system.sync_directory(directory.descriptor)
        finally:
            remove_own(directory, temporary, descriptor)
            os.close(descriptor)


def _fill(partial: str, parts: Iterable[bytes]) -> int:
    with open(partial, "r+b", buffering=1 << 20) as file:  # which never makes one
        file.writelines(parts)
        file.flush()
        return file.tell()


def _write_in_place(directory: Directory, descriptor: int, name: str, mode: int) -> None:
    """For file systems that can neither rename exclusively nor link: a new file, filled under its own name.

    A kill in this moment leaves half of it there; a rename could replace what another program has just made.
    """
    target = directory.open(name, system.NEW, mode)
    written = 0
    try:
        os.lseek(descriptor, 0, os.SEEK_SET)
        while part := os.read(descriptor, _CHUNK):
            while part:
                count = os.write(target, part)
                written += count
                part = part[count:]
        os.fsync(target)
    except BaseException:  # Ctrl-C too
        if os.fstat(target).st_size <= written:  # else another program writes to it by now
            remove_own(directory, name, target)
        raise
    else:
        if os.fstat(target).st_size != written or not os.path.samestat(
            os.fstat(target), directory.stat(name)
        ):
            raise changed(directory.path_of(name))
    finally:
        os.close(target)


def _exists(path: str) -> Refused:
    return Refused(
        "file_exists", f"this file is there already: {path}", hint=Hint("add {} to replace it", ("--yes",))
    )
