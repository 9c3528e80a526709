"""The second witness: what a file's own metadata says it is, and whether the tensors agree.

Keys and values: Stability AI's ModelSpec 1.0.1, Civitai's AIR, kohya's sd-scripts and its descendants
(`ss_*`), ggml's docs/gguf.md, Nunchaku; what their values mean is in `rules/words.json`.
"""

from __future__ import annotations

import functools
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.air import parse_air
from mlib.core.kinds.bases import agreeing
from mlib.core.kinds.placement import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlib.core.kinds.rules import Verdict

    #: A kind, and the base models of which it is one.
    _Said = tuple[str, tuple[str, ...]]

_MAX_VALUE = 100
_NOT_WORD = re.compile(r"[^a-z0-9]+")

_ROLES = MappingProxyType(
    {
        "lora": "lora",
        "textual-inversion": "embedding",
        "control-net": "controlnet",
        "controlnet": "controlnet",
    }
)
#: Ecosystems of AIR that are trained further: their tensors are those of another base model.
_BUILT_LIKE = MappingProxyType(
    {
        "Pony": "SDXL",
        "Illustrious": "SDXL",
        "NoobAI": "SDXL",
        "Kolors": "SDXL",
        "Playground v2": "SDXL",
        "Pony V7": "AuraFlow",
        "Flux.1 Krea": "Flux.1",
        "Flux.1 Kontext": "Flux.1",
    }
)
#: A whole checkpoint calls itself by its diffusion model.
_SAME_KIND = frozenset({"checkpoint", "diffusion_model"})


class Statement(NamedTuple):
    """One key of the metadata, what it holds, and what that means; `kind` is unknown and `bases` are none
    if it says nothing of them."""

    key: str
    value: str
    kind: str = UNKNOWN
    bases: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        return " or ".join(self.bases)


class Testimony(NamedTuple):
    """All that the metadata says of kind and base model, the most trusted key first."""

    statements: tuple[Statement, ...] = ()

    @property
    def kind(self) -> str:
        return next((said.kind for said in self.statements if said.kind != UNKNOWN), UNKNOWN)

    @property
    def base(self) -> str:
        return next((said.base for said in self.statements if said.bases), "")


class Conclusion(NamedTuple):
    """What both witnesses together say; `disagreements` are lines that name what contradicts the tensors,
    or, where those say nothing, the key that comes first."""

    kind: str
    bases: tuple[str, ...]
    disagreements: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        return " / ".join(self.bases)


def testify(metadata: Mapping[str, str]) -> Testimony:
    """What `metadata` says the file is. Values that mean nothing known say nothing. Never raises."""
    return Testimony(tuple(_statements(metadata)))


def compare(verdict: Verdict, testimony: Testimony) -> Conclusion:
    """Both witnesses together: tensors decide, metadata makes them more exact or fills a gap."""
    kind, kind_from = verdict.kind, "tensors say"
    bases, base_from = verdict.bases, "tensors say"
    like = verdict.like
    disagreements = []
    for said in testimony.statements:
        quoted = f"{said.key} ({said.value})"
        if said.kind != UNKNOWN:
            if kind == UNKNOWN:
                kind, kind_from = said.kind, f"{said.key} says"
            elif said.kind != kind and not {said.kind, kind} <= _SAME_KIND:
                disagreements.append(f"{kind_from} {kind}, {quoted} says {said.kind}")
        if said.bases:
            both = agreeing(bases, said.bases) or agreeing(like, said.bases)
            if both:
                bases, like = both, ()
            elif (bases or like) and not agreeing(verdict.called, said.bases):
                disagreements.append(f"{base_from} {' / '.join(bases or like)}, {quoted} says {said.base}")
            elif not bases and not like:
                bases, base_from = said.bases, f"{said.key} says"
    return Conclusion(kind, bases, tuple(disagreements))


def _statements(metadata: Mapping[str, str]) -> Iterator[Statement]:
    for key, read in _READERS.items():
        value = metadata.get(key)
        if value is None or len(value) > _MAX_VALUE:
            continue
        kind, bases = read(value.strip().lower())
        if kind != UNKNOWN or bases:
            yield Statement(key, value.strip(), kind, bases)


class _Words(NamedTuple):
    """Words of other programs, each with the base models it means."""

    models: Mapping[str, tuple[str, ...]]
    network_modules: Mapping[str, tuple[str, ...]]
    gguf: Mapping[str, _Said]
    model_classes: Mapping[str, _Said]


@functools.cache
def _words() -> _Words:
    from mlib.core.kinds.rulebook import shipped

    words = shipped("words")
    return _Words(
        models={word: _several(bases) for word, bases in words["models"].items()},
        network_modules={word: _several(bases) for word, bases in words["network_modules"].items()},
        gguf={
            word: (kind, _several(bases))
            for kind, of_kind in words["gguf"].items()
            for word, bases in of_kind.items()
        },
        model_classes={word: (kind, (base,)) for word, (kind, base) in words["model_classes"].items()},
    )


def _several(bases: str | list[str]) -> tuple[str, ...]:
    return (bases,) if isinstance(bases, str) else tuple(bases)


def _meant(value: str, words: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What the longest word means that `value` begins with; of both only letters and digits count."""
    bare = _NOT_WORD.sub("", value)
    return next((words[bare[:end]] for end in range(len(bare), 0, -1) if bare[:end] in words), ())


def _architecture(value: str) -> _Said:
    name, _, role = value.partition("/")
    if not role and name.endswith("-lora"):
        name, role = name.removesuffix("-lora"), "lora"
    return _ROLES.get(role, UNKNOWN), _meant(name, _words().models)


def _base_version(value: str) -> _Said:
    return UNKNOWN, _meant(value, _words().models)


def _is_v2(value: str) -> _Said:
    # False is said of everything that came later, too.
    return UNKNOWN, ("SD 2",) if value == "true" else ()


def _network_module(value: str) -> _Said:
    package, _, module = value.partition(".")
    if package not in ("networks", "lycoris") or "control_net" in module:
        return UNKNOWN, ()
    return "lora", _words().network_modules.get(_NOT_WORD.sub("", module.removeprefix("lora_")), ())


def _air(value: str) -> _Said:
    air = parse_air(value)
    base = _BUILT_LIKE.get(air.base_model, air.base_model)
    return _ROLES.get(air.type, UNKNOWN), (base,) if base else ()


def _gguf_architecture(value: str) -> _Said:
    return _words().gguf.get(value, (UNKNOWN, ()))


def _gguf_type(value: str) -> _Said:
    return ("lora" if value == "adapter" else UNKNOWN), ()


def _model_class(value: str) -> _Said:
    return _words().model_classes.get(value, (UNKNOWN, ()))


_READERS = MappingProxyType(
    {
        "modelspec.architecture": _architecture,
        "ss_base_model_version": _base_version,
        "ss_v2": _is_v2,
        "ss_network_module": _network_module,
        "modelspec.air": _air,
        "air": _air,
        "general.type": _gguf_type,
        "general.architecture": _gguf_architecture,
        "model_class": _model_class,
    }
)
