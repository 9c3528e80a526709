"""LoRA and similar adapters: find the adapter tensors and the layer that each one changes.

Names and shapes: ComfyUI's comfy/lora.py and comfy/weight_adapter, sd-scripts, musubi-tuner, diffusers, PEFT,
LyCORIS.
"""

from __future__ import annotations

import functools
import math
from collections import defaultdict
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    Shape = tuple[int, ...]

#: Suffixes of the matrix on the layer's input side; its shape is (rank, inputs, ...).
#: Written by kohya and most trainers, PEFT, diffusers (three spellings), LyCORIS (LoHa), XLabs.
_INPUT_SIDE = (
    ".lora_down.weight",
    *(".lora_A.weight", ".lora_A.default.weight", ".lora_A", ".lora_A.default"),
    *("_lora.down.weight", ".lora.down.weight", ".lora_linear_layer.down.weight"),
    *(".hada_w1_b", ".hada_w2_b"),
    *("_lora1.down.weight", "_lora2.down.weight", ".weight.lora_a"),
)
#: Suffixes of the matrix on the layer's output side; its shape is (outputs, rank, ...).
_OUTPUT_SIDE = (
    ".lora_up.weight",
    *(".lora_B.weight", ".lora_B.default.weight", ".lora_B", ".lora_B.default"),
    *("_lora.up.weight", ".lora.up.weight", ".lora_linear_layer.up.weight"),
    *(".hada_w1_a", ".hada_w2_a"),
    *("_lora1.up.weight", "_lora2.up.weight", ".weight.lora_b"),
)
#: LoKr: the layer's shape is a Kronecker product, whose factors may be products themselves.
_FACTORS = (
    *(".lokr_w1", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b"),
    *(".lokr_t1", ".lokr_t2"),
)
#: GLoRA: four matrices whose names alone prove nothing.
_FOUR = (".a1.weight", ".a2.weight", ".b1.weight", ".b2.weight")
_OTHER_PARTS = (
    *(".lora_mid.weight", ".hada_t1", ".hada_t2"),
    *(".dora_scale", ".lora_magnitude_vector", ".lora_magnitude_vector.weight"),
    *(".lora_magnitude_vector.default.weight", ".oft_blocks", ".oft_R.weight", ".oft_r", ".on_input"),
    *(".diff", ".diff_b", ".set_weight", ".w_norm", ".b_norm"),
    *(".ia3_l", ".ia3_l.default", ".vera_lambda_b", ".vera_lambda_d"),
)
#: LyCORIS flattens the input side of these to a matrix, even for convolutions.
_FLAT = frozenset({".hada_w1_b", ".hada_w2_b", ".lokr_w1_b", ".lokr_w2_b"})
_FOUR_ALONE = frozenset(_FOUR)
_FACTORS_ALONE = frozenset(_FACTORS)
_PARTS = _INPUT_SIDE + _OUTPUT_SIDE + _FACTORS + _FOUR + _OTHER_PARTS

#: The largest adapters have about ten thousand.
_MAX_TENSORS = 50_000
#: Without numbers, the adapters of all trainers have a few thousand names, all shorter than this.
_LINES = 8_192
_LONG = 300
#: The most prefixes removed from one name.
_MAX_PREFIXES = 4


class Layer(NamedTuple):
    """The inputs and outputs seen of an adapted layer, or of several with the same pattern.

    Each is a set of candidates of which one is right: more than one if the shapes are ambiguous. If the layer
    `may_be_flat` and is a convolution, inputs are multiplied by its kernel size.
    """

    inputs: frozenset[frozenset[int]] = frozenset()
    outputs: frozenset[frozenset[int]] = frozenset()
    may_be_flat: bool = False


def ranks(alike: Mapping[tuple[str, str, Shape], int]) -> Iterator[tuple[int, int]]:
    """The ranks of adapted layers where the shape shows it (not for LoKr), each with its tensor count."""
    for (line, _, shape), count in alike.items():
        if len(shape) > 1 and line.endswith(_INPUT_SIDE):
            yield shape[0], count


def adapted_layers(
    alike: Mapping[tuple[str, str, Shape], int], *, prefixes: Sequence[str]
) -> dict[str, Layer]:
    """The layers that adapter tensors change; empty if there are none.

    `alike` comes from an Outline. Layer names are normalised across trainers: matching `prefixes` are removed
    in turn and dots become underscores. If there are more adapter tensors than anyone trains, only one is
    examined and its name is left unchanged.
    """
    found = {part: count for part, count in alike.items() if part[0].endswith(_PARTS) and "\n" not in part[0]}
    if sum(found.values()) > _MAX_TENSORS:
        return {min(line for line, _, _ in found): Layer()}
    parts: defaultdict[str, defaultdict[str, set[Shape]]] = defaultdict(lambda: defaultdict(set))
    for line, _, shape in found:
        layer, part = _split_again(line, prefixes) if len(line) < _LONG else _split(line, prefixes)
        parts[layer][part].add(shape)
    return {
        layer: _layer(shapes)
        for layer, shapes in parts.items()
        if not _FOUR_ALONE.issuperset(shapes) or len(shapes) == len(_FOUR)
    }


def adapted_name(name: str, prefixes: Sequence[str]) -> str:
    """The text before a number in a tensor's name, normalised like a layer name."""
    return _bare(name, prefixes).replace(".", "_")


def _split(line: str, prefixes: Sequence[str]) -> tuple[str, str]:
    part = next((part for part in _PARTS if line.endswith(part)), "")
    return adapted_name(line.removesuffix(part), prefixes), part


_split_again = functools.lru_cache(maxsize=_LINES)(_split)


def _bare(name: str, prefixes: Sequence[str]) -> str:
    for _ in range(_MAX_PREFIXES):
        bare = name
        for prefix in prefixes:
            bare = bare.removeprefix(prefix)
        if bare == name:
            break
        name = bare
    return name


def _layer(parts: Mapping[str, Iterable[Shape]]) -> Layer:
    inputs: set[frozenset[int]] = set()
    outputs: set[frozenset[int]] = set()
    for part, shapes in parts.items():
        for shape in shapes:
            seen_inputs, seen_outputs = _sizes(part, shape)
            inputs |= seen_inputs
            outputs |= seen_outputs
    if not _FACTORS_ALONE.isdisjoint(parts):
        inputs.update(_products(parts, (".lokr_w1", ".lokr_w1_b"), (".lokr_w2", ".lokr_w2_b"), axis=1))
        outputs.update(_products(parts, (".lokr_w1", ".lokr_w1_a"), (".lokr_w2", ".lokr_w2_a"), axis=0))
    return Layer(frozenset(inputs), frozenset(outputs), not _FLAT.isdisjoint(parts))


@functools.lru_cache(maxsize=_LINES)
def _sizes(part: str, shape: Shape) -> tuple[frozenset[frozenset[int]], frozenset[frozenset[int]]]:
    """The inputs and outputs that one tensor implies, as in Layer."""
    seen = (0, 0)
    if part in _INPUT_SIDE:
        seen = (shape[1], 0) if len(shape) > 1 else seen
    elif part in _OUTPUT_SIDE:
        seen = (0, shape[0]) if len(shape) > 1 else seen
    elif part in _SIZED:
        seen = _SIZED[part](shape)
    inputs, outputs = (frozenset({frozenset({length})}) if length else frozenset() for length in seen)
    return inputs, outputs


def _products(
    parts: Mapping[str, Iterable[Shape]], first: Sequence[str], second: Sequence[str], *, axis: int
) -> set[frozenset[int]]:
    """The possible products of two factors' lengths along an axis, as one set of candidates."""
    if ".lokr_t2" in parts:
        return set()  # the Tucker form has other axes and is used for convolutions only
    lengths = [
        {shape[axis] for part in names for shape in parts.get(part, ()) if len(shape) > axis}
        for names in (first, second)
    ]
    choice = frozenset(one * other for one in lengths[0] for other in lengths[1])
    return {choice} if choice else set()


def _of_difference(shape: Shape) -> tuple[int, int]:
    return (shape[1], shape[0]) if len(shape) > 1 else (0, 0)


def _of_oft_blocks(shape: Shape) -> tuple[int, int]:
    """LyCORIS, kohya: (blocks, size, size); BOFT: (factors, blocks, size, size). They rotate the output."""
    return (0, shape[-3] * shape[-2]) if len(shape) > 2 and shape[-1] == shape[-2] else (0, 0)


def _of_oft_rotation(shape: Shape) -> tuple[int, int]:
    """OneTrainer, PEFT: (blocks, size * (size - 1) / 2), the upper triangle; they rotate the input."""
    if len(shape) != 2 or not 0 < shape[1] < 2**40:
        return (0, 0)
    size = (1 + math.isqrt(1 + 8 * shape[1])) // 2
    return (shape[0] * size, 0) if size * (size - 1) // 2 == shape[1] else (0, 0)


def _of_glora(shape: Shape) -> tuple[int, int]:
    """(inputs, rank) in ComfyUI and newer LyCORIS, else (rank, inputs); the rank is never the larger."""
    return (max(shape[:2]), 0) if len(shape) > 1 else (0, 0)


_SIZED: Mapping[str, Callable[[Shape], tuple[int, int]]] = MappingProxyType(
    {
        ".diff": _of_difference,
        ".a1.weight": _of_glora,
        ".oft_blocks": _of_oft_blocks,
        ".oft_R.weight": _of_oft_rotation,
    }
)
