"""Names in directories: made, moved, exchanged and removed, never at the cost of another program's file.

A directory is opened once and used by its descriptor, so that a folder swapped for a link leads nowhere else.
A temporary name is random and made exclusively. What is moved, replaced or removed is looked at again under a
name that nobody else knows, and goes back if it is not what it was.
"""

from __future__ import annotations

import errno
import os
import stat
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING, Literal

from mlib.core.disk import system
from mlib.core.disk.compare import stat_of
from mlib.core.disk.storage import NETWORK
from mlib.core.disk.system import file_system
from mlib.core.errors import Hint, MlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from mlib.core.records import Stat

#: What a file under a temporary name is: a text that is being written, a copy that is being made, a second
#: name of a model's file, or what was moved aside from the name that it belongs to.
Purpose = Literal["partial", "copy", "link", "aside"]

#: The code of an error that left some files here and some there.
HALF_MOVED = "half_moved"


class Directory:
    """A directory held open: what is done in it is done there, wherever its path leads by then.

    Where the system has no descriptors of directories (`descriptor` is None) it is used by its path.
    Raises OSError where it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self.path = path or os.curdir
        self.descriptor = system.open_directory(self.path)

    def __enter__(self) -> Directory:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        if self.descriptor is not None:
            os.close(self.descriptor)

    def path_of(self, name: str) -> str:
        """The path of a name in it, for people."""
        return os.path.join(self.path, name)

    def at(self, name: str) -> str:
        """How a name in it is given to a call, beside its descriptor."""
        return self.path_of(name) if self.descriptor is None else name

    def status(self) -> os.stat_result:
        """The status of the directory itself. Raises OSError."""
        return os.stat(self.path) if self.descriptor is None else os.fstat(self.descriptor)

    def names(self) -> list[str]:
        """All names in it. Raises OSError."""
        return os.listdir(self.path if self.descriptor is None else self.descriptor)

    def stat(self, name: str) -> os.stat_result:
        """The status of what has a name, links not followed. Raises OSError."""
        return os.stat(self.at(name), dir_fd=self.descriptor, follow_symlinks=False)

    def has(self, name: str) -> bool:
        """Whether anything has this name."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def open(self, name: str, flags: int, mode: int = 0o600) -> int:
        """A descriptor of a name in it; a link is not followed. Raises OSError."""
        return system.open_in(self.descriptor, self.at(name), flags, mode)

    def sync(self) -> None:
        """Make what was named and removed in it durable, where that can be asked for."""
        with suppress(OSError):
            system.sync_directory(self.descriptor)


class Folders:
    """Directories, each opened once, for as long as a command needs them."""

    def __init__(self) -> None:
        self._open: dict[str, Directory] = {}
        self._stack = ExitStack()

    def __enter__(self) -> Folders:
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    def split(self, path: str) -> tuple[Directory, str]:
        """The directory of a path, and the name in it. Raises OSError."""
        directory, name = os.path.split(path)
        return self.at(directory), name

    def at(self, path: str) -> Directory:
        """The directory at a path. Raises OSError."""
        if path not in self._open:
            self._open[path] = self._stack.enter_context(Directory(path))
        return self._open[path]


class HeldInode:
    """A file or link whose inode is held, so that no other one can be taken for it. Raises OSError."""

    def __init__(self, directory: Directory, name: str) -> None:
        self.path = directory.path_of(name)
        self._descriptor = directory.open(name, system.HOLD)
        self._before = os.fstat(self._descriptor)

    def __enter__(self) -> HeldInode:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._descriptor)

    def status(self) -> os.stat_result:
        """Its status now, whatever its name is; as it was where the file system has lost track of it.

        FUSE forgets a file with the name that it was opened by, though it has another one by a link.
        """
        try:
            return os.fstat(self._descriptor)
        except OSError as error:
            if error.errno not in {errno.ENOENT, errno.ESTALE}:
                raise
            return self._before

    def is_at(self, directory: Directory, name: str) -> bool:
        """Whether this very file has the name; by size, mtime and kind where FUSE makes inodes up."""
        try:
            there = directory.stat(name)
        except FileNotFoundError:
            return False
        return _are_one(self.status(), there)

    def is_unchanged_at(self, directory: Directory, name: str) -> bool:
        """Whether this very file has the name, with the size and mtime that it was held with.

        Device and inode may be others than before: some file systems choose new ones for what is renamed.
        """
        now, before = self.status(), self._before
        is_same = (now.st_size, now.st_mtime_ns) == (before.st_size, before.st_mtime_ns)
        return is_same and self.is_at(directory, name)

    def stood_still(self, directory: Directory, name: str) -> bool:
        """Whether it is unchanged under the name, and nobody is writing to it."""
        is_written = stat.S_ISREG(self._before.st_mode) and _is_written_to(directory, name)
        return self.is_unchanged_at(directory, name) and not is_written


