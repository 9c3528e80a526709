"""Read the central directory of zip archives, and detect from its names which kind of model one holds.

Layout after PKWARE's APPNOTE, 4.3.7 to 4.3.16 and 4.5.3. Stricter than the programs that load models: an
archive that they could read differently is an error here.
"""

from __future__ import annotations

import io
import zlib
from dataclasses import dataclass
from struct import Struct
from typing import TYPE_CHECKING

from mlib.core.formats.cursor import read_at, shown
from mlib.core.formats.header import Finding, Header

if TYPE_CHECKING:
    from typing import BinaryIO


# --- The central directory, within limits far beyond any model's archive

_LOCAL = Struct("<4s22xHH")
_ENTRY = Struct("<4s4xHH8xIIHHH8xI")
_END = Struct("<4sHHHHIIH")
_LOCATOR = Struct("<4sIQI")
_WIDE_END = Struct("<4s20xQQQQ")
_TWO_U16 = Struct("<HH")
_U64 = Struct("<Q")

_MARK16 = 0xFFFF
_MARK32 = 0xFFFFFFFF
_WIDE_EXTRA = 1
_LONGEST_COMMENT = 65_535
_LONGEST_DIRECTORY = 32 * 2**20
_MOST_ENTRIES = 50_000
_CHUNK = 2**18
_STORED, _DEFLATED = 0, 8


class ZipError(ValueError):
    """The archive is damaged or not supported; the message says how in one line."""


class NoDirectoryError(ZipError):
    """The archive has no central directory at its end: it is truncated."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file of the archive, with its compressed and uncompressed size in bytes."""

    name: str
    method: int
    encrypted: bool
    packed: int
    size: int
    offset: int


def read_directory(file: BinaryIO, size: int) -> list[ZipEntry]:
    """Read all entries, in directory order. Raises NoDirectoryError, ZipError, OSError."""
    start, length, count = _find(file, size)
    if count > _MOST_ENTRIES or length > _LONGEST_DIRECTORY:
        raise ZipError(f"too many entries to check ({count:,})")
    directory = read_at(file, start, length)
    entries = []
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(directory):
            raise ZipError("the central directory ends inside an entry")
        signature, flags, method, packed, unpacked, name, extra, comment, offset = _ENTRY.unpack_from(
            directory, at
        )
        if signature != b"PK\x01\x02":
            raise ZipError("invalid entry in the central directory")
        at += _ENTRY.size
        after = at + name + extra + comment
        if after > len(directory):
            raise ZipError("the central directory ends inside an entry")
        unpacked, packed, offset = _widened(
            directory[at + name : at + name + extra], unpacked, packed, offset
        )
        if offset + packed > start:
            raise ZipError("an entry is outside the archive")
        text = directory[at : at + name].decode("utf-8", "replace")
        entries.append(ZipEntry(text, method, bool(flags & 1), packed, unpacked, offset))
        at = after
    if at != len(directory):
        raise ZipError("extra data in the central directory")
    return entries


def open_entry(file: BinaryIO, entry: ZipEntry, *, cap: int) -> tuple[BinaryIO, int, int]:
    """Return a file, and the start and end of the entry's uncompressed content in it.

    Compressed content is decompressed into memory, at most `cap` bytes. Raises ZipError, OSError.
    """
    local = read_at(file, entry.offset, _LOCAL.size)
    if len(local) < _LOCAL.size:
        raise ZipError(f"{shown(entry.name)} is not where the central directory says")
    signature, name, extra = _LOCAL.unpack(local)
    if signature != b"PK\x03\x04":
        raise ZipError(f"{shown(entry.name)} is not where the central directory says")
    start = entry.offset + _LOCAL.size + name + extra
    if entry.encrypted:
        raise ZipError(f"{shown(entry.name)} is encrypted")
    if entry.method == _STORED and entry.size == entry.packed:
        return file, start, start + entry.size
    if entry.method != _DEFLATED:
        raise ZipError(f"{shown(entry.name)} uses an unsupported compression method")
    content = _inflated(file, start, entry.packed, cap=cap)
    return io.BytesIO(content), 0, len(content)


