"""What can be told of a root without walking it, and of a known file without reading it."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.models import KnownFile

Standing = Literal["present", "absent", "empty", "unreadable"]


def standing(directory: str) -> Standing:
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


def living_first(files: Iterable[KnownFile]) -> tuple[tuple[KnownFile, ...], frozenset[str]]:
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


def living(files: Iterable[KnownFile]) -> KnownFile | None:
    """The first file that is there now, else the first known; no more stats than that takes."""
    first: KnownFile | None = None
    for file in files:
        if file.missing_since is None and is_there(file.path):
            return file
        first = first or file
    return first
