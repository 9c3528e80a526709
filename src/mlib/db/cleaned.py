"""When stored metadata was last freed of image data, which the history does not hold."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.db.connections import backup_directory

if TYPE_CHECKING:
    from mlib.db.library import Library

_KEY = "cleaned"


class Cleaning(NamedTuple):
    """When it was (milliseconds), and the path of the backup that was made before it."""

    at: int
    backup: str


def note(library: Library, backup: str) -> None:
    """Keep that it is done now; only inside `transaction`."""
    value = json.dumps({"at": times.now(), "backup": os.path.basename(backup)})
    library.execute("REPLACE INTO db_meta (key, value) VALUES (?, ?)", [_KEY, value])


def last(library: Library) -> Cleaning | None:
    """The last time, if ever."""
    row = library.one("SELECT value FROM db_meta WHERE key = ?", [_KEY])
    if row is None:
        return None
    kept = json.loads(row[0])
    return Cleaning(kept["at"], os.path.join(backup_directory(library.path), kept["backup"]))
