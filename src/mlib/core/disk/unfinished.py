"""Is this file a download that has not ended? Told by its name, a neighbour, or less content than promised.

A wrong yes keeps a model out of the library, a wrong no costs one more hash: where a file does not tell, the
answer is no.
"""

from __future__ import annotations

import functools
import os
import re
import time
from struct import Struct
from typing import TYPE_CHECKING

from mlib.core.disk.system import is_open_for_writing
from mlib.core.formats import cursor

if TYPE_CHECKING:
    import io
    from collections.abc import Collection, Iterator
    from typing import BinaryIO

#: Added to the final name by browsers and download managers while the file grows under that longer name.
_PARTIAL_SUFFIXES = (
    ".part",  # Firefox, comfy-cli, KDE
    ".partial",  # rclone, curl scripts
    ".crdownload",  # Chromium
    ".opdownload",  # Opera
    ".download",  # Safari
    ".downloading",
    ".incomplete",  # huggingface_hub
    ".filepart",  # WinSCP
    ".fdmdownload",  # Free Download Manager
    ".xltd",  # Xunlei
    ".!qB",  # qBittorrent
    ".!qb",
    ".!ut",  # uTorrent
    ".!uT",
    ".!bt",
    ".bc!",  # BitComet
)
#: Beside a file that grows under its final name: how far it has come.
_CONTROL_SUFFIXES = (".aria2", ".aria2__temp", ".dl-meta", ".lftp-pget-status")
#: Also used for much that is no download, so a neighbour of this name proves nothing.
_TEMPORARY_SUFFIXES = (".tmp", ".temp")

_ENDINGS = tuple(suffix.lower() for suffix in _PARTIAL_SUFFIXES + _CONTROL_SUFFIXES + _TEMPORARY_SUFFIXES)
#: Endings of a neighbour that can tell of a download; `.st` is axel's, alone a rare extension of safetensors.
BESIDE = (*_PARTIAL_SUFFIXES, *_CONTROL_SUFFIXES, ".st")

_GGUF_MAGIC = b"GGUF"
_ZIP_MAGIC = b"PK\x03\x04"
_ZIP_DIRECTORY = b"PK\x01\x02"
_ZIP_END = b"PK\x05\x06"
_ZIP_END_SIZE = 22
_ZIP_MAX_COMMENT = 65_535
_ZIP64_END = b"PK\x06\x06"
_ZIP64_END_SIZE = 56
_ZIP64_LOCATOR = b"PK\x06\x07"
_ZIP64_LOCATOR_SIZE = 20
_ZIP64_MARK = 0xFFFFFFFF

_U64 = Struct("<Q")
_TWO_U32 = Struct("<II")
_TWO_U64 = Struct("<QQ")

#: So many bytes of zeros at the end, of a file longer than that and a header, changed in the last seconds.
_TAIL = 2**16
_HEAD = 2**10
_STILL_YOUNG = 86_400
#: Fewer zeros at the end tell something only where a tensor holds other bytes before them.
_SHORT_TAIL = 2**12
#: What a disk leaves out begins at the end of a block: of 128 KiB on ZFS and compressed Btrfs.
_BLOCK = 2**17
_MOST_HOLES = 64
_OFFSETS = re.compile(rb'"data_offsets"\s*:\s*\[\s*([0-9]{1,19})\s*,\s*([0-9]{1,19})\s*\]')

_MIN_HEADER = 2  # `{}`
_MAX_HEADER = 100_000_000  # what the safetensors library accepts
#: A longer header is not gone through: three times the longest known, and it takes half a second.
_MAX_TOLD = 32 * 2**20
_METADATA = b'"__metadata__"'
_CHUNK = 2**20
#: Ten times what the largest known models have; more was made to waste time, and then the answer is no.
_MAX_MEMBERS = 400_000
_MAX_DEPTH = 64


def unfinished_name(name: str, siblings: Collection[str]) -> str | None:
    """Why `name` is a download in progress, or None; `siblings` are the names in its directory.

    Of the siblings only those that end as BESIDE says are looked for, so that the others may be left out.
    Hidden temporary files (rsync, wget) are not looked for: the walk passes over them anyway.
    """
    lowered = name.lower()
    if lowered.endswith(_ENDINGS):
        return f"a name ending in {lowered[lowered.rindex('.') :]} is a download in progress"
    for suffix in BESIDE if siblings else ():
        if name + suffix in siblings:
            return f"{name}{suffix} beside it says that the download goes on"
    return None


