"""The workflow inside of an image, as ComfyUI's saving nodes put it there.

PNG: text chunks `prompt` and `workflow` (PNG specification, third edition, 11.3.3), in an animated one chunks
`comf` after the image data. WebP: EXIF texts `prompt:…` and `workflow:…` (Model, Make and the tags below).
"""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING

from mlib.core.workflows.errors import WorkflowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

PNG = b"\x89PNG\r\n\x1a\n"
#: What is read of one workflow. Real ones are some 100 KB; with images in them, some MB.
LONGEST = 32 << 20

_KEYS = ("workflow", "prompt")
_LONGEST_KEYWORD = 79
#: An image of 50 MB has some 6,000 chunks.
_MOST_CHUNKS = 200_000
_MOST_TAGS = 1000
_ASCII = 2


def is_webp(head: bytes) -> bool:
    """Whether a file that begins so is a WebP image; 12 bytes are enough."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def texts_of_png(file: BinaryIO, size: int) -> dict[str, str]:
    """`workflow` and `prompt`, as far as the image holds them. Raises WorkflowError where it is damaged."""
    found: dict[str, str] = {}
    at = len(PNG)
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            break
        (length,), kind = struct.unpack(">I", head[:4]), head[4:]
        if kind == b"IEND" or (kind == b"IDAT" and found):
            return found
        if length > size - at - 12:
            break
        if kind in _TEXT_CHUNKS and length <= LONGEST:
            name, text = _text_chunk(kind, file.read(length))
            if name in _KEYS:
                found.setdefault(name, text)
        at += length + 12
    if not found:
        raise WorkflowError("bad_image", "the image is cut short or damaged")
    return found


def _text_chunk(kind: bytes, data: bytes) -> tuple[str, str]:
    keyword, nul, rest = data.partition(b"\0")
    name = keyword.decode("latin-1") if nul and len(keyword) <= _LONGEST_KEYWORD else ""
    if name not in _KEYS:
        return "", ""
    if kind == b"zTXt":
        return name, _unpacked(rest[1:]).decode("latin-1")
    if kind == b"iTXt":
        packed = rest[:1] == b"\1"
        *_, text = rest[2:].split(b"\0", 2)
        return name, (_unpacked(text) if packed else text).decode("utf-8", "replace")
    return name, rest.decode("latin-1")


_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"comf"})


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, LONGEST)
    except zlib.error:
        raise WorkflowError("bad_image", "a packed text in the image is damaged") from None
    if unpacker.unconsumed_tail:
        raise WorkflowError("too_large", "the workflow in the image is too large when unpacked")
    return text


def texts_of_webp(file: BinaryIO, size: int) -> dict[str, str]:
    """`workflow` and `prompt`, as far as the image holds them. Raises WorkflowError where it is damaged."""
    at = 12
    for _ in range(_MOST_CHUNKS):
        file.seek(at)
        head = file.read(8)
        if len(head) < 8:
            return {}
        kind, length = head[:4], struct.unpack("<I", head[4:])[0]
        if length > size - at - 8:
            raise WorkflowError("bad_image", "the image is cut short or damaged")
        if kind == b"EXIF":
            if length > LONGEST:
                raise WorkflowError("too_large", "the workflow in the image is too large")
            return dict(_named(file.read(length)))
        at += 8 + length + length % 2
    raise WorkflowError("bad_image", "the image has too many parts")


def _named(exif: bytes) -> Iterator[tuple[str, str]]:
    """The texts `name:…` of the first directory of an EXIF block (TIFF 6.0, section 2)."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return
    (start,) = struct.unpack_from(order + "I", block, 4)
    if start > len(block) - 2:
        return
    (count,) = struct.unpack_from(order + "H", block, start)
    for number in range(min(count, _MOST_TAGS)):
        at = start + 2 + 12 * number
        if at > len(block) - 12:
            return
        _tag, kind, length, place = struct.unpack_from(order + "HHII", block, at)
        if kind == _ASCII and 4 < length <= len(block) - min(place, len(block)):
            text = block[place : place + length].rstrip(b"\0")
            name, colon, value = text.partition(b":")
            if colon and name.decode("latin-1").lower() in _KEYS:
                yield name.decode("latin-1").lower(), value.decode("utf-8", "replace")
