"""Workflows in every form, and images as ComfyUI's nodes save them."""

from __future__ import annotations

import json
import struct
import zlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

SUBGRAPH = "11706f8a-428d-4ef9-b24f-863f651c1b0b"


def node(
    node_id: int,
    kind: str,
    *widgets: Any,
    mode: int = 0,
    models: Sequence[Mapping[str, str]] = (),
    **more: Any,
) -> dict[str, Any]:
    """A node as the frontend saves it."""
    properties = {"Node name for S&R": kind, **({"models": list(models)} if models else {})}
    made = {
        "id": node_id,
        "type": kind,
        "mode": mode,
        "properties": properties,
        "widgets_values": list(widgets),
    }
    return {**made, **more}


def canvas(*nodes: Any, subgraphs: Sequence[Any] = (), **more: Any) -> dict[str, Any]:
    """A workflow in UI format."""
    definitions = {"definitions": {"subgraphs": list(subgraphs)}} if subgraphs else {}
    return {"version": 0.4, "nodes": list(nodes), "links": [], **definitions, **more}


def subgraph(*nodes: Any, name: str = SUBGRAPH, **more: Any) -> dict[str, Any]:
    """A subgraph's definition."""
    return {"id": name, "name": "Part", "nodes": list(nodes), "links": [], **more}


def prompt(**classes: tuple[str, dict[str, Any]]) -> dict[str, Any]:
    """A workflow in API format: `n3=("UNETLoader", {...})` is node 3."""
    return {
        name.removeprefix("n"): {"class_type": kind, "inputs": inputs}
        for name, (kind, inputs) in classes.items()
    }


def encoded(document: Any) -> bytes:
    """JSON as bytes."""
    return json.dumps(document).encode()


def _text(document: Any) -> bytes:
    return document.encode() if isinstance(document, str) else encoded(document)


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, after: Sequence[bytes] = ()) -> bytes:
    """A PNG of one pixel, with chunks before and after its image data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + b"".join(after) + chunk(b"IEND", b"")


def text_chunk(name: str, document: Any, kind: bytes = b"tEXt") -> bytes:
    """A text chunk of any kind (`comf` too) that holds JSON, or a text as it is."""
    key, text = name.encode() + b"\0", _text(document)
    if kind == b"zTXt":
        return chunk(kind, key + b"\0" + zlib.compress(text))
    if kind == b"iTXt":
        return chunk(kind, key + b"\0\0en\0\0" + text)
    return chunk(kind, key + text)


def exif(order: str = "<", /, **documents: Any) -> bytes:
    """An EXIF block with `name:JSON` texts in the tags ComfyUI uses: 0x010f downwards, `prompt` in 0x0110."""
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    tags, texts, start = b"", b"", 8 + 2 + 12 * len(documents) + 4
    for number, (name, document) in enumerate(documents.items()):
        text = name.encode() + b":" + encoded(document) + b"\0"
        tag = 0x0110 if name == "prompt" else 0x010F - number
        tags += struct.pack(order + "HHII", tag, 2, len(text), start + len(texts))
        texts += text
    return head + struct.pack(order + "H", len(documents)) + tags + bytes(4) + texts


def user_comment(document: Any, charset: bytes, encoding: str, order: str = "<") -> bytes:
    """An EXIF block with JSON as the user's comment, in a directory of its own."""
    text = charset + json.dumps(document).encode(encoding)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "I", 8)
    first = struct.pack(order + "HHHII", 1, 0x8769, 4, 1, 26) + bytes(4)
    second = struct.pack(order + "HHHII", 1, 0x9286, 7, len(text), 44) + bytes(4)
    return head + first + second + text


