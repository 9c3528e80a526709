"""Opening a file that may be anything by now, for reading and without waiting."""

from __future__ import annotations

import io
import os


def open_for_reading(path: str) -> io.FileIO:
    """The file at `path`, unbuffered. Raises OSError, for a directory too; a FIFO opens and gives nothing."""
    # O_NONBLOCK: a FIFO that took the file's place must not hang the scan.
    descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    try:
        return io.FileIO(descriptor)
    except OSError:  # a directory took its place
        os.close(descriptor)
        raise
