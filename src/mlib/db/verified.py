"""When the files were last read whole and found to be what they are known as."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.db.rows import FILE_COLUMNS, file_of, stored_path
from mlib.db.writing import upsert

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.models import KnownFile
    from mlib.db.library import Library

_COLUMNS = ", ".join(f"f.{column}" for column in FILE_COLUMNS.split(", "))
#: A scan's hash is a reading of the whole file as much as a verification is.
_READ_AT = "max(coalesce(v.verified_at, 0), coalesce(f.hashed_at, 0))"
_FROM = (
    "FROM files AS f LEFT JOIN verified AS v"
    " ON v.directory = f.directory AND v.name = f.name AND v.sha256 = f.sha256"
)


class LastRead(NamedTuple):
    """A present file, and when all of it was last read (ms); 0 for never."""

    file: KnownFile
    read_at: int


def present(library: Library, sha256: str | None = None) -> list[LastRead]:
    """Every present file, or those of one model, the one that was not read for the longest time first."""
    of_model = "" if sha256 is None else " AND f.sha256 = ?"
    rows = library.all(
        f"SELECT {_READ_AT}, {_COLUMNS} {_FROM} WHERE f.missing_since IS NULL{of_model}"
        " ORDER BY 1, f.directory, f.name",
        [] if sha256 is None else [sha256],
    )
    return [LastRead(file_of(row[1:]), row[0]) for row in rows]


def put(library: Library, files: Iterable[KnownFile], moment: int) -> None:
    """Note that these files were read whole just now; one that another mlib has removed is passed over."""
    for file in files:
        key = {
            "directory": stored_path(file.directory),
            "name": stored_path(file.name),
            "sha256": file.sha256,
        }
        where = "SELECT 1 FROM files WHERE directory = ? AND name = ? AND sha256 = ?"
        if library.one(where, list(key.values())) is not None:
            upsert(library, "verified", [{**key, "verified_at": moment}], key=tuple(key))
