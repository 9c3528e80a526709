"""The library file on the disk: connecting to it, and where its backups lie."""

from __future__ import annotations

import os
import sqlite3
import stat
from typing import Literal
from urllib.parse import quote

#: How long a command waits for another one's write to end.
BUSY_SECONDS = 30.0
#: What SQLite keeps beside a database.
BESIDE = ("-journal", "-wal", "-shm")


def connect(path: str, access: Literal["ro", "rw", "glance"]) -> sqlite3.Connection:
    """A connection that starts no transaction by itself, waits for locks, and never creates a file.

    `rw` even for reading: after a crash the journal must be played back, which `ro` may not. A `glance` sees
    only the file itself, and leaves whatever lies beside it alone.
    """
    options = "mode=ro&immutable=1" if access == "glance" else f"mode={access}"
    uri = f"file:{quote(os.fsencode(path))}?{options}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256)


def strange_beside(path: str) -> list[str]:
    """What has a name that SQLite gives to its own files beside the one at `path`, and is no file.

    SQLite would wait for ever for a pipe, and cannot use a folder.
    """
    return [beside for suffix in BESIDE if _is_strange(beside := path + suffix)]


def _is_strange(path: str) -> bool:
    try:
        return not stat.S_ISREG(os.lstat(path).st_mode)
    except OSError:
        return False


def backup_directory(path: str) -> str:
    """Where the backups of the library at `path` are kept."""
    return os.path.join(os.path.dirname(path), "backups")


def backups(path: str) -> list[str]:
    """The finished backups of the library at `path`, oldest first."""
    prefix = os.path.basename(path) + "."
    moment = slice(len(prefix), len(prefix) + 8)  # `lib.db` beside `lib` is another library, with its own
    try:
        names = os.listdir(backup_directory(path))
    except OSError:
        return []
    return [
        os.path.join(backup_directory(path), name)
        for name in sorted(names)
        if name.startswith(prefix) and name.endswith(".bak") and name[moment].isdigit()
    ]
