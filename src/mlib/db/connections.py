"""Connect to the library file; find its backups and the files SQLite keeps beside it."""

from __future__ import annotations

import os
import sqlite3
import stat
from contextlib import suppress
from typing import Literal, NamedTuple
from urllib.parse import quote

from mlib.core.disk.system import READ

#: How long a command waits for another one's write to end.
BUSY_SECONDS = 30.0
#: What SQLite keeps beside a database.
BESIDE = ("-journal", "-wal", "-shm")


def connect(path: str, access: Literal["ro", "rw", "immutable"]) -> sqlite3.Connection:
    """A connection that starts no transaction by itself, waits for locks, and never creates a file.

    `rw` even for reading: after a crash the journal must be played back, which `ro` may not. `immutable` sees
    only the file itself, and leaves whatever lies beside it alone.
    """
    options = "mode=ro&immutable=1" if access == "immutable" else f"mode={access}"
    uri = f"file:{quote(os.fsencode(path))}?{options}"
    return sqlite3.connect(uri, uri=True, timeout=BUSY_SECONDS, isolation_level=None, cached_statements=256)


def strange_beside(path: str) -> dict[str, str]:
    """What has a name of SQLite's files beside the one at `path` and may not be used with it: path to why.

    SQLite would wait for ever for a pipe, and cannot use a folder. What another database left it would write
    into this one, without a word.
    """
    found = {}
    for suffix in BESIDE:
        with suppress(OSError):
            status = os.lstat(path + suffix)
            if not stat.S_ISREG(status.st_mode):
                found[path + suffix] = "is not a file"
            elif status.st_size and _is_of_another(path, suffix):
                found[path + suffix] = "belongs to another database"
    return found


class _Journal(NamedTuple):
    """A rollback journal: what it says of the database as that was before."""

    nonce: bytes
    pages: int
    page_size: int
    first_page: bytes | None


#: Where the first page of a database says how it is written, its change counter and its pages, and for which
#: change counter that number of pages holds: https://sqlite.org/fileformat2.html#database_header
_WRITE_VERSION, _COUNTER, _PAGES, _VALID_FOR = slice(18, 19), slice(24, 28), slice(28, 32), slice(92, 96)
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
#: Databases whose first page was read, and the descriptors for that. They stay open, as SQLite's own do:
#: closing any would take away the locks that this process has on the file (fcntl(2)).
_read: dict[tuple[int, int], int] = {}


def _is_of_another(path: str, suffix: str) -> bool:
    """Whether what is beside a database was not left by a change of it, as far as that can be told.

    A journal does not say whose it is. But a change adds one to the counter on the first page, and that page
    is in the journal before it is written; and where a journal is without it, as many pages were there as the
    database still says. Only a database that stood at just that count passes for the right one.
    A write-ahead log is none of a database that is not written by one.
    """
    if suffix == "-shm":  # made anew from the log
        return False
    if suffix == "-wal":
        return _first_page(path)[_WRITE_VERSION] == b"\x01"
    while True:
        journal = _journal(path + suffix)
        if journal is None:
            return False
        page = _first_page(path)
        if _journal(path + suffix) == journal:  # no other process began or ended a change meanwhile
            return bool(page) and not _may_be_of(journal, page)


def _may_be_of(journal: _Journal, page: bytes) -> bool:
    before = journal.first_page
    if not journal.pages:  # the change that makes the database is its first
        return int.from_bytes(page[_COUNTER]) <= 1
    if before is None:
        return page[_PAGES] == journal.pages.to_bytes(4) or page[_VALID_FOR] != page[_COUNTER]
    steps = int.from_bytes(page[_COUNTER]) - int.from_bytes(before[_COUNTER])
    return steps % (1 << 32) == 1 or (steps == 0 and page == before[: len(page)])


def _first_page(path: str) -> bytes:
    """The beginning of a database, as much as its first page has at least; empty where it cannot be read."""
    with suppress(OSError):
        status = os.stat(path)
        key = status.st_dev, status.st_ino
        if key not in _read:
            _read[key] = os.open(path, READ)
        return os.pread(_read[key], 512, 0)
    return b""


def _journal(path: str) -> _Journal | None:
    """A rollback journal that SQLite would play back; None where it would not.

    https://sqlite.org/fileformat2.html#the_rollback_journal
    """
    with suppress(OSError), open(path, "rb") as file:
        head = file.read(28)
        numbers = [int.from_bytes(head[at : at + 4]) for at in range(8, 28, 4)]
        count, nonce, pages, sector, page_size = numbers
        if not head.startswith(_JOURNAL_MAGIC) or not (512 <= page_size <= 65536 and 32 <= sector <= 65536):
            return None
        size = os.fstat(file.fileno()).st_size
        at, first_page = sector, None
        while first_page is None:
            for _ in range(min(count, (size - at) // (page_size + 8))):
                file.seek(at)
                if file.read(4) == (1).to_bytes(4):
                    content = file.read(page_size)
                    if _checksum(content, nonce) == int.from_bytes(file.read(4)):
                        first_page = content
                    break
                at += page_size + 8
            at += -at % sector  # the next part, if there is one
            file.seek(at)
            if len(more := file.read(28)) < 28 or not more.startswith(_JOURNAL_MAGIC):
                break
            count, nonce = (int.from_bytes(more[i : i + 4]) for i in (8, 12))
            at += sector
        return _Journal(head[12:16], pages, page_size, first_page)
    return None


def _checksum(page: bytes, nonce: int) -> int:
    return (nonce + sum(page[at] for at in range(len(page) - 200, 0, -200))) % (1 << 32)


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
