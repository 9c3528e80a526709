"""The records that every format's reader returns (Header, Tensor, Finding), and their packed form."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlib.core.jsontext import Json


class Tensor(NamedTuple):
    """One tensor: name, type as the format spells it (`F16`, `BF16`, `Q4_K`), and shape in torch's order.

    A tuple, since a file may have thousands and a dataclass takes twice as long to create.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]


class Finding(NamedTuple):
    """A problem that a file's owner should know of. `code` is stable; `serious` findings fail a check."""

    code: str
    message: str
    serious: bool = False


def trailing_data(size: int) -> Finding:
    """The finding for `size` bytes that the header does not account for."""
    what = "1 byte" if size == 1 else f"{size:,} bytes"
    return Finding("trailing_data", f"{what} of extra data after the last tensor")


class Header(NamedTuple):
    """Everything read from a file's header.

    `format` is one of safetensors, gguf, torch_zip, torch_legacy, pickle, torchscript, onnx, ncnn, zip (not a
    model), lfs_pointer, html, empty, unknown. `metadata` is the file's own key-value pairs as text
    (safetensors `__metadata__`, GGUF key-values except arrays, ONNX metadata_props). `details` are facts of
    the format (version, globals that loading would import, promised size in bytes, ...). `data_start` is the
    offset of the tensor bytes, for hashing them.
    """

    format: str
    tensors: tuple[Tensor, ...] = ()
    metadata: Mapping[str, str] = {}
    details: Mapping[str, Json] = {}
    findings: tuple[Finding, ...] = ()
    data_start: int | None = None


# --- Packed headers, stored so that newer rules can be applied without reading the file again

#: Headers of real models take less than 1 MB; a longer one is read from the file again when needed.
MAX_KEPT = 4 * 2**20


def pack(header: Header) -> bytes | None:
    """Pack a header as compressed JSON without images; None if it is too long to store."""
    if sum(len(each.name) for each in header.tensors) > MAX_KEPT:
        return None
    from mlib.core.payloads import strip_images  # not needed to unpack

    said: dict[str, jsontext.Json] = {"metadata": dict(header.metadata), "details": dict(header.details)}
    # There are thousands of tensors of few kinds, without images: by column they take a third of the space.
    kinds: dict[tuple[str, tuple[int, ...]], int] = {}
    rest = {
        "format": header.format,
        "data_start": header.data_start,
        "findings": [[each.code, each.message, each.serious] for each in header.findings],
        "names": [each.name for each in header.tensors],
        "kind_of": [kinds.setdefault(each[1:], len(kinds)) for each in header.tensors],
        "kinds": list(kinds),
    }
    text = f'{{"said":{strip_images(jsontext.dump(said)).text},"rest":{json.dumps(rest)}}}'.encode()
    return None if len(text) > MAX_KEPT else zlib.compress(text, 1)


def unpack(packed: bytes) -> Header:
    """Undo `pack`. Raises ValueError for anything else."""
    try:
        return _header(json.loads(_unzipped(packed)))
    except (zlib.error, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"not a packed header: {error}") from error


def _unzipped(packed: bytes) -> bytes:
    unzip = zlib.decompressobj()
    text = unzip.decompress(packed, MAX_KEPT + 1)  # one byte past the limit, to notice the end
    if not unzip.eof:
        raise ValueError("not a packed header: truncated or too long")
    return text


def _header(document: Mapping[str, Any]) -> Header:
    said, rest = document["said"], document["rest"]
    kinds = [(dtype, tuple(shape)) for dtype, shape in rest["kinds"]]
    named = zip(rest["names"], rest["kind_of"], strict=True)
    return Header(
        format=rest["format"],
        data_start=rest["data_start"],
        findings=tuple(Finding(code, message, serious) for code, message, serious in rest["findings"]),
        details=said["details"],
        metadata=said["metadata"],
        tensors=tuple(Tensor(name, *kinds[kind]) for name, kind in named),
    )
