"""Reading GGUF headers: key-values as text, arrays by kind and length only, shapes as torch has them."""

from __future__ import annotations

import io
import struct

import pytest
from tests.data.make_sample import gguf
from tests.model_files import F32, STRING, U32, gguf_array, gguf_header, gguf_pair, gguf_string, gguf_tensor

from mlib.core.formats.cursor import CutShortError, HeaderError
from mlib.core.formats.gguf import read, whole_size
from mlib.core.formats.header import Header, Tensor


def header_of(content: bytes) -> Header:
    return read(io.BytesIO(content), len(content))


def test_a_whole_file_gives_its_key_values_and_tensors() -> None:
    header = header_of(gguf("tiny_unet"))
    assert header.format == "gguf"
    assert dict(header.metadata) == {"general.architecture": "flux", "general.name": "tiny_unet"}
    assert header.tensors == (Tensor("blk.weight", "F32", (32,)),)
    assert header.findings == ()


def test_shapes_are_turned_round_and_arrays_are_not_loaded() -> None:
    pairs = [
        gguf_pair(b"general.architecture", STRING, gguf_string(b"llama")),
        gguf_pair(b"general.file_type", U32, struct.pack("<I", 7)),
        gguf_pair(b"tokens", 9, gguf_array(STRING, [gguf_string(b"a"), gguf_string(b"b")])),
    ]
    content = gguf_header(pairs, [gguf_tensor(b"w", [2, 3, 4], F32, 0)])
    content = content.ljust(-(-len(content) // 32) * 32, b"\0") + bytes(2 * 3 * 4 * 4)
    header = header_of(content)
    assert header.tensors == (Tensor("w", "F32", (4, 3, 2)),)
    assert header.metadata["general.file_type"] == "7"
    assert "tokens" not in header.metadata


def test_a_file_cut_in_its_data_is_truncated() -> None:
    content = gguf("tiny_unet")
    assert [finding.code for finding in header_of(content[:-1]).findings] == ["truncated"]
    assert whole_size(io.BytesIO(content), len(content)) == len(content)


@pytest.mark.parametrize("length", range(24, 100, 7))
def test_a_header_cut_anywhere_raises_nothing_else(length: int) -> None:
    content = gguf("tiny_unet")[:length]
    with pytest.raises((CutShortError, HeaderError)):
        whole_size(io.BytesIO(content), length)
    assert header_of(content).findings
