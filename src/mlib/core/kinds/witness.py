"""The second witness: what a file's own metadata says it is, and whether the tensors agree.

Keys and values: Stability AI's ModelSpec 1.0.1, Civitai's AIR, kohya's sd-scripts and its descendants
(`ss_*`), ggml's docs/gguf.md with the architecture names that ComfyUI-GGUF reads.
"""

from __future__ import annotations

from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlib.core.air import parse_air
from mlib.core.kinds.bases import agreeing
from mlib.core.kinds.rules import UNKNOWN

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlib.core.kinds.rules import Verdict

_MAX_VALUE = 100

#: `modelspec.architecture` in lower case, without what follows the slash.
_ARCHITECTURES = MappingProxyType(
    {
        "stable-diffusion-v1": "SD 1.5",
        "stable-diffusion-v2-512": "SD 2",
        "stable-diffusion-v2-768-v": "SD 2",
        "stable-diffusion-xl-v1-base": "SDXL",
        "stable-diffusion-xl-v1-refiner": "SDXL refiner",
        "stable-diffusion-3": "SD 3",
        "stable-diffusion-3-m": "SD 3 Medium",
        "stable-diffusion-3-medium": "SD 3 Medium",
        "stable-diffusion-3-5-large": "SD 3.5 Large",
        "stable-diffusion-3-5-medium": "SD 3.5 Medium",
        "stable-cascade-v1-stage-c": "Stable Cascade C",
        "flux-1": "Flux.1",
        "flux-1-dev": "Flux.1 dev",
        "flux-1-schnell": "Flux.1 schnell",
        "flux.1-dev": "Flux.1 dev",
        "flux.1-fill-dev": "Flux.1 Fill",
        "chroma": "Chroma",
        "lumina": "Lumina",
        "lumina-2": "Lumina 2",
        "pixart-alpha": "PixArt Alpha",
        "pixart-sigma": "PixArt Sigma",
        "sana": "Sana",
        "hunyuan-video": "Hunyuan Video",
        "hidream-i1": "HiDream",
    }
)
_ROLES = MappingProxyType(
    {
        "lora": "lora",
        "textual-inversion": "embedding",
        "control-net": "controlnet",
        "controlnet": "controlnet",
    }
)
#: Beginnings of `ss_base_model_version`, more exact ones first.
_BASE_VERSIONS = (
    ("sdxl_refiner", "SDXL refiner"),
    ("sdxl_", "SDXL"),
    ("sd_v1", "SD 1.5"),
    ("sd_v2", "SD 2"),
    ("sd_1", "SD 1.5"),
    ("sd_2", "SD 2"),
    ("sd3", "SD 3"),
    ("flux1", "Flux.1"),
    ("flux2", "Flux.2"),
    ("lumina2", "Lumina 2"),
    ("wan", "Wan"),
    ("hunyuan_video", "Hunyuan Video"),
    ("hunyuanvideo", "Hunyuan Video"),
    ("qwen_image", "Qwen-Image"),
)
#: Ends of `ss_network_module` that name a base model.
_NETWORK_MODULES = MappingProxyType(
    {
        "lora_flux": "Flux.1",
        "lora_sd3": "SD 3",
        "lora_lumina": "Lumina 2",
        "lora_wan": "Wan",
        "lora_qwen_image": "Qwen-Image",
    }
)
#: `general.architecture` of GGUF: the kind and base model it stands for.
_GGUF = MappingProxyType(
    {
        "flux": ("diffusion_model", "Flux"),
        "sd1": ("diffusion_model", "SD 1.5"),
        "sdxl": ("diffusion_model", "SDXL"),
        "sd3": ("diffusion_model", "SD 3"),
        "aura": ("diffusion_model", "AuraFlow"),
        "hidream": ("diffusion_model", "HiDream"),
        "cosmos": ("diffusion_model", "Cosmos"),
        "ltxv": ("diffusion_model", "LTX"),
        "hyvid": ("diffusion_model", "Hunyuan Video"),
        "wan": ("diffusion_model", "Wan"),
        "lumina2": ("diffusion_model", "Lumina 2"),
        "qwen_image": ("diffusion_model", "Qwen-Image"),
        "t5": ("text_encoder", "T5"),
        "t5encoder": ("text_encoder", "T5"),
        "llama": ("text_encoder", "Llama"),
        "qwen2vl": ("text_encoder", "Qwen2"),
        "qwen3": ("text_encoder", "Qwen3"),
        "gemma2": ("text_encoder", "Gemma 2"),
        "gemma3": ("text_encoder", "Gemma 3"),
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


@dataclass(frozen=True, slots=True)
class Statement:
    """One key of the metadata, what it holds, and what that means; `kind` is unknown and `base` empty if it
    says nothing of them."""

    key: str
    value: str
    kind: str = UNKNOWN
    base: str = ""


@dataclass(frozen=True, slots=True)
class Testimony:
    """All that the metadata says of kind and base model, the most trusted key first."""

    statements: tuple[Statement, ...] = ()

    @property
    def kind(self) -> str:
        return next((said.kind for said in self.statements if said.kind != UNKNOWN), UNKNOWN)

    @property
    def base(self) -> str:
        return next((said.base for said in self.statements if said.base), "")


@dataclass(frozen=True, slots=True)
class Conclusion:
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
        if said.base:
            both = agreeing(bases, (said.base,)) or agreeing(like, (said.base,))
            if both:
                bases, like = both, ()
            elif bases and not agreeing(verdict.called, (said.base,)):
                disagreements.append(f"{base_from} {' / '.join(bases)}, {quoted} says {said.base}")
            elif not bases:
                bases, base_from = (said.base,), f"{said.key} says"
    return Conclusion(kind, bases, tuple(disagreements))


def _statements(metadata: Mapping[str, str]) -> Iterator[Statement]:
    for key, read in _READERS.items():
        value = metadata.get(key)
        if value is None or len(value) > _MAX_VALUE:
            continue
        kind, base = read(value.strip().lower())
        if kind != UNKNOWN or base:
            yield Statement(key, value.strip(), kind, base)


def _architecture(value: str) -> tuple[str, str]:
    name, _, role = value.partition("/")
    if not role and name.endswith("-lora"):
        name, role = name.removesuffix("-lora"), "lora"
    return _ROLES.get(role, UNKNOWN), _ARCHITECTURES.get(name, "")


def _base_version(value: str) -> tuple[str, str]:
    return UNKNOWN, next((base for start, base in _BASE_VERSIONS if value.startswith(start)), "")


def _is_v2(value: str) -> tuple[str, str]:
    # False is said of everything that came later, too.
    return UNKNOWN, "SD 2" if value == "true" else ""


def _network_module(value: str) -> tuple[str, str]:
    package, _, module = value.partition(".")
    if package not in ("networks", "lycoris") or "control_net" in module:
        return UNKNOWN, ""
    return "lora", _NETWORK_MODULES.get(module, "")


def _air(value: str) -> tuple[str, str]:
    air = parse_air(value)
    return _ROLES.get(air.type, UNKNOWN), _BUILT_LIKE.get(air.base_model, air.base_model)


def _gguf_architecture(value: str) -> tuple[str, str]:
    return _GGUF.get(value, (UNKNOWN, ""))


def _gguf_type(value: str) -> tuple[str, str]:
    return ("lora" if value == "adapter" else UNKNOWN), ""


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
    }
)
