"""Running the program on a terminal of its own, as a person sees it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import unicodedata
from contextlib import suppress
from threading import Thread
from typing import TYPE_CHECKING

from tests.tools import MLIB

if TYPE_CHECKING:
    from pathlib import Path

#: Marks of our own that a page may carry where colour is welcome.
BOLD, PLAIN = "\x1b[1m", "\x1b[0m"
#: Characters that hide or reorder what stands around them.
INVISIBLE = set(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
    "\u00ad\u034f\u180e\u200b\u2060\u3164\uffa0\U000e0001\U000e0041\U000e007f\U000e0101"
)


def on_terminal(
    *arguments: str | os.PathLike[str],
    library: Path | str,
    columns: int = 80,
    env: dict[str, str] | None = None,
    timeout: float = 60,
) -> tuple[int, str]:
    """Run the program with all three streams on a new terminal: its exit code, and what was shown."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {**os.environ, "TERM": "xterm-256color", "MLIB_LIBRARY": os.fspath(library), **(env or {})}
    shown: list[bytes] = []

    def read() -> None:
        with suppress(OSError):  # what Linux says when the last one at the other end leaves
            while chunk := os.read(master, 65536):
                shown.append(chunk)

    process = subprocess.Popen(
        [*MLIB, *map(str, map(os.fsdecode, arguments))],
        stdin=slave,
        stdout=slave,
        stderr=slave,
        env=environment,
        start_new_session=True,
    )
    os.close(slave)
    reader = Thread(target=read)
    reader.start()
    try:
        code = process.wait(timeout)
    finally:
        process.kill()
        reader.join()
        os.close(master)
    return code, b"".join(shown).decode().replace("\r\n", "\n")


def steering(text: str) -> set[str]:
    """The characters in a text that could steer a terminal; line ends and tabs are none."""
    return {
        c for c in text if c not in "\n\t" and (unicodedata.category(c) in ("Cc", "Cs") or c in INVISIBLE)
    }
