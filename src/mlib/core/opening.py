"""Opening a file that may be anything by now, and telling whether it stood still while it was read."""

from __future__ import annotations

import io
import os

from mlib.core.compare import stat_of


def open_for_reading(path: str) -> io.FileIO:
    """The file at `path`, unbuffered. Raises OSError, for a directory too; a FIFO opens and gives nothing."""
    # O_NONBLOCK: a FIFO that took the file's place must not hang the scan.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        return io.FileIO(descriptor)
    except OSError:  # a directory took its place
        os.close(descriptor)
        raise


def stood_still(path: str, before: os.stat_result, after: os.stat_result, *, size_read: int) -> bool:
    """Whether the file at `path` was one and the same while all `size_read` bytes of it were read.

    `before` and `after` are of its descriptor. Raises OSError where it is not there any more.
    """
    return (
        size_read == before.st_size
        and (stat_of(before), before.st_ctime_ns) == (stat_of(after), after.st_ctime_ns)
        and stat_of(os.stat(path)) == stat_of(after)
    )
