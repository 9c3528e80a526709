"""Makes the sample tree that the README scans: `python tests/data/make_sample.py DIR`. Always the same bytes.

Small files, each whole and valid in its format, named like what they stand for; nothing in them can be run.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import zipfile
from pathlib import Path

EXTRA_PATHS = """\
# Read by ComfyUI, and by mlib, beside models/.
shared:
    base_path: shared
    loras: loras
    upscale_models: |
        upscalers
        upscalers/old
"""

#: What AUTOMATIC1111's web UI lays beside a LoRA.
WEB_UI = {
    "description": "Wet paper, soft edges.",
    "sd version": "SD1",
    "activation text": "wtrclr",
    "preferred weight": 0.7,
    "negative text": "photo",
    "notes": "",
}


def sample_files() -> dict[str, bytes]:
    """Every file of the tree by its path."""
    watercolor = safetensors(
        "watercolor",
        lora(rank=4),
        metadata={
            "ss_network_module": "networks.lora",
            "ss_network_dim": "4",
            "ss_network_alpha": "2.0",
            "ss_sd_model_name": "tiny_sd15.safetensors",
            "ss_tag_frequency": '{"10_wtrclr": {"wtrclr": 40, "river": 22, "no humans": 9}}',
            "modelspec.title": "Watercolor",
            "modelspec.trigger_phrase": "wtrclr",
        },
    )
    return {
        "extra_model_paths.yaml": EXTRA_PATHS.encode(),
        "models/checkpoints/tiny_sd15.safetensors": safetensors(
            "tiny_sd15",
            {
                "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight": (2, 768),
                "first_stage_model.decoder.conv_in.weight": (8, 4, 3, 3),
            },
        ),
        "models/checkpoints/paper_cut.safetensors": safetensors("paper_cut", lora(rank=2)),
        "models/checkpoints/archive/old.ckpt": torch_zip("old"),
        "models/checkpoints/big_download.safetensors.part": safetensors("big", {"w": (64, 64)})[:3000],
        "models/loras/put_loras_here": b"",
        "models/loras/watercolor.safetensors": watercolor,
        "models/loras/watercolor.json": json.dumps(WEB_UI, indent=4).encode(),
        "models/loras/watercolor (copy).safetensors": watercolor,
        "models/loras/cut_short.safetensors": safetensors("cut", {"w": (64, 64)})[:2000],
        "models/vae/tiny_vae.safetensors": safetensors("tiny_vae", {"decoder.conv_in.weight": (32, 4, 3, 3)}),
        "models/clip/tiny_clip.safetensors": safetensors("tiny_clip", {"text_model.embeddings.w": (32, 16)}),
        "models/unet/tiny_unet-Q8_0.gguf": gguf("tiny_unet"),
        "models/embeddings/easy_words.safetensors": safetensors("easy_words", {"emb_params": (2, 768)}),
        "models/upscale_models/empty.pth": b"",
        "models/face_restore/tiny_face.onnx": onnx("tiny_face"),
        "user/default/workflows/river.json": json.dumps(workflow(watercolor), indent=1).encode(),
        "shared/loras/grain.safetensors": safetensors("grain", {"lora_unet_mid.lora_down.weight": (4, 32)}),
        "shared/upscalers/old/2x_tiny.pth": torch_zip("2x_tiny"),
    }


def workflow(watercolor: bytes) -> dict[str, object]:
    """A workflow as ComfyUI saves it, cut down to what names models."""
    upscaler = "4x_sharp.pth"
    watercolor_model = {
        "name": "watercolor.safetensors",
        "directory": "loras",
        "hash": hashlib.sha256(watercolor).hexdigest(),
        "hash_type": "SHA256",
    }
    upscaler_model = {
        "name": upscaler,
        "directory": "upscale_models",
        "url": f"https://example.org/{upscaler}",
    }

    def node(number: int, kind: str, *values: object, **model: str) -> dict[str, object]:
        properties = {"models": [model]} if model else {}
        return {"id": number, "type": kind, "mode": 0, "properties": properties, "widgets_values": values}

    return {
        "version": 0.4,
        "nodes": [
            node(1, "CheckpointLoaderSimple", "tiny_sd15.safetensors"),
            node(2, "LoraLoader", "watercolor.safetensors", 0.7, 1, **watercolor_model),
            node(3, "CLIPTextEncode", "wtrclr, a river, embedding:easy_words"),
            node(4, "VAELoader", "tiny_vae.safetensors"),
            node(5, "UpscaleModelLoader", upscaler, **upscaler_model),
        ],
        "links": [],
    }


def lora(*, rank: int) -> dict[str, tuple[int, ...]]:
    """The tensors of one layer of a LoRA for SD 1.5, as kohya's trainer names them."""
    layer = "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k"
    return {f"{layer}.lora_down.weight": (rank, 768), f"{layer}.lora_up.weight": (320, rank)}


def numbers(seed: str, count: int) -> bytes:
    """`count` bytes that depend on nothing but `seed`."""
    blocks = (hashlib.sha256(f"{seed} {n}".encode()).digest() for n in range(count // 32 + 1))
    return b"".join(blocks)[:count]


def safetensors(
    seed: str, tensors: dict[str, tuple[int, ...]], *, metadata: dict[str, str] | None = None
) -> bytes:
    """A safetensors file of F16 tensors with these shapes."""
    header: dict[str, object] = {} if metadata is None else {"__metadata__": metadata}
    end = 0
    for name, shape in tensors.items():
        size = 2
        for length in shape:
            size *= length
        header[name] = {"dtype": "F16", "shape": list(shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header, separators=(",", ":")).encode()
    return struct.pack("<Q", len(text)) + text + numbers(seed, end)


def gguf(name: str) -> bytes:
    """A GGUF v3 file with two key-values and one F32 tensor of 32 numbers."""

    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    pairs = [("general.architecture", "flux"), ("general.name", name)]
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(pairs))
    head += b"".join(text(key) + struct.pack("<I", 8) + text(value) for key, value in pairs)
    head += text("blk.weight") + struct.pack("<IQIQ", 1, 32, 0, 0)
    return head.ljust(-(-len(head) // 32) * 32, b"\0") + numbers(name, 128)


def torch_zip(name: str) -> bytes:
    """The layout of torch.save: a zip that is stored, with an empty dict as its pickle and one storage."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for entry, content in (
            ("data.pkl", b"\x80\x02}q\x00."),
            ("byteorder", b"little"),
            ("data/0", numbers(name, 512)),
            ("version", b"3\n"),
        ):
            archive.writestr(zipfile.ZipInfo(f"{name}/{entry}"), content)
    return out.getvalue()


def onnx(name: str) -> bytes:
    """The beginning of an ONNX protobuf: ir_version 8, producer_name."""
    producer = f"sample {name}".encode()
    return b"\x08\x08\x12" + bytes([len(producer)]) + producer


def make_sample(directory: Path) -> None:
    """Write the tree."""
    for path, content in sample_files().items():
        target = directory / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)


if __name__ == "__main__":
    make_sample(Path(sys.argv[1]))
