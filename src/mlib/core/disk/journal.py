"""What was done to a user's files, a JSON object a line: for people, and to end what was cut off."""

from __future__ import annotations

import json
import os
import re
import stat
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from mlib.core import times
from mlib.core.disk import system
from mlib.core.disk.entries import HALF_MOVED
from mlib.core.errors import LibraryBusy, MlibError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence


#: How much of the end of a journal is looked at for what was cut off.
_TAIL = 4 << 20
#: No line of ours is longer: a model of 10,000 files would have one of a quarter of it.
_LONGEST = 16 << 20
#: What an entry is called: when in nanoseconds, in hex, and what tells runs apart.
_ID = re.compile("[0-9a-f]{1,16}-[0-9a-zA-Z_]{1,64}")
#: With the process id it tells runs apart: containers that share a library may share that id.
_RUN = os.urandom(8).hex()
_STATES = ("begun", "done", "undone", "half")
#: How every line of ours begins; the rest of one may be lost with the power.
_BEGINNING = b'{"id": "'


class FileAction(NamedTuple):
    """Something that was done to the files of a model, when in milliseconds; `moves` are (from, to).

    `others` counts the models whose files the same command moved before.
    """

    at: int
    command: str
    sha256: str
    moves: tuple[tuple[str, str], ...]
    others: int = 0


class _Entry(NamedTuple):
    """A line of a journal: what begins, or how it ended; `moves` of an end are to the trash."""

    id: str
    state: str
    command: str
    sha256: str
    moves: tuple[tuple[str, str], ...]


def journal_path(library_path: str) -> str:
    """Return the path of a library's file journal."""
    return library_path + ".files.jsonl"


