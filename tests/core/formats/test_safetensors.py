"""Promise 8: every length in a safetensors file is checked, and what it holds is told without loading it."""

from __future__ import annotations

import io
import json
import struct
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from tests.model_files import framed, safetensors
from tests.safetensors_library import refusal

from mlib.core.formats.header import Tensor
from mlib.core.formats.safetensors import read

if TYPE_CHECKING:
    from mlib.core.formats.header import Header

A = '"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'


def header_of(text: str | bytes, data: bytes = b"") -> Header:
    content = framed(text.encode() if isinstance(text, str) else text) + data
    return read(io.BytesIO(content), len(content))


def codes(header: Header) -> list[str]:
    return [finding.code for finding in header.findings]


def accepted_by_library(text: str, data: bytes = b"") -> bool:
    return refusal(framed(text.encode()) + data) is None


def members(count: int) -> str:
    """A header of tensors of one byte each."""
    tensors = (f'"{n}":{{"dtype":"U8","shape":[1],"data_offsets":[{n},{n + 1}]}}' for n in range(count))
    return "{" + ",".join(tensors) + "}"


# What a sound file holds


def test_tensors_metadata_and_the_start_of_the_data_are_read() -> None:
    text = json.dumps(
        {
            "__metadata__": {"format": "pt", "ss_tag_frequency": '{"a b": 1}', "title": "naïve 🦉"},
            "a.weight": {"dtype": "F16", "shape": [2, 3], "data_offsets": [0, 12]},
            "b": {"dtype": "BF16", "shape": [], "data_offsets": [12, 14]},
        }
    )
    header = header_of(text, b"\1" * 14)
    assert header.format == "safetensors"
    assert header.tensors == (Tensor("a.weight", "F16", (2, 3)), Tensor("b", "BF16", ()))
    assert header.metadata == {"format": "pt", "ss_tag_frequency": '{"a b": 1}', "title": "naïve 🦉"}
    assert header.findings == ()
    assert header.data_start == 8 + len(text)
    assert header.details == {"header_size": len(text), "promised_size": 8 + len(text) + 14}


@pytest.mark.parametrize(
    "layout", [{}, {"separators": (",", ":")}, {"indent": 2}, {"sort_keys": True}, {"ensure_ascii": False}]
)
def test_the_writers_layout_does_not_matter(layout: dict[str, object]) -> None:
    entries = {
        f"блок.{n}.é": {"dtype": "F32", "shape": [n % 3, 1], "data_offsets": [0, 0]} for n in range(0, 900, 3)
    }
    header = header_of(json.dumps(entries, **layout))  # type: ignore[arg-type]
    assert {tensor.name for tensor in header.tensors} == set(entries)
    assert header.findings == ()


def test_tensors_may_lie_in_another_order_than_they_are_listed() -> None:
    text = '{"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]},' + A + "}"
    assert header_of(text, b"123").findings == ()


def test_more_tensors_than_one_window_holds_are_read_around_odd_ones() -> None:
    plain = [f'"t{n}":{{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}' for n in range(4000)]
    plain[1500] = '"t1500":{"shape":[0],"dtype":"U8","data_offsets":[0,0]}'
    plain[1502] = '"t1502":["U8",[0],[0,0]]'
    plain.insert(1501, '"__metadata__":{"x":"y"}')
    header = header_of("{" + ",".join(plain) + "}")
    assert [tensor.name for tensor in header.tensors] == [f"t{n}" for n in range(4000)]
    assert header.metadata == {"x": "y"}
    assert header.findings == ()


def test_metadata_that_looks_like_a_tensor_is_metadata() -> None:
    header = header_of('{"__metadata__":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}')
    assert header.tensors == ()
    assert header.metadata == {"dtype": "U8", "shape": "[2]", "data_offsets": "[0,2]"}


@pytest.mark.parametrize("text", ["{}", "  {}", "{}   ", '{"__metadata__":null}', '{"__metadata__":{}}'])
def test_a_file_without_tensors_is_sound(text: str) -> None:
    assert header_of(text).findings == ()
    assert accepted_by_library(text)


# Where the library and this reader differ, and agree (formats' facts, checked against the library itself)


def test_difference_metadata_that_is_no_text_is_kept_as_text_and_noted() -> None:
    text = '{"__metadata__":{"epoch":10,"lr":1e-4,"on":true,"none":null,"config":{"a":[1, "x"]},"name":"n"}}'
    header = header_of(text)
    assert header.metadata == {
        "epoch": "10",
        "lr": "1e-4",
        "on": "true",
        "none": "null",
        "config": '{"a":[1,"x"]}',
        "name": "n",
    }
    assert codes(header) == ["metadata_not_text"]
    assert not header.findings[0].serious
    assert "'epoch'" in header.findings[0].message
    assert not accepted_by_library(text)


def test_difference_data_after_the_last_tensor_is_noted_but_not_serious() -> None:
    header = header_of(members(2), b"12345")
    assert [(finding.code, finding.serious) for finding in header.findings] == [("trailing_data", False)]
    assert "3 bytes" in header.findings[0].message
    assert not accepted_by_library(members(2), b"12345")