def unfinished_content(file: BinaryIO, size: int) -> str | None:
    """Why a file of `size` bytes is a download in progress, or None if it is whole or does not tell.

    One line. Reads headers and the tail only and leaves the position anywhere. Raises OSError.
    """
    if size == 0:
        return "empty file"
    head = cursor.read_at(file, 0, 9)
    if head.startswith(_GGUF_MAGIC):
        return _unfinished_gguf(file, size)
    # A header's length of 67 MB begins like a zip archive; after that only safetensors goes on like this.
    is_json_next = head[4:] in (b"\0\0\0\0{", b"\0\0\0\0 ")
    if head.startswith(_ZIP_MAGIC):
        if _has_directory(file, size):
            return None
        if not is_json_next:
            return "zip archive without the directory at its end"
    if is_json_next:
        return _unfinished_safetensors(file, size, header_size=_U64.unpack_from(head)[0])
    return None


def unwritten(file: io.FileIO, status: os.stat_result) -> str | None:
    """Why a file that has its full size already is a download in progress, or None.

    Download managers reserve the space first: the header is whole, and behind what has come there are zeros.
    Files of days ago may end in zeros, as a layer does that was never trained: of these it must be the disk
    that has nothing there, from the middle of a tensor on. Raises OSError.
    """
    if is_open_for_writing(file.fileno()):
        return "another program has it open for writing"
    size = status.st_size
    head = cursor.read_at(file, 0, 9)
    is_safetensors = head[8:] in (b"{", b" ")
    is_young = time.time() - status.st_mtime < _STILL_YOUNG
    has_header = is_safetensors or head.startswith(_GGUF_MAGIC)
    if (
        is_young
        and has_header
        and size > _HEAD + _TAIL
        and not any(cursor.read_at(file, size - _TAIL, _TAIL))
    ):
        return "its end is empty: space that was reserved, and not written yet"
    if is_safetensors and _stops_in_a_tensor(file, size, is_young=is_young):
        return "a part of it is empty: space that was reserved, and not written yet"
    return None


def _stops_in_a_tensor(file: io.FileIO, size: int, *, is_young: bool) -> bool:
    """Whether a tensor of a safetensors file ends in the middle: what follows is a hole, or zeros."""
    holes = list(_holes(file, size))
    suspected = [
        (begin, _BLOCK) for begin, end in holes if is_young or (end == size and len(holes) < _MOST_HOLES)
    ]
    if is_young:
        tail = cursor.read_at(file, max(0, size - _TAIL), _TAIL)
        zeros = len(tail) - len(tail.rstrip(b"\0"))
        suspected += [(size - zeros, 0)] if zeros >= _SHORT_TAIL else []
    if not suspected:
        return False
    header_size = min(_U64.unpack(cursor.read_at(file, 0, 8))[0], _MAX_TOLD)
    data_start = 8 + header_size
    tensors = [
        (data_start + int(begin), data_start + int(end))
        for begin, end in _OFFSETS.findall(cursor.read_at(file, 8, header_size))
    ]
    return any(begin + blur < position < end for position, blur in suspected for begin, end in tensors)


def _holes(file: io.FileIO, size: int) -> Iterator[tuple[int, int]]:
    """Where the first holes of a file begin and end: what was never written, or left out as it was zero.

    None where the system or the filesystem does not tell.
    """
    position = 0
    for _ in range(_MOST_HOLES if hasattr(os, "SEEK_HOLE") else 0):
        try:
            begin = os.lseek(file.fileno(), position, os.SEEK_HOLE)
        except OSError:
            return
        if begin >= size:
            return
        try:
            position = os.lseek(file.fileno(), begin, os.SEEK_DATA)
        except OSError:  # there is nothing behind it
            position = size
        yield begin, position


def _unfinished_gguf(file: BinaryIO, size: int) -> str | None:
    from mlib.core.formats import gguf  # the walk needs this module's names only

    try:
        promised = gguf.whole_size(file, size)
    except cursor.CutShortError as cut:
        return str(cut)
    except cursor.HeaderError:
        return None
    return _shorter("GGUF", promised, size)


def _shorter(kind: str, promised: int, size: int) -> str | None:
    return f"{kind} header promises {promised:,} bytes, the file has {size:,}" if promised > size else None


def _unfinished_safetensors(file: BinaryIO, size: int, *, header_size: int) -> str | None:
    """A safetensors file is a u64 length, that much JSON, then the data its offsets speak of."""
    if not _MIN_HEADER <= header_size <= _MAX_HEADER:
        return None
    start = cursor.read_at(file, 8, min(header_size, size - 8, _CHUNK)).lstrip(b" ")
    if start and not start.startswith(b"{"):
        return None
    data_start = 8 + header_size
    if data_start > size:
        return _shorter("safetensors", data_start, size)
    if header_size > _MAX_TOLD:
        return None
    header = cursor.read_at(file, 8, header_size)
    if b"\0" in header:
        return "safetensors header has not all been written yet: there are zeros in it"
    extent = _data_extent(header)
    return None if extent is None else _shorter("safetensors", data_start + extent, size)