@contextmanager
def hold_inode(directory: Directory, name: str, was: Stat) -> Iterator[HeldInode]:
    """Hold the file or link that has a name, and `was` so. Raises MlibError (`gone`, `changed`), OSError."""
    try:
        file = HeldInode(directory, name)
    except FileNotFoundError:
        raise gone(directory.path_of(name)) from None
    with file:
        if stat_of(file.status()) != was:
            raise changed(file.path)
        yield file


def temporary_name(purpose: Purpose, name: str) -> str:
    """A random name for what is to become `name`, or has had it: hidden, and short enough everywhere."""
    return f".mlib-{os.urandom(8).hex()}-{key_of(name)}.{purpose}"


def key_of(name: str) -> str:
    """What temporary names hold of the name that they stand for."""
    import hashlib

    return hashlib.sha256(os.fsencode(name)).hexdigest()[:16]


def make_temporary(
    directory: Directory, purpose: Purpose, name: str, *, mode: int = 0o600
) -> tuple[str, int]:
    """An empty file under a new temporary name: that, and a descriptor which keeps others from sweeping it.

    Raises OSError.
    """
    while True:
        temporary = temporary_name(purpose, name)
        descriptor = directory.open(temporary, system.NEW_READABLE, mode)
        try:
            lock(descriptor)
            if os.path.samestat(os.fstat(descriptor), directory.stat(temporary)):
                return temporary, descriptor
        except FileNotFoundError:  # swept before it was locked
            pass
        except BaseException:  # Ctrl-C too: nobody else could close it
            os.close(descriptor)
            raise
        os.close(descriptor)


@contextmanager
def second_name(source: Directory, name: str, directory: Directory, target: str) -> Iterator[str]:
    """A temporary second name of a file in a directory, for what is to become `target` there.

    It is gone at the end, unless it has been put in its place. Raises OSError.
    """
    temporary = temporary_name("link", target)
    _link(source, name, directory, temporary)
    try:
        yield temporary
    finally:
        with suppress(FileNotFoundError):
            unlink_own(directory, temporary)


def lock(descriptor: int) -> bool:
    """Tell others that somebody is at a file; False if somebody is. The kernel lets go when we end.

    Not on network file systems, where such a lock is one on the bytes, and SQLite's own would meet it.
    """
    if file_system(os.fstat(descriptor).st_dev) in NETWORK:
        return True
    return system.lock(descriptor) != "held"


def give_to_owner(descriptor: int, of: os.stat_result) -> None:
    """Let a file that takes another one's place, or is its copy, have its owner and group, where one may.

    A library or model that root has replaced would be closed to whom it belongs to.
    """
    system.give_to_owner(descriptor, of)


def remove_own(directory: Directory, name: str, descriptor: int) -> None:
    """Remove a temporary name, or one that was just made, if it still is the file of this descriptor."""
    with suppress(OSError):
        if _are_one(os.fstat(descriptor), directory.stat(name)):
            unlink_own(directory, name)


def unlink_own(directory: Directory, name: str) -> None:
    """Remove a file whose name is ours alone. Raises OSError."""
    os.unlink(directory.at(name), dir_fd=directory.descriptor)


def link_new(directory: Directory, name: str, new_name: str) -> None:
    """Give a file a second name that nothing has. Raises FileExistsError, or OSError without links."""
    _link(directory, name, directory, new_name)


def rename_new(source: Directory, name: str, target: Directory, new_name: str) -> None:
    """Rename a file or link to a name that nothing has.

    Raises FileExistsError, or OSError: EXDEV where the two are on two file systems, ENOTSUP where the file
    system offers no way to do this that could not replace another file.
    """
    if is_other_spelling(source, name, target, new_name):
        _rename(source, name, target, new_name)
    elif not _rename_with(system.NOREPLACE, source, name, target, new_name):
        _link_then_unlink(source, name, target, new_name)
    target.sync()
    if target is not source:
        source.sync()


