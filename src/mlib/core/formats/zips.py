"""Which kind of model a zip archive holds, told by the names in it. Nothing is unpacked."""

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


# --- The directory of a zip archive, read with bounds that no archive of a model comes near.
#
# Layout after PKWARE's APPNOTE, 4.3.7 to 4.3.16 and 4.5.3. Stricter than the readers that load models: where
# they could differ in what they find, nothing is found here.

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
    """The archive is damaged or of a kind this does not read; the message says how in one line."""


class NoDirectoryError(ZipError):
    """The archive ends without its directory: it is cut short."""


@dataclass(frozen=True, slots=True)
class ZipEntry:
    """One file of the archive: sizes in bytes, as it lies there and as it would be unpacked."""

    name: str
    method: int
    encrypted: bool
    packed: int
    size: int
    offset: int


def read_directory(file: BinaryIO, size: int) -> list[ZipEntry]:
    """All entries, in the order of the directory. Raises NoDirectoryError, ZipError, OSError."""
    start, length, count = _find(file, size)
    if count > _MOST_ENTRIES or length > _LONGEST_DIRECTORY:
        raise ZipError(f"its directory has {count:,} entries, too many to look through")
    directory = read_at(file, start, length)
    entries = []
    at = 0
    for _ in range(count):
        if at + _ENTRY.size > len(directory):
            raise ZipError("its directory ends inside an entry")
        signature, flags, method, packed, unpacked, name, extra, comment, offset = _ENTRY.unpack_from(
            directory, at
        )
        if signature != b"PK\x01\x02":
            raise ZipError("its directory has an entry that is none")
        at += _ENTRY.size
        after = at + name + extra + comment
        if after > len(directory):
            raise ZipError("its directory ends inside an entry")
        unpacked, packed, offset = _widened(
            directory[at + name : at + name + extra], unpacked, packed, offset
        )
        if offset + packed > start:
            raise ZipError("an entry lies outside the archive")
        text = directory[at : at + name].decode("utf-8", "replace")
        entries.append(ZipEntry(text, method, bool(flags & 1), packed, unpacked, offset))
        at = after
    if at != len(directory):
        raise ZipError("its directory is longer than its entries")
    return entries


def open_entry(file: BinaryIO, entry: ZipEntry, *, cap: int) -> tuple[BinaryIO, int, int]:
    """A file, and where in it the unpacked content of an entry starts and ends.

    Packed content is unpacked into memory, `cap` bytes at most. Raises ZipError, OSError.
    """
    local = read_at(file, entry.offset, _LOCAL.size)
    if len(local) < _LOCAL.size:
        raise ZipError(f"{shown(entry.name)} is not where the directory says")
    signature, name, extra = _LOCAL.unpack(local)
    if signature != b"PK\x03\x04":
        raise ZipError(f"{shown(entry.name)} is not where the directory says")
    start = entry.offset + _LOCAL.size + name + extra
    if entry.encrypted:
        raise ZipError(f"{shown(entry.name)} is encrypted")
    if entry.method == _STORED and entry.size == entry.packed:
        return file, start, start + entry.size
    if entry.method != _DEFLATED:
        raise ZipError(f"{shown(entry.name)} is packed in a way this does not read")
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
            # What exceeds the bound stays packed; one chunk can be a thousand times as long unpacked.
            content += stream.decompress(chunk, cap + 1 - len(content))
            if len(content) > cap:
                raise ZipError("a pickle is too long when unpacked")
    except zlib.error:
        raise ZipError("a pickle cannot be unpacked") from None
    return content


def _find(file: BinaryIO, size: int) -> tuple[int, int, int]:
    """Start, length and number of entries of the directory, by the last end record that the file has."""
    tail_start = max(0, size - _END.size - _LONGEST_COMMENT)
    tail = read_at(file, tail_start, size - tail_start)
    # A negative end would be counted from the end.
    at = tail.rfind(b"PK\x05\x06", 0, max(0, len(tail) - _END.size + 4))
    if at < 0:
        raise NoDirectoryError("zip archive without the directory at its end")
    _, disk, first_disk, here, count, length, start, comment = _END.unpack_from(tail, at)
    end = tail_start + at
    if end + _END.size + comment != size:
        raise ZipError("bytes follow the end of the archive")
    locator = read_at(file, end - _LOCATOR.size, _LOCATOR.size) if end >= _LOCATOR.size else b""
    if locator.startswith(b"PK\x06\x07"):
        end = _LOCATOR.unpack(locator)[2]
        record = read_at(file, end, _WIDE_END.size) if end < size else b""
        if len(record) < _WIDE_END.size or not record.startswith(b"PK\x06\x06"):
            raise ZipError("its end record leads nowhere")
        wide = _WIDE_END.unpack(record)[1:]
        narrow = (here, count, length, start)
        marks = (_MARK16, _MARK16, _MARK32, _MARK32)
        if any(a not in (b, mark) for a, b, mark in zip(narrow, wide, marks, strict=True)):
            raise ZipError("it has two directories")
        here, count, length, start = wide
    if disk != first_disk or here != count:
        raise ZipError("it is one of several parts")
    if start + length != end:
        raise ZipError("its directory is not where the end record says")
    return start, length, count


def _widened(extra: bytes, unpacked: int, packed: int, offset: int) -> tuple[int, int, int]:
    """The three sizes, those too large for 32 bits taken from the extra field."""
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


def zip_format(file: BinaryIO, size: int) -> str:
    """`torchscript`, `torch_zip` or `zip`: code or pickled data in the archive's one folder. Raises OSError.

    An archive without its directory (a download cut short) is judged by its first entry: TorchScript puts its
    storages and code there, torch.save the pickle. One with a directory in which programs may see different
    things counts as `torch_zip`: the reader of those refuses it.
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
    """Whether an archive ends with its directory, sound or not. Raises OSError."""
    try:
        read_directory(file, size)
    except NoDirectoryError:
        return False
    except ZipError:
        pass  # there is one to complain of
    return True


def read_zip(file: BinaryIO, size: int) -> Header:
    """An archive that holds no model: whether it is cut short (finding `truncated`). Raises OSError."""
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
