"""Names of base models (Flux.1 includes Flux.1 dev, Wan includes Wan 2.2 S2V), and folders by kind."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlib.core.comfyui.folders import TYPE_FOLDERS, canonical_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_WORD = re.compile(r"[0-9]+|[^\W\d_]+")


def takes_in(wide: str, narrow: str) -> bool:
    """Whether `wide` includes the base model `narrow`: its words are the first words of `narrow`."""
    words = _words(wide)
    return bool(words) and _words(narrow)[: len(words)] == words


def agreeing(ours: Sequence[str], theirs: Iterable[str]) -> tuple[str, ...]:
    """The base models that both allow, each by the narrower name; empty if they contradict each other."""
    others = tuple(theirs)
    both = [
        other if takes_in(base, other) else base
        for base in ours
        for other in others
        if takes_in(base, other) or takes_in(other, base)
    ]
    return tuple(dict.fromkeys(both))


def _words(name: str) -> list[str]:
    return _WORD.findall(name.casefold())


# --- Folders of each kind

#: The kind of files that no rule recognises; they belong nowhere in particular.
UNKNOWN = "unknown"

#: By kind, the types whose loaders accept it. Types unknown to ComfyUI itself come from custom nodes:
#: ComfyUI-GGUF, IPAdapter Plus, AnimateDiff-Evolved, face restoration.
_TYPES = MappingProxyType(
    {
        "audio_encoder": frozenset({"audio_encoders"}),
        "background_removal": frozenset({"background_removal"}),
        "checkpoint": frozenset({"checkpoints"}),
        "clip": frozenset({"clip_vision", "text_encoders"}),
        "clip_vision": frozenset({"clip_vision"}),
        "controlnet": frozenset({"controlnet", "model_patches"}),
        "diffusion_model": frozenset({"diffusion_models", "unet_gguf"}),
        "embedding": frozenset({"embeddings"}),
        "frame_interpolation": frozenset({"frame_interpolation"}),
        "geometry_estimation": frozenset({"geometry_estimation"}),
        "gligen": frozenset({"gligen"}),
        "hypernetwork": frozenset({"hypernetworks"}),
        "ip_adapter": frozenset({"ipadapter", "xlabs_ipadapters"}),
        "latent_upscaler": frozenset({"latent_upscale_models"}),
        "lora": frozenset({"loras"}),
        "model_patch": frozenset({"model_patches"}),
        "motion_module": frozenset({"animatediff_models"}),
        "optical_flow": frozenset({"optical_flow"}),
        "photomaker": frozenset({"photomaker"}),
        "style_model": frozenset({"style_models"}),
        "text_encoder": frozenset({"clip_gguf", "text_encoders"}),
        "upscaler": frozenset({"facerestore_models", "upscale_models"}),
        "vae": frozenset({"vae"}),
        "vae_approx": frozenset({"vae", "vae_approx"}),
    }
)

#: Each kind in words, with its article.
_NOUNS = MappingProxyType({
    "audio_encoder": "an audio encoder", "background_removal": "a background removal model",
    "checkpoint": "a checkpoint", "clip": "a CLIP model", "clip_vision": "a CLIP vision model",
    "controlnet": "a ControlNet", "diffusion_model": "a diffusion model", "embedding": "an embedding",
    "frame_interpolation": "a frame interpolation model",
    "geometry_estimation": "a geometry estimation model", "gligen": "a GLIGEN model",
    "hypernetwork": "a hypernetwork", "ip_adapter": "an IP-Adapter",
    "latent_upscaler": "a latent upscaler", "lora": "a LoRA", "model_patch": "a model patch",
    "motion_module": "a motion module", "optical_flow": "an optical flow model",
    "photomaker": "a PhotoMaker model", "style_model": "a style model",
    "text_encoder": "a text encoder", "upscaler": "an upscaler", "vae": "a VAE",
    "vae_approx": "an approximate VAE",
})  # fmt: skip

#: Contains whole pipelines, one per folder, with files of every kind.
_ANY_KIND = "diffusers"


def belongs_in(kind: str) -> frozenset[str]:
    """The folder types that can load this kind; empty if the kind is unknown."""
    return _TYPES.get(kind, frozenset())


def nouns(kind: str) -> tuple[str, str]:
    """A kind in words, singular and plural: `a LoRA`, `LoRAs`."""
    one = _NOUNS.get(kind, f"a {kind}")
    return one, f"{one.partition(' ')[2]}s"


def is_misplaced(kind: str, folder_type: str) -> bool:
    """Whether no loader of this type accepts a file of this kind.

    Unknown kinds and types are never misplaced: custom nodes add their own.
    """
    types = belongs_in(kind)
    folder = canonical_type(folder_type)
    return bool(types) and folder in TYPE_FOLDERS and folder != _ANY_KIND and folder not in types