def _inflated(file: BinaryIO, start: int, packed: int, *, cap: int) -> bytearray:
    content = bytearray()
    stream = zlib.decompressobj(-zlib.MAX_WBITS)
    position, end = start, start + packed
    try:
        while position < end and not stream.eof:
            chunk = read_at(file, position, min(_CHUNK, end - position))
            if not chunk:
                break
            position += len(chunk)
            # Stop decompressing at the limit: one chunk can expand a thousandfold.
            content += stream.decompress(chunk, cap + 1 - len(content))
            if len(content) > cap:
                raise ZipError("a pickle is too large when unpacked")
    except zlib.error:
        raise ZipError("a pickle cannot be unpacked") from None
    return content


def _find(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Find the start, length and number of entries of the directory from the last end record."""
    tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = read_at(file, tail_start, size - tail_start)
    # rfind would count a negative end from the end.
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    if at < 0:
        raise NoDirectoryError("the zip archive has no central directory")
    _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
    end = tail_start + at
    if end + _END.size + comment != size:
        raise ZipError("extra data after the end of the archive")
    locator = read_at(file, end - _LOCATOR.size, _LOCATOR.size) if end >= _LOCATOR.size else b""
    if locator.startswith(b"PK\x06\x07"):
        end = _LOCATOR.unpack(locator)[2]
        record = read_at(file, end, _WIDE_END.size) if end < size else b""
        if len(record) < _WIDE_END.size or not record.startswith(b"PK\x06\x06"):
            raise ZipError("the zip64 end record is missing")
        wide = _WIDE_END.unpack(record)[1:]
        narrow = (here, count, length, start)
        marks = (_MARK16, _MARK16, _MARK32, _MARK32)
        if any(a not in (b, mark) for a, b, mark in zip(narrow, wide, marks, strict=True)):
            raise ZipError("the two end records disagree")
        here, count, length, start = wide
    if disk != first_disk or here != count:
        raise ZipError("part of a multi-part archive")
    if start + length != end:
        raise ZipError("the central directory is not where the end record says")
    return start, length, count


def _widened(extra: bytes, unpacked: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The three sizes, with those that exceed 32 bits taken from the extra field."""
    values = [unpacked, packed, offset]
    marked = [index for index, value in enumerate(values) if value == _MARK32]
    at = 0
    while marked and at + 4 <= len(extra):
        kind, length = _TWO_U16.unpack_from(extra, at)
        at += 4
        if kind == _WIDE_EXTRA and length >= 8 * len(marked) and at + length <= len(extra):
            for place, index in enumerate(marked):
                values[index] = _U64.unpack_from(extra, at + 8 * place)[0]
            break
        at += length
    return values[0], values[1], values[2]


_LOCAL_HEADER = Struct("<4s22xH2x")
_MAX_NAME = 1024


# --- The kind of model in an archive


def zip_format(file: BinaryIO, size: int) -> str:
    """`torchscript`, `torch_zip` or `zip`, by what the archive's only folder contains. Raises OSError.

    Code means `torchscript`, a pickle `torch_zip`. An archive without its directory (an incomplete download)
    is judged by its first entry: TorchScript starts with storages and code, torch.save with the pickle. One
    whose directory programs may read differently counts as `torch_zip`, whose reader refuses it.
    """
    try:
        names = [entry.name for entry in read_directory(file, size)]
    except NoDirectoryError:
        first = _first_name(file)
        if first.partition("/")[2].startswith("data/"):
            return "torchscript"
        names = [first]
    except ZipError:
        return "torch_zip"
    inner = {name.partition("/")[2] for name in names}
    if any(name.startswith("code/") for name in inner):
        return "torchscript"
    return "torch_zip" if "data.pkl" in inner else "zip"


def has_directory(file: BinaryIO, size: int) -> bool:
    """Whether an archive ends with a central directory, valid or not. Raises OSError."""
    try:
        read_directory(file, size)
    except NoDirectoryError:
        return False
    except ZipError:
        pass  # there is one, but it is invalid
    return True


def read_zip(file: BinaryIO, size: int) -> Header:
    """Read an archive that is not a model: only the finding `truncated`. Raises OSError."""
    try:
        read_directory(file, size)
    except NoDirectoryError as error:
        return Header("zip", findings=(Finding("truncated", str(error), serious=True),))
    except ZipError:
        pass  # such archives count as torch_zip
    return Header("zip")


def _first_name(file: BinaryIO) -> str:
    head = read_at(file, 0, _LOCAL_HEADER.size + _MAX_NAME)
    if len(head) < _LOCAL_HEADER.size:
        return ""
    length = _LOCAL_HEADER.unpack_from(head)[1]
    return head[_LOCAL_HEADER.size : _LOCAL_HEADER.size + length].decode("utf-8", "replace")
