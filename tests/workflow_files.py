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


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*chunks: bytes, after: Sequence[bytes] = ()) -> bytes:
    """A PNG of one pixel, with chunks before and after its image data."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"\0\0"))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + pixels + b"".join(after) + chunk(b"IEND", b"")


def text_chunk(name: str, document: Any, kind: bytes = b"tEXt") -> bytes:
    """A text chunk of any kind (`comf` too) that holds JSON."""
    key, text = name.encode() + b"\0", encoded(document)
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


def webp(*parts: tuple[bytes, bytes]) -> bytes:
    """A WebP of these chunks; there is no picture in it."""
    body = b"".join(kind + struct.pack("<I", len(data)) + data + bytes(len(data) % 2) for kind, data in parts)
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
