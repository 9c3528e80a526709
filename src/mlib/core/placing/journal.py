"""What was done to a user's files, a JSON object a line: for people, and to end what was cut off."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import times
from mlib.core.disk.entries import HALF_MOVED
from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: How much of the end of a journal is looked at for what was cut off.
_TAIL = 4 << 20


class Deed(NamedTuple):
    """Something that was done to the files of a model, when in milliseconds; `moves` are (from, to).

    `others` counts the models whose files the same command moved before.
    """

    at: int
    command: str
    sha256: str
    moves: tuple[tuple[str, str], ...]
    others: int = 0


def journal_path(library_path: str) -> str:
    """Where the journal of a library lies."""
    return library_path + ".files.jsonl"


@contextmanager
def noted(
    library_path: str, command: str, *, sha256: str, moves: Sequence[tuple[str, str]]
) -> Iterator[dict[str, Any]]:
    """Write down what is about to happen, and afterwards that it did; what the block adds is written then.

    An entry without an end was cut off. Raises MlibError `no_journal` before anything is done.
    """
    path = journal_path(library_path)
    identifier = f"{time.time_ns():x}-{os.getpid()}"
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
        identifier, state = str(entry.get("id")), entry.get("state")
        if state == "begun":
            open_[identifier] = {(move["from"], move["to"]) for move in entry["moves"]}
        elif state != "half":
            ended = open_.pop(identifier, set())
            if state == "done":
                open_ = {key: moves - ended for key, moves in open_.items()}
    return set().union(*open_.values())


def gone_to_trash(library_path: str) -> dict[str, str]:
    """Where what was moved to the trash was put, by the path that it had; the last time counts."""
    found: dict[str, str] = {}
    for entry in _tail(journal_path(library_path)):
        trashed = entry.get("trashed") if entry.get("state") == "done" else None
        for each in trashed if isinstance(trashed, list) else ():
            with suppress(KeyError, TypeError):
                found[each["from"]] = each["to"]
    return found


def last_deed(library_path: str) -> Deed | None:
    """The last that was done to files, at its end; `to` is where things lie now, in the trash too."""
    begun: dict[str, dict[str, Any]] = {}
    last = None
    run: tuple[str, str] | None = None
    others = 0
    for entry in _tail(journal_path(library_path)):
        identifier = str(entry.get("id"))
        if entry.get("state") == "begun":
            begun[identifier] = entry
        elif entry.get("state") == "done" and identifier in begun:
            last = begun[identifier], entry
            this = identifier.partition("-")[2], str(last[0].get("command"))
            others = others + 1 if this == run else 0
            run = this
    if last is None:
        return None
    beginning, end = last
    try:
        moves = tuple((move["from"], move["to"]) for move in end.get("trashed") or beginning["moves"])
        nanoseconds = int(beginning["id"].partition("-")[0], 16)
        return Deed(nanoseconds // 1_000_000, beginning["command"], beginning["sha256"], moves, others)
    except (KeyError, TypeError, ValueError):  # somebody else wrote into it
        return None


def _append(path: str, entry: Mapping[str, Any]) -> None:
    # ASCII: a name that is no UTF-8 is lone surrogates, which only escapes can hold.
    line = json.dumps(entry, ensure_ascii=True) + "\n"
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND, 0o600)
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


def _tail(path: str) -> Iterator[dict[str, Any]]:
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - _TAIL))
            lines = file.read().split(b"\n")
    except OSError:
        return
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        if isinstance(entry, dict):
            yield entry
