"""Small helpers of every reader: bytes at a place, and text from a file made short enough for a message."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from typing import BinaryIO

_SHOWN = 80


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """`count` bytes from `offset` on, fewer only at the end of the file. Raises OSError."""
    file.seek(offset)
    parts = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def shown(text: str) -> str:
    """`text` in quotes, cut if it is long."""
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}…'"
