"""LoRA and its kin: which tensors belong to an adapter, and which layer each of them adapts."""

from __future__ import annotations

import functools
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

#: Endings of the matrix that meets the layer's input; its shape is (rank, inputs, ...).
#: Written by kohya and most trainers, PEFT, diffusers (three spellings), LyCORIS (LoHa), XLabs.
_INPUT_SIDE = (
    ".lora_down.weight",
    *(".lora_A.weight", ".lora_A.default.weight", ".lora_A", ".lora_A.default"),
    *("_lora.down.weight", ".lora.down.weight", ".lora_linear_layer.down.weight"),
    *(".hada_w1_b", ".hada_w2_b"),
    *("_lora1.down.weight", "_lora2.down.weight"),
)
_OTHER_PARTS = (
    *(".lora_up.weight", ".lora_mid.weight"),
    *(".lora_B.weight", ".lora_B.default.weight", ".lora_B", ".lora_B.default"),
    *("_lora.up.weight", ".lora.up.weight", ".lora_linear_layer.up.weight"),
    *(".hada_w1_a", ".hada_w2_a"),
    *(".lokr_w1", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b"),
    *("_lora1.up.weight", "_lora2.up.weight"),
    ".dora_scale",
)
_PARTS = _INPUT_SIDE + _OTHER_PARTS

#: The largest adapters have some ten thousand.
_MAX_TENSORS = 50_000
#: Without numbers, the adapters of all trainers have some thousands of names, none as long as that.
_LINES = 8_192
_LONG = 300


def ranks(alike: Mapping[tuple[str, str, tuple[int, ...]], int]) -> Iterator[tuple[int, int]]:
    """The rank of adapted layers, where its shape tells (LoKr's does not), and of how many tensors alike."""
    for (line, _, shape), count in alike.items():
        if len(shape) > 1 and line.endswith(_INPUT_SIDE):
            yield shape[0], count


def adapted_layers(
    alike: Mapping[tuple[str, str, tuple[int, ...]], int], *, prefixes: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """The layers that adapter tensors change, each with the numbers of inputs seen; empty if there are none.

    `alike` is that of an Outline. A layer is named alike whoever trained it: all of `prefixes` that fit are
    taken off in turn, and dots become underscores. Of more adapter tensors than anyone trains only one is
    looked at, and its name is left as it is.
    """
    found = {part: count for part, count in alike.items() if part[0].endswith(_PARTS) and "\n" not in part[0]}
    if sum(found.values()) > _MAX_TENSORS:
        return {min(line for line, _, _ in found): ()}
    layers: defaultdict[str, set[int]] = defaultdict(set)
    for line, _, shape in found:
        layer = _layer_again(line, prefixes) if len(line) < _LONG else _layer(line, prefixes)
        inputs = layers[layer]
        if line.endswith(_INPUT_SIDE):
            inputs.update(shape[1:2])
    return {layer: tuple(inputs) for layer, inputs in layers.items()}


def _layer(line: str, prefixes: Sequence[str]) -> str:
    for prefix in prefixes:
        line = line.removeprefix(prefix)
    part = next((part for part in _PARTS if line.endswith(part)), "")
    return line.removesuffix(part).replace(".", "_")


_layer_again = functools.lru_cache(maxsize=_LINES)(_layer)
