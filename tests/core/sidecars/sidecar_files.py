"""Sidecars as their writers leave them, built for tests."""

from __future__ import annotations

import copy
import json
from typing import Any

#: Whose file a plain `.json` may turn out to be.
PLAIN_JSON_KINDS = ("a1111_json", "civitai_model", "civitai_info", "swarm_json")
SHA256 = "0f" * 32
OTHER_SHA256 = "a1" * 32
HASHES = {
    "AutoV1": "1A2B3C4D",
    "AutoV2": SHA256[:10].upper(),
    "SHA256": SHA256.upper(),
    "CRC32": "DEADBEEF",
    "AutoV3": "ABCDEF012345",
    "BLAKE3": "7E" * 32,
}
CLAIMS = {
    "sha256": SHA256,
    "autov1": "1a2b3c4d",
    "autov3": "abcdef012345",
    "crc32": "deadbeef",
    "blake3": "7e" * 32,
}

_VERSION: dict[str, Any] = {
    "id": 71,
    "modelId": 9,
    "name": "v3 (SDXL)",
    "status": "Published",
    "nsfwLevel": 1,
    "trainedWords": ["ink wash, loose lines", " inkwsh ", "ink wash, loose lines", ""],
    "baseModel": "SDXL 1.0",
    "description": "<p>Trained on <b>90</b> drawings.</p>",
    "air": "urn:air:sdxl:lora:civitai:9@71",
    "model": {
        "name": "Ink Wash",
        "type": "LoCon",
        "nsfw": False,
        "description": '<p>Ink, <a href="https://a.example/paper">and paper</a>.</p><img src="x.jpeg">',
        "tags": ["ink", "Style", "style"],
    },
    "files": [
        {
            "id": 5,
            "name": "ink_wash_v3.safetensors",
            "type": "Model",
            "primary": True,
            "hashes": HASHES,
            "downloadUrl": "https://civitai.com/api/download/models/71",
        }
    ],
    "images": [{"url": "https://image.example/1.jpeg", "meta": {"prompt": "x", "comfy": "{}"}}],
    "downloadUrl": "https://civitai.com/api/download/models/71",
    "extensions": {"sd_civitai_helper": {"version": "1.8.2", "last_update": 1.5, "skeleton_file": False}},
}


def version() -> dict[str, Any]:
    """Civitai's answer for a version of a model, as Civitai Helper keeps it."""
    return copy.deepcopy(_VERSION)


def lora_manager() -> dict[str, Any]:
    """LoRA Manager's `.metadata.json` around the same version."""
    return {
        "file_name": "ink_wash_v3",
        "model_name": "Ink Wash",
        "file_path": "/models/loras/ink_wash_v3.safetensors",
        "size": 1234,
        "modified": 1725612345.5,
        "sha256": SHA256,
        "base_model": "SDXL 1.0",
        "preview_url": "/models/loras/ink_wash_v3.webp",
        "notes": "keep it <b> under 0.9\nfor faces",
        "from_civitai": True,
        "civitai": {**version(), "creator": {"username": "brush", "image": "https://image.example/a.png"}},
        "tags": ["ink", "mine"],
        "modelDescription": "<p>Ink and paper.</p>",
        "favorite": True,
        "autov3": "abcdef012345",
        "usage_tips": '{"strength_min": 0.4, "strength": 0.65}',
    }


def stability_matrix() -> dict[str, Any]:
    """Stability Matrix' `.cm-info.json`."""
    return {
        "ModelId": 9,
        "ModelName": "Ink Wash",
        "ModelDescription": "<p>Ink and paper.</p>",
        "Nsfw": False,
        "Tags": ["ink"],
        "ModelType": "LORA",
        "VersionId": 71,
        "VersionName": "v3",
        "VersionDescription": None,
        "AuthorUsername": "brush",
        "BaseModel": "Other",
        "FileMetadata": {"fp": None, "size": None, "format": "SafeTensor"},
        "Hashes": {"SHA256": SHA256.upper(), "CRC32": "DEADBEEF", "BLAKE3": "7E" * 32},
        "TrainedWords": ["inkwsh"],
        "UserTitle": None,
        "ThumbnailImageUrl": "https://image.example/1.jpeg",
        "Source": "Civitai",
    }


