"""Promise 8: whatever the bytes, a reader of model files answers within bounds, raises and runs nothing."""

from __future__ import annotations

import json
import re
import struct
import sys
import tempfile
import time
import tracemalloc
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.model_files import framed, gguf, onnx, safetensors, zip_archive
from tests.safetensors_library import refusal

from mlib.core.formats import gguf as gguf_reader
from mlib.core.formats import onnx as onnx_reader
from mlib.core.formats import safetensors as safetensors_reader
from mlib.core.formats.header import Header, Tensor
from mlib.core.formats.plain import read_html, read_lfs_pointer, read_ncnn
from mlib.core.formats.reader import read_header
from mlib.core.formats.sniff import sniff

if TYPE_CHECKING:
    from collections.abc import Iterator

READERS = (
    safetensors_reader.read,
    gguf_reader.read,
    onnx_reader.read,
    read_html,
    read_lfs_pointer,
    read_ncnn,
)
FORMATS = {
    *("safetensors", "gguf", "torch_zip", "torch_legacy", "pickle", "torchscript", "onnx", "ncnn", "zip"),
    *("lfs_pointer", "html", "empty", "unknown"),
}
FORBIDDEN = re.compile(
    r"exec|compile|import|open|marshal\..*|pickle\..*|ctypes\..*|os\..*|subprocess\..*|socket\..*"
)
_FORMAT = st.sampled_from(sorted(FORMATS))

# Nothing runs

_watched: list[list[str]] = []


def _audit(event: str, _args: tuple[object, ...]) -> None:
    if _watched and FORBIDDEN.fullmatch(event):
        _watched[-1].append(event)


@pytest.fixture(scope="module", autouse=True)
def _hook() -> None:
    # Whatever is loaded on first use is loaded before anybody watches; a hook stays as long as the process.
    for sample in (
        safetensors({"a": 1}),
        gguf(),
        onnx(),
        zip_archive(),
        b"<!DOCTYPE html>",
        b"\x47\x6b\x30\x01",
    ):
        read_all(sample)
    sys.addaudithook(_audit)


@contextmanager
def nothing_runs() -> Iterator[None]:
    """Fails if anything is imported, compiled, executed, opened or connected to meanwhile."""
    seen: list[str] = []
    _watched.append(seen)
    try:
        yield
    finally:
        _watched.pop()
    assert seen == []


def check(header: Header) -> None:
    """A header is of a known format, and can be stored: text that is UTF-8, details that are JSON."""
    assert header.format in FORMATS
    assert all(isinstance(tensor, Tensor) for tensor in header.tensors)
    assert all(isinstance(value, str) for value in header.metadata.values())
    texts = [*header.metadata, *header.metadata.values()]
    texts += [part for tensor in header.tensors for part in (tensor.name, tensor.dtype)]
    texts += [finding.message for finding in header.findings]
    "".join(texts).encode()
    json.dumps(header.details, allow_nan=False, ensure_ascii=False).encode()
    for finding in header.findings:
        assert len(finding.message) < 1000


