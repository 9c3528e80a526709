"""Interactive shells on a terminal of their own, to which a line is typed as a person types it."""

from __future__ import annotations

import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
from contextlib import suppress
from functools import partial
from threading import Thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

#: The keys by which `_RC` has the shell write its line to the file TOLD, and begin another one.
_TELL = "\x18\x05"
_PROMPT = "READY"
_ZSH = """
tell() { print -r -- $BUFFER >> $TOLD; BUFFER= }
zle -N tell
bindkey '^X^E' tell
PS1='READY '
"""
_FISH = """
function fish_prompt; echo 'READY '; end
function fish_greeting; end
bind \\cx\\ce 'commandline >> $TOLD; commandline ""'
"""
_BASH = r"""
tell() { printf '%s\n' "$READLINE_LINE" >> $TOLD; READLINE_LINE=; READLINE_POINT=0; }
bind -x '"\C-x\C-e": tell'
PS1='READY '
"""
#: Where each looks, below its home, when it starts, and what it is to find there.
_RC = {"bash": (".bashrc", _BASH), "zsh": (".zshrc", _ZSH), "fish": (".config/fish/config.fish", _FISH)}


def completed(shell: str, lines: Sequence[str], *, home: Path, setup: str, path: str) -> list[str]:
    """What a shell makes of each line when TAB is pressed behind it. `setup` is read by it first."""
    name, tell = _RC[shell]
    rc, told = home / name, home / "told"
    rc.parent.mkdir(parents=True, exist_ok=True)
    rc.write_text(setup + tell)
    # Else fish begins to read all manual pages of the machine.
    (home / ".local/share/fish/generated_completions").mkdir(parents=True, exist_ok=True)
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 40, 150, 0, 0))
    shown = bytearray()

    def read() -> None:
        with suppress(OSError):  # what Linux says when the last one at the other end leaves
            while chunk := os.read(master, 65536):
                shown.extend(chunk)

    process = subprocess.Popen(
        ["setsid", "--ctty", shell, "-i"],  # a terminal that it controls, or fish will not start
        stdin=slave, stdout=slave, stderr=slave, cwd=home,
        env={**os.environ, "TERM": "xterm", "TOLD": str(told), "PATH": path},
    )  # fmt: skip
    os.close(slave)
    reader = Thread(target=read)
    reader.start()
    try:
        _until(lambda: _PROMPT.encode() in shown, shown)
        for number, line in enumerate(lines, 1):
            os.write(master, f"{line}\t{_TELL}".encode())
            _until(partial(_has_lines, told, number), shown)
    finally:
        process.kill()
        process.wait()
        reader.join()
        os.close(master)
    return told.read_text().splitlines()


def words_of(command: str, *, shell: str = "sh") -> list[str]:
    """The words that a shell takes a command for."""
    told = subprocess.run([shell, "-c", f"printf '%s\\0' {command}"], check=True, capture_output=True).stdout
    return [os.fsdecode(word) for word in told.split(b"\0")[:-1]]


def _has_lines(file: Path, number: int) -> bool:
    return file.exists() and file.read_text().count("\n") >= number


def _until(happened: Callable[[], bool], shown: bytearray) -> None:
    deadline = time.monotonic() + 60
    while not happened():
        assert time.monotonic() < deadline, bytes(shown[-2000:]).decode(errors="replace")
        time.sleep(0.02)
