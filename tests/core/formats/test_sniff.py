"""What a file is, by its content and not by its name."""

from __future__ import annotations

import io
import pickle
import struct
import zipfile

import pytest
from tests.model_files import framed, gguf, onnx, safetensors, zip_archive

from mlib.core.formats.sniff import expected_extensions, is_wrong_extension, sniff

LEGACY = bytes.fromhex("8a0a6cfc9c46f9206aa85019")


def archive(*names: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as writer:
        for name in names:
            writer.writestr(name, b"x")
    return buffer.getvalue()


MANY = archive("m/data.pkl", *(f"m/data/{n}" for n in range(5000)), "m/code/a.py")

SAMPLES = {
    "safetensors": [
        safetensors({"a": 3}),
        framed(b"  \n {}"),
        framed(b" " * 9000 + b"{}"),
        struct.pack("<Q", 100_000_000) + b"{",
    ],
    "gguf": [gguf(), b"GGUF"],
    "torch_zip": [
        zip_archive(),
        archive("mir-1k/data.pkl"),
        zip_archive()[:-60],
        # Bytes after the end, where programs look in different places.
        zip_archive() + b"x" * 30,
    ],
    "torchscript": [archive("m/data.pkl", "m/code/__torch__.py"), MANY],
    "zip": [archive("a.txt"), archive("a/b/data.pkl", "data.pkl", "code/x"), archive(), b"PK\3\4"],
    "torch_legacy": [b"\x80\x02" + LEGACY + b".", b"\x80\x04\x95\x0d\0\0\0\0\0\0\0" + LEGACY + b"."],
    "pickle": [pickle.dumps({"a": 1}, protocol) for protocol in (2, 3, 4, 5)],
    "onnx": [onnx(), b"\x08\x03\x3a\0", b"\x08\x0d\x12\0"],
    "ncnn": [
        b"7767517\n83 100\n",
        b"\x1d\x85\x76\x00",
        b"\x47\x6b\x30\x01 weights",
        b"\x38\x4b\x0d\x00",
        b"\x56\xc0\x02\x00",
    ],
    "lfs_pointer": [b"version https://git-lfs.github.com/spec/v1\n"],
    "html": [
        b"<!DOCTYPE html>",
        b"\n\n  <HTML><head>",
        b"\xef\xbb\xbf<!doctype html>",
        b"<?xml version='1.0'?><Error>",
    ],
    "empty": [b""],
    "unknown": [
        b"x",
        b"\0" * 100,
        b"\x89PNG\r\n\x1a\n",
        b'{"a": 1}',
        b"\x08\x01\x12\x00",
        b"Entry not found",
        struct.pack("<Q", 100_000_001) + b"{}",
        struct.pack("<Q", 30) + b"[]",
        struct.pack("<Q", 30),
    ],
}


@pytest.mark.parametrize(
    ("format_", "content"), [(key, each) for key, all_ in SAMPLES.items() for each in all_]
)
def test_the_format_is_told_by_content(format_: str, content: bytes) -> None:
    assert sniff(io.BytesIO(content), len(content)) == format_


def safetensors_start(header_size: int) -> bytes:
    return (
        struct.pack("<Q", header_size) + b'{"a.weight":{"dtype":"F16","shape":[8,8],"data_offsets":[0,128]}'
    )


def sniffed(content: bytes, *, size: int) -> str:
    return sniff(io.BytesIO(content), size)


def test_a_header_of_any_length_is_no_other_formats_magic_number() -> None:
    wrong = {}
    for residue in range(2**16):
        header_size = residue if residue > 2 else residue + 2**16
        if (format_ := sniffed(safetensors_start(header_size), size=header_size + 500)) != "safetensors":
            wrong[struct.pack("<H", residue)] = format_
    assert wrong == {}


def test_a_header_whose_length_spells_a_whole_magic_number_is_none_of_that_format() -> None:
    spelt = {
        (format_, int.from_bytes(content[:count], "little") + more)
        for format_, contents in SAMPLES.items()
        for content in contents
        for count in (1, 2, 3, 4)
        for more in (0, 0x01 << 8 * count, 0x2E << 8 * count, 0x58 << 8 * count)
        if format_ not in ("safetensors", "empty", "unknown")
    }
    possible = {(format_, length) for format_, length in spelt if 2 < length <= 100_000_000}
    assert {format_ for format_, length in possible if length > 2**16} >= {
        "pickle",
        "torch_zip",
        "onnx",
        "ncnn",
    }
    wrong = {
        (format_, length, told)
        for format_, length in possible
        if (told := sniffed(safetensors_start(length), size=length + 500)) != "safetensors"
    }
    assert wrong == set()


@pytest.mark.parametrize("start", [b"PK\3\4", b"\x80\x04\0", b"<!--", b"\x56\xc0\x02\0"])
def test_what_begins_like_json_but_is_none_is_what_else_it_begins_like(start: bytes) -> None:
    content = start.ljust(8, b"\0") + b"{}"
    length = int.from_bytes(content[:8], "little")
    if length <= 100_000_000:
        content = content.ljust(length + 8, b"\0")
    assert sniffed(content, size=len(content)) != "safetensors"


@pytest.mark.parametrize(
    "content",
    [
        # A pickle that is whole within what looks like a length and the beginning of JSON.
        b"\x80\x02X\x02\0\0\0\0{}." + b" " * 50,
        # An archive whose directory leads to its entries, whatever its first bytes say.
        b"PK\3\4\0\0\0\0{" + zip_archive()[9:],
    ],
    ids=["pickle", "archive"],
)
def test_what_torch_would_run_is_not_hidden_by_the_looks_of_safetensors(content: bytes) -> None:
    assert sniffed(content, size=len(content)) in ("pickle", "torch_zip")


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.safetensors", "safetensors"),
        ("a.SFT", "safetensors"),
        ("a.gguf", "gguf"),
        ("a.ckpt", "torch_zip"),
        ("a.pt", "torchscript"),
        ("a.bin", "torch_legacy"),
        ("a.pkl", "pickle"),
        ("a.onnx", "onnx"),
        ("a.bin", "ncnn"),
        ("a", "safetensors"),
        ("a.fp16", "torch_zip"),
        ("a.safetensors.old", "pickle"),
        ("a.safetensors", "html"),
        ("a.safetensors", "lfs_pointer"),
        ("a.ckpt", "empty"),
        ("a.gguf", "unknown"),
    ],
)
def test_an_extension_that_fits_or_says_nothing_is_not_wrong(name: str, format_: str) -> None:
    assert not is_wrong_extension(name, format_)


@pytest.mark.parametrize(
    ("name", "format_"),
    [
        ("a.ckpt", "safetensors"),
        ("a.safetensors", "torch_zip"),
        ("a.SAFETENSORS", "pickle"),
        ("a.gguf", "safetensors"),
        ("a.bin", "gguf"),
        ("a.pth", "onnx"),
        ("a.ckpt", "zip"),
        ("a.gguf.safetensors", "gguf"),
    ],
)
def test_an_extension_of_another_format_is_wrong(name: str, format_: str) -> None:
    assert is_wrong_extension(name, format_)
    assert expected_extensions(format_)


def test_what_is_no_model_has_no_extension_of_its_own() -> None:
    assert [expected_extensions(each) for each in ("html", "empty", "lfs_pointer", "unknown")] == [()] * 4
