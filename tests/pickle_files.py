"""Making the files that torch makes, from pickles written by hand."""

from __future__ import annotations

import io
import struct
import zipfile
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

PROTOCOL = b"\x80\x02"
MAGIC = 0x1950A86A20F9469CFC6C


def text(value: str) -> bytes:
    encoded = value.encode()
    return b"X" + struct.pack("<I", len(encoded)) + encoded


def number(value: int) -> bytes:
    return b"\x8a\x0a" + value.to_bytes(10, "little", signed=True)


def name(module: str, attribute: str) -> bytes:
    """A name that a load would import."""
    return f"c{module}\n{attribute}\n".encode()


def items(*values: bytes) -> bytes:
    """A tuple."""
    return b"(" + b"".join(values) + b"t"


def listed(*values: bytes) -> bytes:
    return b"](" + b"".join(values) + b"e"


def mapping(members: Mapping[str, bytes]) -> bytes:
    return b"}(" + b"".join(text(key) + value for key, value in members.items()) + b"u"


def call(function: bytes, *args: bytes) -> bytes:
    return function + items(*args) + b"R"


def made(cls: bytes, state: Mapping[str, bytes]) -> bytes:
    """An object with these attributes."""
    return cls + b")\x81" + mapping(state) + b"b"


def ordered(members: Mapping[str, bytes]) -> bytes:
    pairs = b"(" + b"".join(text(key) + value for key, value in members.items()) + b"u"
    return name("collections", "OrderedDict") + b")R" + pairs


def storage(kind: str, key: str, count: int) -> bytes:
    return items(text("storage"), name("torch", kind), text(key), text("cpu"), number(count)) + b"Q"


def tensor(shape: tuple[int, ...], *, kind: str = "FloatStorage", key: str = "0", count: int = 1) -> bytes:
    """A tensor over the `count` elements of storage `key`."""
    sizes = items(*map(number, shape))
    hooks = name("collections", "OrderedDict") + b")R"
    rebuild = name("torch._utils", "_rebuild_tensor_v2")
    return call(rebuild, storage(kind, key, count), number(0), sizes, sizes, b"\x89", hooks)


def pickled(value: bytes) -> bytes:
    return PROTOCOL + value + b"."


def zipped(entries: Mapping[str, bytes], *, compression: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        for path, content in entries.items():
            archive.writestr(path, content)
    return file.getvalue()


def torch_zip(
    value: bytes,
    storages: Mapping[str, int] | None = None,
    *,
    root: str = "archive",
    extra: Mapping[str, bytes] = {},
) -> bytes:
    """What torch.save writes; `storages` are the bytes of each."""
    data = {f"{root}/data/{key}": bytes(size) for key, size in (storages or {}).items()}
    start = {f"{root}/data.pkl": pickled(value), f"{root}/byteorder": b"little"}
    return zipped(
        start | data | {f"{root}/version": b"3\n"} | {f"{root}/{path}": more for path, more in extra.items()}
    )


def torch_legacy(value: bytes, storages: Mapping[str, tuple[int, int]] | None = None) -> bytes:
    """What torch.save wrote before it wrote zip files; `storages` are number and width of the elements."""
    storages = storages or {}
    system = {"protocol_version": number(1001), "little_endian": b"\x88"}
    parts = [number(MAGIC), number(1001), mapping(system), value, listed(*map(text, storages))]
    data = [struct.pack("<q", count) + bytes(count * width) for count, width in storages.values()]
    return b"".join([pickled(part) for part in parts] + data)
