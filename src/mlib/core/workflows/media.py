"""Extract workflows from images, video, audio and 3D scenes, as ComfyUI's nodes and common packs embed them.

PNG: text chunks `prompt` and `workflow` (PNG specification, third edition, 11.3.3), in animated ones `comf`
chunks after the image data. WebP, JPEG, AVIF: EXIF texts `prompt:…` and `workflow:…` (Model, Make and the
tags below; ComfyUI's nodes_images.py) or JSON as the user comment. MP4 and MOV: items of `udta/meta/ilst`,
Matroska: tags, named `prompt` and `workflow` (ComfyUI's video_types.py), or a `comment` with both (older
VideoHelperSuite). FLAC, Ogg, Opus: Vorbis comments; MP3: ID3 texts (ComfyUI's nodes_audio.py). GLB: `extras`
of its JSON. Latents: the header of a safetensors file. What ComfyUI's front end reads is in its
src/scripts/metadata.
"""

from __future__ import annotations

import html
import struct
import zlib
from typing import TYPE_CHECKING

from mlib.core.workflows.graph import WorkflowError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

#: The most bytes read of one workflow. Real ones take some 100 KB; with embedded images, some MB.
LONGEST = 32 << 20

_KEYS = ("workflow", "prompt")
#: A 50 MB image has some 6,000 chunks; a long video has a cluster every few seconds.
_MOST_CHUNKS = 200_000
_MOST_TAGS = 1000
_MOST_BLOCKS = 8


def kind_of(head: bytes) -> str | None:
    """The kind of a file, by its first 12 bytes, if it may contain a workflow and is not text."""
    if head[:4] == b"RIFF":
        return "webp" if head[8:12] == b"WEBP" else None
    if head[4:8] == b"ftyp":
        return "avif" if head[8:12] in {b"avif", b"avis", b"heic", b"mif1"} else "mp4"
    for start, kind in _STARTS:
        if head.startswith(start):
            return kind
    if head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2:  # MPEG, layer III
        return "mp3"
    return "latent" if head[8:9] == b"{" and head[5:8] == bytes(3) else None


_STARTS = (
    (b"\x89PNG\r\n\x1a\n", "png"), (b"\xff\xd8\xff", "jpeg"), (b"\x1aE\xdf\xa3", "webm"), (b"fLaC", "flac"),
    (b"OggS", "ogg"), (b"ID3", "mp3"), (b"glTF", "glb"),
)  # fmt: skip


def texts_of(kind: str, file: BinaryIO, size: int) -> list[str]:
    """All texts in a file of this kind that may be workflows.

    Raises WorkflowError if the file is damaged, or if the texts are too large, singly or together.
    """
    found: list[str] = []
    left = LONGEST
    for text in _READERS[kind](file, size):
        left -= len(text)
        if left < 0:
            raise WorkflowError("too_large", f"the {kind} file contains too much text for a workflow")
        if text:
            found.append(text)
    return found


def text_in_svg(svg: str) -> str:
    """The content of the first `<metadata>` of an SVG (ComfyUI's nodes_images.py)."""
    start = svg.find("<metadata")
    end = svg.find("</metadata>", start)
    if start < 0 or end < 0:
        return ""
    inner = svg[svg.find(">", start) + 1 : end].strip()
    if inner.startswith("<![CDATA["):
        return inner[9:].partition("]]>")[0]
    return html.unescape(inner)


def _utf8(data: bytes) -> str:
    """Decode text as ComfyUI's front end does: as UTF-8, else as Latin-1, which PNG specifies."""
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _at(file: BinaryIO, start: int, length: int) -> bytes:
    """Read `length` bytes at `start`, fewer at the end of the file; none if it is too long for a workflow."""
    if length > LONGEST:
        return b""
    file.seek(start)
    return file.read(max(length, 0))


# PNG


def _png(file: BinaryIO, size: int) -> list[str]:
    found: dict[str, str] = {}
    at = 8
    for _ in range(_MOST_CHUNKS):
        head = _at(file, at, 8)
        if len(head) < 8:
            break
        (length,), kind = struct.unpack(">I", head[:4]), head[4:]
        if kind == b"IEND" or (kind == b"IDAT" and found):
            return list(found.values())
        if length > size - at - 12:
            break
        if kind in _TEXT_CHUNKS and length <= LONGEST:
            keyword, _, rest = file.read(length).partition(b"\0")
            name = keyword.decode("latin-1").lower()
            if name in _KEYS and name not in found:
                found[name] = _text(kind, rest)
        at += length + 12
    if not found:
        raise WorkflowError("bad_image", "the image is truncated or damaged")
    return list(found.values())


