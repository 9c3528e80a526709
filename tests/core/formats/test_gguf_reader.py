"""Promise 8: a GGUF header is read whole, without loading a tensor or believing a count."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
from typing import TYPE_CHECKING

import pytest
from tests.model_files import (
    ARRAY,
    F32,
    Q4_0,
    STRING,
    U32,
    gguf,
    gguf_array,
    gguf_header,
    gguf_pair,
    gguf_string,
    gguf_tensor,
    padded,
)

from mlib.core.formats.gguf import read
from mlib.core.formats.header import Tensor

if TYPE_CHECKING:
    from mlib.core.formats.header import Header

INT32 = 5


def header_of(content: bytes, size: int | None = None) -> Header:
    return read(io.BytesIO(content), len(content) if size is None else size)


def codes(header: Header) -> list[str]:
    return [finding.code for finding in header.findings]


def of_pairs(*pairs: bytes) -> Header:
    return header_of(gguf_header(pairs, []))


@pytest.mark.parametrize("version", [1, 2, 3])
def test_every_version_is_read(version: int) -> None:
    content = gguf(version=version, alignment=64)
    header = header_of(content)
    assert header.format == "gguf"
    assert header.findings == ()
    assert header.metadata == {
        "general.architecture": "flux",
        "general.file_type": "2",
        "general.alignment": "64",
    }
    assert header.tensors == (Tensor("a", "F32", (4, 8)), Tensor("b", "Q4_0", (5, 32)))
    assert header.details == {
        "version": version,
        "alignment": 64,
        "arrays": {
            "tokenizer.ggml.tokens": {"type": "string", "length": 50},
            "tokenizer.ggml.types": {"type": "uint32", "length": 50},
        },
        "promised_size": len(content),
    }
    assert header.data_start == len(content) - 128 - 90


@pytest.mark.parametrize(
    ("kind", "value", "text"),
    [
        (0, b"\xff", "255"),
        (1, b"\xff", "-1"),
        (2, b"\xff\xff", "65535"),
        (3, b"\xff\xff", "-1"),
        (4, b"\xff" * 4, "4294967295"),
        (5, b"\xff" * 4, "-1"),
        (6, struct.pack("<f", 1e-6), "1e-06"),
        (6, struct.pack("<f", 0.1), "0.1"),
        (6, struct.pack("<f", 16777217.0), "16777216"),
        (6, struct.pack("<f", 3.4028234663852886e38), "3.4028235e+38"),
        (6, b"\0\0\x80\x7f", "inf"),
        (6, b"\0\0\xc0\x7f", "nan"),
        (7, b"\1", "true"),
        (7, b"\0", "false"),
        (10, b"\xff" * 8, "18446744073709551615"),
        (11, b"\xff" * 8, "-1"),
        (12, struct.pack("<d", 0.1), "0.1"),
        (8, gguf_string("naïve 🦉".encode()), "naïve 🦉"),
        (8, gguf_string(b"a\xffb"), "a\ufffdb"),
    ],
)
def test_scalars_and_strings_become_text(kind: int, value: bytes, text: str) -> None:
    assert of_pairs(gguf_pair(b"key", kind, value)).metadata == {"key": text}


def test_the_shape_a_tensor_had_before_quantising_is_the_one_told() -> None:
    shapes = {b"fits": [4, 2, 4], b"wrong": [5, 5], b"gone": [1]}
    pairs = [
        gguf_pair(
            b"comfy.gguf.orig_shape." + name,
            ARRAY,
            gguf_array(INT32, [struct.pack("<i", length) for length in shape]),
        )
        for name, shape in shapes.items()
    ]
    tensors = [gguf_tensor(b"fits", [32], Q4_0, 0), gguf_tensor(b"wrong", [8, 4], F32, 32)]
    header = header_of(padded(gguf_header(pairs, tensors)) + b"\1" * 160)
    assert header.tensors == (Tensor("fits", "Q4_0", (4, 2, 4)), Tensor("wrong", "F32", (4, 8)))
    assert header.findings == ()


def test_a_type_this_program_does_not_know_keeps_its_number() -> None:
    header = header_of(padded(gguf_header([], [gguf_tensor(b"a", [3], 4711, 0)])))
    assert header.tensors == (Tensor("a", "TYPE_4711", (3,)),)
    assert header.findings == ()


def test_a_part_of_a_split_model_says_which() -> None:
    header = of_pairs(gguf_pair(b"split.no", 2, b"\1\0"), gguf_pair(b"split.count", 2, b"\3\0"))
    assert header.details["split"] == {"number": 2, "of": 3}
    assert (
        "split"
        not in of_pairs(gguf_pair(b"split.no", 2, b"\0\0"), gguf_pair(b"split.count", 2, b"\1\0")).details
    )


def test_a_long_text_is_clipped_and_told() -> None:
    header = of_pairs(
        gguf_pair(b"long", STRING, gguf_string(b"x" * 300_000)),
        gguf_pair(b"short", STRING, gguf_string(b"y")),
    )
    assert header.metadata == {"long": "x" * 2**18, "short": "y"}
    assert header.details["clipped"] == ["long"]


def test_a_key_or_name_that_comes_twice_is_noted() -> None:
    pair = gguf_pair(b"key", U32, b"\1\0\0\0")
    header = of_pairs(pair, gguf_pair(b"key", U32, b"\2\0\0\0"))
    assert header.metadata == {"key": "2"}
    assert codes(header) == ["duplicate_keys"]
    tensor = gguf_tensor(b"name", [1], F32, 0)
    assert codes(header_of(padded(gguf_header([], [tensor, tensor])) + b"1234")) == ["duplicate_keys"]


@pytest.mark.parametrize("missing", [1, 90, 91, 200, 300, 500])
def test_a_file_shorter_than_promised_is_truncated_but_still_tells_what_it_has(missing: int) -> None:
    content = gguf()
    header = header_of(content[: len(content) - missing])
    assert [(finding.code, finding.serious) for finding in header.findings] == [("truncated", True)]
    assert header.metadata["general.architecture"] == "flux"


@pytest.mark.parametrize("alignment", [None, 64])
def test_what_lies_behind_the_last_tensor_and_its_padding_belongs_to_none(alignment: int | None) -> None:
    content = gguf(alignment=alignment)
    whole = padded(content, alignment or 32)
    assert codes(header_of(content)) == codes(header_of(whole)) == []
    (finding,) = header_of(whole + b"x").findings
    assert (finding.code, finding.serious) == ("trailing_data", False)
    assert f"{len(whole) + 1 - len(content):,} bytes" in finding.message


def test_more_than_promised_is_no_finding_where_the_promise_is_not_certain() -> None:
    unknown = gguf_tensor(b"a", [3], 4711, 0)
    overlapping = [gguf_tensor(b"a", [64], F32, 0), gguf_tensor(b"b", [64], F32, 32)]
    for tensors in ([unknown], overlapping):
        assert codes(header_of(padded(gguf_header([], tensors)) + b"1" * 1000)) == []


def test_a_file_that_shrinks_while_it_is_read_is_truncated() -> None:
    content = gguf()
    assert codes(header_of(content[:300], len(content))) == ["truncated"]


@pytest.mark.parametrize(
    "content",
    [
        b"GGUX" + gguf()[4:],
        b"GGUF" + struct.pack("<I", 4) + gguf()[8:],
        b"GGUF" + struct.pack(">I", 3) + gguf()[8:],
        b"GGUF\3\0\0\0" + b"\xff" * 40,
        gguf_header([gguf_pair(b"k", 13, b"1234")], []),
        gguf_header([gguf_pair(b"k", ARRAY, gguf_array(ARRAY, [gguf_array(0, [b"1"])]))], []),
        gguf_header([gguf_pair(b"general.alignment", U32, b"\3\0\0\0")], []),
        gguf_header([gguf_pair(b"general.alignment", U32, b"\0\0\0\0")], []),
        gguf_header([], [gguf_tensor(b"a", [1] * 9, F32, 0)]),
        gguf_header([gguf_pair(b"k", STRING, struct.pack("<Q", 2**63))], []),
        gguf_header([gguf_pair(b"k", ARRAY, struct.pack("<IQ", STRING, 2**63))], []),
    ],
)
def test_a_header_that_makes_no_sense_is_bad(content: bytes) -> None:
    header = header_of(content)
    assert codes(header) == ["bad_header"]
    assert header.findings[0].serious


def test_a_vocabulary_of_262144_tokens_is_passed_over_in_a_moment() -> None:
    """A fifth of a second is promised; the processor's time has room for a busy machine."""
    tokens = [gguf_string(b"token%07d" % n) for n in range(262_144)]
    scores = [b"\0\0\0\0"] * 262_144
    pairs = [
        gguf_pair(b"general.architecture", STRING, gguf_string(b"gemma")),
        gguf_pair(b"tokenizer.ggml.tokens", ARRAY, gguf_array(STRING, tokens)),
        gguf_pair(b"tokenizer.ggml.scores", ARRAY, gguf_array(6, scores)),
    ]
    content = gguf_header(pairs, [])
    file = io.BytesIO(content)
    started = time.process_time()
    header = read(file, len(content))
    assert time.process_time() - started < 0.4
    assert header.details["arrays"] == {
        "tokenizer.ggml.tokens": {"type": "string", "length": 262_144},
        "tokenizer.ggml.scores": {"type": "float32", "length": 262_144},
    }


