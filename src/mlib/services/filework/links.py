"""Links that lead to a file, and nowhere once it is not there any more."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.db import files

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.models import KnownFile
    from mlib.db.library import Library


def links_to(library: Library, row: KnownFile) -> tuple[str, ...]:
    """The paths of the library that are links to the file of a row, by way of others too."""
    others = [each.path for each in files.of_model(library, row.sha256) if each.missing_since is None]
    links = [path for path in others if path != row.path and os.path.islink(path)]
    if not links:
        return ()
    real = None if os.path.islink(row.path) else os.path.realpath(row.path)
    return tuple(link for link in links if os.path.realpath(link) == real or _next(link) == row.path)


def dangling(links: Iterable[str]) -> tuple[str, ...]:
    """Those that lead nowhere now."""
    return tuple(link for link in links if os.path.islink(link) and not os.path.exists(link))


def _next(link: str) -> str | None:
    try:
        return os.path.normpath(os.path.join(os.path.dirname(link), os.readlink(link)))
    except OSError:
        return None
