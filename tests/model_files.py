"""Builders of small but real model files, byte by byte."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

#: Value types of GGUF key-values that tests write.
U32, STRING, ARRAY = 4, 8, 9
F32, Q4_0 = 0, 2


def framed(header: bytes) -> bytes:
    """A safetensors header with its length in front."""
    return struct.pack("<Q", len(header)) + header


def safetensors_header(sizes: Mapping[str, int], *, metadata: Mapping[str, object] | None = None) -> bytes:
    """The JSON of U8 tensors of these many bytes, one after another."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    start = 0
    for name, size in sizes.items():
        header[name] = {"dtype": "U8", "shape": [size], "data_offsets": [start, start + size]}
        start += size
    return json.dumps(header, separators=(",", ":")).encode()


def safetensors(sizes: Mapping[str, int], *, metadata: Mapping[str, object] | None = None) -> bytes:
    return framed(safetensors_header(sizes, metadata=metadata)) + b"\x01" * sum(sizes.values())


def gguf_string(text: bytes, *, version: int = 3) -> bytes:
    return struct.pack("<I" if version == 1 else "<Q", len(text)) + text


def gguf_pair(key: bytes, kind: int, value: bytes, *, version: int = 3) -> bytes:
    return gguf_string(key, version=version) + struct.pack("<I", kind) + value


def gguf_array(kind: int, items: Sequence[bytes], *, version: int = 3) -> bytes:
    return struct.pack("<II" if version == 1 else "<IQ", kind, len(items)) + b"".join(items)


def gguf_tensor(name: bytes, shape: Sequence[int], kind: int, offset: int, *, version: int = 3) -> bytes:
    size = "I" if version == 1 else "Q"
    dimensions = struct.pack(f"<I{len(shape)}{size}", len(shape), *shape)
    return gguf_string(name, version=version) + dimensions + struct.pack("<IQ", kind, offset)


def gguf_header(pairs: Sequence[bytes], tensors: Sequence[bytes], *, version: int = 3) -> bytes:
    counts = struct.pack("<II" if version == 1 else "<QQ", len(tensors), len(pairs))
    return b"GGUF" + struct.pack("<I", version) + counts + b"".join(pairs) + b"".join(tensors)


def padded(data: bytes, alignment: int = 32) -> bytes:
    return data + b"\0" * (-len(data) % alignment)


def gguf(*, version: int = 3, alignment: int | None = None) -> bytes:
    """A whole file: text, numbers and lists in its metadata, two tensors of 128 and 90 bytes."""
    tokens = [gguf_string(b"token%d" % n, version=version) for n in range(50)]
    pairs = [
        gguf_pair(b"general.architecture", STRING, gguf_string(b"flux", version=version), version=version),
        gguf_pair(
            b"tokenizer.ggml.tokens", ARRAY, gguf_array(STRING, tokens, version=version), version=version
        ),
        gguf_pair(
            b"tokenizer.ggml.types",
            ARRAY,
            gguf_array(U32, [b"\1\0\0\0"] * 50, version=version),
            version=version,
        ),
        gguf_pair(b"general.file_type", U32, b"\2\0\0\0", version=version),
    ]
    if alignment is not None:
        pairs.append(gguf_pair(b"general.alignment", U32, struct.pack("<I", alignment), version=version))
    second = len(padded(b"\x01" * 128, alignment or 32))
    tensors = [
        gguf_tensor(b"a", [8, 4], F32, 0, version=version),
        gguf_tensor(b"b", [32, 5], Q4_0, second, version=version),
    ]
    header = padded(gguf_header(pairs, tensors, version=version), alignment or 32)
    return header + padded(b"\x01" * 128, alignment or 32) + b"\x01" * 90


def zip_archive(*, entries: int = 3, size: int = 300, comment: bytes = b"") -> bytes:
    """What torch.save writes: stored entries, a directory, an end record."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02}q\x00.")
        for number in range(entries):
            archive.writestr(f"archive/data/{number}", b"\x01" * size)
        archive.comment = comment
    return buffer.getvalue()


def varint(number: int) -> bytes:
    """A number of protobuf."""
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes([*out, number])


def number_field(field: int, number: int) -> bytes:
    return varint(field << 3) + varint(number)


def bytes_field(field: int, content: bytes) -> bytes:
    return varint(field << 3 | 2) + varint(len(content)) + content


def onnx_pair(key: bytes, value: bytes) -> bytes:
    return bytes_field(1, key) + bytes_field(2, value)


def onnx(
    *,
    metadata: Mapping[bytes, bytes] | None = None,
    external: Sequence[bytes] = (),
    weights: int = 64,
) -> bytes:
    """A whole model: a node, an initializer with raw data, one for each of the external files, metadata."""
    tensor = (
        number_field(1, weights) + number_field(2, 2) + bytes_field(8, b"w") + bytes_field(9, b"\1" * weights)
    )
    graph = bytes_field(1, bytes_field(4, b"Conv")) + bytes_field(2, b"main") + bytes_field(5, tensor)
    for place in external:
        pairs = bytes_field(13, onnx_pair(b"location", place)) + bytes_field(13, onnx_pair(b"offset", b"0"))
        graph += bytes_field(5, bytes_field(8, b"x") + pairs + number_field(14, 1))
    opset = bytes_field(8, number_field(2, 17)) + bytes_field(
        8, bytes_field(1, b"ai.onnx.ml") + number_field(2, 3)
    )
    props = b"".join(bytes_field(14, onnx_pair(key, value)) for key, value in (metadata or {}).items())
    head = number_field(1, 8) + bytes_field(2, b"pytorch") + bytes_field(3, b"2.3.1")
    return head + bytes_field(7, graph) + opset + props
