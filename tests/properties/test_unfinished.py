"""Promises 6 and 8: whatever the bytes, a file is judged without an exception and within bounded memory."""

from __future__ import annotations

import json
import struct
import tempfile
import tracemalloc

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.model_files import (
    ARRAY,
    F32,
    STRING,
    U32,
    framed,
    gguf,
    gguf_array,
    gguf_header,
    gguf_pair,
    gguf_string,
    gguf_tensor,
    padded,
    safetensors,
    zip_archive,
)

from mlib.core.disk.unfinished import unfinished_content, unfinished_name


def judge(content: bytes, *, size: int | None = None) -> str | None:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        if size is not None:
            file.truncate(size)
        return unfinished_content(file, len(content) if size is None else size)


# Arbitrary and damaged content

spaced, braced = framed(b" " * 64)[:10], framed(b"{" * 64)[:9]
openings = st.sampled_from([b"", b"GGUF", b"GGUF\3\0\0\0", b"PK\3\4", spaced, braced])
small = safetensors({"a": 9}, metadata={"x": "\\"})
whole_files = st.sampled_from([gguf(), gguf(version=1), gguf(alignment=64), small, zip_archive(size=9)])
hostile = st.sampled_from([2**64 - 1, 2**63, 2**63 - 1, 2**40, 2**32, 2**31, 2**20, 1_000, 0, 9]).map(
    lambda number: struct.pack("<Q", number)
)


@st.composite
def damaged_files(draw: st.DrawFn) -> bytes:
    """A whole file with some places overwritten by odd numbers or bytes, perhaps cut or drawn out."""
    content = bytearray(draw(whole_files))
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(content) - 1))
        patch = draw(hostile | st.binary(min_size=1, max_size=4))
        content[at : at + len(patch)] = patch
    cut = draw(st.none() | st.integers(0, len(content)))
    return bytes(content[:cut]) + draw(st.just(b"") | st.binary(max_size=9))


arbitrary = st.tuples(openings, st.binary(max_size=300)).map(b"".join) | damaged_files()


@given(arbitrary, st.none() | st.integers(0, 100_000))
@example(b"PK\3\4PK\5\6", None)
@example(b"GGUF", 8)
def test_no_bytes_raise_an_exception(content: bytes, size: int | None) -> None:
    reason = judge(content, size=size)
    assert reason is None or (reason and "\n" not in reason and len(reason) < 120)


@given(damaged_files())
@settings(max_examples=50)
def test_no_length_in_a_file_is_allocated_before_it_is_checked(content: bytes) -> None:
    tracemalloc.start()
    try:
        judge(content)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


@given(st.text(), st.sets(st.text(), max_size=4))
def test_no_name_raises_an_exception(name: str, siblings: set[str]) -> None:
    reason = unfinished_name(name, siblings)
    assert reason is None or name.lower()[-3:] in reason.lower()


# Whole files and their beginnings

tensor_sizes = st.dictionaries(st.text(max_size=9), st.integers(0, 200), max_size=5).map(
    lambda sizes: {name: size for name, size in sizes.items() if name != "__metadata__"}
)
metadata_keys = st.text(max_size=5) | st.just("data_offsets")
metadata_values = st.text(max_size=30) | st.just('"data_offsets":[0,9999]')
metadata = st.none() | st.dictionaries(metadata_keys, metadata_values, max_size=4)


@given(tensor_sizes, metadata, st.data())
def test_a_safetensors_is_whole_and_none_of_its_beginnings_is(
    sizes: dict[str, int], extra: dict[str, str] | None, data: st.DataObject
) -> None:
    content = safetensors({"first": 1, **sizes}, metadata=extra)
    assert judge(content) is None
    cut = data.draw(st.integers(0, len(content) - 1))
    reason = judge(content[:cut])
    assert reason is not None or 0 < cut < 9


names = st.binary(min_size=1, max_size=12).filter(lambda name: name != b"general.alignment")
scalars = st.sampled_from([(0, 1), (2, 2), (U32, 4), (7, 1), (10, 8), (12, 8)])


@st.composite
def gguf_values(draw: st.DrawFn, version: int) -> tuple[int, bytes]:
    kind, size = draw(scalars)
    shape = draw(st.sampled_from(["scalar", "string", "array", "strings"]))
    if shape == "scalar":
        return kind, b"\1" * size
    if shape == "string":
        return STRING, gguf_string(draw(st.binary(max_size=40)), version=version)
    count = draw(st.integers(0, 9))
    if shape == "array":
        return ARRAY, gguf_array(kind, [b"\1" * size] * count, version=version)
    items = [gguf_string(draw(st.binary(max_size=9)), version=version) for _ in range(count)]
    return ARRAY, gguf_array(STRING, items, version=version)


