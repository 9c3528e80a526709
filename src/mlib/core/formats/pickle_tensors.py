"""Find the tensors, with their state dict names, in the objects that a pickle would build.

The values come from `pickle_machine`; torch's names after torch/serialization.py and torch/_utils.py.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, TypeGuard

from mlib.core.formats.header import Tensor
from mlib.core.formats.pickle_machine import Call, Global, Pairs, Persistent

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


# --- torch's names for tensors, types and storages

#: torch's storage classes: the type as safetensors spells it (if it has one), bytes per element.
_TYPES = {
    "Double": ("F64", 8), "Float": ("F32", 4), "Half": ("F16", 2), "BFloat16": ("BF16", 2),
    "Long": ("I64", 8), "Int": ("I32", 4), "Short": ("I16", 2), "Char": ("I8", 1), "Byte": ("U8", 1),
    "Bool": ("BOOL", 1), "ComplexFloat": ("C64", 8), "ComplexDouble": ("C128", 16), "QInt8": ("QI8", 1),
    "QUInt8": ("QU8", 1), "QInt32": ("QI32", 4), "QUInt4x2": ("QU4X2", 1), "QUInt2x4": ("QU2X4", 1),
    "Untyped": ("U8", 1),
}  # fmt: skip
_DTYPES = {
    "float64": "F64", "double": "F64", "float32": "F32", "float": "F32", "float16": "F16", "half": "F16",
    "bfloat16": "BF16", "float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "float8_e8m0fnu": "F8_E8M0",
    "int64": "I64", "int32": "I32", "int16": "I16", "int8": "I8", "uint8": "U8", "uint16": "U16",
    "uint32": "U32", "uint64": "U64", "bool": "BOOL", "complex64": "C64", "complex128": "C128",
}  # fmt: skip
_REBUILT = frozenset(
    f"torch._utils._rebuild_{what}" for what in ("tensor", "tensor_v2", "tensor_v3", "qtensor")
)
_WRAPPED = frozenset({
    "torch._utils._rebuild_parameter", "torch._utils._rebuild_parameter_with_state",
    "torch.nn.parameter.Parameter", "torch.nn.Parameter",
})  # fmt: skip
_META = "torch._utils._rebuild_meta_tensor_no_storage"
_FROM_TYPE = "torch._tensor._rebuild_from_type_v2"

_MOST_DIMENSIONS = 64
_MOST_ELEMENTS = 2**60


@dataclass(frozen=True, slots=True)
class TensorStorage:
    """The data of one or more tensors, stored outside the pickle; `size` in bytes."""

    key: str
    dtype: str
    size: int


def storages(keys: Iterable[Persistent]) -> Mapping[str, TensorStorage]:
    """The storages that torch's persistent ids name, by key; other ids are skipped."""
    found = (_storage(key) for key in keys)
    return {storage.key: storage for storage in found if storage}


def _storage(outside: object) -> TensorStorage | None:
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
    return TensorStorage(key=key[:100].decode("utf-8", "replace"), dtype=dtype, size=count * width)


def _is_count(value: object) -> TypeGuard[int]:
    return type(value) is int and 0 <= value <= _MOST_ELEMENTS


def tensor_of(value: object) -> tuple[str, tuple[int, ...]] | None:
    """The type and shape of a tensor, if `value` is a call that creates one."""
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
    """Read (storage, offset, size, stride, ...); version 3 has the type as its seventh argument."""
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


# --- Finding the weights