@functools.cache
def _json_patterns() -> tuple[re.Pattern[bytes], re.Pattern[bytes], re.Pattern[bytes]]:
    """A member of an object, an element of a list, and a tensor's offsets, as patterns that never step back.

    The first two end with the brackets closed after the value and the comma, or with a bracket it opens.
    """
    string = rb'"[^"\\\x00-\x1f]*+(?:\\(?:["\\/bfnrt]|u[0-9A-Fa-f]{4})[^"\\\x00-\x1f]*+)*+"'
    number = rb"-?(?:0|[1-9][0-9]*+)(?:\.[0-9]++)?+(?:[eE][+-]?[0-9]++)?+"
    scalar = rb"(?:%b|%b|true|false|null)" % (string, number)
    short_list = rb"\[~(?:%b~(?:,~(?!\])|(?=\]))){0,64}+\]" % scalar
    offsets = rb"\[~(?:0|[1-9][0-9]*+)~,~(0|[1-9][0-9]{0,19}+)~\]"
    # A tensor with its keys in the order of every known writer: one match for each, not four.
    tensor = rb'\{~"dtype"~:~%b~,~"shape"~:~%b~,~"data_offsets"~:~%b~\}' % (string, short_list, offsets)
    value = rb"~(?:(%b|%b|%b|\{~\})((?:~[}\]])*+)~(,?+)|([{\[]))" % (tensor, scalar, short_list)
    member, element, pair = (
        re.compile(pattern.replace(b"~", rb"[ \t\n\r]*+"))
        for pattern in (rb"~(%b)~:%b" % (string, value), rb"()%b" % value, offsets)
    )
    return member, element, pair


def _data_extent(header: bytes) -> int | None:
    """The highest end among the tensors' `data_offsets`; None if the header is no sound JSON.

    Goes over the text member by member and keeps nothing of it: a header may be 32 MB long.
    """
    member, element, pair = _json_patterns()
    extent = 0
    position = 0
    enclosing = bytearray()  # the brackets that are open, outermost first
    section = b""  # the top-level key we are in
    for _ in range(_MAX_MEMBERS):
        match = (member if enclosing.endswith(b"{") else element).match(header, position)
        if match is None:
            break
        key, value, end, closing, comma, opening = match.groups()
        position = match.end()
        if key == b'"data_offsets"' and enclosing == b"{{" and section != _METADATA:
            offsets = pair.fullmatch(value or b"")
            if offsets is None:
                break
            end = offsets[1]
        elif enclosing != b"{" or key == _METADATA:
            end = None
        if opening:
            if len(enclosing) == 1:
                section = key
            enclosing += opening
            if len(enclosing) > _MAX_DEPTH:
                break
            continue
        if end:
            extent = max(extent, int(end))
        if not _close(enclosing, closing) or bool(enclosing) != bool(comma):
            break
        if not enclosing:
            return extent if position == len(header) else None
    return None


def _close(enclosing: bytearray, closing: bytes) -> bool:
    """Take the brackets that `closing` closes off `enclosing`; False if they do not fit."""
    for bracket in closing.translate(None, b" \t\n\r"):
        # In ASCII `}` is `{` and two, `]` is `[` and two.
        if not enclosing or enclosing.pop() != bracket - 2:
            return False
    return True


def _has_directory(file: BinaryIO, size: int) -> bool:
    """Whether a zip archive ends with a record that leads to its central directory.

    Layout after PKWARE's APPNOTE, 4.3.12 to 4.3.16.
    """
    tail_start = max(0, size - _ZIP_END_SIZE - _ZIP_MAX_COMMENT)
    tail = cursor.read_at(file, tail_start, size - tail_start)
    at = tail.rfind(_ZIP_END)
    while at >= 0:
        record = tail[at : at + _ZIP_END_SIZE]
        if (
            len(record) == _ZIP_END_SIZE
            and at + _ZIP_END_SIZE + int.from_bytes(record[20:], "little") <= len(tail)
            and _leads_to_directory(file, record, tail_start + at)
        ):
            return True
        at = tail.rfind(_ZIP_END, 0, at)
    return False


def _leads_to_directory(file: BinaryIO, record: bytes, position: int) -> bool:
    """Whether the end record at `position` speaks of a central directory that is there, before it."""
    length, start = _TWO_U32.unpack_from(record, 12)
    if _ZIP64_MARK in (length, start):
        locator_at = position - _ZIP64_LOCATOR_SIZE
        locator = cursor.read_at(file, max(0, locator_at), _ZIP64_LOCATOR_SIZE)
        if not locator.startswith(_ZIP64_LOCATOR):
            return False
        position = _U64.unpack_from(locator, 8)[0]
        if position + _ZIP64_END_SIZE > locator_at:
            return False
        record = cursor.read_at(file, position, _ZIP64_END_SIZE)
        if not record.startswith(_ZIP64_END):
            return False
        length, start = _TWO_U64.unpack_from(record, 40)
    if start + length > position:
        return False
    # The end record of an archive stored in this one counts from another start.
    return length == 0 or cursor.read_at(file, start, 4) == _ZIP_DIRECTORY
