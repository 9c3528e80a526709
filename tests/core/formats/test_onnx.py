"""Promise 8: an ONNX model is told from the fields around its graph; nothing in it is loaded."""

from __future__ import annotations

import io
import time
from typing import TYPE_CHECKING

import pytest
from tests.model_files import bytes_field, number_field, onnx, onnx_pair, varint

from mlib.core.formats.onnx import read

if TYPE_CHECKING:
    from mlib.core.formats.header import Header


def header_of(content: bytes, size: int | None = None) -> Header:
    return read(io.BytesIO(content), len(content) if size is None else size)


def codes(header: Header) -> list[str]:
    return [finding.code for finding in header.findings]


def test_a_model_tells_its_version_producer_opsets_and_metadata() -> None:
    header = header_of(onnx(metadata={b"author": "Zoë".encode(), b"empty": b""}))
    assert header.format == "onnx"
    assert header.findings == ()
    assert header.metadata == {"author": "Zoë", "empty": ""}
    assert header.details == {
        "graph": True,
        "ir_version": 8,
        "producer_name": "pytorch",
        "producer_version": "2.3.1",
        "opset": {"": 17, "ai.onnx.ml": 3},
    }


def test_weights_in_other_files_are_noted_once_each() -> None:
    header = header_of(onnx(external=[b"m.onnx_data", b"m.onnx_data", b"more.bin"]))
    assert header.details["external_data"] == ["m.onnx_data", "more.bin"]


def test_fields_of_any_kind_are_passed_over() -> None:
    extra = varint(99 << 3 | 1) + b"12345678" + varint(98 << 3 | 5) + b"1234" + number_field(97, 2**63)
    header = header_of(extra + onnx())
    assert header.findings == ()
    assert header.details["ir_version"] == 8


def test_a_metadata_key_that_comes_twice_is_noted_and_the_last_counts() -> None:
    content = onnx(metadata={b"k": b"1"}) + bytes_field(14, onnx_pair(b"k", b"2"))
    header = header_of(content)
    assert header.metadata == {"k": "2"}
    assert codes(header) == ["duplicate_keys"]


@pytest.mark.parametrize("missing", [1, 10, 60])
def test_a_file_that_ends_within_a_field_is_truncated(missing: int) -> None:
    content = onnx(metadata={b"k": b"x" * 8}, weights=200)
    header = header_of(content[: len(content) - missing])
    assert [(finding.code, finding.serious) for finding in header.findings] == [("truncated", True)]
    assert header.details["ir_version"] == 8


def test_a_file_that_shrinks_while_it_is_read_is_truncated() -> None:
    content = onnx(weights=20_000)
    assert codes(header_of(content[:100], len(content))) == ["truncated"]


@pytest.mark.parametrize(
    "content",
    [
        number_field(1, 8) + b"\0\0\0",
        number_field(1, 8) + varint(3 << 3 | 3),
        number_field(1, 8) + b"\xff" * 11,
        number_field(1, 8) + bytes_field(14, varint(1 << 3 | 2) + varint(9) + b"k") + b"1" * 20,
        number_field(1, 8) + bytes_field(14, b"\x08\x80") + b"\x01" * 20,
        number_field(1, 8) + varint(7 << 3 | 2) + varint(2**63) + b"x",
        number_field(4, 1) * 200_001,
    ],
)
def test_a_message_that_makes_no_sense_is_bad(content: bytes) -> None:
    header = header_of(content)
    assert codes(header) == ["bad_header"]
    assert header.findings[0].serious


def test_weights_are_passed_over_not_read(tmp_path: object) -> None:
    size = 4 * 2**30
    path = f"{tmp_path}/big.onnx"
    tail = bytes_field(14, onnx_pair(b"k", b"v"))
    with open(path, "wb", buffering=0) as file:
        tensor = varint(9 << 3 | 2) + varint(size)
        graph = varint(5 << 3 | 2) + varint(len(tensor) + size) + tensor
        file.write(number_field(1, 8) + varint(7 << 3 | 2) + varint(len(graph) + size) + graph)
        file.seek(size, 1)
        file.write(tail)
        whole = file.tell()
    with open(path, "rb", buffering=0) as file:
        started = time.process_time()
        header = read(file, whole)
        assert time.process_time() - started < 0.5
    assert header.findings == ()
    assert header.metadata == {"k": "v"}
