"""Read the metadata of ONNX models, which are protobuf messages; of the graph only its external data.

Field numbers after onnx.proto3 (ModelProto, GraphProto, TensorProto).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core.formats.cursor import Cursor, CutShortError, HeaderError
from mlib.core.formats.header import Finding, Header

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from mlib.core.jsontext import Json

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5

# ModelProto
_NUMBERS = {1: "ir_version", 5: "model_version"}
_TEXTS = {2: "producer_name", 3: "producer_version", 4: "domain", 6: "doc_string"}
_GRAPH, _OPSET, _METADATA = 7, 8, 14
# GraphProto, TensorProto
_INITIALIZER, _EXTERNAL_DATA = 5, 13
_LOCATION = "location"

_MAX_TEXT = 2**18
_MAX_NAME = 1024
_MAX_PAIRS = 10_000
_MAX_LOCATIONS = 100
_MAX_FIELDS = 200_000
#: Initialisers are far apart, and little is read of each.
_CHUNK = 2**12


@dataclass(slots=True)
class _Found:
    details: dict[str, Json] = field(default_factory=dict)
    metadata: dict[str, str] = field(default_factory=dict)
    opset: dict[str, Json] = field(default_factory=dict)
    locations: dict[str, None] = field(default_factory=dict)
    repeated: bool = False
    fields_left: int = _MAX_FIELDS


def read(file: BinaryIO, size: int) -> Header:
    """Read the metadata of an ONNX file of `size` bytes. Raises OSError.

    Findings: `bad_header` and `truncated` (both keep what was read before), `duplicate_keys`. Details:
    `ir_version`, `producer_name`, `producer_version`, `domain`, `model_version`, `doc_string` if set,
    `opset` (version by domain, the default one is ""), `external_data` (files beside it with weights) and
    `graph` (whether there is one).
    """
    found = _Found()
    findings: list[Finding] = []
    cursor = Cursor(file, size, what="ONNX model", chunk_size=_CHUNK)
    try:
        _model(cursor, size, found)
    except CutShortError as cut:
        findings.append(Finding("truncated", str(cut), serious=True))
    except HeaderError as error:
        findings.append(Finding("bad_header", f"cannot read the model: {error}", serious=True))
    if found.repeated:
        findings.append(Finding("duplicate_keys", "duplicate key in the metadata"))
    details = found.details
    if found.opset:
        details["opset"] = found.opset
    if found.locations:
        details["external_data"] = list(found.locations)
    return Header("onnx", metadata=found.metadata, details=details, findings=tuple(findings))


def _model(cursor: Cursor, size: int, found: _Found) -> None:
    found.details["graph"] = False
    for number, value, end in _fields(cursor, size, found):
        if end is None:
            if number in _NUMBERS:
                found.details[_NUMBERS[number]] = value
        elif number in _TEXTS:
            if text := cursor.text(value, _MAX_TEXT):
                found.details[_TEXTS[number]] = text
        elif number == _GRAPH:
            found.details["graph"] = True
            _graph(cursor, end, found)
        elif number == _OPSET:
            domain, version = _opset(cursor, end, found)
            if len(found.opset) < _MAX_PAIRS:
                found.opset[domain] = version
        elif number == _METADATA:
            key, text = _pair(cursor, end, found)
            found.repeated = found.repeated or key in found.metadata
            if len(found.metadata) < _MAX_PAIRS:
                found.metadata[key] = text


def _graph(cursor: Cursor, end: int, found: _Found) -> None:
    for number, _, tensor_end in _fields(cursor, end, found):
        if number == _INITIALIZER and tensor_end is not None:
            for inner, _, pair_end in _fields(cursor, tensor_end, found):
                if inner == _EXTERNAL_DATA and pair_end is not None:
                    key, text = _pair(cursor, pair_end, found)
                    if key == _LOCATION and len(found.locations) < _MAX_LOCATIONS:
                        found.locations[text] = None


def _opset(cursor: Cursor, end: int, found: _Found) -> tuple[str, int]:
    domain, version = "", 0
    for number, value, text_end in _fields(cursor, end, found):
        if number == 1 and text_end is not None:
            domain = cursor.text(value, _MAX_NAME)
        elif number == 2 and text_end is None:
            version = value
    return domain, version


def _pair(cursor: Cursor, end: int, found: _Found) -> tuple[str, str]:
    key = text = ""
    for number, length, text_end in _fields(cursor, end, found):
        if number == 1 and text_end is not None:
            key = cursor.text(length, _MAX_NAME)
        elif number == 2 and text_end is not None:
            text = cursor.text(length, _MAX_TEXT)
    return key, text


def _fields(cursor: Cursor, end: int, found: _Found) -> Iterator[tuple[int, int, int | None]]:
    """Yield the fields up to byte `end`: (number, value, None) or (number, length, end of its bytes).

    Bytes that the caller does not read are skipped.
    """
    while cursor.position < end:
        found.fields_left -= 1
        if found.fields_left < 0:
            raise HeaderError("too many fields")
        tag = cursor.varint()
        number, wire = tag >> 3, tag & 7
        if not number:
            raise HeaderError("field number 0")
        if wire == _BYTES:
            length = cursor.varint()
            stop = cursor.position + length
            cursor.need(length)
            if stop > end:
                raise HeaderError("field longer than its message")
            yield number, length, stop
            cursor.skip(stop - cursor.position)
        elif wire == _VARINT:
            yield number, cursor.varint(), None
        elif wire in (_EIGHT_BYTES, _FOUR_BYTES):
            cursor.skip(8 if wire == _EIGHT_BYTES else 4)
        else:
            raise HeaderError(f"unknown wire type {wire}")
    if cursor.position > end:
        raise HeaderError("field longer than its message")