def rename_reserved(source: Directory, name: str, target: Directory, new_name: str) -> None:
    """Like `rename_new`; where a file system has no way to do it, an empty file takes the name first.

    Only who writes to a file that is there could lose by that. Raises as `rename_new` does, but ENOTSUP.
    """
    try:
        rename_new(source, name, target, new_name)
    except OSError as error:
        if error.errno != errno.ENOTSUP:
            raise
    else:
        return
    source.stat(name)
    descriptor = target.open(new_name, system.NEW)
    try:
        _expect_reserved(target, new_name, descriptor)
        _rename(source, name, target, new_name)
    except BaseException:  # Ctrl-C too: the reserved name is given up
        if os.fstat(descriptor).st_size == 0:
            remove_own(target, new_name, descriptor)
        raise
    finally:
        os.close(descriptor)
    target.sync()


def move(
    source: Directory,
    name: str,
    target: Directory,
    new_name: str,
    *,
    was: Stat,
    rename: Callable[[Directory, str, Directory, str], None] = rename_new,
) -> None:
    """Give what `was` so another name that nothing has, and nothing else than that.

    Raises MlibError (`gone`, `changed`, `half_moved`) and what `rename` raises.
    """
    with hold_inode(source, name, was) as file:
        try:
            rename(source, name, target, new_name)
            # Whoever has it open to write to it goes on to do so, under its new name.
            _expect(file.is_unchanged_at(target, new_name), file.path)
        except BaseException:  # Ctrl-C too, after the rename
            if not file.is_at(source, name):
                _give_back(target, new_name, source, name)
            raise


def remove(directory: Directory, name: str, *, was: Stat) -> None:
    """Remove what `was` so, and nothing else. Raises MlibError (`gone`, `changed`, `half_moved`), OSError."""
    with hold_inode(directory, name, was) as file:
        aside = temporary_name("aside", name)
        _rename(directory, name, directory, aside)
        try:
            _expect(file.stood_still(directory, aside), file.path)
            unlink_own(directory, aside)
        except BaseException:  # Ctrl-C too
            _give_back(directory, aside, directory, name)
            raise
    directory.sync()


def replace(
    directory: Directory,
    temporary: str,
    name: str,
    *,
    was: Stat,
    is_right: Callable[[HeldInode, Directory, str], bool] = HeldInode.stood_still,
) -> None:
    """Let the file under a temporary name take the place of what `was` so, if that still `is_right`.

    That is asked when nobody else can reach it. Raises MlibError (`gone`, `changed`, `half_moved`), or
    OSError; the temporary file is gone then.
    """
    with hold_inode(directory, name, was) as old, HeldInode(directory, temporary) as new:
        # Under the name of what belongs elsewhere: after a kill nobody sweeps it away.
        aside = temporary_name("aside", name)
        _rename(directory, temporary, directory, aside)
        try:
            if _rename_with(system.EXCHANGE, directory, aside, directory, name):
                _expect(is_right(old, directory, aside), old.path)
                unlink_own(directory, aside)
            else:
                _replace_in_steps(directory, aside, name, old, is_right)
        except BaseException:  # Ctrl-C too
            if new.is_at(directory, name) and directory.has(aside):
                _exchange_back(directory, aside, name, new)
            if new.is_at(directory, aside):
                unlink_own(directory, aside)
            raise
    directory.sync()


def is_other_spelling(source: Directory, name: str, target: Directory, new_name: str) -> bool:
    """Whether a name is another one in other letters where case means nothing: two names of one entry.

    Inodes do not tell it: exFAT by FUSE has one for each spelling that is looked at.
    """
    wanted = name.casefold()
    if name == new_name or wanted != new_name.casefold():
        return False
    same = os.path.samestat(source.status(), target.status())
    if not same or not target.has(new_name):
        return False
    return [each for each in source.names() if each.casefold() == wanted] == [name]


def expect_exclusive(directory: Directory, name: str) -> None:
    """Raise OSError (ENOTSUP) where `rename_new` to a name would, before anything is copied in vain."""
    first, descriptor = make_temporary(directory, "copy", name)
    second = temporary_name("copy", name)
    try:
        rename_new(directory, first, directory, second)
    finally:
        for each in (first, second):
            remove_own(directory, each, descriptor)
        os.close(descriptor)


def content_of(directory: Directory, name: str) -> bytes:
    """All bytes of a file that is small. Raises OSError."""
    with open(directory.open(name, system.READ), "rb") as file:
        return file.read()


def gone(path: str) -> MlibError:
    """What is said of a file that is not there any more."""
    return MlibError(
        "gone", f"it is not there any more: {path}", hint=Hint("{} finds out where it went", ("scan",))
    )


def changed(path: str) -> MlibError:
    """What is said of a file that is not what it was."""
    return MlibError(
        "changed", f"it is not what the library knows: {path}", hint=Hint("{} looks at it again", ("scan",))
    )


