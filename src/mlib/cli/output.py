"""The only writer to standard output, and the voice on standard error."""

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


# --- Figures in a person's words.


def size(count: int | None) -> str:
    """Bytes as people say them (decimal units, as disks are sold)."""
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
    """Bytes as people say them, and to the last one."""
    return size(count) if count is None or count < 1000 else f"{size(count)} ({number(count)} bytes)"


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def count(value: int) -> str:
    """A count as people say it: 2,345, 860 M, 11.9 B."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return number(value)


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def problem(each: Problem) -> str:
    """What went wrong with which file, whose path may be in the message already."""
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
    """A moment as a date and time in UTC."""
    text = times.iso(value)
    return "" if text is None else text.replace("T", " ").replace("Z", " UTC")


def worded(hint: str | Hint | None) -> str | None:
    """A hint with its commands as they are typed."""
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
            # Alone and at the end a command is to be copied; among words it needs marks.
            is_bare = value[0].startswith("-") or (not text and said[-2:] in ("", ": "))
            said += line if is_bare else f"`{line}`"
        said += text
    return said


def command_line(command: Command) -> str:
    """Arguments as they are typed into a shell; those that begin with options are an end to another line."""
    from mlib.core.text import quoted

    words = command if command[0].startswith("-") or command[0] == "mlib" else ("mlib", *command)
    return " ".join(word if word == "…" else quoted(word) for word in words)


#: Bytes of long output that are written at once.
_PART = 1 << 18
#: Whether the reader of standard output has closed it (`| head`); that is not an error.
_abandoned = False


def prepare() -> None:
    """Make standard error able to say anything, whatever the locale."""
    global _abandoned  # noqa: PLW0603 - standard output is one too
    _abandoned = False
    reconfigure = getattr(sys.stderr, "reconfigure", None)
    if reconfigure is not None:
        reconfigure(encoding="utf-8", errors="backslashreplace")


def is_terminal() -> bool:
    """Whether a person reads standard output directly."""
    return sys.stdout is not None and sys.stdout.isatty()


def has_colour() -> bool:
    """Whether bold and colours are welcome on standard output."""
    return is_terminal() and not os.environ.get("NO_COLOR") and (os.environ.get("TERM") or "dumb") != "dumb"


def write_json(document: Any) -> None:
    """One JSON document, exact: metadata keeps its literals, undecodable bytes are lone surrogate escapes."""
    _write(_json(document).encode() + b"\n")


def write_lines(lines: Iterable[str]) -> None:
    """Lines for a person or a simple script; nothing in them can steer a terminal."""
    write_bytes(visible(line).encode() + b"\n" for line in lines)


def write_rows(rows: Iterable[Sequence[str]]) -> None:
    """Tab-separated rows; tabs and line ends within a cell are escaped."""
    write_bytes("\t".join(map(visible, row)).encode() + b"\n" for row in rows)


def write_safe(lines: Iterable[str]) -> None:
    """Lines that are tame already: meant for a file, or with our own marks (bold) for a person."""
    write_bytes(line.encode("utf-8", "backslashreplace") + b"\n" for line in lines)


def write_values(values: Iterable[str], *, end: str = "\n") -> None:
    """Bare values, a line each: exact in a pipe, so that a script can use them, and tame on a terminal.

    With another `end`, such as a zero byte, that stands behind each.
    """
    last = end.encode()
    if is_terminal():
        write_bytes(visible(value).encode() + last for value in values)
    else:
        write_bytes(exact(value) + last for value in values)


def write_json_lines(documents: Iterable[Any]) -> None:
    """JSON Lines: a document a line."""
    write_safe(map(_json, documents))


def write_bytes(parts: Iterable[bytes]) -> int:
    """What a pipe or a file is to hold, a good many parts at a time; how many bytes it was.

    When the reader goes away the rest is not asked for, and the command goes on to its own exit code.
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
    """A line for a person, on standard error."""
    _say(visible(message))


def ask(question: str) -> str:
    """One line from the person at the terminal, trimmed; the question goes to standard error.

    What is no text is no answer.
    """
    sys.stderr.write(visible(question))
    sys.stderr.flush()
    answer = ""
    try:
        with suppress(UnicodeDecodeError):
            answer = sys.stdin.readline()
    finally:
        if not answer.endswith("\n"):  # Ctrl-C or Ctrl-D: what is said next begins a line
            sys.stderr.write("\n")
    return answer.strip()


def fail(error: MlibError, *, as_json: bool) -> None:
    """An error as one line and a hint, or as JSON; on standard error."""
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
    """Get everything out while it can still fail aloud."""
    if sys.stdout is not None:
        sys.stdout.flush()


def finish() -> None:
    """Let nothing be left that could fail at exit: that it could not be written is told already."""
    for stream in (sys.stdout, sys.stderr):
        if stream is not None:
            try:
                stream.flush()
            except OSError:
                _abandon(stream.fileno())


def abandon() -> None:
    """Write nothing more to standard output: nobody reads it."""
    global _abandoned  # noqa: PLW0603
    _abandoned = True
    _abandon(1)


def is_abandoned() -> bool:
    """Whether the reader of standard output closed it before the end."""
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
    """Let what is still to be written there go nowhere, of which Python would complain at exit."""
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