def _text(kind: bytes, data: bytes) -> str:
    """The text of a chunk, after its keyword."""
    if kind == b"zTXt":
        return _utf8(_unpacked(data[1:]))
    if kind == b"iTXt":
        packed = data[:1] == b"\1"
        *_, text = data[2:].split(b"\0", 2)
        return _utf8(_unpacked(text) if packed else text)
    return _utf8(data)


_TEXT_CHUNKS = frozenset({b"tEXt", b"zTXt", b"iTXt", b"comf"})


def _unpacked(data: bytes) -> bytes:
    unpacker = zlib.decompressobj()
    try:
        text = unpacker.decompress(data, LONGEST)
    except zlib.error:
        raise WorkflowError("bad_image", "a compressed text in the image is damaged") from None
    if unpacker.unconsumed_tail:
        raise WorkflowError("too_large", "the workflow in the image is too large when decompressed")
    return text


# EXIF


def _webp(file: BinaryIO, size: int) -> list[str]:
    at = 12
    for _ in range(_MOST_CHUNKS):
        head = _at(file, at, 8)
        if len(head) < 8:
            return []
        kind, length = head[:4], struct.unpack("<I", head[4:])[0]
        if length > size - at - 8:
            raise WorkflowError("bad_image", "the image is truncated or damaged")
        if kind == b"EXIF":
            if length > LONGEST:
                raise WorkflowError("too_large", "the workflow in the image is too large")
            return list(_exif(file.read(length)))
        at += 8 + length + length % 2
    raise WorkflowError("bad_image", "the image has too many parts")


def _jpeg(file: BinaryIO, size: int) -> Iterator[str]:
    """Segments before the image data (ITU-T T.81, B.1.1); a comment (COM) may also be a workflow."""
    at = 2
    for _ in range(_MOST_CHUNKS):
        head = _at(file, at, 4)
        if len(head) < 4 or head[0] != 0xFF:
            break
        marker, length = head[1], int.from_bytes(head[2:], "big")
        if marker in {0xDA, 0xD9}:
            return
        if length < 2 or at + 2 + length > size:
            break
        data = file.read(length - 2)
        if marker == 0xE1 and data.startswith(b"Exif\0\0"):
            yield from _exif(data)
        elif marker == 0xFE:
            yield from _said(_utf8(data))
        at += 2 + length
    raise WorkflowError("bad_image", "the image is truncated or damaged")


