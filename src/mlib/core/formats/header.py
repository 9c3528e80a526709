"""What a reader of any format finds in a file."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import jsontext

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlib.core.jsontext import Json


class Tensor(NamedTuple):
    """One tensor: its name, its type in the format's own spelling (`F16`, `BF16`, `Q4_K`), its shape as torch
    has it. A tuple, because a file may have thousands and a dataclass takes twice as long to make."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Finding(NamedTuple):
    """Something about a file that its owner should know. `code` is stable; `serious` ones fail a check."""

    code: str
    message: str
    serious: bool = False


def trailing_data(size: int) -> Finding:
    """What is found where `size` bytes more lie in a file than its header speaks of."""
    what = "1 byte" if size == 1 else f"{size:,} bytes"
    return Finding("trailing_data", f"{what} after the last tensor, which belong to none")


class Header(NamedTuple):
    """What a file says of itself.

    `format` is one of safetensors, gguf, torch_zip, torch_legacy, pickle, torchscript, onnx, ncnn, zip (which
    holds no model), lfs_pointer, html, empty, unknown. `metadata` are its own key-value pairs as text
    (safetensors `__metadata__`, GGUF key-values that are no arrays, ONNX metadata_props). `details` are facts
    of the format (version, globals a load would run, promised size in bytes, ...). `data_start` is where
    tensor bytes begin, for hashing them.
    """

    format: str
    tensors: tuple[Tensor, ...] = ()
    metadata: Mapping[str, str] = {}
    details: Mapping[str, Json] = {}
    findings: tuple[Finding, ...] = ()
    data_start: int | None = None


# --- A header in the form it is kept in, so that better rules need no second look at the file.

#: Headers of real models come to less than 1 MB; a longer one is read from the file again when it is needed.
MAX_KEPT = 4 * 2**20


def pack(header: Header) -> bytes | None:
    """The header as compressed JSON without images; None if it is too long to keep."""
    if sum(len(each.name) for each in header.tensors) > MAX_KEPT:
        return None
    from mlib.core.payloads import strip_images  # reading a kept header needs none of it

    said: dict[str, jsontext.Json] = {"metadata": dict(header.metadata), "details": dict(header.details)}
    # Tensors, of which there are thousands, hold no images and come in few kinds: by column it takes a third.
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
    """The header that `pack` made this of. Raises ValueError for anything else."""
    try:
        return _header(json.loads(_unzipped(packed)))
    except (zlib.error, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"no kept header: {error}") from error


def _unzipped(packed: bytes) -> bytes:
    unzip = zlib.decompressobj()
    text = unzip.decompress(packed, MAX_KEPT + 1)  # one more than allowed: the end is seen only by going on
    if not unzip.eof:
        raise ValueError("no kept header: it is cut short, or too long")
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
