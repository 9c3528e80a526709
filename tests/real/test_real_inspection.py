"""`mlib inspect` on real model files: what torch, ggml and ONNX exporters wrote, not our builders."""

from __future__ import annotations

import json
import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from tests.model_files import framed
from tests.real.fetch import manifest
from tests.tools import mlib

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

GIB = 2**30
OMEGACONF = {
    "omegaconf.base.ContainerMetadata",
    "omegaconf.base.Metadata",
    "omegaconf.dictconfig.DictConfig",
    "omegaconf.listconfig.ListConfig",
    "omegaconf.nodes.AnyNode",
    "typing.Any",
}


@dataclass(frozen=True)
class Known:
    """What is known of a real file: format, number of tensors, one of them, codes of findings, if serious."""

    format: str
    tensors: int
    one: tuple[str, str, list[int]] | None = None
    findings: tuple[tuple[str, bool], ...] = ()

    @property
    def code(self) -> int:
        return 3 if any(serious for _, serious in self.findings) else 0


EMPTY = Known("empty", 0, findings=(("empty_file", True),))
KNOWN = {
    "vae/silero_vad_16k.safetensors": Known("safetensors", 15, ("stft_conv.weight", "F32", [258, 1, 256])),
    "checkpoints/silero_vad.pt": Known(
        "torchscript", 32, ("_state", "F32", [0]), findings=(("may_run_code", False),)
    ),
    "onnx/silero_vad.onnx": Known("onnx", 0),
    "onnx/silero_vad_half.onnx": Known("onnx", 0),
    "checkpoints/mir-1k.ckpt": Known("torch_zip", 16, ("encoder.layernorm.weight", "F32", [1, 264])),
    "checkpoints/mir-1k_g7.ckpt": Known(
        "torch_zip", 22, ("encoder.layernorm.weight", "F32", [1, 219]), findings=(("may_run_code", True),)
    ),
    "controlnet/alex.pth": Known("torch_legacy", 5, ("lin1.model.1.weight", "F32", [1, 192, 1, 1])),
    "controlnet/vgg.pth": Known("torch_legacy", 5, ("lin1.model.1.weight", "F32", [1, 128, 1, 1])),
    "embeddings/pnet.pt": Known("torch_legacy", 13, ("conv1.weight", "F32", [10, 3, 3, 3])),
    "embeddings/rnet.pt": Known("torch_legacy", 16, ("conv1.weight", "F32", [28, 3, 3, 3])),
    "embeddings/onet.pt": Known("torch_legacy", 21, ("conv1.weight", "F32", [32, 3, 3, 3])),
    "diffusion_models/tiny.gguf": Known(
        "gguf", 21, ("token_embd.weight", "F16", [32000, 16]), (("misplaced", False),)
    ),
    "onnx/rivagan_encoder.onnx": Known("onnx", 0),
    "upscale_models/RealESRGAN_x4plus.pth": EMPTY,
    "upscale_models/ESRGAN_SRx4.pth": EMPTY,
}


def inspect(path: Path, *, code: int = 0) -> Any:
    return mlib("inspect", path, "--json", code=code).json


def header_of(path: Path) -> Any:
    """The header as the reader has it, with all its tensors."""
    from mlib.core.inspection import inspect_file

    return inspect_file(str(path))[0].header


def test_all_real_files_are_known_here() -> None:
    assert KNOWN.keys() == {file.path for file in manifest()}


@pytest.mark.parametrize("file", sorted(KNOWN))
def test_a_real_file_is_what_it_is(real_models: Path, file: str) -> None:
    known = KNOWN[file]
    document = inspect(real_models / file, code=known.code)
    assert document["format"] == known.format
    assert [(each["code"], each["serious"]) for each in document["findings"]] == list(known.findings)
    assert document["size_bytes"] == (real_models / file).stat().st_size
    header = header_of(real_models / file)
    assert len(header.tensors) == known.tensors
    if known.one is not None:
        name, dtype, shape = known.one
        assert [(each.dtype, list(each.shape)) for each in header.tensors if each.name == name] == [
            (dtype, shape)
        ]


def test_several_at_once_end_with_the_worst_code(real_models: Path) -> None:
    paths = [real_models / file for file in KNOWN]
    documents = mlib("inspect", "--json", *paths, code=3).json
    assert [each["format"] for each in documents] == [known.format for known in KNOWN.values()]
    whole = [real_models / file for file, known in KNOWN.items() if known.code == 0]
    assert len(mlib("inspect", "--json", *whole).json) == len(whole)


