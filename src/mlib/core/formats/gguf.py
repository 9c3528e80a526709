"""GGUF, the format of quantised models: what the header says of the file, read without loading any of it.

Layout after ggml's docs/gguf.md: magic, version, tensor count, key-value count, key-values, tensor infos,
padding, data. Version 1 has 32-bit lengths and dimensions, later ones 64-bit; all of it little endian here.
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


# --- The numbers GGUF has for the types of values and of tensors. From ggml's docs/gguf.md and type traits.

#: Types of key-values: what they are called, and how `struct` reads the scalars.
VALUE_TYPES = {
    0: ("uint8", "<B"), 1: ("int8", "<b"), 2: ("uint16", "<H"), 3: ("int16", "<h"), 4: ("uint32", "<I"),
    5: ("int32", "<i"), 6: ("float32", "<f"), 7: ("bool", "<?"), 10: ("uint64", "<Q"), 11: ("int64", "<q"),
    12: ("float64", "<d"),
}  # fmt: skip
UINT32, INT32, FLOAT32, STRING, ARRAY = 4, 5, 6, 8, 9

#: Names and bytes of a block by tensor type number, for each length of a block in elements.
_BLOCKS = {
    1: {
        0: ("F32", 4), 1: ("F16", 2), 24: ("I8", 1), 25: ("I16", 2), 26: ("I32", 4), 27: ("I64", 8),
        28: ("F64", 8), 30: ("BF16", 2),
    },
    32: {
        2: ("Q4_0", 18), 3: ("Q4_1", 20), 6: ("Q5_0", 22), 7: ("Q5_1", 24), 8: ("Q8_0", 34), 9: ("Q8_1", 36),
        20: ("IQ4_NL", 18),
        31: ("Q4_0_4_4", 18), 32: ("Q4_0_4_8", 18), 33: ("Q4_0_8_8", 18),  # three withdrawn orders of Q4_0
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
#: Tensor types: name, elements of a block, bytes of a block.
TENSOR_TYPES = {
    kind: (name, elements, size)
    for elements, kinds in _BLOCKS.items()
    for kind, (name, size) in kinds.items()
}

MAGIC = b"GGUF"

_DEFAULT_ALIGNMENT = 32
_ALIGNMENT_KEY = "general.alignment"
#: ComfyUI-GGUF writes the shape a tensor had before it was made to fit the blocks of its type.
_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."
_SPLIT_NUMBER, _SPLIT_COUNT = "split.no", "split.count"

_MAX_DIMENSIONS = 8  # ggml allows 4
_MAX_TENSORS = 50_000  # models have hundreds: experts of a layer share one tensor
_MAX_PAIRS = 100_000
_MAX_NAME = 1024  # ggml allows 64 for a tensor, less than 65,536 for a key
_MAX_TEXT = 2**18  # a licence or a chat template comes to a tenth of that


@dataclass(slots=True)
class _Found:
    """What was read so far, also where the header then turns out to be damaged."""

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
    #: Whether no tensor needs more than `whole_size` counts for it.
    is_certain: bool = True


def whole_size(file: BinaryIO, size: int) -> int:
    """Least size in bytes of a whole file with this header; padding after the last tensor is not counted.

    `size` is the file's own. Raises CutShortError if the header itself is not all there, HeaderError,
    OSError.
    """
    return _walk(file, size, _Found())


def read(file: BinaryIO, size: int) -> Header:
    """The key-values and tensors of a GGUF file of `size` bytes. Raises OSError.

    Findings: `bad_header`, `truncated` (both with what was read before), `trailing_data` (more than the
    padding that ggml puts behind the last tensor, too), `duplicate_keys`. Details:
    `version`, `alignment`, `arrays` (type and length by key), `split` (`number` from 1, `of`), `clipped`
    (keys whose text was too long to keep whole) and `promised_size`.
    """
    found = _Found()
    findings: list[Finding] = []
    try:
        promised = _walk(file, size, found)
    except CutShortError as cut:
        findings.append(Finding("truncated", str(cut), serious=True))
    except HeaderError as error:
        findings.append(Finding("bad_header", f"its header cannot be read: {error}", serious=True))
    else:
        if promised > size:
            message = f"its header promises {promised:,} bytes, the file has {size:,}"
            findings.append(Finding("truncated", message, serious=True))
        elif found.is_certain and size > promised + -promised % found.alignment:
            findings.append(trailing_data(size - promised))
    if found.repeated:
        keys = ", ".join(map(shown, list(found.repeated)[:5]))
        findings.append(Finding("duplicate_keys", f"more than once in the header: {keys}"))
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
    """Fill `found` and return the least size of the whole file. Raises as `whole_size` does."""
    cursor = Cursor(file, size, what="GGUF header")
    if cursor.take(len(MAGIC)) != MAGIC:
        raise HeaderError("it does not begin with GGUF")
    found.version = cursor.u32()
    if found.version not in (1, 2, 3):
        kind = " (of a big-endian machine)" if found.version >= 2**24 else ""
        raise HeaderError(f"GGUF version {found.version}{kind}")
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
            raise HeaderError("a key without a name")
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
            raise HeaderError("an alignment that is no power of two")


def _scalar(cursor: Cursor, kind: int) -> str:
    layout = _scalar_layout(kind)
    value = struct.unpack(layout, cursor.take(struct.calcsize(layout)))[0]
    if isinstance(value, bool):
        return "true" if value else "false"
    if kind == FLOAT32:
        # The shortest text that stands for the same 32 bits: 1e-06, not 9.999999974752427e-07.
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
        raise HeaderError(f"value type {kind}") from None


def _array(cursor: Cursor, key: str, found: _Found) -> None:
    kind, count = cursor.u32(), cursor.length()
    if kind == STRING:
        found.arrays[key] = {"type": "string", "length": count}
        cursor.skip_strings(count)
        return
    # ggml refuses arrays of arrays, and so does this.
    layout = _scalar_layout(kind)
    found.arrays[key] = {"type": VALUE_TYPES[kind][0], "length": count}
    if key.startswith(_ORIGINAL_SHAPE) and kind == INT32 and count <= _MAX_DIMENSIONS:
        shape = struct.unpack(f"<{count}i", cursor.take(4 * count))
        if all(length >= 0 for length in shape):
            found.original_shapes[key.removeprefix(_ORIGINAL_SHAPE)] = shape
    else:
        cursor.skip(count * struct.calcsize(layout))


def _tensors(cursor: Cursor, count: int, found: _Found) -> int:
    """Read `count` tensor infos and return how many bytes of data they need."""
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
            raise HeaderError("more bytes than any file has")
    # Tensors lie one after another. Where they seem to overlap, a fork of ggml gave a type's number another
    # meaning, and only the offsets can be believed.
    found.is_certain = found.is_certain and in_order
    return end if in_order else last_start
