"""What torch calls its tensors, their types and their storages in a pickle."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeGuard

from mlib.core.formats.pickle_values import Call, Global, Persistent

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

#: Storage classes of torch: their type as safetensors spells it (where it has one), bytes of an element.
_TYPES = {
    "Double": ("F64", 8),
    "Float": ("F32", 4),
    "Half": ("F16", 2),
    "BFloat16": ("BF16", 2),
    "Long": ("I64", 8),
    "Int": ("I32", 4),
    "Short": ("I16", 2),
    "Char": ("I8", 1),
    "Byte": ("U8", 1),
    "Bool": ("BOOL", 1),
    "ComplexFloat": ("C64", 8),
    "ComplexDouble": ("C128", 16),
    "QInt8": ("QI8", 1),
    "QUInt8": ("QU8", 1),
    "QInt32": ("QI32", 4),
    "QUInt4x2": ("QU4X2", 1),
    "QUInt2x4": ("QU2X4", 1),
    "Untyped": ("U8", 1),
}
_DTYPES = {
    "float64": "F64",
    "double": "F64",
    "float32": "F32",
    "float": "F32",
    "float16": "F16",
    "half": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "float8_e8m0fnu": "F8_E8M0",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "bool": "BOOL",
    "complex64": "C64",
    "complex128": "C128",
}
_REBUILT = frozenset(
    f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "tensor_v3", "qtensor")
)
_WRAPPED = frozenset(
    (
        "torch._utils._rebuild_parameter",
        "torch._utils._rebuild_parameter_with_state",
        "torch.nn.parameter.Parameter",
        "torch.nn.Parameter",
    )
)
_META = "torch._utils._rebuild_meta_tensor_no_storage"
_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"

_MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 2**60


@dataclass(frozen=True, slots=True)
class Storage:
    """The elements of one or more tensors, which lie outside the pickle; `size` in bytes."""

    key: str
    dtype: str
    size: int


def storages(keys: Iterable[Persistent]) -> Mapping[str, Storage]:
    """The storages that torch's persistent ids speak of, by key; anything else is passed over."""
    found = (_storage(key) for key in keys)
    return {storage.key: storage for storage in found if storage}


def _storage(outside: object) -> Storage | None:
    """`("storage", class, key, location, number of elements, ...)`, after torch/serialization.py."""
    if not isinstance(outside, Persistent) or not isinstance(outside.key, tuple) or len(outside.key) < 5:
        return None
    mark, kind, key, _, count = outside.key[:5]
    if (
        mark != b"storage"
        or not isinstance(kind, Global)
        or not isinstance(key, bytes)
        or not _is_count(count)
    ):
        return None
    dtype, width = _TYPES.get(kind.name.removesuffix("Storage"), (kind.name[:40], 0))
    return Storage(key=key[:100].decode("utf-8", "replace"), dtype=dtype, size=count * width)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_ELEMENTS


def tensor_of(value: object) -> tuple[str, tuple[int, ...]] | None:
    """Type and shape of a tensor, if a call makes one."""
    for _ in range(4):
        if not isinstance(value, Call) or not isinstance(value.args, tuple) or not value.args:
            return None
        path, args = value.path, value.args
        if path in _WRAPPED:
            value = args[0]
        elif path == _FROM_TYPE and len(args) >= 3:
            value = Call(args[0], args[2])
        elif path == _META and len(args) >= 2:
            shape = _shape(args[1])
            return None if shape is None else (_dtype(args[0]) or "?", shape)
        elif path in _REBUILT and len(args) >= 3:
            return _rebuilt(args)
        else:
            return None
    return None


def _rebuilt(args: tuple[object, ...]) -> tuple[str, tuple[int, ...]] | None:
    """From storage, offset, size, stride, ...; the third version has the type after three more."""
    storage, shape = _storage(args[0]), _shape(args[2])
    if storage is None or shape is None:
        return None
    declared = _dtype(args[6]) if len(args) > 6 else None
    return declared or storage.dtype, shape


def _dtype(value: object) -> str | None:
    if isinstance(value, Global) and value.module == "torch":
        return _DTYPES.get(value.name, value.name)
    return None


def _shape(value: object) -> tuple[int, ...] | None:
    if (
        isinstance(value, Call)
        and value.path == "torch.Size"
        and isinstance(value.args, tuple)
        and value.args
    ):
        value = value.args[0]
    if not isinstance(value, (tuple, list)) or len(value) > _MOST_DIMENSIONS:
        return None
    shape = tuple(size for size in value if _is_count(size))
    return shape if len(shape) == len(value) and math.prod(shape) <= _MOST_ELEMENTS else None