#: Keys under which training programs store the weights, most specific first; after spandrel's
#: canonicalize.py and the checkpoints of BasicSR, KAIR, neosr, GFPGAN and GPEN.
_WRAPPERS = (
    *(b"model_state_dict", b"state_dict"),
    *(b"params_ema", b"params-ema", b"params"),
    *(b"g_ema", b"generator", b"netG", b"net_g", b"model", b"net", b"module"),
)
#: Levels of a torch module that are not part of a tensor's name.
_UNNAMED = (b"_parameters", b"_buffers", b"_modules")
_MOST_STEPS = 500_000
_MOST_TENSORS = 50_000
_MOST_NAME_BYTES = 16 * 2**20
_MOST_LEVELS = 40
_LARGEST_INDEX = 2**60
_LOOKED_AT = 16  # members of a dict to examine, to see whether it is a state dict
_MOST_METADATA = 64
_LONGEST_METADATA = 4096


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors in file order; the keys that lead to them, joined; whether some were left out."""

    tensors: tuple[Tensor, ...]
    wrapper: str
    incomplete: bool


def weights(root: object) -> Weights:
    """The tensors under the innermost wrapper that has any, else all tensors; a single tensor has no name."""
    if alone := tensor_of(root):
        return Weights((Tensor("", *alone),), "", incomplete=False)
    inner, wrapper = root, []
    for _ in _WRAPPERS:
        step = next((key for key in _WRAPPERS if _is_container(_lookup(inner, key))), None)
        if step is None:
            break
        inner = _lookup(inner, step)
        wrapper.append(step.decode())
    if not wrapper and (member := _only_member(root)):
        key, inner = member
        wrapper.append(_shown(key))
    if wrapper:
        found = _walk(inner)
        if found.tensors:
            return Weights(found.tensors, ".".join(wrapper), found.incomplete)
    return _walk(root)


def _only_member(root: object) -> tuple[bytes, object] | None:
    """The only key and value of a dict, if the value is a state dict; spandrel unwraps that too."""
    members = list(islice(_items(root), 2))
    if len(members) != 1:
        return None
    key, value = members[0]
    if not isinstance(key, bytes) or len(key) > _LONGEST_METADATA or not _is_container(value):
        return None
    dotted = sum(
        isinstance(name, bytes) and b"." in name and tensor_of(each) is not None
        for name, each in islice(_items(value), _LOOKED_AT)
    )
    return (key, value) if dotted > 1 else None


def metadata(root: object) -> Mapping[str, str]:
    """Short texts and numbers beside the weights, such as the step or an embedding's name; the first few."""
    found: dict[str, str] = {}
    for key, value in _items(root):
        if len(found) >= _MOST_METADATA:
            break
        if isinstance(key, bytes) and len(key) <= _LONGEST_METADATA:
            text = _as_text(value)
            if text is not None:
                found[_shown(key)] = text
    return found


def _as_text(value: object) -> str | None:
    if isinstance(value, bytes):
        return _shown(value) if len(value) <= _LONGEST_METADATA else None
    return str(value) if isinstance(value, (bool, int, float)) else None


def _shown(text: bytes) -> str:
    return text.decode("utf-8", "replace")


def _is_container(value: object) -> bool:
    return isinstance(value, (Pairs, Call)) and tensor_of(value) is None


def _lookup(value: object, wanted: bytes) -> object:
    """The last value of a key in a dict, or None."""
    result = None
    for key, member in _items(value):
        if isinstance(key, bytes) and key == wanted:
            result = member
    return result


def _items(value: object) -> Iterator[tuple[object, object]]:
    """The keys and values of a dict or OrderedDict."""
    if isinstance(value, Call):
        # Python 2 pickled an OrderedDict's content as a list of pairs.
        if isinstance(value.args, tuple) and len(value.args) == 1 and type(value.args[0]) is list:
            for pair in value.args[0]:
                if isinstance(pair, (list, tuple)) and len(pair) == 2:
                    yield pair[0], pair[1]
        value = value.pairs
    if isinstance(value, Pairs):
        yield from zip(value[::2], value[1::2], strict=False)


def _children(value: object) -> Iterator[tuple[object, object]]:
    """A container's members with their keys; also the attributes of an object."""
    if isinstance(value, Pairs):
        yield from _items(value)
    elif isinstance(value, (list, tuple)):
        yield from enumerate(value)
    elif isinstance(value, Call):
        yield from _items(value)
        states = value.state if isinstance(value.state, tuple) else (value.state,)
        for state in states:
            for key, member in _items(state):
                yield (None if key in _UNNAMED else key) if isinstance(key, bytes) else key, member


def _walk(root: object) -> Weights:
    """Collect every tensor under `root`, visiting each container once; names are the keys joined by dots."""
    tensors: list[Tensor] = []
    seen = {id(root)}
    way: list[tuple[str, Iterator[tuple[object, object]]]] = [("", _children(root))]
    steps, name_bytes = _MOST_STEPS, _MOST_NAME_BYTES
    incomplete = False
    while way:
        prefix, children = way[-1]
        for key, value in children:
            steps -= 1
            if steps < 0 or name_bytes < 0 or len(tensors) >= _MOST_TENSORS:
                return Weights(tuple(tensors), "", incomplete=True)
            if not isinstance(value, (list, tuple, Call)):
                continue
            tensor = tensor_of(value)
            if tensor is None and (not value or id(value) in seen):
                continue
            name = _joined(prefix, key)
            name_bytes -= len(name)
            if tensor is not None:
                dtype, shape = tensor
                tensors.append(Tensor(name, dtype, shape))
            elif len(way) >= _MOST_LEVELS:
                incomplete = True
            else:
                seen.add(id(value))
                way.append((name, _children(value)))
                break
        else:
            way.pop()
    return Weights(tuple(tensors), "", incomplete)


def _joined(prefix: str, key: object) -> str:
    if key is None:
        return prefix
    if isinstance(key, bytes):
        step = _shown(key)
    elif isinstance(key, int) and abs(key) <= _LARGEST_INDEX:
        step = str(key)
    else:
        step = "?"
    return f"{prefix}.{step}" if prefix else step
