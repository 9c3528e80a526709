"""Opening an export for reading: a file of lines, or another library as the lines that it would export."""

from __future__ import annotations

import codecs
import os
import stat
import tempfile
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, BinaryIO

from mlib.core import exchange
from mlib.core.disk.writing import failed
from mlib.core.errors import MlibError, NotFound, Refused
from mlib.core.opening import open_for_reading
from mlib.db import exports
from mlib.db.schema import APPLICATION_ID, STEP_NAMES, applied_steps
from mlib.db.untrusted import open_untrusted
from mlib.db.untrusted_tables import check_pages, read_schema

if TYPE_CHECKING:
    import sqlite3
    from collections.abc import Iterator, Sequence

#: Bytes of the longest line that is read; the longest metadata is some megabytes.
LINE_LIMIT = 64 * 2**20
#: How long another library may take to be read.
DEADLINE_SECONDS = 3600.0

_SQLITE = b"SQLite format 3\0"
_LOOK = 4096
_NEEDED = (
    "models",
    "model_meta",
    "files",
    "roots",
    "tags",
    "model_tags",
    "pending_import",
    "pending_model_tags",
)
_FACTS = ("contents", "hashes", "findings", "given")


@dataclass(frozen=True, slots=True)
class TooLong:
    """A line that was not read."""

    reason: str


def is_export(path: str) -> bool:
    """Whether this looks like an export or a library of mlib: by its first bytes. Nothing else is read."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open_for_reading(path) as file:
            beginning = file.read(_LOOK) or b""
    except (OSError, ValueError):
        return False
    if beginning.startswith(_SQLITE):
        # The application id of a database (SQLite's file format, 1.3.14): in its header, at byte 68.
        return beginning[68:72] == APPLICATION_ID.to_bytes(4, "big")
    return beginning.removeprefix(codecs.BOM_UTF8).lstrip().startswith(b"{")


@contextmanager
def opened_export(path: str) -> Iterator[BinaryIO]:
    """The lines of an export. Another library is written as one to a private temporary file first.

    So it is read to its end, and known to be sound, before the first line is taken over. Raises MlibError.
    """
    with _opened(path) as file:
        if file.read(len(_SQLITE)) != _SQLITE:
            file.seek(0)
            yield file
            return
    with tempfile.TemporaryFile(prefix="mlib-") as spool:
        try:
            for line in _library_lines(path):
                spool.write(line.encode() + b"\n")
            spool.seek(0)
        except OSError as error:
            raise failed(tempfile.gettempdir(), error) from error
        yield spool


def lines_of(file: BinaryIO) -> Iterator[tuple[int, str | TooLong]]:
    """Each line with its number, from 1; one that is too long, or no UTF-8, is passed over and said.

    A byte order mark, which some editors put before the first, is not part of it.
    """
    number = 0
    try:
        while line := file.readline(LINE_LIMIT + 1):
            number += 1
            if len(line) > LINE_LIMIT:
                while line and not line.endswith(b"\n"):
                    line = file.readline(LINE_LIMIT)
                yield number, TooLong(f"it is over {LINE_LIMIT // 2**20} MiB long")
                continue
            try:
                yield number, line.decode("utf-8-sig" if number == 1 else "utf-8")
            except UnicodeDecodeError:
                yield number, TooLong("it is not UTF-8 text")
    except OSError as error:
        raise MlibError("unreadable_file", f"the export cannot be read: {error.strerror}") from error


@contextmanager
def _opened(path: str) -> Iterator[BinaryIO]:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise MlibError("not_a_file", f"{path} is not a regular file")
        raw = open_for_reading(path)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFound("no_such_file", f"{path}: there is no such file") from error
    except OSError as error:
        raise MlibError("unreadable_file", f"{path} cannot be read: {error.strerror}") from error
    with raw, open(os.dup(raw.fileno()), "rb", buffering=1 << 20) as file:
        yield file


def _library_lines(path: str) -> Iterator[str]:
    with open_untrusted(path, deadline_seconds=DEADLINE_SECONDS) as db:
        if db.execute("PRAGMA application_id").fetchone() != (APPLICATION_ID,):
            raise MlibError("unknown_database", f"{path} is no library of mlib")
        schema = read_schema(db)
        check_pages(path, db, schema)
        if not schema.tables.keys() >= set(_NEEDED) or not schema.others.keys().isdisjoint(_NEEDED + _FACTS):
            raise MlibError("unknown_database", f"{path} is not laid out as a library of mlib")
        db.text_factory = _text
        newer = sorted(applied_steps(db) - set(STEP_NAMES))
        if newer:
            raise Refused(
                "library_too_new", f"{path} was made by a newer mlib ({newer[-1]})", hint="upgrade mlib"
            )
        reader = _Reader(db)
        with_facts = schema.tables.keys() >= set(_FACTS)
        records = exports.count(reader, None, None)
        yield exchange.header_line(STEP_NAMES[-1], exports.roots(reader), records=records)
        for exported in exports.models(reader, with_facts=with_facts):
            yield exchange.line(exported)
        for entry in exports.pending(reader, with_facts=with_facts):
            yield exchange.line(entry)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


class _Reader:
    """Another library, as far as it has to be read."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        with closing(self._db.execute(sql, parameters)) as cursor:
            return cursor.fetchall()
