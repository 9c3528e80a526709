"""Read what a file's metadata claims it is, and reconcile that with its tensors.

The tensors decide; metadata makes them more precise or fills a gap, and contradictions are reported.
Keys and values: Stability AI's ModelSpec 1.0.1, Civitai's AIR, kohya's sd-scripts and its descendants
(`ss_*`), ggml's docs/gguf.md, Nunchaku; what their values mean is in `rules/words.json`.
"""

from __future__ import annotations

import functools
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.kinds.bases import UNKNOWN, agreeing

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlib.core.kinds.rules import Verdict


# --- AIR, Civitai's identifiers for resources of any site: `urn:air:sdxl:lora:civitai:9@71`
#
# Source: developer.civitai.com, "AIR identifiers" (`urn:`, `air:` and the ecosystem are optional); the
# ecosystems are those that Civitai's web site writes.

_LONGEST = 500
_AIR = re.compile(r"(?:urn:)?+(?:air:)?+(?:([^:]{1,50}):)?([^:]{1,50}):([^:]{1,50}):(.+)", re.IGNORECASE)
_CIVITAI = re.compile(r"([0-9]{1,18})(?:@([0-9]{1,18}))?(?:[+.:].*)?")
_SEPARATORS = re.compile(r"[\s._-]+")

#: Base models, as the rules name them, by ecosystem in lower case without separators.
_BASES = MappingProxyType({
    "sd1": "SD 1.5", "sd15": "SD 1.5", "sd2": "SD 2", "sd3": "SD 3", "sd35m": "SD 3.5 Medium",
    "sdxl": "SDXL", "sdxldistilled": "SDXL", "scascade": "Stable Cascade", "svd": "SVD",
    "pony": "Pony", "ponyv7": "Pony V7", "illustrious": "Illustrious", "noobai": "NoobAI",
    "flux1": "Flux.1", "fluxkrea": "Flux.1 Krea", "flux1kontext": "Flux.1 Kontext", "flux2": "Flux.2",
    "flux2klein9b": "Flux.2 Klein 9B", "flux2klein9bbase": "Flux.2 Klein 9B base",
    "flux2klein4b": "Flux.2 Klein 4B", "flux2klein4bbase": "Flux.2 Klein 4B base",
    "krea2": "Krea 2", "hydit1": "HunyuanDiT", "hyv1": "Hunyuan Video",
    "wanvideo": "Wan", "wanvideo13bt2v": "Wan 2.1 1.3B", "wanvideo14bt2v": "Wan 2.1 T2V 14B",
    "wanvideo14bi2v480p": "Wan 2.1 I2V 14B 480p", "wanvideo14bi2v720p": "Wan 2.1 I2V 14B 720p",
    "wanvideo22": "Wan 2.2", "wanvideo22ti2v5b": "Wan 2.2 TI2V 5B",
    "wanvideo22i2va14b": "Wan 2.2 I2V A14B", "wanvideo22t2va14b": "Wan 2.2 T2V A14B",
    "pixarta": "PixArt Alpha", "pixarte": "PixArt Sigma", "qwen": "Qwen-Image",
    "zimage": "Z-Image", "zimageturbo": "Z-Image Turbo", "zimagebase": "Z-Image",
    "anima": "Anima", "auraflow": "AuraFlow", "chroma": "Chroma", "cogvideox": "CogVideoX",
    "hidream": "HiDream", "hidreamo1": "HiDream O1", "kolors": "Kolors",
    "ltxv": "LTX-Video", "ltxv2": "LTX-2", "lumina": "Lumina", "mochi": "Mochi",
    "playgroundv2": "Playground v2",
})  # fmt: skip


class Air(NamedTuple):
    """A parsed AIR; fields are "" where it says nothing or nothing known.

    `type` is as written; `model_id` and `version_id` are set for Civitai's own resources only.
    """

    base_model: str = ""
    type: str = ""
    model_id: str = ""
    version_id: str = ""


def parse_air(text: str) -> Air:
    """Parse `text` as an AIR; all fields are empty if it is not one. Never raises."""
    parts = _AIR.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if parts is None:
        return Air()
    ecosystem, kind, source, rest = parts.groups(default="")
    ids = _CIVITAI.fullmatch(rest) if source.lower() == "civitai" else None
    base_model = _BASES.get(_SEPARATORS.sub("", ecosystem).lower(), "")
    return Air(base_model, kind, *(ids.groups(default="") if ids else ()))


# --- Claims and their reconciliation with the tensors

if TYPE_CHECKING:
    #: A kind and its base models.
    _Said = tuple[str, tuple[str, ...]]

_MAX_VALUE = 100
_NOT_WORD = re.compile(r"[^a-z0-9]+")

_ROLES = MappingProxyType({
    "lora": "lora", "textual-inversion": "embedding", "control-net": "controlnet",
    "controlnet": "controlnet",
})  # fmt: skip
#: AIR ecosystems derived from another base model: their tensors are that model's.
_BUILT_LIKE = MappingProxyType({
    "Pony": "SDXL", "Illustrious": "SDXL", "NoobAI": "SDXL", "Kolors": "SDXL", "Playground v2": "SDXL",
    "Pony V7": "AuraFlow", "Flux.1 Krea": "Flux.1", "Flux.1 Kontext": "Flux.1",
})  # fmt: skip
#: A checkpoint often claims to be its diffusion model.
_SAME_KIND = frozenset({"checkpoint", "diffusion_model"})


class Claim(NamedTuple):
    """A metadata key, its value and its meaning; `kind` is unknown and `bases` empty if it does not say."""

    key: str
    value: str
    kind: str = UNKNOWN
    bases: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        return " or ".join(self.bases)


class Claims(NamedTuple):
    """All claims about kind and base model, most trusted key first."""

    statements: tuple[Claim, ...] = ()

    @property
    def kind(self) -> str:
        return next((said.kind for said in self.statements if said.kind != UNKNOWN), UNKNOWN)

    @property
    def base(self) -> str:
        return next((said.base for said in self.statements if said.bases), "")


class Conclusion(NamedTuple):
    """The result of tensors and metadata; `disagreements` are lines that name what contradicts the tensors,
    or, where those say nothing, the first key."""

    kind: str
    bases: tuple[str, ...]
    disagreements: tuple[str, ...] = ()

    @property
    def base(self) -> str:
        return " / ".join(self.bases)


def read_claims(metadata: Mapping[str, str]) -> Claims:
    """Read the claims in `metadata`; unknown values are skipped. Never raises."""
    return Claims(tuple(_statements(metadata)))


def reconcile(verdict: Verdict, testimony: Claims) -> Conclusion:
    """Combine tensors and metadata: tensors decide, metadata refines them or fills a gap."""
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


def _statements(metadata: Mapping[str, str]) -> Iterator[Claim]:
    for key, read in _READERS.items():
        value = metadata.get(key)
        if value is None or len(value) > _MAX_VALUE:
            continue
        kind, bases = read(value.strip().lower())
        if kind != UNKNOWN or bases:
            yield Claim(key, value.strip(), kind, bases)


class _Words(NamedTuple):
    """Terms of other programs, each with the base models it means."""

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
    """The meaning of the longest known word that `value` starts with; only letters and digits count."""
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
    # False is also written for everything newer.
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
