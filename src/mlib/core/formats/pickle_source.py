"""The bytes of a pickle, taken one after another from a part of a file; what is skipped is never read."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.formats.cursor import read_at

if TYPE_CHECKING:
    from typing import BinaryIO

_CHUNK = 2**14
_LONGEST_LINE = 2**20


class EarlyEndError(ValueError):
    """The bytes end inside an instruction, or before the last one."""


class LimitError(ValueError):
    """Going on would cost more than any model file is worth; the message says what there is too much of."""


class NonsenseError(ValueError):
    """The instructions make no sense; the message says why in one line."""


class Budget:
    """What is left to spend on one file: instructions to follow and bytes to read."""

    __slots__ = ("instructions", "octets")

    def __init__(self, *, instructions: int, octets: int) -> None:
        self.instructions = instructions
        self.octets = octets


class Source:
    """A place between `start` and `end` of a file that only moves forward.

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
        """The bytes up to the next newline, which is passed over."""
        end = self._chunk.find(b"\n", self._at)
        wanted = _CHUNK
        while end < 0:
            left = self._end - self.position
            if wanted > _LONGEST_LINE:
                raise LimitError("a line too long")
            self._fill(min(wanted, left))
            end = self._chunk.find(b"\n")
            if end < 0 and wanted >= left:
                raise EarlyEndError("it ends inside a line")
            wanted *= 8
        line = self._chunk[self._at : end]
        self._at = end + 1
        return line

    def _need(self, count: int) -> None:
        if count > self._end - self.position:
            raise EarlyEndError("it ends inside an instruction")

    def _fill(self, count: int) -> None:
        """Load a chunk that starts here and holds at least `count` bytes."""
        self._base += self._at
        self._at = 0
        left = self._end - self._base
        if left <= 0:
            raise EarlyEndError("it ends before its last instruction")
        wanted = min(max(count, _CHUNK), left)
        self._budget.octets -= wanted
        if self._budget.octets < 0:
            raise LimitError("too many bytes")
        self._chunk = read_at(self._file, self._base, wanted)
        if len(self._chunk) < count:
            raise EarlyEndError("the file ends before it")
