"""What a reader of any format finds in a file."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlib.core.jsontext import Json


class Tensor(NamedTuple):
    """One tensor: its name, its type in the format's own spelling (`F16`, `BF16`, `Q4_K`), its shape as torch
    has it. A tuple, because a file may have thousands and a dataclass takes twice as long to make."""

    name: str
    dtype: str
    shape: tuple[int, ...]


class Finding(NamedTuple):
    """Something about a file that its owner should know. `code` is stable; `serious` ones fail a check."""

    code: str
    message: str
    serious: bool = False


def trailing_data(size: int) -> Finding:
    """What is found where `size` bytes more lie in a file than its header speaks of."""
    what = "1 byte" if size == 1 else f"{size:,} bytes"
    return Finding("trailing_data", f"{what} after the last tensor, which belong to none")


class Header(NamedTuple):
    """What a file says of itself.

    `format` is one of safetensors, gguf, torch_zip, torch_legacy, pickle, torchscript, onnx, ncnn, zip (which
    holds no model), lfs_pointer, html, empty, unknown. `metadata` are its own key-value pairs as text
    (safetensors `__metadata__`, GGUF key-values that are no arrays, ONNX metadata_props). `details` are facts
    of the format (version, globals a load would run, promised size in bytes, ...). `data_start` is where
    tensor bytes begin, for hashing them.
    """

    format: str
    tensors: tuple[Tensor, ...] = ()
    metadata: Mapping[str, str] = {}
    details: Mapping[str, Json] = {}
    findings: tuple[Finding, ...] = ()
    data_start: int | None = None
