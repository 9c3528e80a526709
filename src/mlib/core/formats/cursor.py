"""A forward-only cursor over a binary header that checks every length against the bytes left.

Also helpers of all readers: bytes at an offset, and text from a file shortened for a message.
"""

from __future__ import annotations

from struct import Struct
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing import BinaryIO


_U32 = Struct("<I")
_U64 = Struct("<Q")

MAX_OFFSET = 2**63 - 1  # no file is longer
#: The largest vocabularies have under a million strings and 30 MB.
_MAX_ITEMS = 2_500_000
_MAX_READ = 256 * 2**20
_MAX_KEPT = 16 * 2**20
_MAX_VARINT = 10  # bytes


class HeaderError(ValueError):
    """The header is damaged or of an unknown kind, so the file's length is unknown."""


class CutShortError(ValueError):
    """The file ends, or has a hole, before the end its header promises; the message is one line."""


class Cursor:
    """Reads a file of `size` bytes in chunks, little endian; messages call its header `what`.

    Skipping reads nothing. `clipped` is set once a text exceeded its limit or the limit for all texts
    together. Every method may raise CutShortError, HeaderError and OSError.
    """

    __slots__ = (
        "_at", "_base", "_chunk", "_chunk_size", "_file", "_items_left", "_kept_left", "_read_left",
        "_size", "_what", "clipped", "length_format",
    )  # fmt: skip

    def __init__(self, file: BinaryIO, size: int, *, what: str, chunk_size: int = 2**20) -> None:
        self._file = file
        self._size = size
        self._what = what
        self._chunk_size = chunk_size
        self._base = 0
        self._at = 0
        self._chunk = b""
        self._items_left = _MAX_ITEMS
        self._read_left = _MAX_READ
        self._kept_left = _MAX_KEPT
        self.clipped = False
        self.length_format = _U64

    @property
    def position(self) -> int:
        return self._base + self._at

    def need(self, count: int) -> None:
        end = self.position + count
        if end > self._size:
            if end > MAX_OFFSET:
                raise HeaderError("sizes exceed any possible file")
            self._cut(f"promises at least {end:,} bytes, the file has {self._size:,}")

    def count_items(self, count: int) -> None:
        self._items_left -= count
        if self._items_left < 0:
            raise HeaderError("too many items")

    def skip(self, count: int) -> None:
        self.need(count)
        self._at += count

    def take(self, count: int) -> bytes:
        self.need(count)
        if self._at + count > len(self._chunk):
            self._fill(count)
        start = self._at
        self._at += count
        return self._chunk[start : self._at]

    def text(self, length: int, longest: int) -> str:
        """Read `length` bytes as UTF-8 and keep at most `longest` of them."""
        self.need(length)
        kept = min(length, longest, self._kept_left)
        self._kept_left -= kept
        self.clipped = self.clipped or kept < length
        text = self.take(kept).decode("utf-8", "replace")
        self._at += length - kept
        return text

    def u32(self) -> int:
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def u64(self) -> int:
        value: int = _U64.unpack(self.take(8))[0]
        return value

    def use_lengths_of_32_bits(self) -> None:
        self.length_format = _U32

    def length(self) -> int:
        value: int = self.length_format.unpack(self.take(self.length_format.size))[0]
        return value

    def varint(self) -> int:
        """Read a protobuf varint: 7 bits per byte, least significant first, at most 64."""
        octets = self._chunk[self._at : self._at + _MAX_VARINT]
        if len(octets) < _MAX_VARINT or self.position + _MAX_VARINT > self._size:
            octets = b""  # near an end, read byte by byte
        value = 0
        for place in range(_MAX_VARINT):
            byte = octets[place] if octets else self.take(1)[0]
            value |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                if octets:
                    self._at += place + 1
                return value & 2**64 - 1
        raise HeaderError("number too long")

    def skip_strings(self, count: int) -> None:
        """Skip `count` length-prefixed strings: a vocabulary has hundreds of thousands."""
        width = self.length_format.size
        unpack = self.length_format.unpack_from
        self.need(count * width)
        self.count_items(count)
        while count:
            if self._at + width > len(self._chunk):
                self.need(width)
                self._fill(width)
            chunk, at = self._chunk, self._at
            last = len(chunk) - width
            while count and at <= last:
                at += width + unpack(chunk, at)[0]
                count -= 1
            self._at = at
            self.need(0)

    def hole(self) -> NoReturn:
        self._cut("is incomplete: it contains zeros")

    def _cut(self, message: str) -> NoReturn:
        raise CutShortError(f"{self._what} {message}")

    def _fill(self, count: int) -> None:
        """Load a chunk of at least `count` bytes from here."""
        self._base += self._at
        self._at = 0
        self._read_left -= max(count, self._chunk_size)
        if self._read_left < 0:
            raise HeaderError("too long")
        self._file.seek(self._base)
        chunk = self._file.read(self._chunk_size)
        while len(chunk) < count:
            more = self._file.read(max(self._chunk_size, count - len(chunk)))
            if not more:
                self._cut(f"continues past byte {self._base + len(chunk):,}, the end of the file")
            chunk += more
        self._chunk = chunk


# --- Helpers of all readers

_SHOWN = 80


def read_at(file: BinaryIO, offset: int, count: int) -> bytes:
    """Read `count` bytes from `offset`, fewer only at the end of the file. Raises OSError."""
    file.seek(offset)
    parts = []
    while count > 0 and (part := file.read(count)):
        parts.append(part)
        count -= len(part)
    return b"".join(parts)


def shown(text: str) -> str:
    """Quote `text` for a message, shortened if it is long."""
    return f"'{text}'" if len(text) <= _SHOWN else f"'{text[:_SHOWN]}…'"
