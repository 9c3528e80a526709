"""A header in the form it is kept in, so that better rules need no second look at the file."""

from __future__ import annotations

import json
import zlib
from typing import TYPE_CHECKING, Any

from mlib.core import jsontext
from mlib.core.formats.header import Finding, Header, Tensor

if TYPE_CHECKING:
    from collections.abc import Mapping

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
