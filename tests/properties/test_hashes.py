"""Whatever the bytes and however they are read, each hash is that of its part; any text is a hash or none."""

from __future__ import annotations

import hashlib
import struct
import tempfile
import zlib
from pathlib import Path

import pytest
from blake3 import blake3
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests.model_files import framed, safetensors
from xxhash import xxh3_128_hexdigest

from mlib.core import hashes as module
from mlib.core.hashes import NAMES, Hashes, compute, meanings

NOTHING = hashlib.sha256(b"").hexdigest()

lengths = st.integers(0, 12) | st.sampled_from([100_000_000, 100_000_001, 2**63, 2**64 - 1])
framings = st.tuples(
    lengths, st.sampled_from([b"", b"{", b"{}", b" \n{}", b"[]"]), st.binary(max_size=60)
).map(lambda parts: struct.pack("<Q", parts[0]) + parts[1] + parts[2])
models = st.integers(0, 90).map(lambda size: safetensors({"a": size}))
contents = st.binary(max_size=200) | framings | models
buffers = st.integers(1, 40) | st.just(1 << 20)


def computed(content: bytes, *, buffer: int) -> Hashes:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "a")
        path.write_bytes(content)
        chunks: list[int] = []
        found = compute(str(path), advance=chunks.append, view=memoryview(bytearray(buffer)))
        assert found is not None
        assert sum(chunks) == len(content)
        return found


def tensors(content: bytes) -> bytes:
    """What AutoV3 is taken of, as the format's description has it."""
    if len(content) < 9:
        return b""
    (length,) = struct.unpack_from("<Q", content)
    text = content[8 : 8 + length]
    if not 2 <= length <= 100_000_000 or not content[8:].lstrip(b" \t\n\r").startswith(b"{"):
        return b""
    return content[8 + length :] if len(text) == length else b""


@given(contents, buffers)
@example(framed(b"{}") + b"x", 1)
@example(b"", 1)
@settings(max_examples=150)
def test_the_hashes_are_those_of_their_parts_however_the_file_is_read(content: bytes, buffer: int) -> None:
    data = tensors(content)
    assert computed(content, buffer=buffer) == Hashes(
        sha256=hashlib.sha256(content).hexdigest(),
        autov1=None,
        autov3=hashlib.sha256(data).hexdigest() if data else None,
        crc32=struct.pack("<I", zlib.crc32(content)).hex(),
        blake3=blake3(content).hexdigest(),
        xxh3=xxh3_128_hexdigest(content),
    )


@given(st.binary(max_size=120), buffers, st.integers(0, 50), st.integers(0, 20), st.integers(0, 120))
def test_autov1_is_its_slice_however_the_file_is_read(
    content: bytes, buffer: int, start: int, length: int, least: int
) -> None:
    """With its bounds made small: the true ones are tested with files of their size."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(module, "_AUTOV1_START", start)
        patched.setattr(module, "_AUTOV1_END", start + length)
        patched.setattr(module, "_AUTOV1_MIN_SIZE", least)
        found = computed(content, buffer=buffer).autov1
    expected = hashlib.sha256(content[start : start + length]).hexdigest()[:8]
    assert found == (expected if len(content) >= least else None)


@given(st.integers(1, 60), st.text(max_size=20), st.text(max_size=20), buffers)
def test_autov3_does_not_depend_on_the_header(size: int, one: str, other: str, buffer: int) -> None:
    first, second = (safetensors({"a": size}, metadata={"note": note}) for note in (one, other))
    before, after = computed(first, buffer=buffer), computed(second, buffer=buffer)
    assert before.autov3 == after.autov3 == hashlib.sha256(b"\1" * size).hexdigest()
    assert (before.sha256 == after.sha256) == (one == other)


digits = st.text("0123456789abcdefABCDEF", min_size=4, max_size=64)
shortened = st.integers(4, 64).map(lambda length: NOTHING[:length])
hashes = (
    digits
    | shortened
    | st.sampled_from([8, 10, 12, 64]).flatmap(
        lambda length: st.text("0123456789abcdef", min_size=length, max_size=length)
    )
)
space = st.text(" \t\r\n\u00a0", max_size=3)
labels = st.sampled_from(["", *(f"{name}:" for name in NAMES), "AutoV2:", "SHA256 : ", "BLAKE3:\t"])
almost = st.lists(
    st.sampled_from(["0x", "0X", ":", "sha256:", " ", "g", "\0", "\ud800", "٣"]) | digits, max_size=4
).map("".join)


@given(st.text() | almost | st.binary().map(lambda raw: raw.decode("utf-8", "surrogateescape")))
def test_any_text_means_names_of_its_digits_or_nothing(text: str) -> None:
    found = meanings(text)
    assert len({name for name, _ in found}) == len(found) <= 3
    for name, value in found:
        assert name in NAMES
        assert 4 <= len(value) <= 64
        assert set(value) <= set("0123456789abcdef")
        assert text.lower().strip().endswith(value)


@given(hashes, space, labels, st.sampled_from(["", "0x", "0X"]), space)
def test_what_stands_around_the_digits_changes_nothing(
    value: str, before: str, label: str, mark: str, after: str
) -> None:
    plain = meanings(value)
    assert plain
    assert plain[0][0] in {"sha256", "autov2", "sha256_12"}
    assert {digits for _, digits in plain} == {value.lower()}
    assert meanings(before + label + mark + value.upper() + after) == plain
    assert meanings(value + "g") == meanings("-" + value) == ()


@given(hashes)
def test_only_the_hash_of_nothing_is_never_one_of_tensors(value: str) -> None:
    named = {name for name, _ in meanings(value)}
    fits = {8: {"autov1"}, 12: {"autov3"}, 64: {"autov3"}}.get(len(value), set())
    expected = set() if NOTHING.startswith(value.lower()) else fits
    assert named & {"autov1", "autov3"} == expected
