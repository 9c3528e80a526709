"""Read whatever a model file says of itself: sniff its format, ask that format's reader, judge its name."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mlib.core.formats.header import Finding, Header
from mlib.core.formats.sniff import expected_extensions, is_wrong_extension, sniff

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import BinaryIO

_PICKLES = ("torch_zip", "torchscript", "torch_legacy", "pickle")
#: Formats that content alone may not show: what their readers miss in a file of such a name is a finding.
_BY_NAME = {".safetensors": "safetensors", ".sft": "safetensors", ".gguf": "gguf", ".onnx": "onnx"}
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.[^.]+$)")


def read_header(file: BinaryIO, size: int, *, name: str) -> Header:
    """What the open file of `size` bytes called `name` says of itself, with every finding. Raises OSError.

    Besides the readers' own: `wrong_extension`, and the serious `lfs_pointer`, `html_page`, `empty_file`.
    Details may hold `split` (`number` from 1, `of`) where the name is that of one part of a model.
    """
    format_ = sniff(file, size)
    if format_ == "unknown":
        header = _by_name(file, size, os.path.splitext(name)[1].lower())
    else:
        header = _read(file, size, format_)
    if (part := _PART.search(name)) and "split" not in header.details:
        split = {"number": int(part[1]), "of": int(part[2])}
        header = header._replace(details={**header.details, "split": split})
    findings = [*header.findings, *_about_the_file(header), *name_findings(header.format, name)]
    return header._replace(findings=tuple(findings))


def _read(file: BinaryIO, size: int, format_: str) -> Header:
    if format_ in _PICKLES:
        from mlib.core.formats import pickles

        return pickles.read(file, size, format_)
    reader = _reader(format_)
    return Header(format_) if reader is None else reader(file, size)


def _reader(format_: str) -> Callable[[BinaryIO, int], Header] | None:
    """The reader of a format, loaded when first needed."""
    if format_ == "safetensors":
        from mlib.core.formats.safetensors import read
    elif format_ == "gguf":
        from mlib.core.formats.gguf import read
    elif format_ == "onnx":
        from mlib.core.formats.onnx import read
    elif format_ == "ncnn":
        from mlib.core.formats.plain import read_ncnn as read
    elif format_ == "lfs_pointer":
        from mlib.core.formats.plain import read_lfs_pointer as read
    elif format_ == "html":
        from mlib.core.formats.plain import read_html as read
    elif format_ == "zip":
        from mlib.core.formats.zips import read_zip as read
    else:
        return None
    return read


def _by_name(file: BinaryIO, size: int, extension: str) -> Header:
    """Say what is wrong with a file that does not look like what its extension promises."""
    claimed = _BY_NAME.get(extension)
    if extension in expected_extensions("pickle"):
        # Pickles of protocols 0 and 1 begin like any text; torch loads one all the same, and what it names.
        header = _read(file, size, "pickle")
        names = header.details.get("globals")
        return header if isinstance(names, dict) and any(names.values()) else Header("unknown")
    if claimed is None:
        return Header("unknown")
    header = _read(file, size, claimed)
    if not any(finding.serious for finding in header.findings):
        return header
    return Header("unknown", findings=header.findings)


def _about_the_file(header: Header) -> list[Finding]:
    findings = []
    if header.format == "empty":
        findings.append(Finding("empty_file", "the file is empty", serious=True))
    elif header.format == "lfs_pointer":
        size = header.details.get("size")
        promised = f" of {size:,} bytes" if isinstance(size, int) else ""
        message = f"a Git-LFS pointer stands in for the model{promised}: it was not downloaded"
        findings.append(Finding("lfs_pointer", message, serious=True))
    elif header.format == "html":
        title = header.details.get("title")
        titled = f" ('{title}')" if title else ""
        findings.append(Finding("html_page", f"a web page{titled} was saved as a model", serious=True))
    return findings


def name_findings(format_: str, name: str) -> list[Finding]:
    """Whether the extension says another format than the content."""
    if not is_wrong_extension(name, format_):
        return []
    extension = os.path.splitext(name)[1].lower()
    usual = expected_extensions(format_)[0]
    return [Finding("wrong_extension", f"it is {format_} (usually {usual}), its name ends in {extension}")]
