"""Opens an SQLite file that somebody else made, without trusting it and without changing it or its folder."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import stat
import tempfile
import time
from contextlib import ExitStack, closing, contextmanager
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import quote

from mlib.core.errors import MlibError, NotFound, Terminated
from mlib.db.faults import FAILURES

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import BinaryIO

#: The longest text or blob SQLite may handle, whether stored or computed.
CELL_LIMIT = 64 * 1024 * 1024

_State: TypeAlias = tuple[int, int, int]  # inode, size in bytes, mtime in ns
_JOURNAL_MAGIC = bytes.fromhex("d9d505f920a163d7")
_CHUNK = 1024 * 1024
# Virtual machine steps between two looks at the clock.
_STEPS = 200
_SETTINGS = (
    "PRAGMA trusted_schema=OFF",
    "PRAGMA cell_size_check=ON",
    "PRAGMA query_only=ON",
    "PRAGMA mmap_size=0",
    # quick_check would evaluate CHECK expressions, and one call of a function in them cannot be interrupted.
    "PRAGMA ignore_check_constraints=ON",
)
# Which of our errors a primary result code of SQLite is; any other code means damage.
_MEANINGS = {
    sqlite3.SQLITE_BUSY: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_CANTOPEN: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_ERROR: ("unknown_database", "{path} is not laid out as expected: {reason}"),
    sqlite3.SQLITE_FULL: ("temporary_copy_failed", "no room is left to read {path}"),
    sqlite3.SQLITE_INTERRUPT: ("database_too_slow", "reading {path} took too long"),
    sqlite3.SQLITE_IOERR: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_NOMEM: ("database_too_big", "{path} holds values too big to read"),
    sqlite3.SQLITE_NOTADB: ("not_a_database", "{path} is not an SQLite database, or it is encrypted"),
    sqlite3.SQLITE_PERM: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_READONLY: ("unreadable_file", "{path} cannot be read: {reason}"),
    sqlite3.SQLITE_TOOBIG: ("database_too_big", "{path} holds values too big to read"),
}


@contextmanager
def open_untrusted(path: str, *, deadline_seconds: float) -> Iterator[sqlite3.Connection]:
    """Give a guarded read-only connection to the database at `path`; text comes as `bytes`.

    With nothing unfinished beside it the file is opened as immutable: a WAL database opened any other way
    leaves `-wal` and `-shm` files behind, or cannot be opened at all in a read-only folder. With a `-wal`
    or a `-journal` beside it, all of them are copied to a private temporary folder and read there.

    Whatever SQLite raises inside the `with` block leaves it as MlibError: `no_such_file`, `not_a_file`,
    `unreadable_file`, `not_a_database`, `corrupt_database`, `unknown_database`, `database_too_slow`,
    `database_too_big`, `database_in_use`, `unfinished_transaction` or `temporary_copy_failed`.
    """
    deadline = time.monotonic() + deadline_seconds
    os.close(_open_regular(path))
    real = os.path.realpath(path)
    before = _fingerprint(real)
    beside = [real + suffix for suffix in ("-wal", "-journal") if _holds_something(real + suffix)]
    stops: list[BaseException] = []
    with ExitStack() as stack:
        if beside:
            folder = stack.enter_context(_private_folder())
            try:
                _copy_all([real, *beside], folder, deadline=deadline)
            finally:
                # Whatever a copy of moving files failed with, the move is the cause.
                if _fingerprint(real) != before:
                    raise _in_use(path)
            uri = _uri(os.path.join(folder, os.path.basename(real)), "mode=rw")
        else:
            uri = _uri(real, "mode=ro&immutable=1")
        try:
            with closing(sqlite3.connect(uri, uri=True, isolation_level=None)) as db:
                _guard(db, deadline=deadline, stops=stops)
                if not beside:
                    _refuse_cut_short(path, db, before[0])
                yield db
        except (MlibError, *FAILURES) as error:
            if stops:
                raise stops[0] from None
            if not beside and _fingerprint(real) != before:
                raise _in_use(path) from error
            if isinstance(error, MlibError):
                raise
            raise _explained(path, error) from error
        if stops:
            raise stops[0]
        if not beside and _fingerprint(real) != before:
            raise _in_use(path)


def is_too_big(error: sqlite3.Error) -> bool:
    """Tell whether SQLite gave up because one value is over CELL_LIMIT."""
    return _primary_code(error) == sqlite3.SQLITE_TOOBIG


def _guard(db: sqlite3.Connection, *, deadline: float, stops: list[BaseException]) -> None:
    db.text_factory = bytes
    db.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, CELL_LIMIT)
    db.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    clock = _clock(deadline, stops)
    next(clock)
    db.set_progress_handler(clock.__next__, _STEPS)
    for setting in _SETTINGS:
        db.execute(setting)


def _refuse_cut_short(path: str, db: sqlite3.Connection, state: _State | None) -> None:
    """Refuse a file that ends within a page: SQLite would read the rest of the page as zeros."""
    size_bytes = state[1] if state else 0
    (pages,), (page_size,) = (db.execute(f"PRAGMA {name}").fetchone() for name in ("page_count", "page_size"))
    if pages * page_size > size_bytes:
        raise corrupt(path, f"it is cut short, {pages * page_size} bytes are expected and {size_bytes} there")


def _clock(deadline: float, stops: list[BaseException]) -> Generator[bool, None, None]:
    """Say on each call whether to stop.

    The sqlite3 module swallows what a progress handler raises, and Ctrl-C during a query is raised in it.
    A generator resumes inside its `try`, so even a signal that is already waiting is caught here.
    """
    while True:
        try:
            yield bool(stops) or time.monotonic() > deadline
        except (KeyboardInterrupt, Terminated) as stop:
            stops.append(stop)


def _open_regular(path: str) -> int:
    """Open a regular file for reading without ever waiting for a FIFO or a device."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except (FileNotFoundError, NotADirectoryError, ValueError) as error:
        raise NotFound("no_such_file", f"{path}: there is no such file") from error
    except OSError as error:
        if error.errno in (errno.ENXIO, errno.ENODEV):  # a socket, a device without a driver
            raise _not_a_file(path) from error
        raise _unreadable(path, error) from error
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    return descriptor