def _are_one(here: os.stat_result, there: os.stat_result) -> bool:
    """Whether two stats are of one file; by size, mtime and kind where FUSE makes inodes up of names."""
    if os.path.samestat(here, there):
        return True
    of_both = ((each.st_dev, each.st_size, each.st_mtime_ns, each.st_mode) for each in (here, there))
    return len(set(of_both)) == 1 and file_system(there.st_dev).startswith("fuse")


def _expect(is_right: bool, path: str) -> None:
    if not is_right:
        raise changed(path)


def _expect_reserved(directory: Directory, name: str, descriptor: int) -> None:
    status = directory.stat(name)
    if status.st_size or not os.path.samestat(os.fstat(descriptor), status):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), directory.path_of(name))


def _replace_in_steps(
    directory: Directory,
    new: str,
    name: str,
    old: HeldInode,
    is_right: Callable[[HeldInode, Directory, str], bool],
) -> None:
    """For file systems that cannot exchange two names: the old file goes aside, then the new one comes."""
    aside = temporary_name("aside", name)
    _rename(directory, name, directory, aside)
    try:
        _expect(is_right(old, directory, aside), old.path)
        rename_reserved(directory, new, directory, name)
    except BaseException:  # Ctrl-C too: the old file goes back
        _give_back(directory, aside, directory, name)
        raise
    unlink_own(directory, aside)


def _exchange_back(directory: Directory, aside: str, name: str, new: HeldInode) -> None:
    _rename_with(system.EXCHANGE, directory, aside, directory, name)
    if not new.is_at(directory, aside):
        # Somebody else replaced ours in this moment, and theirs is the newest: it belongs there.
        _rename_with(system.EXCHANGE, directory, aside, directory, name)
        raise _stuck(directory.path_of(aside), directory.path_of(name))


def _give_back(directory: Directory, name: str, to: Directory, former: str) -> None:
    """Let what should not have been moved have its name again. Raises MlibError `half_moved`."""
    if not directory.has(name):
        return
    try:
        rename_reserved(directory, name, to, former)
    except OSError as error:
        raise _stuck(directory.path_of(name), to.path_of(former)) from error


def _stuck(path: str, former: str) -> MlibError:
    return MlibError(HALF_MOVED, f"this could not be put back: {path} (was {former})")


def _link_then_unlink(source: Directory, name: str, target: Directory, new_name: str) -> None:
    """For file systems without an exclusive rename: a second name, then the first one goes."""
    with HeldInode(source, name) as file:
        try:
            _link(source, name, target, new_name)
        except OSError as error:
            if error.errno in system.UNKNOWN or error.errno == errno.EPERM:
                message = "this file system cannot rename without the risk of overwriting"
                raise OSError(errno.ENOTSUP, message, target.path_of(new_name)) from error
            raise
        target.sync()
        if name.startswith(".mlib-"):
            unlink_own(source, name)
            return
        aside = temporary_name("aside", name)
        _rename(source, name, source, aside)
        if file.is_at(source, aside):
            unlink_own(source, aside)
        else:  # another file has taken the name since
            _give_back(source, aside, source, name)


def _is_written_to(directory: Directory, name: str) -> bool:
    """Whether a program has a file open to write to it, as far as the system tells: fcntl(2), leases."""
    try:
        descriptor = directory.open(name, system.READ)
    except OSError:
        return False
    try:
        if file_system(os.fstat(descriptor).st_dev) in NETWORK:
            return False  # there a lease is the server's to give
        return system.is_open_for_writing(descriptor)
    finally:
        os.close(descriptor)


def _rename(source: Directory, name: str, target: Directory, new_name: str) -> None:
    os.rename(
        source.at(name), target.at(new_name), src_dir_fd=source.descriptor, dst_dir_fd=target.descriptor
    )


def _link(source: Directory, name: str, target: Directory, new_name: str) -> None:
    ends = source.at(name), target.at(new_name)
    if source.descriptor is None or target.descriptor is None:
        os.link(*ends)
    else:
        os.link(*ends, src_dir_fd=source.descriptor, dst_dir_fd=target.descriptor, follow_symlinks=False)


def _rename_with(flag: int, source: Directory, name: str, target: Directory, new_name: str) -> bool:
    """renameat2(2); False where it cannot be done by it. Raises OSError."""
    function = system.renameat2()
    if function is None or source.descriptor is None or target.descriptor is None:
        return False
    number = function(source.descriptor, os.fsencode(name), target.descriptor, os.fsencode(new_name), flag)
    if number in system.UNKNOWN:
        return False
    if number:
        raise OSError(number, os.strerror(number), source.path_of(name), None, target.path_of(new_name))
    return True
