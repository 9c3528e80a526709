"""AIR, the names that Civitai gives to resources of any site: `urn:air:sdxl:lora:civitai:9@71`.

Source: developer.civitai.com, "AIR identifiers" (`urn:` and `air:` may be left out, so may the ecosystem);
the ecosystems are those that Civitai's own web site writes.
"""

from __future__ import annotations

import re
from types import MappingProxyType
from typing import NamedTuple

_LONGEST = 500
_AIR = re.compile(r"(?:urn:)?+(?:air:)?+(?:([^:]{1,50}):)?([^:]{1,50}):([^:]{1,50}):(.+)", re.IGNORECASE)
_CIVITAI = re.compile(r"([0-9]{1,18})(?:@([0-9]{1,18}))?(?:[+.:].*)?")
_SEPARATORS = re.compile(r"[\s._-]+")

#: Base models by ecosystem, which is in lower case and without separators, in the words of the kinds' rules.
_BASES = MappingProxyType(
    {
        "sd1": "SD 1.5",
        "sd15": "SD 1.5",
        "sd2": "SD 2",
        "sd3": "SD 3",
        "sd35m": "SD 3.5 Medium",
        "sdxl": "SDXL",
        "sdxldistilled": "SDXL",
        "scascade": "Stable Cascade",
        "svd": "SVD",
        "pony": "Pony",
        "ponyv7": "Pony V7",
        "illustrious": "Illustrious",
        "noobai": "NoobAI",
        "flux1": "Flux.1",
        "fluxkrea": "Flux.1 Krea",
        "flux1kontext": "Flux.1 Kontext",
        "flux2": "Flux.2",
        "flux2klein9b": "Flux.2 Klein 9B",
        "flux2klein9bbase": "Flux.2 Klein 9B base",
        "flux2klein4b": "Flux.2 Klein 4B",
        "flux2klein4bbase": "Flux.2 Klein 4B base",
        "krea2": "Krea 2",
        "hydit1": "HunyuanDiT",
        "hyv1": "Hunyuan Video",
        "wanvideo": "Wan",
        "wanvideo13bt2v": "Wan 2.1 1.3B",
        "wanvideo14bt2v": "Wan 2.1 T2V 14B",
        "wanvideo14bi2v480p": "Wan 2.1 I2V 14B 480p",
        "wanvideo14bi2v720p": "Wan 2.1 I2V 14B 720p",
        "wanvideo22": "Wan 2.2",
        "wanvideo22ti2v5b": "Wan 2.2 TI2V 5B",
        "wanvideo22i2va14b": "Wan 2.2 I2V A14B",
        "wanvideo22t2va14b": "Wan 2.2 T2V A14B",
        "pixarta": "PixArt Alpha",
        "pixarte": "PixArt Sigma",
        "qwen": "Qwen-Image",
        "zimage": "Z-Image",
        "zimageturbo": "Z-Image Turbo",
        "zimagebase": "Z-Image",
        "anima": "Anima",
        "auraflow": "AuraFlow",
        "chroma": "Chroma",
        "cogvideox": "CogVideoX",
        "hidream": "HiDream",
        "hidreamo1": "HiDream O1",
        "kolors": "Kolors",
        "ltxv": "LTX-Video",
        "ltxv2": "LTX-2",
        "lumina": "Lumina",
        "mochi": "Mochi",
        "playgroundv2": "Playground v2",
    }
)


class Air(NamedTuple):
    """What an AIR says; "" for what it does not, or not in words known here.

    `type` is as it is written; `model_id` and `version_id` are Civitai's, of its own resources only.
    """

    base_model: str = ""
    type: str = ""
    model_id: str = ""
    version_id: str = ""


def parse_air(text: str) -> Air:
    """What `text` says as an AIR; nothing where it is none. Never raises."""
    parts = _AIR.fullmatch(text.strip()) if len(text) <= _LONGEST else None
    if parts is None:
        return Air()
    ecosystem, kind, source, rest = parts.groups(default="")
    ids = _CIVITAI.fullmatch(rest) if source.lower() == "civitai" else None
    base_model = _BASES.get(_SEPARATORS.sub("", ecosystem).lower(), "")
    return Air(base_model, kind, *(ids.groups(default="") if ids else ()))
