"""One tensor in a safetensors header: what it is described by, and how many bytes that makes."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlib.core.formats.header import Tensor
from mlib.core.formats.reading import shown
from mlib.core.jsontext import Members, Number

if TYPE_CHECKING:
    from mlib.core.jsontext import Json

_BITS_OF = {
    4: ("F4",),
    6: ("F6_E2M3", "F6_E3M2"),
    8: ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ"),
    16: ("I16", "U16", "F16", "BF16"),
    32: ("I32", "U32", "F32"),
    64: ("C64", "F64", "I64", "U64"),
}
#: Bits of one element, for every dtype the safetensors library 0.8 knows.
BITS = {dtype: bits for bits, dtypes in _BITS_OF.items() for dtype in dtypes}
_MAX_U64 = 2**64 - 1
_FIELDS = ("dtype", "shape", "data_offsets")
_NATURAL = re.compile(r"0|[1-9][0-9]{0,19}")


class BadHeader(ValueError):
    """The header is no JSON of the kind it should be; the message says why in one line."""


def byte_size(dtype: str, shape: tuple[int, ...]) -> int | None:
    """The bytes of a tensor, or None if its dtype is unknown or they are no whole number of 64 bits.

    The lengths are multiplied in order: an overflow stays one even if a zero follows.
    """
    bits = BITS.get(dtype)
    elements = 1
    for length in shape:
        elements *= length
        if elements > _MAX_U64 or length > _MAX_U64:
            return None
    if bits is None or elements * bits > _MAX_U64 or elements * bits % 8:
        return None
    return elements * bits // 8


def makes_sense(tensor: Tensor, begin: int, end: int) -> bool:
    """Whether the dtype is known and every number one of 64 bits."""
    return tensor.dtype in BITS and max(begin, end, *tensor.shape) <= _MAX_U64


def described(name: str, value: Json) -> tuple[Tensor, int, int]:
    """The tensor and where its bytes begin and end, with the freedom that serde's derived readers give.

    Raises BadHeader.
    """
    if isinstance(value, Members):
        known = [(key, inner) for key, inner in value if key in _FIELDS]
        by_key = dict(known)
        parts = [by_key[key] for key in _FIELDS if key in by_key] if len(known) == len(_FIELDS) else []
    else:
        parts = list(value) if isinstance(value, list) else []
    if len(parts) != len(_FIELDS):
        raise BadHeader(f"{shown(name)} is not described by dtype, shape and data_offsets")
    dtype, lengths, offsets = _variant(parts[0]), _naturals(parts[1]), _naturals(parts[2])
    if dtype is None or lengths is None or offsets is None or len(offsets) != 2:
        raise BadHeader(f"{shown(name)} has no sound dtype, shape and data_offsets")
    return Tensor(name, dtype, lengths), offsets[0], offsets[1]


def _variant(value: Json) -> str | None:
    """A name, which serde also takes as `{name: null}`."""
    if isinstance(value, Members) and len(value) == 1 and value[0][1] is None:
        return value[0][0]
    return value if isinstance(value, str) and not isinstance(value, Number) else None


def _naturals(value: Json) -> tuple[int, ...] | None:
    if not isinstance(value, list) or isinstance(value, Members):
        return None
    if not all(isinstance(item, Number) and _NATURAL.fullmatch(item) for item in value):
        return None
    numbers = tuple(int(str(item)) for item in value)
    return None if any(number > _MAX_U64 for number in numbers) else numbers