@st.composite
def gguf_files(draw: st.DrawFn) -> bytes:
    version = draw(st.sampled_from([1, 2, 3]))
    alignment = draw(st.sampled_from([None, 8, 32, 128]))
    count = draw(st.integers(0, 5))
    pairs = [gguf_pair(draw(names), *draw(gguf_values(version)), version=version) for _ in range(count)]
    if alignment is not None:
        pair = gguf_pair(b"general.alignment", U32, struct.pack("<I", alignment), version=version)
        pairs.insert(draw(st.integers(0, len(pairs))), pair)
    tensors, body = [], b""
    for _ in range(draw(st.integers(1, 4))):
        body = padded(body, alignment or 32)
        shape = draw(st.lists(st.integers(1, 4), max_size=4))
        tensors.append(gguf_tensor(draw(names), shape, F32, len(body), version=version))
        size = 4
        for length in shape:
            size *= length
        body += b"\1" * size
    return padded(gguf_header(pairs, tensors, version=version), alignment or 32) + body


@given(gguf_files(), st.data())
def test_a_gguf_is_whole_and_none_of_its_beginnings_is(content: bytes, data: st.DataObject) -> None:
    assert judge(content) is None
    cut = data.draw(st.integers(0, len(content) - 1))
    assert judge(content[:cut]) is not None or 0 < cut < 4


@given(st.integers(0, 4), st.integers(0, 50), st.binary(max_size=60), st.data())
def test_a_zip_is_whole_and_none_of_its_beginnings_is(
    entries: int, size: int, comment: bytes, data: st.DataObject
) -> None:
    content = zip_archive(entries=entries, size=size, comment=comment)
    assert judge(content) is None
    cut = data.draw(st.integers(0, len(content) - 1))
    assert judge(content[:cut]) is not None or 0 < cut < 4


# Against Python's own JSON


class Pairs(list[tuple[str, object]]):
    """An object with its duplicate keys."""


def promised_by(header: bytes) -> int | None:
    """What `json` finds in a safetensors header: bytes of data, or None if the header is broken."""
    try:
        tree = json.loads(header.decode("latin-1"), object_pairs_hook=Pairs)
    except ValueError:
        return None
    promised = 0
    for name, tensor in tree:
        if name == "__metadata__" or not isinstance(tensor, Pairs):
            continue
        for key, value in tensor:
            if key != "data_offsets":
                continue
            numbers = value if type(value) is list else []
            match [number for number in numbers if type(number) is int and number >= 0]:
                case [_, end] if len(numbers) == 2 and end < 10**20:
                    promised = max(promised, end)
                case _:
                    return None
    return promised


offsets = st.tuples(st.integers(0, 50), st.integers(0, 10**21) | st.integers(0, 300)).map(list)
tensors = st.fixed_dictionaries(
    {"dtype": st.just("F8"), "shape": st.lists(st.integers(0, 9), max_size=3), "data_offsets": offsets}
)
numbers = st.integers() | st.floats(allow_nan=False, allow_infinity=False)
leaves = st.none() | st.booleans() | numbers | st.text(max_size=9)
keys = st.text(max_size=5) | st.sampled_from(["data_offsets", "__metadata__", "dtype"])
anything = st.recursive(
    leaves | offsets | tensors,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3),
)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """JSON objects in several spellings, some of them with tensors."""
    return json.dumps(
        draw(st.dictionaries(keys, tensors | anything, max_size=4)),
        ensure_ascii=draw(st.booleans()),
        indent=draw(st.sampled_from([None, 0, 2, "\t"])),
        separators=draw(st.sampled_from([None, (",", ":"), (" , ", "\r:\n")])),
    ).encode()


def agrees(header: bytes) -> bool:
    promised = promised_by(header)
    size = 8 + len(header) + 100
    reason = judge(framed(header) + b"\1" * 100)
    return (reason is not None) == (promised is not None and 8 + len(header) + promised > size)


@given(headers())
def test_the_promise_of_a_header_is_what_json_finds_in_it(header: bytes) -> None:
    assert agrees(header)


@given(headers(), st.data())
def test_a_damaged_header_promises_what_json_finds_in_it(header: bytes, data: st.DataObject) -> None:
    at = data.draw(st.integers(1, len(header)))
    until = data.draw(st.integers(at, min(len(header), at + 3)))
    patch = data.draw(st.text('{}[]",:\\ 0159-+.eE\ntu', max_size=3))
    assert agrees(header[:at] + patch.encode() + header[until:])


@pytest.mark.parametrize("header", [b'{"a":{"data_offsets":[0,101]}}', b'{"a":{"data_offsets":[0,100]}}'])
def test_the_comparison_with_json_can_tell(header: bytes) -> None:
    assert agrees(header)
    assert (judge(framed(header) + b"\1" * 100) is not None) == (b"101" in header)
