"""Read the header of GGUF, the format of quantised models: key-values, tensors, size of the complete file.

Layout after ggml's docs/gguf.md: magic, version, tensor count, key-value count, key-values, tensor infos,
padding, data. Version 1 has 32-bit lengths and dimensions, later ones 64-bit; only little endian is read.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from mlib.core.formats.cursor import MAX_OFFSET, Cursor, CutShortError, HeaderError, shown
from mlib.core.formats.header import Finding, Header, Tensor, trailing_data

if TYPE_CHECKING:
    from typing import BinaryIO

    from mlib.core.jsontext import Json


# --- Type numbers of values and tensors, from ggml's docs/gguf.md and type traits

#: Types of key-values: name and `struct` format of the scalars.
VALUE_TYPES = {
    0: ("uint8", "<B"), 1: ("int8", "<b"), 2: ("uint16", "<H"), 3: ("int16", "<h"), 4: ("uint32", "<I"),
    5: ("int32", "<i"), 6: ("float32", "<f"), 7: ("bool", "<?"), 10: ("uint64", "<Q"), 11: ("int64", "<q"),
    12: ("float64", "<d"),
}  # fmt: skip
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9

#: Name and bytes per block by tensor type number, grouped by elements per block.
_BLOCKS = {
    1: {
        0: ("F32", 4), 1: ("F16", 2), 24: ("I8", 1), 25: ("I16", 2), 26: ("I32", 4), 27: ("I64", 8),
        28: ("F64", 8), 30: ("BF16", 2),
    },
    32: {
        2: ("Q4_0", 18), 3: ("Q4_1", 20), 6: ("Q5_0", 22), 7: ("Q5_1", 24), 8: ("Q8_0", 34), 9: ("Q8_1", 36),
        20: ("IQ4_NL", 18),
        31: ("Q4_0_4_4", 18), 32: ("Q4_0_4_8", 18), 33: ("Q4_0_8_8", 18),  # withdrawn layouts of Q4_0
        39: ("MXFP4", 17),
    },
    64: {40: ("NVFP4", 36)},
    128: {41: ("Q1_0", 18)},
    256: {
        10: ("Q2_K", 84), 11: ("Q3_K", 110), 12: ("Q4_K", 144), 13: ("Q5_K", 176), 14: ("Q6_K", 210),
        15: ("Q8_K", 292), 16: ("IQ2_XXS", 66), 17: ("IQ2_XS", 74), 18: ("IQ3_XXS", 98), 19: ("IQ1_S", 50),
        21: ("IQ3_S", 110), 22: ("IQ2_S", 82), 23: ("IQ4_XS", 136), 29: ("IQ1_M", 56), 34: ("TQ1_0", 54),
        35: ("TQ2_0", 66),
    },
}  # fmt: skip
#: Tensor types: name, elements per block, bytes per block.
TENSOR_TYPES = {
    kind: (name, elements, size)
    for elements, kinds in _BLOCKS.items()
    for kind, (name, size) in kinds.items()
}


# --- Reading the header

MAGIC = b"GGUF"

_DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = "general.alignment"
#: ComfyUI-GGUF writes the shape a tensor had before it was reshaped to fit the blocks of its type.
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
_SPLIT_NUMBER, _SPLIT_COUNT = "split.no", "split.count"

_MAX_DIMENSIONS = 8  # ggml allows 4
_MAX_TENSORS = 50_000  # models have hundreds: the experts of a layer share one tensor
_MAX_PAIRS = 100_000
_MAX_NAME = 1024  # ggml allows 64 for a tensor, less than 65,536 for a key
_MAX_TEXT = 2**18  # a licence or a chat template takes a tenth of that


@dataclass(slots=True)
class _Found:
    """Everything read so far; kept even if the header turns out to be damaged."""

    version: int = 0
    alignment: int = _DEFAULT_ALIGNMENT
    metadata: dict[str, str] = field(default_factory=dict)
    arrays: dict[str, Json] = field(default_factory=dict)
    original_shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)
    tensors: list[Tensor] = field(default_factory=list)
    clipped: list[str] = field(default_factory=list)
    repeated: dict[str, None] = field(default_factory=dict)
    data_start: int | None = None
    whole_size: int | None = None
    #: Whether `whole_size` is exact: it counts the full size of every tensor.
    is_certain: bool = True


def whole_size(file: BinaryIO, size: int) -> int:
    """The least size in bytes of a complete file with this header, without padding after the last tensor.

    `size` is the actual file size. Raises CutShortError if the header itself is incomplete, HeaderError,
    OSError.
    """
    return _walk(file, size, _Found())


def read(file: BinaryIO, size: int) -> Header:
    """Read the key-values and tensors of a GGUF file of `size` bytes. Raises OSError.

    Findings: `bad_header` and `truncated` (both keep what was read before), `trailing_data` (more than the
    padding that ggml writes after the last tensor), `duplicate_keys`. Details: `version`, `alignment`,
    `arrays` (type and length by key), `split` (`number` from 1, `of`), `clipped` (keys whose text was too
    long to keep whole) and `promised_size`.
    """
    found = _Found()
    findings: list[Finding] = []
    try:
        promised = _walk(file, size, found)
    except CutShortError as cut:
        findings.append(Finding("truncated", str(cut), serious=True))
    except HeaderError as error:
        findings.append(Finding("bad_header", f"cannot read the header: {error}", serious=True))
    else:
        if promised > size:
            message = f"the header promises {promised:,} bytes, the file has {size:,}"
            findings.append(Finding("truncated", message, serious=True))
        elif found.is_certain and size > promised + -promised % found.alignment:
            findings.append(trailing_data(size - promised))
    if found.repeated:
        keys = ", ".join(map(shown, list(found.repeated)[:5]))
        findings.append(Finding("duplicate_keys", f"duplicate keys in the header: {keys}"))
    return Header(
        "gguf",
        tensors=tuple(_as_it_was(tensor, found.original_shapes) for tensor in found.tensors),
        metadata=found.metadata,
        details=_details(found),
        findings=tuple(findings),
        data_start=found.data_start,
    )


def _as_it_was(tensor: Tensor, original_shapes: dict[str, tuple[int, ...]]) -> Tensor:
    shape = original_shapes.get(tensor.name)
    if shape is None or math.prod(shape) != math.prod(tensor.shape):
        return tensor
    return tensor._replace(shape=shape)


def _details(found: _Found) -> dict[str, Json]:
    details: dict[str, Json] = {"version": found.version, "alignment": found.alignment}
    if found.arrays:
        details["arrays"] = found.arrays
    number, count = found.metadata.get(_SPLIT_NUMBER, ""), found.metadata.get(_SPLIT_COUNT, "")
    if number.isdecimal() and count.isdecimal() and int(count) > 1:
        details["split"] = {"number": int(number) + 1, "of": int(count)}
    if found.clipped:
        details["clipped"] = found.clipped
    if found.whole_size is not None:
        details["promised_size"] = found.whole_size
    return details


def _walk(file: BinaryIO, size: int, found: _Found) -> int:
    """Fill `found` and return the least size of the complete file. Raises as `whole_size` does."""
    cursor = Cursor(file, size, what="GGUF header")
    if cursor.take(len(MAGIC)) != MAGIC:
        raise HeaderError("no GGUF magic number")
    found.version = cursor.u32()
    if found.version not in (1, 2, 3):
        kind = " (big-endian)" if found.version >= 2**24 else ""
        raise HeaderError(f"unsupported GGUF version {found.version}{kind}")
    if found.version == 1:
        cursor.use_lengths_of_32_bits()
    tensors, pairs = cursor.length(), cursor.length()
    width = cursor.length_format.size
    cursor.need(pairs * (width + 5) + tensors * (width + 16))
    if pairs > _MAX_PAIRS or tensors > _MAX_TENSORS:
        raise HeaderError("too many items")
    for _ in range(pairs):
        _pair(cursor, found)
    extent = _tensors(cursor, tensors, found)
    end = cursor.position
    if extent:
        found.data_start = end + -end % found.alignment
        end = found.data_start + extent
    found.whole_size = end
    return end


def _pair(cursor: Cursor, found: _Found) -> None:
    key_length = cursor.length()
    if not key_length:
        if any(cursor.take(5)):
            raise HeaderError("empty key")
        cursor.hole()
    key = cursor.text(key_length, _MAX_NAME)
    kind = cursor.u32()
    if key in found.metadata or key in found.arrays:
        found.repeated[key] = None
    if kind == ARRAY:
        _array(cursor, key, found)
        return
    cursor.clipped = False
    found.metadata[key] = cursor.text(cursor.length(), _MAX_TEXT) if kind == STRING else _scalar(cursor, kind)
    if cursor.clipped:
        found.clipped.append(key)
    if key == _ALIGNMENT_KEY and kind == UINT32:
        found.alignment = int(found.metadata[key])
        if found.alignment.bit_count() != 1:
            raise HeaderError("alignment is not a power of two")


def _scalar(cursor: Cursor, kind: int) -> str:
    layout = _scalar_layout(kind)
    value = struct.unpack(layout, cursor.take(struct.calcsize(layout)))[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == FLOAT32:
        # The shortest text with the same 32-bit value: 1e-06, not 9.999999974752427e-07.
        texts = (f"{value:.{digits}g}" for digits in range(6, 10))
        return next((text for text in texts if _as_float32(text) == value), str(value))
    return str(value)


def _as_float32(text: str) -> float:
    try:
        value: float = struct.unpack("<f", struct.pack("<f", float(text)))[0]
    except OverflowError:
        return math.nan
    return value


def _scalar_layout(kind: int) -> str:
    try:
        return VALUE_TYPES[kind][1]
    except KeyError:
        raise HeaderError(f"unknown value type {kind}") from None


def _array(cursor: Cursor, key: str, found: _Found) -> None:
    kind, count = cursor.u32(), cursor.length()
    if kind == STRING:
        found.arrays[key] = {"type": "string", "length": count}
        cursor.skip_strings(count)
        return
    # Like ggml, refuse arrays of arrays.
    layout = _scalar_layout(kind)
    found.arrays[key] = {"type": VALUE_TYPES[kind][0], "length": count}
    if key.startswith(_ORIGINAL_SHAPE) and kind == INT32 and count <= _MAX_DIMENSIONS:
        shape = struct.unpack(f"<{count}i", cursor.take(4 * count))
        if all(length >= 0 for length in shape):
            found.original_shapes[key.removeprefix(_ORIGINAL_SHAPE)] = shape
    else:
        cursor.skip(count * struct.calcsize(layout))


def _tensors(cursor: Cursor, count: int, found: _Found) -> int:
    """Read `count` tensor infos and return the bytes of data they need."""
    end = last_start = 0
    in_order = True
    names = set()
    for _ in range(count):
        name_length = cursor.length()
        name = cursor.text(name_length, _MAX_NAME)
        dimensions = cursor.u32()
        if dimensions > _MAX_DIMENSIONS:
            raise HeaderError("too many dimensions")
        lengths = [cursor.length() for _ in range(dimensions)]
        kind, start = cursor.u32(), cursor.u64()
        if not (name_length or dimensions or kind or start):
            cursor.hole()
        dtype, block, block_bytes = TENSOR_TYPES.get(kind, (f"TYPE_{kind}", 1, 0))
        found.is_certain = found.is_certain and kind in TENSOR_TYPES
        if name in names:
            found.repeated[name] = None
        names.add(name)
        found.tensors.append(Tensor(name, dtype, tuple(reversed(lengths))))
        in_order = in_order and start >= end
        last_start = max(last_start, start)
        end = max(end, start + math.prod(lengths) // block * block_bytes)
        if end > MAX_OFFSET:
            raise HeaderError("sizes exceed any possible file")
    # Tensors follow one another. If they seem to overlap, a fork of ggml has given a type number another
    # meaning, and only the offsets can be trusted.
    found.is_certain = found.is_certain and in_order
    return end if in_order else last_start
