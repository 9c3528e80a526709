"""Files by their names, as loaders ask for them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import path_of, stored_path

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.db.library import Library

#: SQLite takes at least 999 parameters.
_AT_ONCE = 500


class Placed(NamedTuple):
    """A path at which a model lies, or lay, and its root."""

    directory: str
    name: str
    sha256: str
    root_id: int | None
    present: bool


class Held(NamedTuple):
    """A present file of a model; `identity` is the same for hard links."""

    sha256: str
    directory: str
    name: str
    identity: tuple[int | None, int | None]


class Sized(NamedTuple):
    """A model in one line; `size_bytes` is that of its content."""

    sha256: str
    name: str
    type: str
    size_bytes: int | None


def named(library: Library, names: Iterable[str]) -> Iterator[Placed]:
    """Every row, present and missing, of files of exactly these names."""
    wanted = [stored_path(name) for name in dict.fromkeys(names)]
    for start in range(0, len(wanted), _AT_ONCE):
        batch = wanted[start : start + _AT_ONCE]
        marks = ",".join("?" * len(batch))
        rows = library.all(
            "SELECT directory, name, sha256, root_id, missing_since IS NULL FROM files"
            f" WHERE name IN ({marks}) ORDER BY name, directory, sha256",
            batch,
        )
        for directory, name, sha256, root_id, present in rows:
            yield Placed(path_of(directory), path_of(name), sha256, root_id, bool(present))


def all_names(library: Library) -> list[str]:
    """The name of every file, present or missing, once: read from an index alone."""
    return [path_of(name) for (name,) in library.all("SELECT DISTINCT name FROM files")]


def present_models(library: Library) -> list[Sized]:
    """Every model with a file, in no order."""
    rows = library.all(
        "SELECT sha256, name, type, size_bytes FROM models AS m WHERE EXISTS"
        " (SELECT 1 FROM files AS f WHERE f.sha256 = m.sha256 AND f.missing_since IS NULL)"
    )
    return [Sized(*row) for row in rows]


def paths_of_models(library: Library) -> Iterator[tuple[str, str, bool]]:
    """SHA-256, path and whether it is present, of every file, model by model in the order of
    `files.of_model`."""
    rows = library.all(
        "SELECT sha256, directory, name, missing_since IS NULL FROM files ORDER BY sha256,"
        " missing_since IS NOT NULL, missing_since DESC, length(directory) + length(name), directory, name"
    )
    for sha256, directory, name, present in rows:
        yield sha256, os.path.join(path_of(directory), path_of(name)), bool(present)


def present_files(library: Library) -> list[Held]:
    """Every present file, by directory and name."""
    rows = library.all(
        "SELECT sha256, directory, name, device, inode FROM files WHERE missing_since IS NULL"
        " ORDER BY directory, name"
    )
    return [
        Held(sha256, path_of(directory), path_of(name), (device, inode))
        for sha256, directory, name, device, inode in rows
    ]
