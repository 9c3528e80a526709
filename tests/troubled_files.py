"""A small file for everything that can be wrong with one."""

from __future__ import annotations

import json
from dataclasses import dataclass

from tests.model_files import (
    F32,
    bytes_field,
    framed,
    gguf_header,
    gguf_tensor,
    onnx,
    onnx_pair,
    padded,
    safetensors,
)
from tests.pickle_files import call, mapping, name, pickled, tensor, text, torch_legacy, torch_zip, zipped


def _spans(**spans: tuple[int, int]) -> bytes:
    """A safetensors file whose U8 tensors claim these bytes."""
    header = {
        key: {"dtype": "U8", "shape": [end - begin], "data_offsets": [begin, end]}
        for key, (begin, end) in spans.items()
    }
    return framed(json.dumps(header).encode()) + b"\x01" * max(end for _, end in spans.values())


_ONE = b'"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}'
_RUNS = mapping({"x": call(name("os", "system"), text("true"))})


@dataclass(frozen=True)
class Troubled:
    """Content with one finding. A scan leaves some of them alone, for they may be downloads in progress."""

    name: str
    content: bytes
    code: str
    serious: bool = True
    taken_in: bool = True


TROUBLED = (
    Troubled("cut.safetensors", safetensors({"a": 3})[:-1], "truncated", taken_in=False),
    Troubled("cut.onnx", onnx()[:-5], "truncated"),
    Troubled(
        "cut.pt", torch_legacy(mapping({"a": tensor((2, 3), count=6)}), {"0": (6, 4)})[:-5], "truncated"
    ),
    Troubled("more.safetensors", safetensors({"a": 3}) + b"more", "trailing_data", serious=False),
    Troubled(
        "more.gguf",
        padded(gguf_header([], [gguf_tensor(b"a", [8], F32, 0)])) + b"\1" * 32 + b"more",
        "trailing_data",
        serious=False,
    ),
    Troubled("overlap.safetensors", _spans(a=(0, 4), b=(2, 6)), "overlapping_tensors"),
    Troubled("hole.safetensors", _spans(a=(0, 4), b=(6, 8)), "bad_header"),
    Troubled("no-json.safetensors", framed(b'{"a":nonsense}') + b"11", "bad_header"),
    Troubled(
        "twice.safetensors", framed(b"{" + _ONE + b"," + _ONE + b"}") + b"11", "duplicate_keys", serious=False
    ),
    Troubled(
        "twice.onnx",
        onnx(metadata={b"k": b"v"}) + bytes_field(14, onnx_pair(b"k", b"w")),
        "duplicate_keys",
        serious=False,
    ),
    Troubled(
        "number.safetensors", safetensors({"a": 3}, metadata={"n": 3}), "metadata_not_text", serious=False
    ),
    Troubled("wrong.ckpt", safetensors({"a": 3}), "wrong_extension", serious=False),
    Troubled(
        "pointer.safetensors",
        b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"4d7a" * 16 + b"\nsize 6938078334\n",
        "lfs_pointer",
    ),
    Troubled("page.safetensors", b"<!doctype html><title>Log in</title>", "html_page"),
    Troubled("empty.pth", b"", "empty_file", taken_in=False),
    Troubled("runs.ckpt", torch_zip(_RUNS), "may_run_code"),
    Troubled("runs.pkl", pickled(_RUNS), "may_run_code"),
    Troubled(
        "script.pt",
        zipped({f"archive/{path}": pickled(b"}") for path in ("constants.pkl", "data.pkl", "code/x.py")}),
        "may_run_code",
        serious=False,
    ),
)
