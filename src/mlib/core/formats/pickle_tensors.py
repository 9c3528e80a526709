"""Find the tensors in what a pickle would have built, with the names a state dict has for them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING

from mlib.core.formats.header import Tensor
from mlib.core.formats.pickle_torch import tensor_of
from mlib.core.formats.pickle_values import Call, Pairs

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

#: Keys under which training programs put the weights, most telling first; after spandrel's canonicalize.py
#: and the checkpoints of BasicSR, KAIR, neosr, GFPGAN and GPEN.
_WRAPPERS = (
    *(b"model_state_dict", b"state_dict"),
    *(b"params_ema", b"params-ema", b"params"),
    *(b"g_ema", b"generator", b"netG", b"net_g", b"model", b"net", b"module"),
)
#: Levels of a torch module that are no part of a tensor's name.
_UNNAMED = (b"_parameters", b"_buffers", b"_modules")
_MOST_STEPS = 500_000
_MOST_TENSORS = 50_000
_MOST_NAME_BYTES = 16 * 2**20
_MOST_LEVELS = 40
_LARGEST_INDEX = 2**60
_LOOKED_AT = 16  # members of a dict, to see whether it is a state dict
_MOST_METADATA = 64
_LONGEST_METADATA = 4096


@dataclass(frozen=True, slots=True)
class Weights:
    """Tensors in the order of the file; the keys passed on the way to them; whether some were left out."""

    tensors: tuple[Tensor, ...]
    wrapper: str
    incomplete: bool


def weights(root: object) -> Weights:
    """The tensors under the innermost wrapper that has any, else all there are; one alone has no name."""
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
    """The key and value of a dict that has no other, if that is a state dict: spandrel looks into it, too."""
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
    """Texts and numbers beside the weights: the step, the name of an embedding; the first few, if short."""
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
    """The last value that a dict has for a key, or None."""
    result = None
    for key, member in _items(value):
        if isinstance(key, bytes) and key == wanted:
            result = member
    return result


def _items(value: object) -> Iterator[tuple[object, object]]:
    """The keys and values of a dict, of an OrderedDict too."""
    if isinstance(value, Call):
        # Python 2 gave an OrderedDict its content as a list of pairs.
        if isinstance(value.args, tuple) and len(value.args) == 1 and type(value.args[0]) is list:
            for pair in value.args[0]:
                if isinstance(pair, (list, tuple)) and len(pair) == 2:
                    yield pair[0], pair[1]
        value = value.pairs
    if isinstance(value, Pairs):
        yield from zip(value[::2], value[1::2], strict=False)


def _children(value: object) -> Iterator[tuple[object, object]]:
    """What a container holds, with its keys; the attributes of an object, too."""
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
    """Every tensor under `root`, each container once; names are the keys on the way, joined by dots."""
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
