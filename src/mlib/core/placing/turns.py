"""One at a time: two commands that move or remove files could each take the copy that the other one keeps."""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from mlib.core.errors import LibraryBusy, MlibError
from mlib.core.placing.journal import journal_path

if TYPE_CHECKING:
    from collections.abc import Iterator

#: As long as a command waits for a library that another one writes to.
PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.05


@contextmanager
def own_turn(library_path: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the journal of a library's files for oneself; the kernel lets go of it whatever ends the process.

    Raises LibraryBusy where another process has it for longer than `patience_seconds`, and MlibError
    (`no_journal`) where it cannot be opened.
    """
    path = journal_path(library_path)
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise MlibError(
            "no_journal", f"cannot write down what is done to your files: {path}: {why}"
        ) from error
    try:
        _wait(descriptor, path, patience_seconds)
        yield
    finally:
        os.close(descriptor)


def _wait(descriptor: int, path: str, patience_seconds: float) -> None:
    until = time.monotonic() + patience_seconds
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > until:
                raise LibraryBusy("files_busy", f"another mlib is moving files: {path}") from None
            time.sleep(_PAUSE_SECONDS)
        except OSError:
            return  # a file system without locks: as before there were any
        else:
            return
