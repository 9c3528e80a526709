"""What kind of disk a device is: how many readers it likes, what its inodes mean, and what it shows twice."""

from __future__ import annotations

import errno
import io
import os
import stat
from functools import cache
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeVar

from mlib.core.disk.compare import stat_of
from mlib.core.disk.system import READ, file_system

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from mlib.core.records import KnownFile


# --- Opening a file that may be anything by now, and telling whether it stood still while it was read.


def open_for_reading(path: str) -> io.FileIO:
    """The file at `path`, unbuffered. Raises OSError, for a directory too; a FIFO opens and gives nothing."""
    descriptor = os.open(path, READ)  # a FIFO that took the file's place must not hang the scan
    try:
        return io.FileIO(descriptor)
    except OSError:  # a directory took its place
        os.close(descriptor)
        raise


def expect_file(status: os.stat_result, path: str) -> None:
    """Raise OSError for what is no regular file. Ask before opening too: that may already do something."""
    if stat.S_ISDIR(status.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), path)
    if not stat.S_ISREG(status.st_mode):
        raise OSError(errno.EINVAL, "not a regular file", path)


#: How often a file that changes while it is read is tried again.
RETRIES = 2

_Read = TypeVar("_Read")


def until_it_stands_still(read: Callable[[], _Read | None]) -> _Read | None:
    """The first answer of `read`, which gives None where the file changed; None if it keeps changing."""
    for _ in range(1 + RETRIES):
        found = read()
        if found is not None:
            return found
    return None


def chunks(file: io.FileIO, size: int, view: memoryview) -> Iterator[tuple[int, memoryview]]:
    """All of an open file of `size` bytes, read into `view`: where each chunk begins, and its bytes.

    Ends after the first bytes beyond that size: what grows faster than it is read has no end.
    """
    file.seek(0)
    start = 0
    while start <= size and (count := file.readinto(view)):
        yield start, view[:count]
        start += count


def read_unchanged(
    file: io.FileIO,
    path: str,
    before: os.stat_result,
    *,
    view: memoryview,
    take: Callable[[int, memoryview], None],
) -> os.stat_result | None:
    """Read all of the file at `path`, which is open, and whose stat was `before`; its stat now.

    None if it changed since: what was taken is not to be believed then. `take` is given each chunk and where
    it begins; what it raises ends the reading. Raises OSError.
    """
    size = 0
    for start, chunk in chunks(file, before.st_size, view):
        take(start, chunk)
        size = start + len(chunk)
    after = os.fstat(file.fileno())
    return after if stood_still(path, before, after, size_read=size) else None


def stood_still(path: str, before: os.stat_result, after: os.stat_result, *, size_read: int) -> bool:
    """Whether the file at `path` was one and the same while all `size_read` bytes of it were read.

    `before` and `after` are of its descriptor. Raises OSError where it is not there any more.
    """
    return (
        size_read == before.st_size
        and (stat_of(before), before.st_ctime_ns) == (stat_of(after), after.st_ctime_ns)
        and stat_of(os.stat(path)) == stat_of(after)
    )


# --- What can be told of a root without walking it, and of a known file without reading it.

RootState = Literal["present", "absent", "empty", "unreadable"]


def root_state(directory: str) -> RootState:
    """Whether a root is there: `empty` is also what a drive leaves behind that is switched off."""
    try:
        with os.scandir(directory) as entries:
            return "empty" if next(entries, None) is None else "present"
    except (FileNotFoundError, NotADirectoryError):
        return "absent"
    except OSError:
        return "unreadable"