def test_difference_keys_that_come_twice_are_noted_and_the_last_counts() -> None:
    text = '{"__metadata__":{"k":"1","k":"2"},"a":{"dtype":"I8","shape":[9],"data_offsets":[5,7]},' + A + "}"
    header = header_of(text, b"12")
    assert header.tensors == (Tensor("a", "U8", (2,)),)
    assert header.metadata == {"k": "2"}
    assert codes(header) == ["duplicate_keys"]
    assert "'k'" in header.findings[0].message
    assert "'a'" in header.findings[0].message
    assert accepted_by_library(text, b"12")


@pytest.mark.parametrize(
    "wrong", ['"dtype":"X1","shape":[2]', '"dtype":"U8","shape":[0,18446744073709551616]']
)
def test_a_tensor_that_another_replaces_must_still_make_sense(wrong: str) -> None:
    text = '{"a":{' + wrong + ',"data_offsets":[0,2]},' + A + "}"
    assert codes(header_of(text, b"12")) == ["bad_header"]
    assert not accepted_by_library(text, b"12")


def test_the_same_tensors_behind_other_metadata_are_read_alike() -> None:
    """They are remembered: neither the metadata nor a name that came twice may leak into the next file."""
    tensor = '{"dtype":"U8","shape":[1],"data_offsets":'
    once = f'"a":{tensor}[0,1]}},"b":{tensor}[1,2]}}}}'
    twice = once[:-1] + ',"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}}'
    for members in (once, twice):
        alone = header_of("{" + members, b"xy")
        for said in ("one", "other", "one"):
            header = header_of('{"__metadata__":{"said":"' + said + '"},' + members, b"xy")
            assert header.metadata == {"said": said}
            assert (header.tensors, codes(header)) == (alone.tensors, codes(alone))


def test_the_longest_header_allowed_is_read_and_one_byte_more_is_not() -> None:
    head = framed(b"{}" + b" " * 99_999_998)
    assert read(io.BytesIO(head), len(head)).findings == ()
    longer = struct.pack("<Q", 100_000_001) + b"{}"
    header = read(io.BytesIO(longer), 200_000_000)
    assert codes(header) == ["bad_header"]
    assert "100,000,000" in header.findings[0].message


# What is wrong with a file


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"1234567",
        struct.pack("<Q", 0),
        struct.pack("<Q", 2**63) + b"{}",
        struct.pack("<Q", 2**64 - 1) + b"{}",
        framed(b"\0" * 50),
        framed(b"[]"),
        framed(b"{} x"),
        framed(b'{"a":1}'),
        framed(b'{"a\xff":null}'),
        framed(b'{"__metadata__":[]}'),
        framed(b'{"__metadata__":{},"__metadata__":{}}'),
        framed(b'{"__metadata__":{"a":"\\ud800"}}'),
        framed(b'{"a":' * 1000 + b"1" + b"}" * 1000),
        framed(b'{"a":' + b"[" * 100_000),
        framed(b'{"a":{"dtype":"U8","shape":[01],"data_offsets":[0,1]}}') + b"1",
        framed(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1,1]}}') + b"1",
        framed(b'{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,1]}}') + b"1",
        framed(b'{"a":{"dtype":"X9","shape":[1],"data_offsets":[0,1]}}') + b"1",
        framed(b'{"a":{"dtype":"F4","shape":[3],"data_offsets":[0,1]}}') + b"1",
        framed(b'{"a":{"dtype":"U8","shape":[4294967296,4294967296,0],"data_offsets":[0,0]}}'),
        framed(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"x":1e999}}') + b"1",
        framed(b'{"a":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}}') + b"123",
    ],
)
def test_a_header_that_makes_no_sense_is_bad(content: bytes) -> None:
    header = read(io.BytesIO(content), len(content))
    assert codes(header) == ["bad_header"]
    assert header.findings[0].serious
    assert "\n" not in header.findings[0].message
    assert refusal(content)


def test_a_hole_names_the_tensor_after_it_and_the_tensors_are_still_told() -> None:
    header = header_of("{" + A + ',"b":{"dtype":"U8","shape":[1],"data_offsets":[5,6]}}', b"123456")
    assert codes(header) == ["bad_header"]
    assert "3 bytes before 'b'" in header.findings[0].message
    assert len(header.tensors) == 2


def test_overlapping_tensors_are_serious() -> None:
    header = header_of("{" + A + ',"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}}', b"123")
    assert [(finding.code, finding.serious) for finding in header.findings] == [("overlapping_tensors", True)]
    assert "'b'" in header.findings[0].message


def test_offsets_that_run_backwards_are_a_bad_header() -> None:
    header = header_of('{"a":{"dtype":"U8","shape":[1],"data_offsets":[1,0]}}', b"1")
    assert header.findings[0].code == "bad_header"
    assert header.findings[0].serious


@pytest.mark.parametrize("missing", [1, 5, 20])
def test_a_file_shorter_than_promised_is_truncated(missing: int) -> None:
    content = safetensors({"a": 10, "b": 5})
    size = len(content) - missing
    header = read(io.BytesIO(content[:size]), size)
    assert [(finding.code, finding.serious) for finding in header.findings] == [("truncated", True)]
    promised = len(content) if missing <= 15 else len(content) - 15
    assert header.details["promised_size"] == promised