def rgthree() -> dict[str, Any]:
    """rgthree-comfy's `X.safetensors.rgthree-info.json`."""
    return {
        "file": "ink_wash_v3.safetensors",
        "path": "/models/loras/ink_wash_v3.safetensors",
        "sha256": SHA256,
        "name": "Ink Wash - v3 (SDXL)",
        "type": "LORA",
        "baseModel": "SDXL 1.0",
        "baseModelFile": "base.safetensors",
        "links": [
            "https://civitai.com/models/9?modelVersionId=71",
            f"https://civitai.com/api/v1/model-versions/by-hash/{SHA256}",
        ],
        "strengthMin": 0.6,
        "strengthMax": 0.6,
        "trainedWords": [
            {"word": "ink wash", "civitai": True},
            {"word": "my own word", "user": True},
            {"word": "inkwsh", "count": 90, "metadata": True, "civitai": True},
            {"word": "1girl", "count": 80, "metadata": True},
        ],
        "userTags": ["favourite", "ink"],
        "userNote": "under 0.9 <for> faces",
        "images": [{"url": "https://image.example/1.jpeg"}],
        "raw": {"metadata": {"ss_tag_frequency": {"10_ink": {"1girl": 80}}}, "civitai": version()},
    }


def swarm() -> dict[str, Any]:
    """SwarmUI's `.swarm.json`."""
    return {
        "modelspec.name": "sub/ink_wash_v3.ckpt",
        "modelspec.title": "Ink Wash",
        "modelspec.author": "brush",
        "modelspec.description": "Ink and <b>paper</b>.",
        "modelspec.preview_image": "data:image/jpeg;base64,/9j/4AAQ",
        "modelspec.loaded": False,
        "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        "modelspec.class": "Stable Diffusion XL 1.0-Base LoRA",
        "modelspec.resolution": "1024x1024",
        "modelspec.standard_width": 1024,
        "modelspec.license": None,
        "modelspec.usage_hint": "0.7 is enough",
        "modelspec.trigger_phrase": "inkwsh, (ink wash, loose lines:1.1)",
        "modelspec.tags": ["ink", "style"],
        "modelspec.is_negative_embedding": False,
        "modelspec.hash_sha256": "0xabcdef012345" + "0" * 52,
    }


def whole_model() -> dict[str, Any]:
    """Civitai's answer for a model, as SD.Next keeps it in `X.json`: two versions, the second being ours."""
    older = {
        **version(),
        "id": 70,
        "name": "v2",
        "baseModel": "SD 1.5",
        "trainedWords": ["oldink"],
        "files": [
            {"name": "ink_wash_v2.safetensors", "type": "Model", "hashes": {"SHA256": OTHER_SHA256.upper()}}
        ],
    }
    return {
        "id": 9,
        "name": "Ink Wash",
        "type": "LORA",
        "description": "<p>Ink and paper.</p>",
        "tags": ["ink", "style"],
        "creator": {"username": "brush", "image": "https://image.example/a.png"},
        "modelVersions": [older, version()],
    }


def web_ui() -> dict[str, Any]:
    """A1111's `.json`."""
    return {
        "description": "Ink and paper.",
        "sd version": "SDXL",
        "activation text": "inkwsh, (ink wash, loose lines:1.1), inkwsh,",
        "preferred weight": 0.7,
        "negative text": "photo, colour",
        "notes": "90 drawings",
    }


MARKDOWN = f"""---
author: brush
baseModel: SDXL 1.0
hashes:
  AutoV1: 1E234567
  AutoV3: 000000000012
  CRC32: '00001234'
  SHA256: {SHA256.upper()}
metadata:
  fp: null
modelPage: https://civitai.com/models/9?modelVersionId=71
preview:
- https://image.example/1.jpeg
website: Civitai
---

# Trigger Words

inkwsh, loose lines

# About this version

Trained on **90** drawings.

```
# not a heading
```

# Ink Wash

Ink and paper. ![](https://image.example/1.jpeg)

# More

Of it.
"""

TEXT = "Ink LoRA.\r\nUse 0.7.\r\n"


def as_bytes(document: object) -> bytes:
    return json.dumps(document).encode()


def all_kinds() -> dict[str, bytes]:
    """What the sidecars of one model hold, by kind."""
    return {
        "metadata_json": as_bytes(lora_manager()),
        "civitai_info": as_bytes(version()),
        "cm_info": as_bytes(stability_matrix()),
        "rgthree_info": as_bytes(rgthree()),
        "swarm_json": as_bytes(swarm()),
        "civitai_model": as_bytes(whole_model()),
        "a1111_json": as_bytes(web_ui()),
        "markdown": MARKDOWN.encode(),
        "text": TEXT.encode(),
    }
