"""What a long service tells while it works; its report is complete without them."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple


class Walking(NamedTuple):
    """So many candidate files have been seen so far."""

    files: int


class HashingStarted(NamedTuple):
    """So much is to be read; bytes."""

    files: int
    size_bytes: int


class HashingAdvanced(NamedTuple):
    """So much has been read so far; `slow` names a file that has given nothing for a while."""

    size_bytes: int
    slow: str | None = None


class Judging(NamedTuple):
    """So many contents of all that are known were judged anew."""

    done: int
    total: int


class FileStored(NamedTuple):
    """A file's content is in the library: from here on a crash cannot lose it."""

    path: str
    sha256: str
    outcome: str


Event = Walking | HashingStarted | HashingAdvanced | Judging | FileStored

#: Called on the thread that called the service, and only there. Returns nothing, raises nothing.
Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """The Emit of those who only want the report."""
