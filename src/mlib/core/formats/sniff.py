"""Detect a file's format from its first bytes, and check its extension against the format."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.formats.cursor import read_at

if TYPE_CHECKING:
    from typing import BinaryIO

#: The longest header that the safetensors library accepts.
MAX_SAFETENSORS_HEADER = 100_000_000

_HEAD = 4096
_ZIP_STARTS = (b"PK\x03\x04", b"PK\x05\x06")
#: torch.save before zip files: begins with a pickle of this number.
_LEGACY_NUMBER = b"\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"
#: ncnn: text and binary .param, then the three magic numbers of a .bin (fp16, int8, fp32 weights).
NCNN_STARTS = {
    b"7767517\n": "param", b"\x1d\x85\x76\x00": "binary param", b"\x47\x6b\x30\x01": "fp16 weights",
    b"\x38\x4b\x0d\x00": "int8 weights", b"\x56\xc0\x02\x00": "fp32 weights",
}  # fmt: skip
_LFS_START = b"version https://git-lfs"
_HTML_STARTS = (b"<!", b"<html", b"<head", b"<?xml")
#: ONNX's ir_version is followed by another field of ModelProto: texts, model_version, graph, opset, metadata.
_ONNX_SECOND_TAGS = frozenset(b"\x12\x1a\x22\x28\x32\x3a\x42\x72\xa2\xca")

_TORCH = (".ckpt", ".pt", ".pth", ".bin", ".pkl", ".pickle")
_EXTENSIONS = {
    "safetensors": (".safetensors", ".sft"), "gguf": (".gguf",), "torch_zip": _TORCH,
    "torch_legacy": _TORCH, "pickle": _TORCH,
    "torchscript": (".pt", ".pth", ".jit", ".ts", ".torchscript", ".bin"), "onnx": (".onnx",),
    "ncnn": (".bin", ".param"), "zip": (".zip", ".pt2", ".npz"),
}  # fmt: skip
_TELLING = frozenset(extension for extensions in _EXTENSIONS.values() for extension in extensions)


def sniff(file: BinaryIO, size: int) -> str:
    """Detect the format of an open file of `size` bytes from its content, by the formats' magic numbers.

    Returns one of the formats of `Header`, "zip" for an archive that is not a model. Leaves the position
    undefined. Raises OSError.
    """
    if size == 0:
        return "empty"
    head = read_at(file, 0, min(size, _HEAD))
    fitting = [name for name, is_it in _TESTS if is_it(head)]
    # One safetensors length in two thousand happens to begin like another format: then read the whole header.
    doubtful = fitting[:1] == [_SAFETENSORS] and len(fitting) > 1
    if doubtful and (_is_run_by_torch(file, size, fitting[1]) or not _is_read_as_safetensors(file, size)):
        fitting.remove(_SAFETENSORS)
    if fitting[:1] == ["zip"]:
        from mlib.core.formats.zips import zip_format

        return zip_format(file, size)
    return fitting[0] if fitting else "unknown"


def _is_run_by_torch(file: BinaryIO, size: int, format_: str) -> bool:
    """Whether a file that begins like safetensors is also a complete archive or pickle.

    That cannot happen by accident, so what loading it would run must be checked.
    """
    if format_ == "zip":
        from mlib.core.formats.zips import has_directory

        return has_directory(file, size)
    if format_ == "pickle":
        from mlib.core.formats.pickles import is_whole_pickle

        return is_whole_pickle(file, size)
    return False


def _is_read_as_safetensors(file: BinaryIO, size: int) -> bool:
    """Whether the header is JSON as far as the file goes; its content may be wrong."""
    from mlib.core.formats import safetensors

    header = safetensors.read(file, size)
    return header.data_start is not None or any(each.code == "truncated" for each in header.findings)


def _is_zip(head: bytes) -> bool:
    return head.startswith(_ZIP_STARTS)


def _is_pickle(head: bytes) -> bool:
    return head[:1] == b"\x80" and head[1:2] in (b"\2", b"\3", b"\4", b"\5")


def _is_torch_legacy(head: bytes) -> bool:
    # Protocols 4 and 5 write a frame length before the number.
    return _is_pickle(head) and _LEGACY_NUMBER in head[2:24]


def _is_html(head: bytes) -> bool:
    return head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_HTML_STARTS)


def _is_safetensors(head: bytes) -> bool:
    """Whether `head` is a valid length followed by JSON's `{`; the rest may be missing."""
    if not 2 <= int.from_bytes(head[:8], "little") <= MAX_SAFETENSORS_HEADER:
        return False
    text = head[8:].lstrip(b" \t\n\r")
    return text.startswith(b"{") if text else len(head) > 8


def _is_onnx(head: bytes) -> bool:
    """Whether `head` is a protobuf message that begins with ONNX's ir_version and another of its fields."""
    return len(head) > 2 and head[0] == 8 and 3 <= head[1] <= 31 and head[2] in _ONNX_SECOND_TAGS


_SAFETENSORS = "safetensors"
#: Strongest evidence first. The 8-byte length of safetensors may begin with another format's short magic
#: number, but its zero upper half and the `{` after it are 40 more bits of evidence.
_TESTS = (
    ("gguf", lambda head: head.startswith(b"GGUF")),
    ("lfs_pointer", lambda head: head.startswith(_LFS_START)),
    ("torch_legacy", _is_torch_legacy),
    (_SAFETENSORS, _is_safetensors),
    ("zip", _is_zip),
    ("ncnn", lambda head: head.startswith(tuple(NCNN_STARTS))),
    ("pickle", _is_pickle),
    ("html", _is_html),
    ("onnx", _is_onnx),
)


def expected_extensions(format_: str) -> tuple[str, ...]:
    """A format's usual extensions, in lower case with the dot; empty if it is not a model format."""
    return _EXTENSIONS.get(format_, ())


def is_wrong_extension(name: str, format_: str) -> bool:
    """Whether a file's extension belongs to a different format than its content.

    Extensions of no known format (`.dat`, `.old`, none) are never wrong.
    """
    extension = os.path.splitext(name)[1].lower()
    expected = expected_extensions(format_)
    return bool(expected) and extension in _TELLING and extension not in expected
