"""Read formats with little to say: Git LFS pointers, web pages saved as models, ncnn networks."""

from __future__ import annotations

import html
import re
from typing import TYPE_CHECKING

from mlib.core.formats.cursor import read_at
from mlib.core.formats.header import Header
from mlib.core.formats.sniff import NCNN_STARTS

if TYPE_CHECKING:
    from typing import BinaryIO

    from mlib.core.jsontext import Json

_PAGE = 16_384
_POINTER = 1024  # the longest that git-lfs writes
_OID = re.compile(r"^oid sha256:([0-9a-f]{64})$", re.MULTILINE)
_SIZE = re.compile(r"^size ([0-9]{1,19})$", re.MULTILINE)
_TITLE = re.compile(r"<title[^>]{0,200}>([^<]{1,1000})", re.IGNORECASE)
_MAX_TITLE = 200


def read_lfs_pointer(file: BinaryIO, size: int) -> Header:
    """Read the `oid` (SHA-256 in hex) and `size` of the file a Git LFS pointer names. Raises OSError."""
    text = read_at(file, 0, min(size, _POINTER)).decode("utf-8", "replace").replace("\r\n", "\n")
    details: dict[str, Json] = {}
    if oid := _OID.search(text):
        details["oid"] = oid[1]
    if promised := _SIZE.search(text):
        details["size"] = int(promised[1])
    return Header("lfs_pointer", details=details)


def read_html(file: BinaryIO, size: int) -> Header:
    """Read the `title` of a web page, if it has one. Raises OSError."""
    text = read_at(file, 0, min(size, _PAGE)).decode("utf-8", "replace")
    title = _TITLE.search(text)
    words = " ".join(html.unescape(title[1]).split())[:_MAX_TITLE] if title else ""
    return Header("html", details={"title": words} if words else {})


def read_ncnn(file: BinaryIO, size: int) -> Header:
    """Read which `part` of an ncnn network a file is: its param text, or its weights and their type.

    Raises OSError.
    """
    head = read_at(file, 0, min(size, 8))
    part = next((part for start, part in NCNN_STARTS.items() if head.startswith(start)), None)
    return Header("ncnn", details={"part": part} if part else {})