def test_headers_say_who_made_the_file(real_models: Path) -> None:
    model = header_of(real_models / "onnx/rivagan_encoder.onnx").details
    assert (model["ir_version"], model["producer_name"], model["opset"]) == (6, "pytorch", {"": 10})
    model = header_of(real_models / "diffusion_models/tiny.gguf")
    assert model.metadata["general.architecture"] == "llama"
    assert model.details["arrays"]["tokenizer.ggml.tokens"] == {"type": "string", "length": 32_000}
    assert model.details["promised_size"] == (real_models / "diffusion_models/tiny.gguf").stat().st_size
    model = header_of(real_models / "checkpoints/mir-1k.ckpt")
    assert (model.details["root"], model.details["wrapper"]) == ("mir-1k", "state_dict")
    assert (model.metadata["epoch"], model.metadata["global_step"]) == ("49", "54800")


def test_names_that_a_load_would_import_are_listed(real_models: Path) -> None:
    """Classes of a configuration library: unusual, no malware, and not for this program to call safe."""
    model = header_of(real_models / "checkpoints/mir-1k_g7.ckpt").details["globals"]
    assert set(model["unknown"]) == OMEGACONF
    assert model["dangerous"] == []
    document = inspect(real_models / "checkpoints/mir-1k_g7.ckpt", code=3)
    (message,) = (each["message"] for each in document["findings"])
    assert "omegaconf" in message
    assert not re.search(r"\bsafe\b", json.dumps(document))


@pytest.mark.parametrize("kept", [1000, 300_000, 2_000_000, -1])
def test_a_cut_gguf_is_truncated(real_models: Path, tmp_path: Path, kept: int) -> None:
    """In its key-values, in its vocabulary, in its data, and by its last byte."""
    whole = (real_models / "diffusion_models/tiny.gguf").read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(whole[:kept])
    document = inspect(cut, code=3)
    assert [each["code"] for each in document["findings"]] == ["truncated"]
    assert document["format"] == "gguf"


@pytest.mark.parametrize("file", sorted(file for file, known in KNOWN.items() if known.code == 0))
def test_a_real_file_cut_in_half_is_no_whole_one(real_models: Path, tmp_path: Path, file: str) -> None:
    content = (real_models / file).read_bytes()
    cut = tmp_path / Path(file).name
    cut.write_bytes(content[: len(content) // 2])
    document = inspect(cut, code=3)
    assert {each["code"] for each in document["findings"]} & {"truncated", "bad_header"}


def test_a_wrong_name_is_told(real_models: Path, tmp_path: Path) -> None:
    renamed = tmp_path / "model.safetensors"
    shutil.copy(real_models / "embeddings/pnet.pt", renamed)
    document = inspect(renamed)
    assert (document["format"], [each["code"] for each in document["findings"]]) == (
        "torch_legacy",
        ["wrong_extension"],
    )


def sparse_checkpoint(path: Path, *, gib: int) -> int:
    """A checkpoint of Flux's shape and that size with no data on the disk; the length of its header."""
    block = "model.diffusion_model.double_blocks.{}.img_attn.{}.weight"
    names = ["model.diffusion_model.img_in.weight", "model.diffusion_model.guidance_in.in_layer.weight"]
    names += [block.format(number, part) for number in range(600) for part in ("qkv", "proj")]
    names += ["model.diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale"]
    names += ["first_stage_model.decoder.conv_in.weight", "cond_stage_model.logit_scale"]
    size = gib * GIB // len(names) // 128 * 128
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    for number, name in enumerate(names):
        header[name] = {
            "dtype": "F16",
            "shape": [size // 128, 64],
            "data_offsets": [number * size, (number + 1) * size],
        }
    start = framed(json.dumps(header).encode())
    path.write_bytes(start)
    os.truncate(path, len(start) + len(names) * size)
    return len(start)


def test_a_sparse_checkpoint_of_24_gb_costs_one_open_and_its_header(tmp_path: Path) -> None:
    path = tmp_path / "large.safetensors"
    header = sparse_checkpoint(path, gib=24)
    trace = tmp_path / "trace"
    strace = ("strace", "-f", "-y", "-o", str(trace), "-e", "trace=openat,open,read,pread64,mmap,readv")
    document = mlib("inspect", "--json", path, prefix=strace).json
    assert (document["format"], document["kind"], document["findings"]) == ("safetensors", "checkpoint", [])
    assert document["size_bytes"] > 23.9 * GIB
    lines = [line for line in trace.read_text().splitlines() if str(path) in line]
    opened = [line for line in lines if " open" in line]
    read = [int(line.rpartition("= ")[2]) for line in lines if " read(" in line or " pread64(" in line]
    assert len(opened) == 1, opened
    assert read
    # The start is looked at to tell the format, before the header is read.
    assert sum(read) <= header + 8192, lines
    assert len(lines) == len(opened) + len(read), lines
