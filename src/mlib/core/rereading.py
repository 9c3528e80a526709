"""Reading again what was read before: stat, read from the disk, stat again."""

from __future__ import annotations

import errno
import hashlib
import os
import stat
import time
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import stat_of
from mlib.core.opening import open_for_reading, stood_still

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

    from mlib.core.models import Stat

#: How often a file that changes while it is read is tried again.
RETRIES = 2


class Reread(NamedTuple):
    """Digests of one file in lower-case hex by name, of all its bytes as they were from `started_at` (ms)."""

    digests: dict[str, str]
    stat: Stat
    started_at: int

    @property
    def sha256(self) -> str:
        return self.digests["sha256"]


def reread(
    path: str,
    *,
    wanted: tuple[str, ...] = ("sha256", "xxh3"),
    view: memoryview | None = None,
    advance: Callable[[int], None] = lambda _size: None,
) -> Reread | None:
    """Digests (`sha256`, `xxh3`) of a regular file as the disk holds it; None if it keeps changing.

    What the system keeps of it in memory is let go first, and behind the reading: else a disk that forgets
    would go unseen, and all else would be pushed out of memory. Raises OSError, and what `advance` raises.
    """
    view = view if view is not None else memoryview(bytearray(1 << 20))
    for _ in range(1 + RETRIES):
        found = reread_once(path, wanted=wanted, view=view, advance=advance)
        if found is not None:
            return found
    return None


def reread_once(
    path: str, *, wanted: tuple[str, ...], view: memoryview, advance: Callable[[int], None]
) -> Reread | None:
    """One try of `reread`; None if the file changed meanwhile."""
    started_at = time.time_ns() // 1_000_000
    with open_for_reading(path) as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", path)
        _let_go(file.fileno(), 0, 0)
        digests = {name: _new(name) for name in wanted}
        size = 0
        while size <= before.st_size and (count := file.readinto(view)):
            for digest in digests.values():
                digest.update(view[:count])
            _let_go(file.fileno(), size, count)
            size += count
            advance(count)
        after = os.fstat(file.fileno())
    if not stood_still(path, before, after, size_read=size):
        return None
    return Reread({name: digest.hexdigest() for name, digest in digests.items()}, stat_of(after), started_at)


def _new(name: str) -> Any:
    if name == "sha256":
        return hashlib.sha256()
    from xxhash import xxh3_128

    return xxh3_128()


def _let_go(descriptor: int, start: int, count: int) -> None:
    advise = getattr(os, "posix_fadvise", None)
    if advise is not None:
        advise(descriptor, start, count, os.POSIX_FADV_DONTNEED)
