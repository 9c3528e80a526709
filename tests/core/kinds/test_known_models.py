"""Whole models, as their programs write them: none may be taken for another.

Each row of `data/headers/whole` is one model: its names by their shapes, numbers and choices in braces. They
were made from the model classes of the project named as their source.
"""

from __future__ import annotations

import functools
import itertools
import json
import random
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.core.kinds.tensors import judged, tensors

from mlib.core.formats.header import Tensor
from mlib.core.kinds.bases import UNKNOWN, agreeing

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.kinds.rules import Verdict

_WHOLE = Path(__file__).parents[2] / "data" / "headers" / "whole"
_RANGE = re.compile(r"\{(\d+)\.\.(\d+)\}")


@dataclass(frozen=True)
class Model:
    """A whole model and what is to be said of it."""

    name: str
    kind: str
    bases: tuple[str, ...]
    tensors: tuple[Tensor, ...]

    def is_right(self, verdict: Verdict) -> bool:
        return (verdict.kind, verdict.bases) == (self.kind, self.bases)

    def is_wrong(self, verdict: Verdict) -> bool:
        """Whether someone who believes the verdict is misled: one that says less is none."""
        if verdict.kind == UNKNOWN:
            return False
        if verdict.kind != self.kind:
            return True
        return bool(verdict.bases) and not agreeing(self.bases, (*verdict.bases, *verdict.like))


def _names(text: str) -> Iterator[str]:
    parts = _RANGE.split(text)
    ranges = [range(int(a), int(b) + 1) for a, b in zip(parts[1::3], parts[2::3], strict=True)]
    for numbers in itertools.product(*ranges):
        yield "".join(itertools.chain(*zip(parts[::3], (*map(str, numbers), ""), strict=True)))


def _tensors(written: dict[str, str]) -> Iterator[Tensor]:
    for shape, names in written.items():
        lengths = tuple(int(length) for length in shape.split(",") if length)
        for text in names.split(" "):
            for name in _names(text):
                yield Tensor(name, "F32", lengths)


@functools.cache
def models() -> tuple[Model, ...]:
    rows = [row for path in sorted(_WHOLE.glob("*.json")) for row in json.loads(path.read_text("utf-8"))]
    return tuple(
        Model(row["name"], row["kind"], tuple(row["bases"]), tuple(_tensors(row["tensors"]))) for row in rows
    )


def told(found: Sequence[Tensor]) -> str:
    verdict = judged(found)
    return f"{verdict.kind}, {verdict.base}" if verdict.bases else verdict.kind


def test_no_model_is_taken_for_another() -> None:
    table: Counter[tuple[str, str]] = Counter()
    for model in models():
        verdict = judged(model.tensors)
        if not model.is_right(verdict):
            table[f"{model.name} ({model.kind}, {' / '.join(model.bases)})", told(model.tensors)] += 1
    for (wanted, said), count in sorted(table.items()):
        print(f"{count:4} {wanted}: {said}")
    print(f"{len(models()) - table.total()} of {len(models())} models are told right")
    assert not table


SD_UNET = (
    "model.diffusion_model.input_blocks.0.0.weight 320,4,3,3",
    "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight 640,768",
)


@pytest.mark.parametrize(
    ("names", "kind", "bases"),
    [
        (["decoder.conv_in.weight 384,16,3,3,3"], "vae", ["Wan 2.1", "Qwen-Image"]),
        (["decoder.conv_in.weight 1024,48,3,3,3"], "vae", ["Wan 2.2"]),
        (["decoder.conv_in.weight 512,16,3,3"], "vae", ["Flux.1", "SD 3", "Z-Image"]),
        (["decoder.conv_in.weight 512,4,3,3"], "vae", ["SD 1.5", "SD 2", "SDXL"]),
        (["decoder.conv_in.weight 512,4,3,3", "decoder.mid.block_1.mix_factor 1"], "vae", ["SVD"]),
        (["decoder.conv_in.conv.weight 512,128,3,3,3"], "vae", ["LTX-Video"]),
        (["decoder.conv_in.conv.weight 512,16,3,3,3"], "vae", ["Hunyuan Video"]),
        (
            ["decoder.conv_in.conv.weight 1024,32,3,3,3"],
            "vae",
            ["Hunyuan Video 1.5", "HunyuanImage 2.1 refiner"],
        ),
        (["decoder.conv_in.conv.weight 512,8,3,3"], "vae", ["LTX-2"]),
        ([*SD_UNET, "text_encoder.text_model.encoder.layers.0.mlp.fc1.weight"], "checkpoint", ["SD 1.5"]),
        ([*SD_UNET, "clip_l_vision.vision_model.embeddings.class_embedding 1024"], "checkpoint", ["SD 1.5"]),
        ([*SD_UNET], "diffusion_model", ["SD 1.5"]),
        (["body.0.weight 64,3,3,3", "body.1.weight 64"], "unknown", []),
        (["body.0.weight 64,64", "body.1.weight 64,64"], "unknown", []),
    ],
)
def test_sizes_and_neighbours_decide(names: list[str], kind: str, bases: list[str]) -> None:
    verdict = judged(tensors(*names))
    assert (verdict.kind, list(verdict.bases)) == (kind, bases)


@pytest.mark.parametrize("prefix", ["module.", "netG.", "net.", "params_ema.", "generator."])
def test_an_upscaler_is_known_under_the_names_that_training_puts_before_it(prefix: str) -> None:
    for model in models():
        if model.kind == "upscaler" and model.name not in ("MAT", "LaMa"):  # a prefix of their own
            verdict = judged([each._replace(name=prefix + each.name) for each in model.tensors])
            assert model.is_right(verdict), model.name


@pytest.mark.parametrize("seed", range(4))
def test_a_model_that_lost_tensors_is_told_less_exactly_but_not_as_another(seed: int) -> None:
    chance = random.Random(seed)
    for model in models():
        kept = [each for each in model.tensors if chance.random() < (0.3, 0.5, 0.7, 0.9)[seed]]
        assert not model.is_wrong(judged(kept)), (model.name, told(kept))


#: What is left of these without one part is all there is of the other: nothing can tell.
_ALIKE_WITHOUT_A_PART = frozenset(
    {
        ("Flux.1 dev", "Flux.1 schnell"),
        ("Wan 2.1 I2V", "Wan 2.2 I2V A14B"),
        ("Wan Camera", "Wan 2.2 I2V A14B"),
        ("Wan HuMo", "Wan 2.2 I2V A14B"),
    }
)


@pytest.mark.parametrize("seed", range(3))
def test_a_model_that_lost_all_tensors_of_some_layers_is_not_told_as_another_base(seed: int) -> None:
    chance = random.Random(100 + seed)
    for model in models():
        layers = sorted({re.sub(r"\.\d+(?=\.)", "", tensor.name) for tensor in model.tensors})
        lost = set(chance.sample(layers, k=max(1, len(layers) // (2, 4, 20)[seed])))
        kept = [each for each in model.tensors if re.sub(r"\.\d+(?=\.)", "", each.name) not in lost]
        verdict = judged(kept)
        if verdict.kind == model.kind and model.is_wrong(verdict):
            alike = {(ours, theirs) for ours in model.bases for theirs in verdict.bases}
            assert alike <= _ALIKE_WITHOUT_A_PART, (model.name, told(kept))


def test_a_model_with_tensors_that_nobody_knows_is_told_the_same() -> None:
    more = tuple(Tensor(name, "F16", shape) for name, shape in (("_zz.extra", (3,)), ("zz_9.other", (4, 8))))
    for model in models():
        assert judged((*model.tensors, *more)) == judged(model.tensors), model.name
