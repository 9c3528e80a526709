"""Read the bytes of a pickle in order from part of a file, within a budget; skipped bytes are never read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.formats.cursor import read_at

if TYPE_CHECKING:
    from typing import BinaryIO

_CHUNK = 2**14
_LONGEST_LINE = 2**20


class EarlyEndError(ValueError):
    """The bytes end inside an opcode, or before STOP."""


class LimitError(ValueError):
    """A limit that no real model reaches was exceeded; the message says which."""


class NonsenseError(ValueError):
    """The opcodes are invalid; the message says why in one line."""


class Budget:
    """What is left to spend on one file: opcodes to trace and bytes to read."""

    __slots__ = ("instructions", "octets")

    def __init__(self, *, instructions: int, octets: int) -> None:
        self.instructions = instructions
        self.octets = octets


class Source:
    """A forward-only reader of a file from `start` to `end`.

    Every length is checked against the bytes left before anything is read or allocated.
    """

    __slots__ = ("_at", "_base", "_budget", "_chunk", "_end", "_file")

    def __init__(self, file: BinaryIO, start: int, end: int, budget: Budget) -> None:
        self._file = file
        self._base = start
        self._end = end
        self._budget = budget
        self._at = 0
        self._chunk = b""

    @property
    def position(self) -> int:
        return self._base + self._at

    def byte(self) -> int:
        if self._at >= len(self._chunk):
            self._fill(1)
        value = self._chunk[self._at]
        self._at += 1
        return value

    def take(self, count: int) -> bytes:
        at = self._at
        if at + count > len(self._chunk):
            self._need(count)
            self._fill(count)
            at = 0
        self._at = at + count
        return self._chunk[at : at + count]

    def unsigned(self, width: int) -> int:
        return int.from_bytes(self.take(width), "little")

    def skip(self, count: int) -> None:
        self._need(count)
        self._at += count

    def line(self) -> bytes:
        """Read the bytes up to the next newline and skip that."""
        end = self._chunk.find(b"\n", self._at)
        wanted = _CHUNK
        while end < 0:
            left = self._end - self.position
            if wanted > _LONGEST_LINE:
                raise LimitError("line too long")
            self._fill(min(wanted, left))
            end = self._chunk.find(b"\n")
            if end < 0 and wanted >= left:
                raise EarlyEndError("no newline after an argument")
            wanted *= 8
        line = self._chunk[self._at : end]
        self._at = end + 1
        return line

    def _need(self, count: int) -> None:
        if count > self._end - self.position:
            raise EarlyEndError("cut off inside an opcode")

    def _fill(self, count: int) -> None:
        """Load a chunk of at least `count` bytes from here."""
        self._base += self._at
        self._at = 0
        left = self._end - self._base
        if left <= 0:
            raise EarlyEndError("no STOP opcode")
        wanted = min(max(count, _CHUNK), left)
        self._budget.octets -= wanted
        if self._budget.octets < 0:
            raise LimitError("too many bytes")
        self._chunk = read_at(self._file, self._base, wanted)
        if len(self._chunk) < count:
            raise EarlyEndError("end of file")
