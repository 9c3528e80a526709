"""Read a model file's header: detect the format, call its reader, and check the file name against it."""

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
#: Formats that content alone may not reveal: files named like this get the findings of that reader.
_BY_NAME = {".safetensors": "safetensors", ".sft": "safetensors", ".gguf": "gguf", ".onnx": "onnx"}
_PART = re.compile(r"-(\d{5})-of-(\d{5})(?=\.[^.]+$)")


def read_header(file: BinaryIO, size: int, *, name: str) -> Header:
    """Read the header of an open file of `size` bytes called `name`, with all findings. Raises OSError.

    Adds to the readers' own findings `wrong_extension` and the serious `lfs_pointer`, `html_page` and
    `empty_file`. `details` has `split` (`number` from 1, `of`) if the name is that of one part of a model.
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
    """The reader of a format, imported when first needed."""
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
    """Find out what is wrong with a file whose content does not match its extension."""
    claimed = _BY_NAME.get(extension)
    if extension in expected_extensions("pickle"):
        # Pickles of protocols 0 and 1 begin like any text, but torch loads them and imports what they name.
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
        message = f"only a Git LFS pointer: the model{promised} was not downloaded"
        findings.append(Finding("lfs_pointer", message, serious=True))
    elif header.format == "html":
        title = header.details.get("title")
        titled = f" ('{title}')" if title else ""
        findings.append(Finding("html_page", f"this is a web page{titled}, not a model", serious=True))
    return findings


def name_findings(format_: str, name: str) -> list[Finding]:
    """The finding that the extension does not match the format, if so."""
    if not is_wrong_extension(name, format_):
        return []
    extension = os.path.splitext(name)[1].lower()
    usual = expected_extensions(format_)[0]
    return [
        Finding(
            "wrong_extension", f"the content is {format_} (usually {usual}), but the name ends in {extension}"
        )
    ]
