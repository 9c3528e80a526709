"""Remembered roots that are not walked, because an earlier one leads to the same folder.

A folder that became a link to another is one. What is known in it under its own name is asked for here: no
walk comes by it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.compare import stat_of
from mlib.core.walk import is_within
from mlib.db import files

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.models import KnownFile, Root
    from mlib.db.library import Library
    from mlib.services.scanning.survey import Survey


def shadows(remembered: Sequence[Root], known: Sequence[Root]) -> list[tuple[Root, Root]]:
    """Each remembered root that is not among the `known`, with the one that leads to its folder."""
    ids = {root.id for root in known}
    others = [root for root in remembered if root.id not in ids]
    if not others:
        return []
    real = {os.path.realpath(root.path): root for root in known}
    pairs = ((other, real.get(os.path.realpath(other.path))) for other in others)
    return [(other, root) for other, root in pairs if root is not None]


def find_gone(library: Library, shadowed: Sequence[tuple[Root, Root]], result: Survey) -> None:
    """Tell what is known in these roots and is there no more, where the same folder was walked whole.

    It is judged with the root that was walked.
    """
    for root, walked in shadowed:
        seen = result.roots.get(walked.path)
        if seen is None or not seen.whole or seen.failed or root.id is None:
            continue
        seen.others.append(root.id)
        result.gone += [
            row
            for row in _present(library, root)
            if not _is_unknown(os.path.join(walked.path, os.path.relpath(row.path, root.path)), result)
            and _is_gone(row)
        ]


def _present(library: Library, root: Root) -> Iterator[KnownFile]:
    for directory in files.known_directories(library, root.path):
        rows = files.in_directory(library, directory)
        yield from (row for row in rows if row.root_id == root.id and row.missing_since is None)


def _is_unknown(path: str, result: Survey) -> bool:
    return any(is_within(path, tree) for tree in result.unknown)


def _is_gone(row: KnownFile) -> bool:
    """Whether it is not there, or another file is in its place."""
    try:
        now = stat_of(os.stat(row.path))
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        return False
    return row.stat is not None and row.stat[:2] != now[:2]