def _fingerprint(real: str) -> tuple[_State | None, ...]:
    """Describe the database and the files SQLite keeps beside it, to see later whether anyone wrote."""
    return tuple(_state(real + suffix) for suffix in ("", "-wal", "-journal"))


def _state(path: str) -> _State | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns


def _holds_something(path: str) -> bool:
    try:
        found = os.stat(path)
    except OSError:
        return False
    return stat.S_ISREG(found.st_mode) and found.st_size > 0


@contextmanager
def _private_folder() -> Iterator[str]:
    try:
        folder = tempfile.TemporaryDirectory(prefix="mlib-", ignore_cleanup_errors=True)
    except OSError as error:
        raise _copy_failed(error) from error
    with folder as name:
        yield name


def _copy_all(sources: list[str], folder: str, *, deadline: float) -> None:
    """Copy the database and what lies beside it into `folder`, if there is room for them."""
    try:
        needed = sum(os.stat(source).st_size for source in sources)
        free = shutil.disk_usage(folder).free
    except OSError as error:
        raise _copy_failed(error) from error
    if needed > free:
        raise MlibError(
            "temporary_copy_failed",
            f"a copy of {sources[0]} needs {needed} bytes in {folder}, which has {free}",
            hint="set TMPDIR to a folder with more room",
        )
    for source in sources:
        descriptor = _open_regular(source)
        target = os.path.join(folder, os.path.basename(source))
        try:
            with open(descriptor, "rb") as reader, open(target, "xb") as writer:
                tail = _copy(reader, writer, deadline=deadline)
        except OSError as error:
            raise _copy_failed(error) from error
        # A rollback journal that ends so names a super-journal: SQLite may delete the file of that name.
        if source.endswith("-journal") and tail == _JOURNAL_MAGIC:
            raise MlibError(
                "unfinished_transaction",
                f"{source} belongs to an unfinished change of several databases",
                hint="let the program that wrote it finish, then try again",
            )


def _copy(reader: BinaryIO, writer: BinaryIO, *, deadline: float) -> bytes:
    """Copy to the end and return the last few bytes, as many as a journal's mark has."""
    tail = b""
    while chunk := reader.read(_CHUNK):
        if time.monotonic() > deadline:
            raise MlibError("database_too_slow", "copying the database took too long")
        writer.write(chunk)
        tail = (tail + chunk)[-len(_JOURNAL_MAGIC) :]
    return tail


def _uri(path: str, options: str) -> str:
    return f"file://{quote(os.fsencode(path))}?{options}"


def _primary_code(error: BaseException) -> int:
    code = getattr(error, "sqlite_errorcode", None)
    return code & 0xFF if isinstance(code, int) else sqlite3.SQLITE_ERROR


def _explained(path: str, error: BaseException) -> MlibError:
    if isinstance(error, UnicodeError):
        return corrupt(path, "its table definitions are not text")
    code = _primary_code(error)
    if isinstance(error, MemoryError | OverflowError):
        code = sqlite3.SQLITE_NOMEM
    reason = " ".join(str(error).split())[:200]
    if code not in _MEANINGS:
        return corrupt(path, reason)
    name, message = _MEANINGS[code]
    return MlibError(name, message.format(path=path, reason=reason))


def corrupt(path: str, reason: str) -> MlibError:
    """Say that the database is damaged."""
    return MlibError(
        "corrupt_database",
        f"{path} is damaged: {' '.join(reason.split())[:200]}",
        hint="try a backup of it, or let `sqlite3 FILE .recover` save what can be read",
    )


def _in_use(path: str) -> MlibError:
    return MlibError(
        "database_in_use",
        f"{path} changed while it was read",
        hint="close the program that uses it, then try again",
    )


def _not_a_file(path: str) -> MlibError:
    return MlibError("not_a_file", f"{path} is not a regular file")


def _unreadable(path: str, error: OSError) -> MlibError:
    return MlibError("unreadable_file", f"{path} cannot be read: {error.strerror}")


def _copy_failed(error: OSError) -> MlibError:
    return MlibError(
        "temporary_copy_failed",
        f"the database could not be copied to read it: {error.strerror}",
        hint="set TMPDIR to a folder that can be written",
    )
