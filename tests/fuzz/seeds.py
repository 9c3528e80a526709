"""Sound files of every kind, small enough that a change of a few bytes often matters."""

from __future__ import annotations

import json
import zipfile
from typing import TYPE_CHECKING

from tests.model_files import framed, gguf, onnx, safetensors, zip_archive
from tests.pickle_files import (
    call,
    listed,
    made,
    mapping,
    name,
    number,
    ordered,
    pickled,
    tensor,
    text,
    torch_legacy,
    torch_zip,
    zipped,
)
from tests.workflow_files import (
    SUBGRAPH,
    canvas,
    encoded,
    exif,
    flac,
    glb,
    jpeg,
    latent,
    matroska,
    mp3,
    mp4,
    node,
    ogg,
    png,
    prompt,
    quicktime,
    subgraph,
    svg,
    text_chunk,
    webp,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

_STATE = mapping(
    {"state_dict": ordered({"a.b": tensor((2, 3), count=6), "c": tensor((1,), count=6)}), "epoch": number(3)}
)
_EVIL = call(name("os", "system"), text("exit 1"))
_LORA = {
    "lora_unet_input_blocks_4_1_proj_in.lora_down.weight": 8,
    "lora_unet_input_blocks_4_1_proj_in.lora_up.weight": 8,
    "lora_unet_input_blocks_4_1_proj_in.alpha": 2,
}
_SAID: Mapping[str, object] = {
    "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
    "modelspec.trigger_phrase": "inkwsh",
    "ss_base_model_version": "sdxl_base_v1-0",
    "ss_tag_frequency": json.dumps({"5_ink": {"inkwsh": 90, "a b": 3}}),
    "ss_network_dim": "16",
    "ss_network_alpha": "8.0",
    "ss_resolution": "(1024, 1024)",
}

#: Model files, by what they are.
MODELS: Mapping[str, bytes] = {
    "safetensors": safetensors(_LORA, metadata=_SAID),
    "safetensors_spaced": framed(
        b'{ "a" : { "shape" : [ 0 , 3 ] , "dtype" : "F16" , "data_offsets" : [ 0 , 0 ] , "x" : [1, {}] } } '
    ),
    "safetensors_odd": framed(b'{"__metadata__":{"n":1,"n":"\\ud83d\\ude00"},"a":["U8",[0],[0,0]]}'),
    "gguf": gguf(),
    "gguf_1": gguf(version=1, alignment=64),
    "onnx": onnx(metadata={b"k": b"v"}, external=[b"x.bin"]),
    "torch_zip": torch_zip(_STATE, {"0": 24}),
    "torch_zip_packed": zipped(
        {"m/data.pkl": pickled(_STATE), "m/other.PKL": pickled(_EVIL), "m/data/0": bytes(24)},
        compression=zipfile.ZIP_DEFLATED,
    ),
    "torchscript": torch_zip(_STATE, {"0": 24}, extra={"code/x.py": b"1", "constants.pkl": b"\x80\2)."}),
    "torch_legacy": torch_legacy(_STATE, {"0": (6, 4)}),
    "torch_zip_commented": zip_archive(entries=1, size=3, comment=b"ab"),
    "zip": zipped({"notes.txt": b"x", "a/b.bin": bytes(9)}),
    "pickle": pickled(listed(_EVIL, made(name("a.b", "C"), {"x": text("y")}))),
    "pickle_4": b"\x80\4\x95\x19\0\0\0\0\0\0\0\x8c\2os\x94\x8c\6system\x94\x93\x94\x8c\4exit\x85R.",
    "pickle_0": b"(dp0\nS'a'\np1\n(ios\nsystem\np2\ns(I5\nL9L\nF1.5\nVx\\u00e9\nlp3\n0g0\n.",
    "ncnn": b"7767517\n1 1\nInput data 0 1 data\n",
    "lfs_pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"0" * 64 + b"\nsize 12\n",
    "html": b"<!DOCTYPE html><title lang=en>&#xD800;&amp; Sign in</title>",
}

_VERSION = {
    "id": 71,
    "modelId": 9,
    "name": "v3",
    "trainedWords": ["ink wash, loose", "inkwsh"],
    "baseModel": "SDXL 1.0",
    "description": "<p>Of <b>90</b> drawings<br>a&nbsp;b</p><ul><li>x<li>y</ul>",
    "model": {
        "name": "Ink",
        "type": "LoCon",
        "description": '<a href="https://a.example">p</a>',
        "tags": ["i"],
    },
    "files": [
        {
            "name": "ink_wash_v3.safetensors",
            "primary": True,
            "hashes": {"SHA256": "0F" * 32, "CRC32": "DEADBEEF"},
        },
        {"name": "b.safetensors", "hashes": {"SHA256": "1F" * 32, "AutoV3": "ABCDEF012345"}},
    ],
}

#: Sidecars, by their kind; `html` is a description for the kinds that take any text.
SIDECARS: Mapping[str, bytes] = {
    "civitai_info": json.dumps(_VERSION).encode(),
    "metadata_json": json.dumps(
        {
            "model_name": "Ink",
            "sha256": "0f" * 32,
            "base_model": "SDXL 1.0",
            "notes": "under 0.9",
            "usage_tips": '{"strength": 0.8}',
            "modelDescription": "<p>a</p>",
            "tags": ["ink"],
            "civitai": _VERSION,
        }
    ).encode(),
    "cm_info": json.dumps(
        {
            "ModelId": 9,
            "ModelName": "Ink",
            "ModelDescription": "<i>x</i>",
            "ModelType": "LORA",
            "VersionName": "v3",
            "BaseModel": "SDXL 1.0",
            "Hashes": {"SHA256": "0F" * 32},
            "TrainedWords": ["a", "b"],
            "Tags": ["ink"],
            "UserTitle": None,
        }
    ).encode(),
    "rgthree_info": json.dumps(
        {
            "sha256": "0f" * 32,
            "name": "Ink - v3",
            "strengthMin": 0.5,
            "trainedWords": [{"word": "a", "user": True}, {"word": "b", "count": 3, "metadata": True}],
            "links": ["https://civitai.com/models/9"],
            "userTags": ["ink"],
            "userNote": "mine",
            "raw": {"civitai": _VERSION},
        }
    ).encode(),
    "swarm_json": json.dumps(
        {
            "modelspec.title": "Ink",
            "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
            "modelspec.trigger_phrase": "a, b",
            "modelspec.tags": ["ink"],
            "modelspec.hash_sha256": "0x" + "0f" * 32,
        }
    ).encode(),
    "civitai_model": json.dumps(
        {"id": 9, "name": "Ink", "type": "LORA", "tags": ["ink"], "modelVersions": [_VERSION]}
    ).encode(),
    "a1111_json": json.dumps(
        {
            "description": "x",
            "sd version": "SDXL",
            "activation text": "a, b",
            "preferred weight": 0.7,
            "negative text": "c",
            "notes": "d",
        }
    ).encode(),
    "markdown": b"""\
---
website: Civitai
modelId: 9
author: a
baseModel: SDXL 1.0
hashes:
  SHA256: 1E234567
metadata: {x: [1, 2]}
---

# Trigger Words

inkwsh

# About this version

<p>a</p>

# Ink

b
""",
    "text": b"\xef\xbb\xbfInk\r\n\r\nand <b>paper</b> \x1b[0m\n",
    "text_16": "\ufeffInk \u20ac".encode("utf-16-le"),
    "text_16_be": "\ufeffInk \u20ac".encode("utf-16-be"),
}

_CANVAS = canvas(
    node(1, SUBGRAPH, "b.pt", mode=4, widgets_values_named={"lora_name": "b.pt"}),
    node(2, "CLIPTextEncode", "a (embedding:x/y:1.1), <lora:z:1>"),
    node(4, "workflow>g", "c.gguf"),
    node(
        5,
        "VAELoader",
        "taesd",
        models=[{"name": "v.pt", "url": "https://a.example/v.pt", "directory": "vae"}],
    ),
    node(6, "Power Lora Loader (rgthree)", {"on": False, "lora": "d.pt"}, [[{"name": "e"}]]),
    subgraphs=[
        subgraph(
            node(3, "LoraLoader", "a\\\\b.safetensors", inputs=[{"widget": {"name": "lora_name"}, "link": 1}])
        )
    ],
    extra={"groupNodes": {"g": {"nodes": [node(0, "UnetLoaderGGUF", "c.gguf")]}}},
    models=[{"name": "a.pt", "hash": "0F" * 32, "hash_type": "SHA256"}],
)
_PROMPT = prompt(n3=("LTXAVTextEncoderLoader", {"ckpt_name": "a.pt", "text_encoder": "b.pt", "c": ["4", 0]}))

#: Workflows, by what they are kept in.
WORKFLOWS: Mapping[str, bytes] = {
    "workflow_canvas": encoded(_CANVAS),
    "workflow_prompt": encoded({"prompt": _PROMPT, "extra_data": {"extra_pnginfo": {"workflow": _CANVAS}}}),
    "workflow_png": png(text_chunk("prompt", _PROMPT), text_chunk("workflow", _CANVAS, b"iTXt")),
    "workflow_packed": png(
        text_chunk("workflow", _PROMPT, b"zTXt"), after=[text_chunk("prompt", 1, b"comf")]
    ),
    "workflow_jpeg": jpeg(exif(workflow=_CANVAS), comment=_PROMPT),
    "workflow_mp4": mp4(workflow=_CANVAS, prompt=_PROMPT),
    "workflow_mov": quicktime(comment={"prompt": "{}", "workflow": _CANVAS}),
    "workflow_webm": matroska({"workflow": _CANVAS, "prompt": _PROMPT}),
    "workflow_flac": flac(workflow=_CANVAS),
    "workflow_ogg": ogg(workflow=_CANVAS),
    "workflow_mp3": mp3(workflow=_CANVAS),
    "workflow_svg": svg({"workflow": _CANVAS}),
    "workflow_glb": glb({"asset": {"extras": {"workflow": _CANVAS}}}),
    "workflow_latent": latent(workflow=_CANVAS),
    "workflow_history": encoded(
        {"a": {"prompt": [1, "a", _PROMPT, {"extra_pnginfo": {"workflow": _CANVAS}}]}}
    ),
    "workflow_text": encoded({"prompt": "no", "workflow": json.dumps(_CANVAS)}) + b"// mine",
    "workflow_webp": webp((b"VP8 ", b"abc"), (b"EXIF", exif(">", workflow=_CANVAS, prompt=_PROMPT))),
}

SEEDS: Mapping[str, bytes] = {**MODELS, **SIDECARS, **WORKFLOWS}
