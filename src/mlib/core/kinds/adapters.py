"""LoRA and its kin: which tensors belong to an adapter, and which layer each of them adapts."""

from __future__ import annotations

import re
from collections import defaultdict
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlib.core.formats.header import Tensor

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
#: It begins with the digit, of which there are few: looking behind from every character takes twice as long.
_NUMBER_ABOVE_1 = re.compile(r"[1-9](?<=[_.].)(?:[0-9]++|(?<=[2-9]))(?=[_.\n])")


def ranks(tensors: Iterable[Tensor]) -> Iterable[int]:
    """The rank of every adapted layer, where its shape tells (LoKr's does not)."""
    return (
        tensor.shape[0] for tensor in tensors if len(tensor.shape) > 1 and tensor.name.endswith(_INPUT_SIDE)
    )


def adapted_layers(
    shapes: Mapping[str, tuple[int, ...]], *, prefixes: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """The layers that adapter tensors change, each with the numbers of inputs seen; empty if there are none.

    A layer is named alike whoever trained it: all of `prefixes` that fit are taken off in turn, dots become
    underscores, and whole numbers above 1 become N, so that thousands of tensors come down to some dozens.
    Of more adapter tensors than anyone trains only one is looked at, and its name is left as it is.
    """
    names = [name for name in shapes if name.endswith(_PARTS) and "\n" not in name]
    if not names:
        return {}
    if len(names) > _MAX_TENSORS:
        return {min(names): ()}
    # Of the lines that names become without their numbers there are some dozens.
    lines = _without_numbers(names, prefixes)
    layers: defaultdict[str, set[int]] = defaultdict(set)
    for line, shape in dict.fromkeys(zip(lines, map(shapes.__getitem__, names), strict=True)):
        inputs = layers[_layer(line)]
        if line.endswith(_INPUT_SIDE):
            inputs.update(shape[1:2])
    return {layer: tuple(inputs) for layer, inputs in layers.items()}


def _without_numbers(names: Sequence[str], prefixes: Sequence[str]) -> list[str]:
    # Changing one long text takes a fifth of the time that changing every name takes.
    text = "\n".join(("", *names, ""))
    for prefix in prefixes:
        text = text.replace(f"\n{prefix}", "\n")
    return _NUMBER_ABOVE_1.sub("N", text).split("\n")[1:-1]


def _layer(line: str) -> str:
    part = next((part for part in _PARTS if line.endswith(part)), "")
    return line.removesuffix(part).replace(".", "_")
