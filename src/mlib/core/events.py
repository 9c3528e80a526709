"""Progress events of long-running services; their reports are complete without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Walking(NamedTuple):
    """Candidate files seen so far."""

    files: int


class HashingStarted(NamedTuple):
    """Bytes to read in total."""

    files: int
    size_bytes: int


class HashingAdvanced(NamedTuple):
    """Bytes read so far; `slow` names a file from which no data has arrived for a while."""

    size_bytes: int
    slow: str | None = None


class Judging(NamedTuple):
    """Known contents classified again so far, of the total."""

    done: int
    total: int


class FileStored(NamedTuple):
    """A file's content is stored in the library: from now on a crash cannot lose it."""

    path: str
    sha256: str
    outcome: str


Event = Walking | HashingStarted | HashingAdvanced | Judging | FileStored

#: Called only on the thread that called the service. Returns nothing, raises nothing.
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """An Emit that ignores all events."""