@contextmanager
def noted(
    library_path: str, command: str, *, sha256: str, moves: Sequence[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Write down what is about to happen, and afterwards that it did; what the block adds is written then.

    An entry without an end was cut off. Raises MlibError `no_journal` before anything is done.
    """
    path = journal_path(library_path)
    identifier = f"{time.time_ns():x}-{os.getpid()}_{_RUN}"
    pairs = [{"from": source, "to": target} for source, target in moves]
    _append(path, _entry(identifier, "begun", command=command, sha256=sha256, moves=pairs))
    more: dict[str, Any] = {}
    try:
        yield more
    except Exception as error:  # not Ctrl-C: what that cut off has no end, and is ended by the next run
        state = "half" if isinstance(error, MlibError) and error.code == HALF_MOVED else "undone"
        with suppress(MlibError):  # what went wrong before is worth more
            _append(path, _entry(identifier, state, error=str(error)))
        raise
    with suppress(MlibError):  # it is done; an entry without an end does no harm
        _append(path, _entry(identifier, "done", **more))


def _entry(identifier: str, state: str, **more: Any) -> dict[str, Any]:
    return {"id": identifier, "state": state, "at": times.iso(times.now()), **more}


def cut_off(library_path: str) -> set[tuple[str, str]]:
    """The moves (from, to) that may have been done in part, and not been done since."""
    open_: dict[str, set[tuple[str, str]]] = {}
    for entry in _tail(journal_path(library_path)):
        if entry.state == "begun":
            open_[entry.id] = set(entry.moves)
        elif entry.state != "half":
            ended = open_.pop(entry.id, set())
            if entry.state == "done":
                open_ = {key: moves - ended for key, moves in open_.items()}
    return set().union(*open_.values())


def gone_to_trash(library_path: str) -> dict[str, str]:
    """Where what was moved to the trash was put, by the path that it had; the last time counts."""
    found: dict[str, str] = {}
    for entry in _tail(journal_path(library_path)):
        if entry.state == "done":  # only what went to the trash has moves at its end
            found.update(entry.moves)
    return found


def last_file_action(library_path: str) -> FileAction | None:
    """The last that was done to files, at its end; `to` is where things lie now, in the trash too."""
    begun: dict[str, _Entry] = {}
    last = None
    run: tuple[str, str] | None = None
    others = 0
    for entry in _tail(journal_path(library_path)):
        if entry.state == "begun":
            begun[entry.id] = entry
        elif entry.state == "done" and entry.id in begun:
            last = begun[entry.id], entry
            this = entry.id.partition("-")[2], last[0].command
            others = others + 1 if this == run else 0
            run = this
    if last is None:
        return None
    beginning, end = last
    nanoseconds = int(beginning.id.partition("-")[0], 16)
    return FileAction(
        nanoseconds // 1_000_000, beginning.command, beginning.sha256, end.moves or beginning.moves, others
    )


def foreign_lines(library_path: str) -> list[int]:
    """The numbers of the lines of a journal that are not understood, of all of it.

    They are of a newer mlib, or of no mlib at all, and are passed over. What a line that was cut off left is
    none of them.
    """
    found = []
    try:
        with _opened(journal_path(library_path)) as file:
            number = 0
            while line := file.readline(_LONGEST):
                number += 1
                whole = line.endswith(b"\n")
                while not whole and (rest := file.readline(_LONGEST)):
                    whole = rest.endswith(b"\n")
                    line = b"-"  # whatever it is, it is too long
                if _entry_of(line) is None and not _is_cut_off(line.strip(b"\0 \r\n")):
                    found.append(number)
    except OSError:
        return []
    return found


def _append(path: str, entry: Mapping[str, Any]) -> None:
    # ASCII: a name that is no UTF-8 is lone surrogates, which only escapes can hold.
    line = json.dumps(entry, ensure_ascii=True) + "\n"
    try:
        descriptor = os.open(path, system.APPEND, 0o600)
        try:
            size = os.fstat(descriptor).st_size
            if size and os.pread(descriptor, 1, size - 1) != b"\n":
                line = "\n" + line  # the last one was cut off
            if os.write(descriptor, line.encode("ascii")) < len(line):
                raise OSError("no room")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise MlibError(
            "no_journal", f"cannot write down what is done to your files: {path}: {why}"
        ) from error


def _tail(path: str) -> Iterator[_Entry]:
    try:
        with _opened(path) as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read(_TAIL).split(b"\n")
    except OSError:
        return
    for line in lines:
        entry = _entry_of(line)
        if entry is not None:
            yield entry


def _opened(path: str) -> BinaryIO:
    """Open the journal for reading. Raises OSError for anything but a regular file: a pipe would block."""
    descriptor = os.open(path, system.READ)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(f"this is not a file: {path}")
    return os.fdopen(descriptor, "rb")


def _entry_of(line: bytes) -> _Entry | None:
    """The entry that a line is; None for what no mlib wrote, or a newer one: nothing in it is relied on."""
    try:
        found = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if not isinstance(found, dict):
        return None
    identifier, state = found.get("id"), found.get("state")
    if not (isinstance(identifier, str) and _ID.fullmatch(identifier) and state in _STATES):
        return None
    command, sha256 = found.get("command", ""), found.get("sha256", "")
    moves = _moves(found.get("moves", []) if state == "begun" else found.get("trashed") or [])
    if moves is None or not (isinstance(command, str) and isinstance(sha256, str)):
        return None
    if state == "begun" and not (command and sha256 and moves):
        return None
    return _Entry(identifier, state, command, sha256, moves)


def _is_cut_off(line: bytes) -> bool:
    """Whether a line is what is left of one of ours: its beginning, or nothing at all."""
    if not line.startswith(_BEGINNING):
        return _BEGINNING.startswith(line)
    try:
        json.loads(line)
    except (ValueError, RecursionError):
        return True
    return False


def _moves(found: object) -> tuple[tuple[str, str], ...] | None:
    if not isinstance(found, list):
        return None
    moves: list[tuple[Any, Any]] = [
        (each.get("from"), each.get("to")) for each in found if isinstance(each, dict)
    ]
    if len(moves) != len(found) or not all(_may_be_path(path) for pair in moves for path in pair):
        return None
    return tuple(moves)


def _may_be_path(value: object) -> bool:
    if not isinstance(value, str) or "\0" in value:
        return False
    try:
        os.fsencode(value)
    except UnicodeEncodeError:  # a surrogate that stands for no byte
        return False
    return bool(value)


# --- One at a time: two commands that move or remove files could each take the copy that the other one
# keeps.

#: As long as a command waits for a library that another one writes to.
PATIENCE_SECONDS = 30.0
_PAUSE_SECONDS = 0.05


@contextmanager
def own_turn(library_path: str, *, patience_seconds: float = PATIENCE_SECONDS) -> Iterator[None]:
    """Hold the journal of a library's files for oneself; the kernel lets go of it whatever ends the process.

    Raises LibraryBusy where another process has it for longer than `patience_seconds`, and MlibError
    (`no_journal`) where it cannot be opened, `cannot_move_safely` where the system offers no safe way.
    """
    expect_safe_moves()
    path = journal_path(library_path)
    try:
        descriptor = os.open(path, system.CREATE, 0o600)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise MlibError(
            "no_journal", f"cannot write down what is done to your files: {path}: {why}"
        ) from error
    try:
        _wait(descriptor, path, patience_seconds)
        yield
    finally:
        os.close(descriptor)


def expect_safe_moves() -> None:
    """Raise MlibError (`cannot_move_safely`) where a move could take another program's file unnoticed."""
    if not system.can_move_safely():
        message = (
            "moving and removing files needs locks and open directories, which this system does not offer"
        )
        hint = "nothing was changed; move the file yourself, and scan again"
        raise MlibError("cannot_move_safely", message, hint=hint)


def _wait(descriptor: int, path: str, patience_seconds: float) -> None:
    until = time.monotonic() + patience_seconds
    while True:
        if system.lock(descriptor) != "held":  # or a file system without locks: as before there were any
            return
        if time.monotonic() > until:
            raise LibraryBusy("files_busy", f"another mlib is moving files: {path}")
        time.sleep(_PAUSE_SECONDS)
