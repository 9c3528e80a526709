"""The only module that writes to standard output and standard error, and formats numbers for people.

Data goes to standard output, notes and errors to standard error. Text is made `visible` on the way, so that
no name or metadata can send control characters to a terminal.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlib.core import jsontext, times
from mlib.core.errors import Hint
from mlib.core.text import exact, visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlib.core.errors import Command, MlibError
    from mlib.core.records import Problem


# --- Numbers and phrases for people


def size(count: int | None) -> str:
    """A byte count in decimal units, as disks are sold: `9.30 kB`."""
    if count is None:
        return "unknown"
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return (
                f"{value:.2f} {unit}"
                if value < 10
                else f"{value:.1f} {unit}"
                if value < 100
                else f"{value:.0f} {unit}"
            )
    return f"{count} B"


def exact_size(count: int | None) -> str:
    """A byte count rounded and exact: `9.30 kB (9,299 bytes)`."""
    return size(count) if count is None or count < 1000 else f"{size(count)} ({number(count)} bytes)"


def number(count: int) -> str:
    """A count with thousands separators."""
    return f"{count:,}"


def count(value: int) -> str:
    """A count, rounded from a million up: 2,345, 860 M, 11.9 B."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return number(value)


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def problem(each: Problem) -> str:
    """A line about a problem, with its path unless the message already contains it."""
    return (
        f"problem: {each.message}" if each.path in each.message else f"problem: {each.path}: {each.message}"
    )


def dangling(link: str, *, dry_run: bool) -> str:
    """The note about a link whose target was moved or trashed, or would be."""
    return f"{'would leave' if dry_run else 'left'} a dangling link: {link}"


def folder_stays(folder: str, *, dry_run: bool) -> str:
    """The note about a folder of a model that stays when the model is moved or trashed."""
    return f"{'would leave' if dry_run else 'left'} a folder of the model in place: {folder}"


def moment(value: int | None) -> str:
    """A time in milliseconds as date and time in UTC; empty for None."""
    text = times.iso(value)
    return "" if text is None else text.replace("T", " ").replace("Z", " UTC")


def worded(hint: str | Hint | None) -> str | None:
    """A hint as text, with its commands as they are typed."""
    if hint is None or isinstance(hint, str):
        return hint
    if not hint.values:
        return hint.text
    said, *texts = hint.text.split("{}")
    for value, text in zip(hint.values, texts, strict=True):
        if isinstance(value, str | Hint):
            said += worded(value) or ""
        else:
            line = command_line(value)
            # A command that stands alone at the end is to be copied; within a sentence it needs backticks.
            is_bare = value[0].startswith("-") or (not text and said[-2:] in ("", ": "))
            said += line if is_bare else f"`{line}`"
        said += text
    return said


def command_line(command: Command) -> str:
    """Arguments quoted for a shell; those that begin with an option continue another command line."""
    from mlib.core.text import quoted

    words = command if command[0].startswith("-") or command[0] == "mlib" else ("mlib", *command)
    return " ".join(word if word == "…" else quoted(word) for word in words)


# --- Streams

#: Size in bytes of the chunks in which long output is written.
_PART = 1 << 18
#: Whether the reader of standard output closed the pipe (`| head`), which is not an error.
_abandoned = False


def prepare() -> None:
    """Make standard error accept any text, whatever the locale."""
    global _abandoned  # noqa: PLW0603 - standard output is one too
    _abandoned = False
    reconfigure = getattr(sys.stderr, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")


def is_terminal() -> bool:
    """Whether standard output is a terminal."""
    return sys.stdout is not None and sys.stdout.isatty()


def has_colour() -> bool:
    """Whether standard output is a terminal that allows colour (NO_COLOR, TERM)."""
    return is_terminal() and not os.environ.get("NO_COLOR") and (os.environ.get("TERM") or "dumb") != "dumb"


def write_json(document: Any) -> None:
    """Write one JSON document; metadata keeps its literals, undecodable bytes are lone surrogate escapes."""
    _write(_json(document).encode() + b"\n")


def write_lines(lines: Iterable[str]) -> None:
    """Write lines with control characters made visible."""
    write_bytes(visible(line).encode() + b"\n" for line in lines)


def write_rows(rows: Iterable[Sequence[str]]) -> None:
    """Write tab-separated rows; tabs and line ends within a cell are escaped."""
    write_bytes("\t".join(map(visible, row)).encode() + b"\n" for row in rows)


def write_safe(lines: Iterable[str]) -> None:
    """Write lines that are already safe for a terminal, or meant for a file."""
    write_bytes(line.encode("utf-8", "backslashreplace") + b"\n" for line in lines)


def write_values(values: Iterable[str], *, end: str = "\n") -> None:
    """Write bare values, each followed by `end`: exact in a pipe, made visible on a terminal."""
    last = end.encode()
    if is_terminal():
        write_bytes(visible(value).encode() + last for value in values)
    else:
        write_bytes(exact(value) + last for value in values)


def write_json_lines(documents: Iterable[Any]) -> None:
    """Write JSON Lines: one document per line."""
    write_safe(map(_json, documents))


def write_bytes(parts: Iterable[bytes]) -> int:
    """Write bytes in large chunks and return how many were written.

    If the reader closes the pipe, the remaining parts are not consumed, and the command continues to its own
    exit code.
    """
    waiting: list[bytes] = []
    size = total = 0
    for part in parts:
        if _abandoned:
            return total
        waiting.append(part)
        size += len(part)
        if size > _PART:
            _write(b"".join(waiting))
            total += size
            waiting, size = [], 0
    _write(b"".join(waiting))
    return total + size


def note(message: str) -> None:
    """Print a line for people to standard error."""
    _say(visible(message))


def ask(question: str) -> str:
    """Print a question to standard error and return the trimmed answer; empty if it cannot be decoded."""
    sys.stderr.write(visible(question))
    sys.stderr.flush()
    answer = ""
    try:
        with suppress(UnicodeDecodeError):
            answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: start a new line
            sys.stderr.write("\n")
    return answer.strip()


def fail(error: MlibError, *, as_json: bool) -> None:
    """Print an error and its hint, or the JSON document of both, to standard error."""
    way_out = error.hint
    if error.damaged is not None:
        from mlib.services.backing_up import hint_of

        way_out = hint_of(error)
    hint = worded(way_out)
    if as_json:
        from mlib.documents import failure_document

        _say(_json(failure_document(error, hint)))
        return
    _say(f"error: {visible(error.message)}")
    if hint:
        _say(f"hint: {visible(hint)}")


def flush() -> None:
    """Flush standard output while an error can still be reported."""
    if sys.stdout is not None:
        sys.stdout.flush()


def finish() -> None:
    """Flush both streams and drop what cannot be written; the error has been reported."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                _abandon(stream.fileno())


def abandon() -> None:
    """Drop all further output: the reader closed the pipe."""
    global _abandoned  # noqa: PLW0603
    _abandoned = True
    _abandon(1)


def is_abandoned() -> bool:
    """Whether the reader of standard output closed the pipe early."""
    return _abandoned


def _json(document: Any) -> str:
    return jsontext.dump_safe(document)


def _write(data: bytes) -> None:
    if sys.stdout is None or _abandoned:
        return
    try:
        sys.stdout.buffer.write(data)
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        abandon()


def _abandon(descriptor: int) -> None:
    """Redirect a stream to /dev/null, so that Python reports no error when it flushes it at exit."""
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), descriptor)


def _say(line: str) -> None:
    if sys.stderr is None:
        return
    try:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()
    except OSError:
        return