def webp(*parts: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks; there is no picture in it."""
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def jpeg(exif_block: bytes = b"", comment: Any = None) -> bytes:
    """A JPEG with an EXIF block or a comment; there is no picture in it."""
    parts = [(0xE0, b"JFIF\0" + bytes(9))]
    parts += [(0xE1, b"Exif\0\0" + exif_block)] if exif_block else []
    parts += [(0xFE, encoded(comment))] if comment is not None else []
    segments = b"".join(struct.pack(">BBH", 0xFF, kind, len(data) + 2) + data for kind, data in parts)
    return b"\xff\xd8" + segments + b"\xff\xda\0\2picture\xff\xd9"


def box(kind: bytes, *parts: bytes) -> bytes:
    """A box of an MP4."""
    data = b"".join(parts)
    return struct.pack(">I", len(data) + 8) + kind + data


def mp4(**documents: Any) -> bytes:
    """An MP4 with metadata as ffmpeg writes it with `use_metadata_tags`, behind the data."""
    names = [box(b"mdta", name.encode()) for name in documents]
    values = [
        box(struct.pack(">I", number), box(b"data", struct.pack(">II", 1, 0), _text(document)))
        for number, document in enumerate(documents.values(), 1)
    ]
    keys = box(b"keys", bytes(4), struct.pack(">I", len(names)), *names)
    handler = box(b"hdlr", bytes(8), b"mdta", bytes(13))
    meta = box(b"meta", bytes(4), handler, keys, box(b"ilst", *values))
    wide = struct.pack(">I", 1) + b"mdat" + struct.pack(">Q", 16 + 9) + b"nine byte"
    return box(b"ftyp", b"isom", bytes(4)) + wide + box(b"moov", box(b"mvhd", bytes(100)), box(b"udta", meta))


def quicktime(**documents: Any) -> bytes:
    """A MOV with texts of QuickTime's own kind."""
    texts = [
        box(b"\xa9cmt", struct.pack(">HH", len(_text(document)), 0x55C4), _text(document))
        for document in documents.values()
    ]
    return box(b"ftyp", b"qt  ", bytes(4)) + box(b"moov", box(b"udta", *texts)) + box(b"mdat", b"data")


def element(identifier: str, data: bytes, *, open_ended: bool = False) -> bytes:
    """An element of a Matroska file; its length takes 8 bytes."""
    length = b"\x01" + (b"\xff" * 7 if open_ended else len(data).to_bytes(7, "big"))
    return bytes.fromhex(identifier) + length + data


def matroska(documents: Mapping[str, Any], *, open_ended: bool = False) -> bytes:
    """A WebM with tags behind a cluster, as a stream of unknown length too."""
    tags = [
        element("67C8", element("45A3", name.upper().encode()) + element("4487", _text(document)))
        for name, document in documents.items()
    ]
    tag = element("7373", element("63C0", b"") + b"".join(tags))
    cluster = element("1F43B675", element("E7", b"\0"), open_ended=open_ended)
    segment = element("18538067", cluster + element("1254C367", tag), open_ended=open_ended)
    return element("1A45DFA3", element("4282", b"webm")) + segment


def vorbis_comments(**documents: Any) -> bytes:
    """A block of Vorbis comments."""
    texts = [name.encode() + b"=" + _text(document) for name, document in documents.items()]
    head = struct.pack("<I", 4) + b"mlib" + struct.pack("<I", len(texts))
    return head + b"".join(struct.pack("<I", len(text)) + text for text in texts)


def flac(**documents: Any) -> bytes:
    """A FLAC with comments; there is no sound in it."""
    comments = vorbis_comments(**documents)
    return b"fLaC" + b"\0\0\0\x22" + bytes(34) + b"\x84" + len(comments).to_bytes(3, "big") + comments


def ogg(kind: bytes = b"OpusTags", **documents: Any) -> bytes:
    """An Ogg stream of two packets, the second over as many pages as it takes."""
    comments = kind + vorbis_comments(**documents)
    sizes = [255] * (len(comments) // 255) + [len(comments) % 255]
    pages = [(b"OpusHead", [8])]
    while sizes:
        own, sizes = sizes[:100], sizes[100:]
        pages.append((comments[: sum(own)], own))
        comments = comments[sum(own) :]
    return b"".join(
        b"OggS" + bytes(22) + bytes([len(lengths)]) + bytes(lengths) + data for data, lengths in pages
    )


def mp3(version: int = 4, **documents: Any) -> bytes:
    """An MP3 with an ID3 tag; UTF-8 in version 4, UTF-16 in version 3."""

    def seven(number: int) -> bytes:
        return bytes(number >> shift & 0x7F for shift in (21, 14, 7, 0))

    frames = b""
    for name, document in documents.items():
        text = f"{name}\0{_text(document).decode()}"
        data = b"\3" + text.encode() if version == 4 else b"\1" + text.encode("utf-16")
        size = seven(len(data)) if version == 4 else struct.pack(">I", len(data))
        frames += b"TXXX" + size + b"\0\0" + data
    return b"ID3" + bytes([version, 0, 0]) + seven(len(frames)) + frames + b"\xff\xfb" + bytes(40)


def svg(document: Any, *, escaped: bool = False) -> bytes:
    """An SVG as ComfyUI saves it, or as a program does that knows no CDATA."""
    text = json.dumps(document, indent=2)
    inner = text.replace('"', "&quot;") if escaped else f"<![CDATA[\n{text}\n]]>"
    return f'<?xml version="1.0"?>\n<svg><metadata>\n{inner}\n</metadata><path/></svg>'.encode()


def glb(document: Any) -> bytes:
    """A binary glTF with nothing but its JSON."""
    text = encoded(document)
    return b"glTF" + struct.pack("<III4s", 2, 20 + len(text), len(text), b"JSON") + text


def latent(**documents: Any) -> bytes:
    """A latent as ComfyUI saves it: a safetensors file."""
    header = encoded({"__metadata__": {name: json.dumps(each) for name, each in documents.items()}})
    return struct.pack("<Q", len(header)) + header
