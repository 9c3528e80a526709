"""What commands that were killed have left in a folder under names of ours, and nobody is at any more."""

from __future__ import annotations

import os
import re
import stat
import time
from contextlib import suppress
from typing import NamedTuple

#: `replacing` writes under the number of its process, `placing` copies to and links at a name of its target.
_NAME = re.compile(r"\.mlib-(?:(?P<process>\d{1,9})\.partial|(?P<purpose>copy|link)-[0-9a-f]{16})")
_DAY_SECONDS = 86_400


class Leftover(NamedTuple):
    """A file that was to become another one.

    `is_half` of one that is part of a text that was never put in its place. Others are copies or second names
    of a model's file, which the same command takes up again; `is_last` where no other name has its bytes.
    """

    path: str
    size_bytes: int
    is_half: bool
    is_last: bool


def leftovers(directory: str) -> list[Leftover]:
    """What was left in a directory more than a day ago by processes that are gone. Raises OSError."""
    found = []
    with os.scandir(directory) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match is None:
                continue
            with suppress(FileNotFoundError):
                status = entry.stat(follow_symlinks=False)
                # By the time of the last change of any kind: a copy has the date of what it is a copy of.
                is_old = status.st_ctime < time.time() - _DAY_SECONDS
                if stat.S_ISREG(status.st_mode) and is_old and not _runs(match["process"]):
                    is_last = match["purpose"] == "link" and status.st_nlink < 2
                    path = os.path.join(directory, entry.name)
                    found.append(Leftover(path, status.st_size, match["process"] is not None, is_last))
    return sorted(found)


def sweep(directory: str) -> None:
    """Remove the halves of texts that were left in a directory, as far as that can be done."""
    with suppress(OSError):
        for left in leftovers(directory):
            if left.is_half:
                os.unlink(left.path)


def _runs(process: str | None) -> bool:
    if process is None or not int(process):
        return False
    try:
        os.kill(int(process), 0)
    except ProcessLookupError:
        return False
    except (OSError, OverflowError):  # somebody else's
        return True
    return True
