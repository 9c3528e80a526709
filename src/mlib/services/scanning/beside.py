"""Which sidecars are news, told without opening one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core.compare import signed
from mlib.db import sidecars

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from mlib.db.library import Library


@dataclass(slots=True)
class Beside:
    """The sidecars of one directory: as they are now, and the names of those that are news."""

    found: Mapping[str, os.stat_result]
    news: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)


def compare_sidecars(
    library: Library, directory: str, found: Mapping[str, os.stat_result], *, rehash: bool
) -> Beside:
    """Which sidecars of a directory are new, changed or gone."""
    known = sidecars.in_directory(library, directory)
    news = {
        name
        for name, status in found.items()
        if rehash or name not in known or known[name].stamp != stamp(status)
    }
    return Beside(found, news, known.keys() - found.keys())


def stamp(status: os.stat_result) -> tuple[int, int, int]:
    """What must be equal for a sidecar to be believed unchanged."""
    return status.st_size, status.st_mtime_ns, signed(status.st_ino)
