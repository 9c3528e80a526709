"""Which sidecars are news, told without opening one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core.compare import stat_of
from mlib.db import given, sidecars

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping

    from mlib.db.library import Library


@dataclass(slots=True)
class Beside:
    """The sidecars of one directory: as they are now, and the names of those that are news.

    `owed` are names of models that they were not compared with yet.
    """

    found: Mapping[str, os.stat_result]
    news: set[str] = field(default_factory=set)
    gone: set[str] = field(default_factory=set)
    owed: set[str] = field(default_factory=set)

    @property
    def is_news(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.news or self.gone or self.owed)


def compare_sidecars(
    library: Library, directory: str, found: Mapping[str, os.stat_result], *, rehash: bool
) -> Beside:
    """Which sidecars of a directory are new, changed or gone, and which models wait for a comparison."""
    known = sidecars.in_directory(library, directory)
    news = {
        name
        for name, status in found.items()
        if rehash or name not in known or known[name].stamp != stamp(status)
    }
    return Beside(found, news, known.keys() - found.keys(), given.owed(library, directory))


def stamp(status: os.stat_result) -> tuple[int, int, int]:
    """What must be equal for a sidecar to be believed unchanged."""
    size, mtime_ns, _, inode = stat_of(status)
    return size, mtime_ns, inode
