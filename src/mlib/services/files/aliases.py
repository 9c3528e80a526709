"""Recognise one file at several paths, and find links that a removal leaves dangling."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.db import files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.records import KnownFile
    from mlib.db.library import Library


# --- One file at several paths, through linked folders


def real_location(row: KnownFile) -> str:
    """Its path with the links of its directory followed, never its own; the file need not be there."""
    return real_path(row.path)


def real_path(path: str) -> str:
    """The same for a path."""
    directory, name = os.path.split(path)
    return os.path.join(os.path.realpath(directory), name)


def unique_files(rows: Iterable[KnownFile]) -> list[KnownFile]:
    """The first of the rows that lead to one and the same name in a directory."""
    found: dict[str, KnownFile] = {}
    for row in rows:
        found.setdefault(real_location(row), row)
    return list(found.values())


def other_paths(library: Library, row: KnownFile) -> list[KnownFile]:
    """The other present rows of its model that speak of the same file, which may have gone just now."""
    present = [each for each in files.of_model(library, row.sha256) if each.missing_since is None]
    others = [each for each in present if each.path != row.path and each.name == row.name]
    return [each for each in others if real_location(each) == real_location(row)]


def links_to(library: Library, row: KnownFile) -> tuple[str, ...]:
    """The paths of the library that are links to the file of a row, by way of others too."""
    others = [each.path for each in files.of_model(library, row.sha256) if each.missing_since is None]
    links = [path for path in others if path != row.path and os.path.islink(path)]
    if not links:
        return ()
    real = None if os.path.islink(row.path) else os.path.realpath(row.path)
    return tuple(link for link in links if os.path.realpath(link) == real or _next(link) == row.path)


def dangling_links(links: Iterable[str]) -> tuple[str, ...]:
    """Those that lead nowhere now."""
    return tuple(link for link in links if os.path.islink(link) and not os.path.exists(link))


def _next(link: str) -> str | None:
    try:
        return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except OSError:
        return None
