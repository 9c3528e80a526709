"""Whatever lies in a model folder is told apart, and what its owner should know is found."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import pytest
from tests.model_files import framed, gguf, onnx, safetensors, safetensors_header, zip_archive

from mlib.core.formats.reader import read_header

if TYPE_CHECKING:
    from mlib.core.formats.header import Header

OID = "4d7a" * 16
POINTER = f"version https://git-lfs.github.com/spec/v1\noid sha256:{OID}\nsize 6938078334\n".encode()


def header_of(content: bytes, name: str) -> Header:
    return read_header(io.BytesIO(content), len(content), name=name)


def findings(header: Header) -> list[tuple[str, bool]]:
    return [(finding.code, finding.serious) for finding in header.findings]


@pytest.mark.parametrize(
    ("name", "content", "format_"),
    [
        ("a.safetensors", safetensors({"a": 3}), "safetensors"),
        ("a.gguf", gguf(), "gguf"),
        ("a.onnx", onnx(), "onnx"),
        ("a.param", b"7767517\n1 1\n", "ncnn"),
        ("a.zip", b"PK\5\6" + b"\0" * 18, "zip"),
        ("a.png", b"\x89PNG\r\n\x1a\n", "unknown"),
    ],
)
def test_a_sound_file_has_its_format_and_no_finding(name: str, content: bytes, format_: str) -> None:
    header = header_of(content, name)
    assert header.format == format_
    assert header.findings == ()


@pytest.mark.parametrize(
    "header_size",
    [
        *(0x0280, 0x0380, 0x0480, 0x0580),  # how pickles begin
        *(0x4D0280, 0x580280, 0x2E0280),  # and go on
        0x213C,  # <!
        0x213C0A,
        0x120308,  # an ONNX file
        0x02C056,  # the weights of an ncnn network
    ],
    ids=hex,
)
def test_a_header_may_have_any_length(header_size: int) -> None:
    header = safetensors_header({"a": 3}).ljust(header_size)
    found = header_of(framed(header) + b"abc", "a.safetensors")
    assert (found.format, found.findings) == ("safetensors", ())
    assert [tensor.name for tensor in found.tensors] == ["a"]


def test_a_pickled_model_is_read_by_the_reader_of_those() -> None:
    header = header_of(zip_archive(), "a.ckpt")
    assert header.format == "torch_zip"
    assert "globals" in header.details


def test_a_wrong_extension_is_found_whatever_else_is() -> None:
    header = header_of(safetensors({"a": 3})[:-1], "model.CKPT")
    assert findings(header) == [("truncated", True), ("wrong_extension", False)]
    assert ".safetensors" in header.findings[1].message
    assert ".ckpt" in header.findings[1].message


def test_a_git_lfs_pointer_tells_what_it_stands_for() -> None:
    header = header_of(POINTER, "a.safetensors")
    assert findings(header) == [("lfs_pointer", True)]
    assert header.details == {"oid": OID, "size": 6_938_078_334}
    assert "6,938,078,334 bytes" in header.findings[0].message


def test_a_damaged_pointer_is_still_one() -> None:
    header = header_of(b"version https://git-lfs.github.com/spec/v1\r\noid sha256:zz\r\n", "a.safetensors")
    assert findings(header) == [("lfs_pointer", True)]
    assert header.details == {}


def test_a_web_page_is_no_model_and_its_title_helps() -> None:
    page = b"<!DOCTYPE html>\n<html><head><title>\n Sign in &amp; up \xe2\x80\x93 Hub</title>"
    header = header_of(page, "a.safetensors")
    assert findings(header) == [("html_page", True)]
    assert header.details == {"title": "Sign in & up \u2013 Hub"}
    assert "Sign in & up" in header.findings[0].message


@pytest.mark.parametrize("name", ["RealESRGAN_x4plus.pth", "a.safetensors", "a.gguf"])
def test_an_empty_file_is_found_under_any_name(name: str) -> None:
    assert findings(header_of(b"", name)) == [("empty_file", True)]


@pytest.mark.parametrize("name", ["a.safetensors", "a.SFT", "a.gguf", "a.onnx"])
@pytest.mark.parametrize("content", [b"Entry not found", b'{"error":"Unauthorized"}', b"\0" * 5000])
def test_what_is_nothing_known_cannot_pass_for_a_model(name: str, content: bytes) -> None:
    header = header_of(content, name)
    assert header.format == "unknown"
    assert any(finding.serious for finding in header.findings)


def test_a_model_in_an_unusual_order_of_fields_is_known_by_its_name() -> None:
    content = onnx()
    turned = content[2:] + content[:2]
    assert header_of(turned, "a.onnx").format == "onnx"
    assert header_of(turned, "a.dat").format == "unknown"


def test_ncnn_weights_tell_of_which_kind() -> None:
    assert header_of(b"\x47\x6b\x30\x01rest", "a.bin").details == {"part": "fp16 weights"}


@pytest.mark.parametrize("name", ["m-00002-of-00003.gguf", "m-Q8_0-00002-of-00003.GGUF"])
def test_the_name_of_a_part_says_which_it_is(name: str) -> None:
    assert header_of(gguf(), name).details["split"] == {"number": 2, "of": 3}
    assert "split" not in header_of(gguf(), "m-2-of-3.gguf").details


def test_a_truncated_header_is_still_known_for_what_it_is() -> None:
    header = header_of(framed(b'{"a":' + b" " * 500)[:100], "a.safetensors")
    assert header.format == "safetensors"
    assert findings(header) == [("truncated", True)]
