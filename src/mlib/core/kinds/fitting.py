"""Which base models an adapter fits: those whose layers have the sizes of all that it changes."""

from __future__ import annotations

import functools
import re
from collections import defaultdict
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.kinds.adapters import Layer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from mlib.core.kinds.rulebook import Group, Model, Name

_NUMBER = re.compile(r"(?<![^_])(?:[01]|N)(?![^_])")
#: As many names of layers are remembered as adapters of all trainers have.
_NAMES = 8_192


class Fitting(NamedTuple):
    """The models that are left, and why: a phrase each."""

    models: tuple[Model, ...]
    reasons: tuple[str, ...]


def fitting_models(
    group: Group, layers: Mapping[str, Layer], blocks: Mapping[str, frozenset[int]], *, names: Collection[str]
) -> Fitting | None:
    """The group's models that have these layers and blocks; None if no layer is one of any of them.

    `layers` are those of adapted_layers, `blocks` the numbers seen by the names of layers before them, and
    `names` what the tensors are called.
    """
    models, counts = group.known()
    known: defaultdict[str, list[str]] = defaultdict(list)
    for name in layers:
        key = _numberless(name)
        if key in counts:
            known[key].append(name)
    if not known:
        return None
    seen = {key: _united([layers[name] for name in alike]) for key, alike in known.items()}
    left = [
        model
        for model in models
        if seen.keys() <= model.layers.keys()
        and all(blocks.get(name, _NONE) <= _range(last) for name, last in model.last.items())
        and all(_fits(layer, model.layers[key]) for key, layer in seen.items())
        and all(_is_there(spellings, layers) for spellings in model.has)
        and not any(_is_there(spellings, layers) for spellings in model.lacks)
        and (not model.under or any(name.startswith(model.under) for name in names))
    ]
    whole = [model for model in left if _is_whole(model, blocks)]
    chosen = tuple(whole or left)
    telling = min(known[min(sorted(known), key=counts.__getitem__)])
    return Fitting(chosen, tuple(_reasons(telling, seen[_numberless(telling)], chosen, blocks)))


_NONE: frozenset[int] = frozenset()
#: None, 2x2 or 1x2x2, 3x3: what the models of images and videos have.
_KERNELS = (1, 4, 9)


@functools.lru_cache(maxsize=_NAMES)
def _numberless(name: str) -> str:
    """A layer's name as models have it; diffusers once put adapters into the processors of attention."""
    return _NUMBER.sub("#", name.replace("_processor_", "_"))


@functools.cache
def _range(last: int) -> frozenset[int]:
    return frozenset(range(last + 1))


def _is_there(spellings: Iterable[Name], layers: Iterable[str]) -> bool:
    return any(spelling.fits(name, "") for spelling in spellings for name in layers)


def _united(layers: Sequence[Layer]) -> Layer:
    if len(layers) == 1:
        return layers[0]
    return Layer(
        frozenset().union(*(layer.inputs for layer in layers)),
        frozenset().union(*(layer.outputs for layer in layers)),
        any(layer.may_be_flat for layer in layers),
    )


def _fits(layer: Layer, pairs: frozenset[tuple[int, int]]) -> bool:
    """Whether every size seen of the layer is one that it has."""
    if _agree(layer.inputs, layer.outputs, pairs):
        return True
    return layer.may_be_flat and _agree(frozenset(map(_unflat, layer.inputs)), layer.outputs, pairs)


def _unflat(lengths: frozenset[int]) -> frozenset[int]:
    """The inputs that these may stand for in a convolution."""
    return frozenset(length // kernel for length in lengths for kernel in _KERNELS if length % kernel == 0)


def _agree(
    inputs: frozenset[frozenset[int]],
    outputs: frozenset[frozenset[int]],
    pairs: frozenset[tuple[int, int]],
) -> bool:
    if len(inputs) == len(outputs) == 1:
        (one,), (other,) = inputs, outputs
        return any(pair[0] in one and pair[1] in other for pair in pairs)
    all_inputs, all_outputs = _sides(pairs)
    for choice in inputs:
        if choice.isdisjoint(all_inputs):
            return False
    return all(not choice.isdisjoint(all_outputs) for choice in outputs)


@functools.cache
def _sides(pairs: frozenset[tuple[int, int]]) -> tuple[frozenset[int], frozenset[int]]:
    return frozenset(pair[0] for pair in pairs), frozenset(pair[1] for pair in pairs)


def _is_whole(model: Model, blocks: Mapping[str, frozenset[int]]) -> bool:
    """Whether every block of the model is there, of each of its stacks that any block is there of."""
    stacks = [(blocks[name], last) for name, last in model.last.items() if name in blocks]
    return bool(stacks) and all(numbers == _range(last) for numbers, last in stacks)


def _reasons(
    telling: str, layer: Layer, chosen: Sequence[Model], blocks: Mapping[str, frozenset[int]]
) -> Iterable[str]:
    """Why it is those: by the layer that the fewest models have, and by how far the blocks go."""
    inputs = sorted({length for choice in layer.inputs for length in choice})
    what = f"{telling}[in] = {', '.join(map(str, inputs))}" if inputs else telling
    if not chosen:
        yield f"{what}, but not as any model has it"
        return
    yield what
    for name in sorted({name for model in chosen for name in model.last if name in blocks}):
        yield f"{name} up to {max(blocks[name])}"
