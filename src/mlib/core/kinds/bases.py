"""Names of base models, some more exact than others: Flux.1 takes in Flux.1 dev, Wan takes in Wan 2.2 S2V."""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from mlib.core.comfyui.folders import TYPE_FOLDERS, canonical_type

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_WORD = re.compile(r"[0-9]+|[^\W\d_]+")


def takes_in(wide: str, narrow: str) -> bool:
    """Whether the base model `narrow` is one of those that `wide` names: its words go on where those end."""
    words = _words(wide)
    return bool(words) and _words(narrow)[: len(words)] == words


def agreeing(ours: Sequence[str], theirs: Iterable[str]) -> tuple[str, ...]:
    """What both can mean, in the more exact words of the two; empty if they contradict each other."""
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


# --- Which of ComfyUI's folders a file of some kind belongs in.

#: The kind of what no rule knows: it belongs nowhere.
UNKNOWN = "unknown"

#: By kind, the types whose loaders take it. The types that ComfyUI itself does not know come from the custom
#: nodes that load such files: ComfyUI-GGUF, IPAdapter Plus, AnimateDiff-Evolved, face restoration.
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

#: Holds whole pipelines, a folder each, with files of every kind in them.
_ANY_KIND = "diffusers"


def belongs_in(kind: str) -> frozenset[str]:
    """The types in whose folders a file of this kind can be loaded; none where the kind is not known."""
    return _TYPES.get(kind, frozenset())


def is_misplaced(kind: str, folder_type: str) -> bool:
    """Whether no loader of this type takes a file of this kind.

    Nothing is held against kinds and types that are not known: custom nodes bring their own of both.
    """
    types = belongs_in(kind)
    folder = canonical_type(folder_type)
    return bool(types) and folder in TYPE_FOLDERS and folder != _ANY_KIND and folder not in types