def is_there(path: str) -> bool:
    """Whether a file can be found at `path` now: one stat. False for a link that leads nowhere."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except (OSError, ValueError):
        return False


def present_first(files: Iterable[KnownFile]) -> tuple[tuple[KnownFile, ...], frozenset[str]]:
    """The files of a model, those first that are there now, and which of the present ones are not: offline.

    One stat for each file that no scan has found missing. A drive that is off, or a path as a container sees
    it, is no reason to hand out a dead path where a living copy is known.
    """
    there: list[KnownFile] = []
    offline: list[KnownFile] = []
    missing: list[KnownFile] = []
    for file in files:
        if file.missing_since is not None:
            missing.append(file)
        else:
            (there if is_there(file.path) else offline).append(file)
    return (*there, *offline, *missing), frozenset(file.path for file in offline)


def first_present(files: Iterable[KnownFile]) -> KnownFile | None:
    """The first file that is there now, else the first known; no more stats than that takes."""
    first: KnownFile | None = None
    for file in files:
        if file.missing_since is None and is_there(file.path):
            return file
        first = first or file
    return first


NETWORK = frozenset({"nfs", "nfs4", "cifs", "smb3", "smbfs", "ncpfs", "afs", "ceph", "9p", "glusterfs",
                     "fuse.sshfs", "fuse.rclone", "fuse.s3fs", "fuse.glusterfs", "davfs"})  # fmt: skip
#: File systems that make up inode numbers, so that a remount changes them.
INODELESS = frozenset({"vfat", "msdos", "exfat", "ntfs", "fuseblk", "cifs", "smb3", "smbfs", "9p", "davfs"})


class DiskTraits(NamedTuple):
    """`readers`: how many files are read at once; `keeps_inodes`: whether inodes survive a remount."""

    readers: int
    keeps_inodes: bool


@cache
def storage_of(device: int) -> DiskTraits:
    """The Storage of a `st_dev`; on systems that tell nothing, an ordinary local SSD.

    One reader on network mounts and on disks whose heads must move, else one a core up to four: on SSDs two
    threads read mixed sizes 1.4 to 1.8 times as fast as one.
    """
    device %= 1 << 64  # a stored number may be negative: SQLite holds signed ones
    kind = file_system(device)
    fuse = kind.startswith("fuse")
    alone = kind in NETWORK or _is_rotational(device)
    return DiskTraits(
        readers=1 if alone else max(1, min(os.cpu_count() or 1, 4)),
        keeps_inodes=not fuse and kind not in INODELESS,
    )


def is_one_file(path: str, other: str) -> bool | None:
    """Whether two paths of one content, with different inodes, are one file seen twice; None: perhaps.

    Where case means nothing it may be seen under two spellings, and FUSE has an inode for each, as it may
    have for each name of a hard link. Through a second mount (mergerfs, bindfs, overlayfs, NFS) it has
    another device, and the times of the one file: the moment of its last change to the nanosecond is its own.
    """
    one, two = os.stat(path), os.stat(other)
    if os.path.samestat(one, two) or _are_spellings(path, other):
        return True
    is_same = (one.st_size, one.st_mtime_ns, one.st_ctime_ns) == (
        two.st_size,
        two.st_mtime_ns,
        two.st_ctime_ns,
    )
    if not is_same or not any(map(_passes_on, (one.st_dev, two.st_dev))):
        return False
    if one.st_dev == two.st_dev and not one.st_nlink == two.st_nlink > 1:
        return False
    return True if one.st_ctime_ns % 1_000_000 else None  # else of a file system that counts more coarsely


def _are_spellings(path: str, other: str) -> bool:
    """Whether two paths differ in their case alone, in directories where that means nothing."""
    if path.casefold() != other.casefold():
        return False
    parents = [os.path.dirname(each) for each in (path, other)]
    if path == other or parents[0] == path:
        return path == other
    names = {os.path.basename(path), os.path.basename(other)}
    if len(names) == 2:
        wanted = os.path.basename(path).casefold()
        listed = [name for name in os.listdir(parents[0]) if name.casefold() == wanted]
        if len(listed) != 1:
            return False
    return _are_spellings(*parents)


def _passes_on(device: int) -> bool:
    """Whether a file system may show the files of another one."""
    kind = file_system(device)
    return kind.startswith("fuse") or kind == "overlay" or kind in NETWORK


def _is_rotational(device: int) -> bool:
    block = os.path.realpath(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}")
    if "/virtio" in block:
        return False  # a virtual disk reports "rotational" whatever is below it
    for place in (block, os.path.dirname(block)):  # a partition's queue is its disk's
        try:
            with open(f"{place}/queue/rotational", encoding="ascii") as flag:
                return flag.read(1) == "1"
        except OSError:
            continue
    return False