def read_all(content: bytes, *, name: str = "a.safetensors", size: int | None = None) -> Header:
    """Every reader on these bytes, whatever they are; `size` may be what the file had before it shrank."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        whole = len(content) if size is None else size
        for reader in READERS:
            check(reader(file, whole))
        header = read_header(file, whole, name=name)
        check(header)
        sniffed = sniff(file, whole)
        # By its name alone a file is a pickle only where a load of it would run something.
        names = header.details.get("globals")
        runs_something = isinstance(names, dict) and any(names.values())
        by_name = runs_something and name.endswith((".ckpt", ".pt", ".pth", ".bin", ".pkl"))
        assert (
            sniffed == header.format
            or header.format in {"onnx", "unknown"}
            or ((sniffed, header.format) == ("unknown", "pickle") and by_name)
        )
        return header


# Arbitrary and damaged content

small = safetensors({"a": 9, "b": 0}, metadata={"x": "\\", "n": "\u20ac"})
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n"
whole_files = st.sampled_from(
    [
        gguf(),
        gguf(version=1),
        gguf(alignment=64),
        small,
        zip_archive(size=9),
        onnx(metadata={b"k": b"v"}, external=[b"x"]),
        POINTER,
        b"<!DOCTYPE html><title>&#xD800;&amp;</title>",
    ]
)
openings = st.sampled_from(
    [
        *(b"", b"GGUF", b"GGUF\3\0\0\0", b"PK\3\4", b"\x80\2", b"\x08\x08\x12", b"\x47\x6b\x30\x01"),
        *(framed(b"{" * 64)[:9], framed(b"{}"), b"version https://git-lfs", b"<html><title>"),
    ]
)
hostile = st.sampled_from([2**64 - 1, 2**63, 2**63 - 1, 2**40, 2**32, 2**31, 2**20, 1000, 9, 0]).map(
    lambda number: struct.pack("<Q", number)
)
names = st.sampled_from(
    ["a", "a.safetensors", "a.gguf", "a.onnx", "a-00001-of-00002.SFT", "x.ckpt", "\udcff.pt"]
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
    return bytes(content[:cut]) + draw(st.binary(max_size=8))


@settings(max_examples=400)
@given(st.builds(bytes.__add__, openings, st.binary(max_size=300)), names)
@example(b"", "a.safetensors")
@example(b"\0" * 64, "a.safetensors")
@example(b"PK\5\6" + b"\0" * 18, "a.ckpt")
def test_arbitrary_bytes_are_read_without_an_exception(content: bytes, name: str) -> None:
    read_all(content, name=name)


@settings(max_examples=600)
@given(damaged_files(), names, st.none() | st.integers(0, 2**42))
def test_damaged_files_are_read_without_an_exception(content: bytes, name: str, size: int | None) -> None:
    read_all(content, name=name, size=size)


@settings(max_examples=150)
@given(damaged_files())
def test_a_damaged_file_costs_a_moment_and_little_memory(content: bytes) -> None:
    tracemalloc.start()
    try:
        started = time.process_time()
        read_all(content)
        assert time.process_time() - started < 2
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()


@settings(max_examples=200)
@given(damaged_files() | st.binary(max_size=200), _FORMAT)
def test_reading_imports_executes_and_opens_nothing(content: bytes, format_: str) -> None:
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        with nothing_runs():
            read_header(file, len(content), name=f"a.{format_}")
            for reader in READERS:
                reader(file, len(content))


# The same verdict as the safetensors library

#: Findings of files that the library opens all the same.
HARMLESS = {"duplicate_keys"}
BITS = {
    "U8": 8,
    "BOOL": 8,
    "F8_E4M3": 8,
    "F16": 16,
    "BF16": 16,
    "F32": 32,
    "I64": 64,
    "C64": 64,
    "F4": 4,
    "F6_E2M3": 6,
}
TEXTS = ["", "a", "b", "a.b", "é", "🦉", "\t", "\0", "\x7f", '"', "\\", "__metadata__", "dtype", "\u2028"]


def verdict(content: bytes) -> Header:
    """Assert that our reader and the library agree on a file, but for the known difference."""
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        header = safetensors_reader.read(file, len(content))
    check(header)
    reason = refusal(content)
    objections = {finding.code for finding in header.findings} - HARMLESS
    assert bool(objections) == (reason is not None), (content[8:], header.findings, reason)
    if objections == {"metadata_not_text"}:
        # The difference: what is no text is kept as text, and only noted.
        assert reason is not None
        assert "expected a string" in reason
        assert header.metadata
    return header


@st.composite
def tensor_lists(draw: st.DrawFn) -> tuple[list[tuple[str, dict[str, object]]], int]:
    """Tensors one after another, as a list of members, and the bytes they need."""
    end = 0
    found: list[tuple[str, dict[str, object]]] = []
    for name in draw(
        st.lists(st.sampled_from(TEXTS).filter(lambda text: text != "__metadata__"), max_size=5)
    ):
        dtype = draw(st.sampled_from(sorted(BITS)))
        shape = draw(st.lists(st.integers(0, 4), max_size=3))
        elements = 1
        for length in shape:
            elements *= length
        size = elements * BITS[dtype] // 8
        found.append((name, {"dtype": dtype, "shape": shape, "data_offsets": [end, end + size]}))
        end += size
    return found, end


odd_numbers: st.SearchStrategy[object] = st.sampled_from(
    [0, 1, 2, 8, -1, 2**63, 2**64 - 1, 2**64, 1.0, 1e300, None, True, "1", [], {}]
)
odd_fields = st.sampled_from(["dtype", "shape", "data_offsets"])


def dumped(members: list[tuple[str, object]], *, layout: dict[str, object]) -> str:
    """An object with its members in this order, however often a key comes."""
    parts = [f"{json.dumps(key)}:{json.dumps(value, **layout)}" for key, value in members]  # type: ignore[arg-type]
    gap = " \n" if layout else ""
    return "{" + gap + f",{gap}".join(parts) + "}"


layouts: st.SearchStrategy[dict[str, object]] = st.sampled_from(
    [{}, {"separators": (",", ":")}, {"indent": 1}, {"sort_keys": True}, {"ensure_ascii": False}]
)
metadata_values = (
    st.sampled_from(["", "text", "\\u", "\u20ac", "\0"]) | st.integers() | st.none() | st.booleans()
)


@st.composite
def headers(draw: st.DrawFn) -> bytes:
    """A file as a writer could have meant it, with up to two things wrong."""
    tensors, size = draw(tensor_lists())
    spoiled: bool = draw(st.booleans())
    if tensors and spoiled:
        _, tensor = draw(st.sampled_from(tensors))
        field = draw(odd_fields)
        value = draw(odd_numbers | st.lists(odd_numbers, max_size=3) | st.sampled_from([*BITS, "f32", "X"]))
        change = draw(st.sampled_from(["set", "drop", "add", "inner"]))
        if change == "set":
            tensor[field] = value
        elif change == "drop":
            del tensor[field]
        elif change == "add":
            tensor[draw(st.sampled_from(["x", "dtype ", "0"]))] = value
        else:
            inner = tensor["data_offsets"]
            assert isinstance(inner, list)
            inner[draw(st.integers(0, 1))] = draw(st.integers(0, 20))
    members: list[tuple[str, object]] = [*draw(st.permutations(tensors))]
    if draw(st.booleans()):
        metadata = draw(st.dictionaries(st.sampled_from(TEXTS), st.text(max_size=3), max_size=3))
        other = draw(
            st.none()
            | st.lists(metadata_values, max_size=2)
            | st.dictionaries(st.text(max_size=2), metadata_values)
        )
        place = draw(st.integers(0, len(members)))
        members.insert(place, ("__metadata__", draw(st.sampled_from([metadata, other]))))
    text = dumped(members, layout=draw(layouts))
    padding = draw(st.sampled_from(["", "", " ", "\n\t ", "   "]))
    text = padding + text + draw(st.sampled_from(["", "", padding, "\0", "x"]))
    size = max(0, size + draw(st.sampled_from([0, 0, 0, 0, -1, 1])))
    return framed(text.encode()) + b"\1" * size


@settings(max_examples=1500)
@given(headers())
def test_the_library_and_this_reader_agree_on_headers_with_something_wrong(content: bytes) -> None:
    verdict(content)


TOKENS = [
    *(
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b" ",
        b"\n",
        b"null",
        b"true",
        b"NaN",
        b"-",
        b"0",
        b"-0",
        b"01",
        b"1e5",
    ),
    *(
        b"1.0",
        b"1e999",
        b"18446744073709551616",
        b'"',
        b"\\",
        b'\\"',
        b"\\u0061",
        b"\\ud800",
        b"\\udc00",
        b"\xff",
    ),
    *(
        b'"__metadata__"',
        b'"a"',
        b'"dtype"',
        b'"shape"',
        b'"data_offsets"',
        b'"U8"',
        b"[0]",
        b"[0,0]",
        b"\x00",
        b"\xc3",
    ),
    *(
        b'"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}',
        b'{"dtype":"U8","shape":[0],"data_offsets":[0,0]}',
    ),
    *(
        b'"__metadata__":{"a":"b"}',
        b'["U8",[0],[0,0]]',
        b"\\ud83d\\ude00",
        b"\xf0\x9f\xa6\x89",
        b"\x1f",
        b"/",
        b"\\/",
    ),
]
BASES = [
    b"{}",
    b'{"__metadata__":{"k":"v","k2":"\\n"},"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0]}}',
    b'{"a":{"dtype":"U8","shape":[0,3],"data_offsets":[0,0]},"b":{"dtype":"F16","shape":[],"data_offsets":[0,0]}}',
    b'{ "a" : { "shape" : [ 0 ] , "dtype" : "U8" , "data_offsets" : [ 0 , 0 ] , "x" : [1, {"y": -1.5e3}] } }',
    b'{"a":["U8",[0],[0,0]],"__metadata__":{"n":1}}',
]


@st.composite
def edited_headers(draw: st.DrawFn) -> bytes:
    """A sound header with tokens put in or over it, or bytes taken out."""
    text = draw(st.sampled_from(BASES))
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(text)))
        taken = draw(st.integers(0, 6))
        text = text[:at] + draw(st.sampled_from([b"", *TOKENS])) + text[at + taken :]
    return text


@settings(max_examples=1500)
@given(edited_headers() | st.lists(st.sampled_from(TOKENS), max_size=12).map(b"".join))
@example(b'{"a":{"dtype":{"U8":null},"shape":[0],"data_offsets":[0,0]}}')
@example(b'{"\\u005f_metadata__":{"a":"b"}}')
@example(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"dtype":"U8"}}')
@example(b'{"a":{"dtype":"U8","shape":[0,18446744073709551615,2],"data_offsets":[0,0]}}')
@example(b'{"a":{"dtype":"U8","shape":[18446744073709551615,2,0],"data_offsets":[0,0]}}')
@example(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":' + b"[" * 125 + b"]" * 125 + b"}}")
@example(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":' + b"[" * 126 + b"]" * 126 + b"}}")
@example(b'{"a":{"dtype":"U8","shape":[0],"data_offsets":[0,0],"x":' + b"7" * 400 + b"}}")
def test_the_library_and_this_reader_agree_on_json_that_was_tampered_with(text: bytes) -> None:
    verdict(framed(text))


@settings(max_examples=500)
@given(
    tensor_lists(),
    st.dictionaries(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8"))),
    layouts,
)
def test_what_a_sound_header_says_is_what_was_written(
    tensors_and_size: tuple[list[tuple[str, dict[str, object]]], int],
    metadata: dict[str, str],
    layout: dict[str, object],
) -> None:
    tensors, _ = tensors_and_size
    distinct = {name: dict(tensor, data_offsets=[0, 0]) for name, tensor in tensors}
    text = dumped([("__metadata__", metadata), *distinct.items()], layout=layout)
    content = framed(text.encode())
    with tempfile.TemporaryFile(buffering=0) as file:
        file.write(content)
        header = safetensors_reader.read(file, len(content))
    assert header.metadata == metadata
    assert [tensor.name for tensor in header.tensors] == list(distinct)
    assert [tensor.dtype for tensor in header.tensors] == [tensor["dtype"] for tensor in distinct.values()]
    assert [list(tensor.shape) for tensor in header.tensors] == [
        tensor["shape"] for tensor in distinct.values()
    ]
