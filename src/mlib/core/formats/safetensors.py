"""Read the header of safetensors files: an 8-byte length, JSON of that length, then the tensors without gaps.

After the format's own description and the behaviour of its library 0.8, which refuses a file unless the
offsets cover the data exactly.
"""

from __future__ import annotations

from operator import sub
from typing import TYPE_CHECKING

from mlib.core.formats.cursor import read_at, shown
from mlib.core.formats.header import Finding, Header, trailing_data
from mlib.core.formats.safetensors_json import BITS, BadHeader, parse
from mlib.core.formats.sniff import MAX_SAFETENSORS_HEADER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from mlib.core.formats.safetensors_json import Contents
    from mlib.core.jsontext import Json

_LISTED = 5


def read(file: BinaryIO, size: int) -> Header:
    """Read the tensors and metadata of a safetensors file of `size` bytes. Raises OSError.

    Findings: `bad_header`, `truncated`, `trailing_data`, `overlapping_tensors`: the library refuses the file;
    `metadata_not_text`: it refuses it too, but the value is kept as JSON text; `duplicate_keys`: the last one
    counts. Details: `header_size`, `promised_size` (of the whole file) and `metadata_dropped` (keys of values
    too long to keep, with their length in bytes).
    """
    head = read_at(file, 0, 8)
    if len(head) < 8:
        return _unread("bad_header", f"not a safetensors file: only {len(head)} bytes long", {})
    header_size = int.from_bytes(head, "little")
    details: dict[str, Json] = {"header_size": header_size}
    if header_size > MAX_SAFETENSORS_HEADER:
        reason = f"header length is {header_size:,} bytes, the limit is {MAX_SAFETENSORS_HEADER:,}"
        return _unread("bad_header", reason, details)
    data_start = 8 + header_size
    header = read_at(file, 8, header_size) if data_start <= size else b""
    if len(header) < header_size:
        details["promised_size"] = data_start
        return _unread(
            "truncated", f"the header alone takes {data_start:,} bytes, the file has {size:,}", details
        )
    try:
        contents = parse(header)
    except BadHeader as error:
        return _unread("bad_header", f"cannot read the header: {error}", details)
    details["promised_size"] = data_start + max(contents.ends, default=0)
    if contents.dropped:
        details["metadata_dropped"] = contents.dropped
    return Header(
        "safetensors",
        tensors=tuple(contents.tensors),
        metadata=contents.metadata,
        details=details,
        findings=tuple(_findings(contents, data_start, size)),
        data_start=data_start,
    )


def _unread(code: str, message: str, details: dict[str, Json]) -> Header:
    return Header("safetensors", details=details, findings=(Finding(code, message, serious=True),))


def _findings(contents: Contents, data_start: int, size: int) -> Iterator[Finding]:
    end = max(contents.ends, default=0)
    in_order = [0, *contents.ends[:-1]] == contents.begins or not contents.begins
    if not in_order or list(map(sub, contents.ends, contents.begins)) != contents.sizes:
        yield from _faults(contents)
    promised = data_start + end
    if promised > size:
        message = f"the header promises {promised:,} bytes, the file has {size:,}"
        yield Finding("truncated", message, serious=True)
    elif promised < size:
        yield trailing_data(size - promised)
    if contents.coerced:
        yield Finding("metadata_not_text", f"metadata values that are not text: {_listed(contents.coerced)}")
    if contents.repeated:
        yield Finding("duplicate_keys", f"duplicate keys in the header: {_listed(contents.repeated)}")


def _faults(contents: Contents) -> Iterator[Finding]:
    """Report the first inconsistent tensor, the first gap and the first overlap."""
    if reason := _contradiction(contents):
        yield Finding("bad_header", reason, serious=True)
    spans = sorted(zip(contents.begins, contents.ends, range(len(contents.ends)), strict=True))
    covered = 0
    hole = overlap = False
    for begin, end, place in spans:
        if begin > covered and not hole:
            hole = True
            before = shown(contents.tensors[place].name)
            yield Finding(
                "bad_header",
                f"{begin - covered:,} bytes before {before} belong to no tensor",
                serious=True,
            )
        elif begin < covered and not overlap:
            overlap = True
            name = shown(contents.tensors[place].name)
            yield Finding("overlapping_tensors", f"{name} overlaps the tensor before it", serious=True)
        covered = max(covered, end)


def _contradiction(contents: Contents) -> str | None:
    columns = zip(contents.tensors, contents.begins, contents.ends, contents.sizes, strict=True)
    for tensor, begin, end, needed in columns:
        if tensor.dtype not in BITS:
            return f"{shown(tensor.name)} has the unknown dtype {shown(tensor.dtype)}"
        if needed is None:
            return f"the shape of {shown(tensor.name)} does not give a possible size"
        if needed != end - begin:
            return f"{shown(tensor.name)} needs {needed:,} bytes, its offsets span {end - begin:,}"
    return None


def _listed(keys: list[str]) -> str:
    distinct = list(dict.fromkeys(keys))
    more = f" and {len(distinct) - _LISTED:,} more" if len(distinct) > _LISTED else ""
    return ", ".join(shown(key) for key in distinct[:_LISTED]) + more
