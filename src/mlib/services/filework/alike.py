"""One file at several paths, because a folder on the way to it is a link and both ways are scanned."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.db import files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.models import KnownFile
    from mlib.db.library import Library


def real_place(row: KnownFile) -> str:
    """Its path with the links of its directory followed, never its own; the file need not be there."""
    return real_path(row.path)


def real_path(path: str) -> str:
    """The same for a path."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def each_once(rows: Iterable[KnownFile]) -> list[KnownFile]:
    """The first of the rows that lead to one and the same name in a directory."""
    found: dict[str, KnownFile] = {}
    for row in rows:
        found.setdefault(real_place(row), row)
    return list(found.values())


def other_paths(library: Library, row: KnownFile) -> list[KnownFile]:
    """The other present rows of its model that speak of the same file, which may have gone just now."""
    present = [each for each in files.of_model(library, row.sha256) if each.missing_since is None]
    others = [each for each in present if each.path != row.path and each.name == row.name]
    return [each for each in others if real_place(each) == real_place(row)]
