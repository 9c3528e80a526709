"""The platform: all that differs between Linux, other Unix systems and Windows.

Flags of open(2), descriptors of directories, locks and leases (flock(2), fcntl(2)), exclusive rename and
exchange (renameat2(2)), owners, /proc/self/mountinfo, the page cache. No other module asks which system this
is: tests/core/disk/test_one_system.py. What a system lacks is reported as absent (None, False, "", "none");
what cannot be done safely without it is refused by the caller: `can_move_safely`. `fcntl` and `ctypes` are
imported when they are first needed.
"""

from __future__ import annotations

import errno
import os
import stat
import sys
from contextlib import suppress
from functools import cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Callable

# --- Flags of open(2). O_NONBLOCK: a FIFO in the place of a file must not block; O_BINARY: bytes as they are.

_PLAIN = getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)
_NOFOLLOW = getattr(os, "O_NOFOLLOW", 0)
_DIRECTORY = getattr(os, "O_DIRECTORY", 0)

#: Read, or read and write, what exists.
READ, EDIT = os.O_RDONLY | _NONBLOCK | _PLAIN, os.O_RDWR | _NONBLOCK | _PLAIN
#: Make a file that must not exist, to write it, or to read it too.
NEW, NEW_READABLE = (mode | os.O_CREAT | os.O_EXCL | _PLAIN for mode in (os.O_WRONLY, os.O_RDWR))
#: Open a file or make it.
CREATE, APPEND = os.O_RDWR | os.O_CREAT | _PLAIN, os.O_RDWR | os.O_CREAT | os.O_APPEND | _PLAIN
#: Hold an inode; where O_PATH exists, without the right to read it.
HOLD = getattr(os, "O_PATH", _NONBLOCK) | _PLAIN

#: Windows, whose paths others write into files that are read here.
IS_WINDOWS = os.name == "nt"

#: What the system answers where it, or the file system, does not know a call.
UNKNOWN = frozenset({errno.EINVAL, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP})


# --- Directories, held open where the system can do that.

#: Whether a directory can be opened, and names in it used by its descriptor.
HOLDS_DIRECTORIES = bool(_DIRECTORY)


def open_directory(path: str) -> int | None:
    """Open a directory; None where the system has no descriptors of them. Raises OSError if it is none."""
    if not HOLDS_DIRECTORIES:
        if not stat.S_ISDIR(os.stat(path).st_mode):
            raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), path)
        return None
    flags = _DIRECTORY | _PLAIN
    try:
        return os.open(path, os.O_RDONLY | flags)
    except PermissionError:  # one that may be used and not listed
        return os.open(path, HOLD | flags)


def open_listable(path: str) -> int | None:
    """A descriptor of a directory that is to be listed; None where the system has none. Raises OSError."""
    return os.open(path, os.O_RDONLY | _DIRECTORY) if HOLDS_DIRECTORIES else None


def open_in(descriptor: int | None, path: str, flags: int, mode: int) -> int:
    """Open a name in a directory; without its descriptor, by its path. A link is not followed.

    Raises OSError: ELOOP for a link, but with HOLD, which opens the link itself where the system can.
    """
    if _NOFOLLOW:
        return os.open(path, flags | _NOFOLLOW, mode, dir_fd=descriptor)
    if not flags & os.O_EXCL and stat.S_ISLNK(os.lstat(path).st_mode):
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    opened = os.open(path, flags, mode)
    with suppress(OSError):
        if os.path.samestat(os.fstat(opened), os.lstat(path)):
            return opened
    os.close(opened)  # a link took its place meanwhile
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)


def sync_directory(descriptor: int | None) -> None:
    """Make the names in a directory durable, where that can be asked for. Raises OSError where it failed."""
    if descriptor is None:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in {errno.EBADF, errno.EINVAL}:  # one that cannot be asked
            raise


# --- Locks and leases.

Lock = Literal["taken", "held", "none"]


def lock(descriptor: int) -> Lock:
    """Take the lock of an open file: `held` if somebody else has it, `none` where there are no locks.

    The kernel gives it up when the process ends.
    """
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except ImportError:
        return "none"
    except OSError as error:
        return "held" if error.errno in {errno.EWOULDBLOCK, errno.EACCES} else "none"
    return "taken"


@cache
def can_move_safely() -> bool:
    """Report whether there are locks and directory descriptors: without them a move may hit another file."""
    try:
        import fcntl  # noqa: F401 - whether there is one
    except ImportError:
        return False
    return HOLDS_DIRECTORIES and bool(_NOFOLLOW)


def is_open_for_writing(descriptor: int) -> bool:
    """Whether any program has the file open for writing; False where the system does not tell.

    Linux gives a lease for reading only where there is no writer (fcntl(2)): of local files, to their owner.
    """
    try:
        import fcntl
        import signal

        # Should a writer come while it is held, it would be told by a signal: by one that is ignored.
        fcntl.fcntl(descriptor, fcntl.F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except (ImportError, AttributeError):
        return False
    except OSError as error:
        return error.errno in {errno.EAGAIN, errno.EWOULDBLOCK}
    return False


# --- Renaming: renameat2(2).

NOREPLACE, EXCHANGE = 1, 2


@cache
def renameat2() -> Callable[[int, bytes, int, bytes, int], int] | None:
    """The call, which gives its error number, 0 for none; None where there is no such call."""
    if not sys.platform.startswith("linux") or not HOLDS_DIRECTORIES:
        return None
    import ctypes

    function = getattr(ctypes.CDLL(None, use_errno=True), "renameat2", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_char_p, ctypes.c_int, ctypes.c_char_p, ctypes.c_uint)

    def rename(source: int, name: bytes, target: int, new_name: bytes, flags: int) -> int:
        if function(source, name, target, new_name, flags) == 0:
            return 0
        return ctypes.get_errno()

    return rename


# --- Owners.


def user() -> int | None:
    """The number of the user; None where users have none."""
    return os.getuid() if hasattr(os, "getuid") else None


def is_ours(owner: int) -> bool:
    """Whether a file of this owner (`st_uid`) belongs to the user as whom the process acts."""
    return not hasattr(os, "geteuid") or owner == os.geteuid()


def give_to_owner(descriptor: int, of: os.stat_result) -> None:
    """Give an open file the owner and group of another one, where that is allowed."""
    with suppress(OSError, AttributeError):
        os.fchown(descriptor, of.st_uid, of.st_gid)


# --- File systems and the page cache.


def file_system(device: int) -> str:
    """The file system type of a `st_dev` by /proc/self/mountinfo (proc(5)): fields after the lone dash.

    "" where nothing tells.
    """
    try:
        wanted = f"{os.major(device)}:{os.minor(device)}"
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                fields, _, rest = line.partition(" - ")
                if fields.split(" ", 3)[2] == wanted:
                    return rest.split(" ", 1)[0]
    except (OSError, IndexError, AttributeError):
        pass
    return ""


def let_go(descriptor: int, start: int, count: int) -> None:
    """Drop what the system keeps of a file in memory (posix_fadvise(2)), where it can be asked to."""
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None:
        advise(descriptor, start, count, os.POSIX_FADV_DONTNEED)