HOSTILE = {
    "tensors": lambda: gguf_header([], [gguf_tensor(b"t%07d" % n, [n], F32, 0) for n in range(100_000)]),
    "too many tensors": lambda: gguf_header([], [gguf_tensor(b"t", [1], F32, 0)] * 100_001),
    "names": lambda: gguf_header(
        [], [gguf_tensor("🦉".encode() + b"%07d" % n + b"a" * 900, [n], F32, 0) for n in range(60_000)]
    ),
    "texts": lambda: gguf_header(
        [gguf_pair(b"%03d" % n, STRING, gguf_string("🦉".encode() + b"a" * 2**18)) for n in range(300)], []
    ),
    "pairs": lambda: gguf_header([gguf_pair(b"%06d" % n, 6, b"\1\2\3\4") for n in range(100_000)], []),
    "strings": lambda: gguf_header(
        [gguf_pair(b"k", ARRAY, struct.pack("<IQ", STRING, 2_500_000) + b"\0" * 20_000_000)], []
    ),
    "empty arrays": lambda: gguf_header(
        [gguf_pair(b"%06d" % n, ARRAY, gguf_array(STRING, [])) for n in range(100_000)], []
    ),
}


@pytest.mark.parametrize("filling", HOSTILE)
def test_a_hostile_header_costs_a_second_and_256_megabytes_at_most(filling: str) -> None:
    """The time is the processor's, with room for a busy one; memory is measured in a second reading."""
    content = HOSTILE[filling]()
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
