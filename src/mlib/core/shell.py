"""Commands as a person pastes them into a shell."""

from __future__ import annotations

import os
import shlex

from mlib.core.text import exact, visible

#: What `printf` would not print as it stands, or the quotes around it would not hold.
_NOT_PLAIN = frozenset(b"\\%'-")


def quoted(word: str) -> str:
    """A word as a shell takes it; `printf` writes one with characters that no terminal is shown."""
    if visible(word) == word or word.endswith("\n"):  # at its end a shell would drop it
        return shlex.quote(word)
    plain = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in _NOT_PLAIN else f"\\{byte:03o}"
        for byte in exact(word)
    )
    return f"\"$(printf '{''.join(plain)}')\""


def library_option(path: str) -> str:
    """The option that names the library at `path`."""
    return f"--library {quoted(path)}"


def move_away(path: str) -> str:
    """The command that gives something another name, one that nothing has."""
    number = 1
    while os.path.lexists(aside := f"{path}.old{'' if number == 1 else number}"):
        number += 1
    return f"mv -n {quoted(path)} {quoted(aside)}"
