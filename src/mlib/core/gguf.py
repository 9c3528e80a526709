"""GGUF, the format of quantised models: what the header says of the file, read without loading any of it.

Layout after ggml's docs/gguf.md: magic, version, tensor count, key-value count, key-values, tensor infos,
padding, data. Version 1 has 32-bit lengths and dimensions, later ones 64-bit; all of it little endian here.
"""

from __future__ import annotations

import math
from struct import Struct
from typing import TYPE_CHECKING, NoReturn

if TYPE_CHECKING:
    from typing import BinaryIO

MAGIC = b"GGUF"

_U32 = Struct("<I")
_U64 = Struct("<Q")
_DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = b"general.alignment"

#: Value types of the key-values: bytes of a scalar by type number.
_SCALARS = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_TYPE_U32 = 4
_TYPE_STRING = 8
_TYPE_ARRAY = 9

#: Bytes of a block by tensor type number, for each length of a block in elements; from ggml's type traits.
_BLOCK_BYTES = {
    # F32 F16 I8 I16 I32 I64 F64 BF16
    1: {0: 4, 1: 2, 24: 1, 25: 2, 26: 4, 27: 8, 28: 8, 30: 2},
    # Q4_0 Q4_1 Q5_0 Q5_1 Q8_0 Q8_1 IQ4_NL, three withdrawn orders of Q4_0, MXFP4
    32: {2: 18, 3: 20, 6: 22, 7: 24, 8: 34, 9: 36, 20: 18, 31: 18, 32: 18, 33: 18, 39: 17},
    # NVFP4
    64: {40: 36},
    # Q1_0
    128: {41: 18},
    # Q2_K Q3_K Q4_K Q5_K Q6_K Q8_K, IQ2_XXS IQ2_XS IQ3_XXS IQ1_S IQ3_S IQ2_S IQ4_XS IQ1_M, TQ1_0 TQ2_0
    256: {10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 15: 292}
    | {16: 66, 17: 74, 18: 98, 19: 50, 21: 110, 22: 82, 23: 136, 29: 56, 34: 54, 35: 66},
}
_BLOCKS = {kind: (length, size) for length, kinds in _BLOCK_BYTES.items() for kind, size in kinds.items()}

_MAX_DIMENSIONS = 8  # ggml allows 4
_MAX_OFFSET = 2**63 - 1  # no file is longer
#: The largest vocabularies come to under a million strings and 30 MB.
_MAX_ITEMS = 5_000_000
_MAX_READ = 256 * 2**20
_CHUNK = 2**20


class HeaderError(ValueError):
    """The header is damaged or of an unknown kind: the file's length cannot be told."""


class CutShortError(ValueError):
    """The file ends, or has a hole, before what its header promises; the message says so in one line."""


def whole_size(file: BinaryIO, size: int) -> int:
    """Least size in bytes of a whole file with this header; padding after the last tensor is not counted.

    `size` is the file's own. Raises CutShortError if the header itself is not all there, HeaderError,
    OSError.
    """
    cursor = _Cursor(file, size)
    cursor.skip(len(MAGIC))
    version = cursor.u32()
    if version not in (1, 2, 3):
        raise HeaderError(f"GGUF version {version}")
    cursor.length_format = _U32 if version == 1 else _U64
    tensors, pairs = cursor.length(), cursor.length()
    width = cursor.length_format.size
    cursor.need(pairs * (width + 5) + tensors * (width + 16))
    cursor.count_items(pairs + tensors)
    alignment = _skip_pairs(cursor, pairs)
    extent = _extent(cursor, tensors)
    end = cursor.position
    if extent:
        end += -end % alignment + extent
    return end