def _avif(file: BinaryIO, size: int) -> Iterator[str]:
    """An AVIF's EXIF block may be anywhere (ISO 23008-12, A.2): search for its first bytes."""
    data = _at(file, 0, min(size, LONGEST))
    for start in (b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        at = -1
        for _ in range(_MOST_BLOCKS):
            at = data.find(start, at + 1)
            if at < 0:
                break
            yield from _exif(data[at:])


#: Value types that contain text: ASCII, bytes (as Pillow writes a comment), undefined, UTF-8.
_TEXTS = frozenset({2, 1, 7, 129})
_EXIF_DIRECTORY, _USER_COMMENT = 0x8769, 0x9286
#: Prefixes of a user comment that is JSON: the character set's name and the first bytes.
_CHARSETS = (
    (b"UNICODE\0{\0", "utf-16-le"),
    (b"UNICODE\0\0{", "utf-16-be"),
    (b"ASCII\0\0\0{", "utf-8"),
    (bytes(8) + b"{", "utf-8"),
)


def _exif(exif: bytes) -> Iterator[str]:
    """The texts of an EXIF block's first directory, and the user comment (TIFF 6.0, 2; EXIF 2.3, 4.6.5)."""
    block = exif.removeprefix(b"Exif\0\0")
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(block[:4])
    if order is None or len(block) < 8:
        return
    (start,) = struct.unpack_from(order + "I", block, 4)
    entries = list(_directory(block, order, start))
    for place in [place for tag, _, _, place in entries if tag == _EXIF_DIRECTORY][:1]:
        entries += [each for each in _directory(block, order, place) if each[0] == _USER_COMMENT]
    left = len(block)  # all entries may point to the same text
    for tag, kind, length, place in entries:
        if kind not in _TEXTS or not 4 < length <= len(block) - min(place, len(block)):
            continue
        left -= length
        if left < 0:
            return
        text = block[place : place + length]
        yield from _said(_comment(text) if tag == _USER_COMMENT else _utf8(text))


def _comment(text: bytes) -> str:
    for start, charset in _CHARSETS:
        if text.startswith(start):
            return text[8:].decode(charset, "replace")
    return _utf8(text)


def _directory(block: bytes, order: str, start: int) -> Iterator[tuple[int, int, int, int]]:
    """The (tag, kind, length, offset) of a directory's entries."""
    if start > len(block) - 2:
        return
    (count,) = struct.unpack_from(order + "H", block, start)
    for number in range(min(count, _MOST_TAGS)):
        at = start + 2 + 12 * number
        if at > len(block) - 12:
            return
        yield struct.unpack_from(order + "HHII", block, at)


def _said(text: str) -> Iterator[str]:
    """The text itself if it may be JSON, or the part after `workflow:` or `prompt:`."""
    text = text.strip("\0 \t\r\n")
    name, colon, value = text.partition(":")
    if text[:1] in {"{", "["}:
        yield text
    elif colon and name.strip().lower() in _KEYS:
        yield value.strip()


# Videos

_HOLDING = frozenset({b"moov", b"udta", b"meta", b"ilst"})


def _mp4(file: BinaryIO, size: int) -> Iterator[str]:
    """The values of `udta/meta/ilst` (ISO 14496-12, 8.10; QuickTime metadata), whatever their keys are."""
    is_cut = found = False
    waiting = [(0, size, b"")]
    left = _MOST_CHUNKS
    while waiting:
        at, end, around = waiting.pop()
        while at + 8 <= end and left:
            left -= 1
            head = _at(file, at, 16)
            if len(head) < 8:
                break
            length, kind, lead = int.from_bytes(head[:4], "big"), head[4:8], 8
            if length == 1:
                length, lead = int.from_bytes(head[8:16], "big"), 16
            length = length or end - at
            if length < lead or at + length > end:
                is_cut = is_cut or not around
                break
            inner = at + lead
            if kind in _HOLDING or around == b"ilst":
                # `meta` is a full box here, with 4 bytes more than the plain one in QuickTime.
                if kind == b"meta" and _at(file, inner + 4, 4) not in {b"hdlr", b"keys", b"ilst"}:
                    inner += 4
                waiting.append((inner, at + length, kind if kind in _HOLDING else b"item"))
            elif (kind == b"data" and around == b"item") or (kind[:1] == b"\xa9" and around == b"udta"):
                # The text follows the value's type and locale, in QuickTime its length and language.
                skipped = 8 if kind == b"data" else 4
                found = True
                yield from _json_in(_at(file, inner + skipped, length - lead - skipped))
            at += length
    if is_cut and not found:
        raise WorkflowError("bad_media", "the video is truncated or damaged")


def _json_in(data: bytes) -> Iterator[str]:
    """A value as text if it may be JSON; also JSON inside a JSON string."""
    if data.lstrip()[:1] in {b"{", b"[", b'"'}:
        yield _utf8(data).rstrip("\0")


_SEGMENT, _CLUSTER, _TAGS, _TAG, _SIMPLE_TAG, _TAG_STRING = (
    0x18538067, 0x1F43B675, 0x1254C367, 0x7373, 0x67C8, 0x4487,
)  # fmt: skip


def _matroska(file: BinaryIO, size: int) -> Iterator[str]:
    """The strings of all tags (Matroska, RFC 9559, 5.1.8), wherever they are between the clusters."""
    waiting = [(0, size)]
    left = _MOST_CHUNKS
    while waiting:
        at, end = waiting.pop()
        while at < end and left:
            left -= 1
            head = _at(file, at, 12)
            identifier, width = _number(head, marked=True)
            length, more = _number(head[width:], marked=False)
            if not width or not more:
                break
            inner = at + width + more
            open_end = length == (1 << 7 * more) - 1
            if identifier in {_SEGMENT, _TAGS, _TAG, _SIMPLE_TAG} or (identifier == _CLUSTER and open_end):
                waiting.append((inner, end if open_end else min(inner + length, end)))
                if open_end:
                    break
            elif identifier == _TAG_STRING:
                yield from _json_in(_at(file, inner, min(length, end - inner)))
            at = inner + length


def _number(data: bytes, *, marked: bool) -> tuple[int, int]:
    """Read a variable-length number, with its length marker if `marked`, and its width (0: none)."""
    if not data or not data[0]:
        return 0, 0
    width = 9 - data[0].bit_length()
    if len(data) < width:
        return 0, 0
    value = int.from_bytes(data[:width], "big")
    return (value if marked else value & ((1 << 7 * width) - 1)), width


# Audio


def _flac(file: BinaryIO, size: int) -> list[str]:
    """The Vorbis comments among the metadata blocks (RFC 9639, 8)."""
    at = 4
    found: list[str] = []
    for _ in range(_MOST_TAGS):
        head = _at(file, at, 4)
        if len(head) < 4:
            break
        length = int.from_bytes(head[1:], "big")
        if head[0] & 0x7F == 4:
            found += _comments(_at(file, at + 4, min(length, size)))
        at += 4 + length
        if head[0] & 0x80:
            break
    return found


def _ogg(file: BinaryIO, size: int) -> list[str]:
    """The comments in the second packet of an Ogg stream (RFC 3533, 6; RFC 7845, 5.2)."""
    data = _at(file, 0, min(size, LONGEST))
    at, packets, packet = 0, 0, bytearray()
    while data[at : at + 4] == b"OggS" and at + 27 <= len(data):
        sizes = data[at + 27 : at + 27 + data[at + 26]]
        at += 27 + len(sizes)
        for length in sizes:
            packet += data[at : at + length]
            at += length
            if length < 255:
                packets += 1
                for start in (b"OpusTags", b"\x03vorbis"):
                    if packet.startswith(start):
                        return list(_comments(bytes(packet[len(start) :])))
                packet.clear()
            if packets > 2:
                return []
    return []


def _comments(data: bytes) -> Iterator[str]:
    """The values of the Vorbis comments `workflow=` and `prompt=`, in any case."""
    at = 4 + int.from_bytes(data[:4], "little")
    count = int.from_bytes(data[at : at + 4], "little")
    at += 4
    for _ in range(min(count, _MOST_TAGS)):
        length = int.from_bytes(data[at : at + 4], "little")
        key, equals, value = data[at + 4 : at + 4 + length].partition(b"=")
        if equals and key.decode("latin-1").lower() in {*_KEYS, "comment"}:
            yield _utf8(value)
        at += 4 + length


def _mp3(file: BinaryIO, size: int) -> Iterator[str]:
    """The texts of an ID3v2 tag's TXXX and COMM frames (id3.org, v2.3 and v2.4)."""
    head = _at(file, 0, 10)
    if head[:3] != b"ID3" or len(head) < 10:
        return
    data = _at(file, 10, min(_seven_bits(head[6:10]), size))
    at = 0
    for _ in range(_MOST_TAGS):
        frame = data[at : at + 10]
        if len(frame) < 10 or not frame[0]:
            return
        length = _seven_bits(frame[4:8]) if head[3] == 4 else int.from_bytes(frame[4:8], "big")
        content = data[at + 10 : at + 10 + length]
        if frame[:4] in {b"TXXX", b"COMM"} and content:
            encoding = ("latin-1", "utf-16", "utf-16-be", "utf-8")[min(content[0], 3)]
            text = content[1:].decode(encoding, "replace") if content[0] else _utf8(content[1:])
            _, _, value = text.partition("\0")
            yield value.strip("\0\ufeff")
        at += 10 + length


def _seven_bits(data: bytes) -> int:
    return sum((byte & 0x7F) << shift for byte, shift in zip(data, (21, 14, 7, 0), strict=False))


# JSON headers


def _glb(file: BinaryIO, size: int) -> list[str]:
    """The JSON of a binary glTF (2.0, 4.4): the first chunk."""
    head = _at(file, 12, 8)
    if len(head) < 8 or head[4:] != b"JSON":
        return []
    return [_utf8(_at(file, 20, min(int.from_bytes(head[:4], "little"), size)))]


def _latent(file: BinaryIO, size: int) -> list[str]:
    """The header of a safetensors file, whose metadata has the workflow (ComfyUI's nodes.py `SaveLatent`)."""
    length = int.from_bytes(_at(file, 0, 8), "little")
    return [_utf8(_at(file, 8, length))] if length <= size - 8 else []


_READERS = {
    "png": _png, "webp": _webp, "jpeg": _jpeg, "avif": _avif, "mp4": _mp4, "webm": _matroska, "flac": _flac,
    "ogg": _ogg, "mp3": _mp3, "glb": _glb, "latent": _latent,
}  # fmt: skip