def test_a_file_that_shrinks_while_it_is_read_is_truncated() -> None:
    content = safetensors({"a": 10})
    assert codes(read(io.BytesIO(content[:20]), len(content))) == ["truncated"]


def test_a_long_name_from_the_file_does_not_make_a_long_message() -> None:
    header = header_of('{"%s":{"dtype":"??","shape":[],"data_offsets":[0,0]}}' % ("x" * 100_000))
    assert codes(header) == ["bad_header"]
    assert len(header.findings[0].message) < 300


# Bounds


def test_metadata_too_long_to_keep_is_left_out_and_told() -> None:
    cover = "A" * (7 * 2**20)
    header = header_of('{"__metadata__":{"a":"1","ssmd_cover_images":"' + cover + '","z":"2"}}')
    assert header.metadata == {"a": "1", "z": "2"}
    assert header.details["metadata_dropped"] == {"ssmd_cover_images": len(cover) + 2}
    assert header.findings == ()


def test_too_many_tensors_are_a_bad_header() -> None:
    header = header_of(members(100_001), b"1" * 100_001)
    assert codes(header) == ["bad_header"]
    assert "100,000 tensors" in header.findings[0].message


def test_a_sparse_checkpoint_of_24_gigabytes_costs_no_more_than_its_header(tmp_path: object) -> None:
    size = 24 * 2**30
    text = json.dumps({"w": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    path = f"{tmp_path}/big.safetensors"
    with open(path, "wb", buffering=0) as file:
        file.write(framed(text))
        file.truncate(8 + len(text) + size)
    with open(path, "rb", buffering=0) as file:
        header = read(file, 8 + len(text) + size)
    assert header.findings == ()
    assert header.tensors == (Tensor("w", "U8", (size,)),)


LONG = 100_000_000


def filled(start: bytes, filling: bytes, end: bytes = b"") -> bytes:
    return start + filling * ((LONG - len(start) - len(end)) // len(filling)) + end


HOSTILE = {
    "spaces": lambda: filled(b"{", b" ", b"}"),
    "one value": lambda: filled(b'{"__metadata__":{"a":"', b"a", b'"}}'),
    "one value of emoji": lambda: filled(b'{"__metadata__":{"a":"', "é€😀".encode(), b'"}}'),
    "escapes": lambda: filled(b'{"__metadata__":{"a":"', b"\\n", b'"}}'),
    "a name": lambda: filled(b'{"', b"a", b'":{}}'),
    "an open name": lambda: filled(b'{"', b"a"),
    "lists": lambda: filled(b'{"a":', b"["),
    "small tensors": lambda: filled(b"{", b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},'),
    "distinct tensors": lambda: filled(
        b'{"__metadata__":{"q":"%b","a":"' % ("é€😀".encode() * 600_000),
        b"a",
        b'"},%b}'
        % b",".join(
            b'"%06d.w":{"dtype":"U8","shape":[%d],"data_offsets":[0,0]}' % (n, n) for n in range(100_000)
        ),
    ),
    "entries": lambda: filled(b'{"__metadata__":{', b'"a":"",'),
    "odd tensors": lambda: filled(b"{", b'"a":{"shape":[0],"dtype":"U8","data_offsets":[0,0]},'),
    "odd entries": lambda: filled(b'{"__metadata__":{', b'"a":1,'),
    "alternating": lambda: filled(
        b"{",
        b'"a":{"shape":[0],"dtype":"U8","data_offsets":[0,0]},"b":{"dtype":"U8","shape":[0],"data_offsets":[0,0]},',
    ),
    "odd lists": lambda: filled(b'{"__metadata__":{', b'"a":[%b0],' % (b"[]," * 40_000)),
    "odd digits": lambda: filled(b'{"__metadata__":{', b'"a":0.%b,' % (b"7" * 130_000)),
}


@pytest.mark.parametrize("filling", HOSTILE)
def test_a_hostile_header_costs_a_second_and_256_megabytes_at_most(filling: str) -> None:
    """The time is the processor's, with room for a busy one; memory is measured in a second reading."""
    header = HOSTILE[filling]()
    content = framed(header)
    del header
    file = io.BytesIO(content)
    started = time.process_time()
    read(file, len(content))
    assert time.process_time() - started < 4
    tracemalloc.start()
    try:
        read(file, len(content))
        assert tracemalloc.get_traced_memory()[1] < 256 * 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("within", ["a tensor", "the metadata"])
def test_a_header_may_be_127_levels_deep_and_no_deeper(within: str) -> None:
    """The limit of serde_json, which the library reads headers with; the header is the first level."""
    for depth, is_read in ((125, True), (126, False)):
        nested = "[" * depth + "]" * depth
        text = '{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":' + nested + "}}"
        if within == "a tensor":
            assert accepted_by_library(text) == is_read
        else:
            text = '{"__metadata__":{"x":' + nested + "}}"
        assert ("nested too deeply" in str(header_of(text).findings)) != is_read