class _Cursor:
    """A place in the header that only moves forward: a skip costs nothing, a read goes through one chunk.

    Whatever is taken or skipped is first checked against the bytes left.
    """

    __slots__ = ("_at", "_base", "_chunk", "_file", "_items_left", "_read_left", "_size", "length_format")

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file = file
        self._size = size
        self._base = 0
        self._at = 0
        self._chunk = b""
        self._items_left = _MAX_ITEMS
        self._read_left = _MAX_READ
        self.length_format = _U64

    @property
    def position(self) -> int:
        return self._base + self._at

    def need(self, count: int) -> None:
        end = self.position + count
        if end > self._size:
            if end > _MAX_OFFSET:
                raise HeaderError("more bytes than any file has")
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

    def u32(self) -> int:
        value: int = _U32.unpack(self.take(4))[0]
        return value

    def u64(self) -> int:
        value: int = _U64.unpack(self.take(8))[0]
        return value

    def length(self) -> int:
        value: int = self.length_format.unpack(self.take(self.length_format.size))[0]
        return value

    def skip_strings(self, count: int) -> None:
        """Skip `count` strings, each with its length in front: hundreds of thousands in a vocabulary."""
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
        self._cut("has not all been written yet: there are zeros in it")

    def _cut(self, message: str) -> NoReturn:
        raise CutShortError(f"GGUF header {message}")

    def _fill(self, count: int) -> None:
        """Load a chunk that starts here and holds at least `count` bytes."""
        self._base += self._at
        self._at = 0
        self._read_left -= _CHUNK
        if self._read_left < 0:
            raise HeaderError("too long")
        self._file.seek(self._base)
        chunk = self._file.read(_CHUNK)
        while len(chunk) < count:
            more = self._file.read(_CHUNK)
            if not more:
                self._cut(f"goes on after byte {self._base + len(chunk):,}, where the file now ends")
            chunk += more
        self._chunk = chunk


def _skip_pairs(cursor: _Cursor, count: int) -> int:
    """Skip the key-values and return the alignment they set."""
    alignment = _DEFAULT_ALIGNMENT
    for _ in range(count):
        key_length = cursor.length()
        if not key_length:
            if any(cursor.take(5)):
                raise HeaderError("a key without a name")
            cursor.hole()
        if key_length == len(_ALIGNMENT_KEY):
            key = cursor.take(key_length)
        else:
            key = b""
            cursor.skip(key_length)
        kind = cursor.u32()
        if key == _ALIGNMENT_KEY and kind == _TYPE_U32:
            alignment = cursor.u32()
            if alignment.bit_count() != 1:
                raise HeaderError("an alignment that is no power of two")
        elif kind == _TYPE_ARRAY:
            _skip_array(cursor)
        elif kind == _TYPE_STRING:
            cursor.skip(cursor.length())
        else:
            cursor.skip(_scalar_size(kind))
    return alignment


def _skip_array(cursor: _Cursor) -> None:
    kind, count = cursor.u32(), cursor.length()
    if kind == _TYPE_STRING:
        cursor.skip_strings(count)
    else:
        # ggml refuses arrays of arrays, and so does this.
        cursor.skip(count * _scalar_size(kind))


def _scalar_size(kind: int) -> int:
    try:
        return _SCALARS[kind]
    except KeyError:
        raise HeaderError(f"value type {kind}") from None


def _extent(cursor: _Cursor, count: int) -> int:
    """Read `count` tensor infos and return how many bytes of data they need."""
    end = last_start = 0
    in_order = True
    for _ in range(count):
        name_length = cursor.length()
        cursor.skip(name_length)
        dimensions = cursor.u32()
        if dimensions > _MAX_DIMENSIONS:
            raise HeaderError("too many dimensions")
        elements = math.prod(cursor.length() for _ in range(dimensions))
        kind, start = cursor.u32(), cursor.u64()
        if not (name_length or dimensions or kind or start):
            cursor.hole()
        block, block_bytes = _BLOCKS.get(kind, (1, 0))
        in_order = in_order and start >= end
        last_start = max(last_start, start)
        end = max(end, start + elements // block * block_bytes)
        if end > _MAX_OFFSET:
            raise HeaderError("more bytes than any file has")
    # Tensors lie one after another. Where they seem to overlap, a fork of ggml gave a type's number another
    # meaning, and only the offsets can be believed.
    return end if in_order else last_start
