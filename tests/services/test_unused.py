"""Under any doubt a model counts as used; what is left is told, and why files were not read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.tools import write_model
from tests.workflow_files import canvas, encoded, mp4, node, png, prompt, subgraph

from mlib.services.workflows.unused import unused

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

    from mlib.services.workflows.unused import UnusedReport

SPARE = "zz_spare.safetensors"


def left(shelf: Shelf, folder: Path, document: Any) -> list[str]:
    """The names of the models that are called unused where this is the only workflow."""
    return [model.name for model in report_of(shelf, folder, encoded(document)).models]


def report_of(shelf: Shelf, folder: Path, content: bytes, name: str = "flow.json") -> UnusedReport:
    flows = folder / "flows"
    flows.mkdir(exist_ok=True)
    (flows / name).write_bytes(content)
    return unused(shelf.library, [str(flows)])


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """The models folder of a ComfyUI, with a model that nothing names."""
    folder = tmp_path / "ComfyUI" / "models"
    write_model(folder / "checkpoints" / SPARE)
    return folder


def add(shelf: Shelf, models: Path, *paths: str) -> None:
    for path in paths:
        write_model(models / path, path)
    shelf.scan(comfyui=[str(models.parent)])


TEXTS = [
    "see tile_lora.safetensors",
    "C:\\models\\loras\\wan\\tile_lora.safetensors",
    "https://a.example/resolve/main/tile_lora.safetensors?download=true",
    "**TILE_LORA.safetensors**: put it into loras",
    "one.safetensors\ntile_lora.safetensors",
    "one.safetensors,tile_lora.safetensors",
    "用tile_lora.safetensors放大",
]


@pytest.mark.parametrize("text", TEXTS)
@pytest.mark.parametrize(
    "kind", ["Note", "MarkdownNote", "ShowText|pysssss", "SaveImage", "CLIPTextEncode", "Any"]
)
def test_any_text_that_holds_a_file_name_uses_it(
    shelf: Shelf, tmp_path: Path, models: Path, kind: str, text: str
) -> None:
    add(shelf, models, "loras/wan/tile_lora.safetensors")
    assert left(shelf, tmp_path, canvas(node(1, kind, text))) == [SPARE]


def test_so_does_a_text_anywhere_in_the_file(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "loras/tile lora.safetensors")
    for document in (
        canvas(node(1, "X", title="tile lora.safetensors")),
        canvas(groups=[{"title": "tile lora.safetensors"}]),
        canvas(extra={"info": {"description": "https://a.example/tile%20lora.safetensors"}}),
        canvas(models=[{"name": "tile lora.safetensors"}]),
        canvas(node(1, "X", {"tile lora.safetensors": True})),
        canvas(subgraphs=[subgraph(node(1, "Note", "tile lora.safetensors"))]),
        prompt(n1=("X", {"filename_prefix": "tile lora.safetensors"})),
    ):
        assert left(shelf, tmp_path, document) == [SPARE]


def test_what_could_have_been_chosen_is_not_used(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    """Files of ComfyUI's first year keep the whole list as the type of a socket, and of its link."""
    add(shelf, models, "loras/ink.safetensors", "loras/paper.safetensors")
    every = "ink.safetensors,paper.safetensors"
    widget = {"name": "lora_name", "config": [every.split(","), {}]}
    document = canvas(
        node(1, "PrimitiveNode", "ink.safetensors", outputs=[{"type": every, "widget": widget}]),
        node(2, "LoraLoader", "ink.safetensors", 1, 1, inputs=[{"type": every, "widget": widget, "link": 1}]),
    )
    document["links"] = [[1, 1, 0, 2, 0, every]]
    assert left(shelf, tmp_path, document) == ["paper.safetensors", SPARE]


@pytest.mark.parametrize(
    "value",
    ["tile_lora", "wan/tile_lora", "<lora:tile_lora:0.8>", "a cat <lora:wan\\tile_lora:1:2> on a mat",
     "one|tile_lora|two", "[tile_lora:0.5]", "lora:tile_lora:0.8, lora:x:1",
     {"rows": [{"file": "tile_lora"}]}],
)  # fmt: skip
def test_a_value_that_is_its_name_without_the_extension_uses_it(
    shelf: Shelf, tmp_path: Path, models: Path, value: Any
) -> None:
    add(shelf, models, "loras/wan/tile_lora.safetensors")
    assert left(shelf, tmp_path, canvas(node(1, "Any", value))) == [SPARE]
    assert left(shelf, tmp_path, prompt(n1=("Any", {"x": value}))) == [SPARE]


def test_a_model_with_an_extension_of_its_own_is_named_too(
    shelf: Shelf, tmp_path: Path, models: Path
) -> None:
    add(shelf, models, "tensorrt/fast upscaler.engine")
    for text in ("needs 'fast upscaler.engine' here", "fast upscaler.engine", "fast upscaler"):
        assert left(shelf, tmp_path, canvas(node(1, "Any", text))) == [SPARE]


def test_a_root_that_is_named_uses_all_in_it(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "loras/deep/a.safetensors", "loras/b.safetensors")
    document = canvas(node(1, "XY Input: LoRA Plot", "X", f"{models}/loras/"))
    assert left(shelf, tmp_path, document) == [SPARE]
    assert len(left(shelf, tmp_path, canvas(node(1, "Any", "loras")))) == 3


def test_its_hash_uses_it(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    sha256 = write_model(models / "loras" / "renamed.safetensors")
    add(shelf, models)
    for text in (
        sha256,
        sha256.upper(),
        f"Lora hashes: ink: {sha256[:12]}",
        f'"hash": "{sha256[:10].upper()}"',
    ):
        assert left(shelf, tmp_path, canvas(node(1, "Note", text))) == [SPARE]


def test_what_rgthree_would_take_at_last_is_used(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "loras/wan_tile_v2.safetensors")
    for kind in ("CLIPTextEncode", "ImpactWildcardEncode"):
        assert left(shelf, tmp_path, canvas(node(1, kind, "<lora:Tile:1>"))) == [
            "wan_tile_v2.safetensors", SPARE,
        ]  # fmt: skip
    assert left(shelf, tmp_path, canvas(node(1, "Power Prompt (rgthree)", "<lora:Tile:1>"))) == [SPARE]


def test_what_a_node_takes_by_its_stem_is_used(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "loras/sub/tile.pt", "vae/tile.ckpt")
    by_stem = node(1, "Power Lora Loader (rgthree)", {"on": True, "lora": "tile.safetensors"})
    assert left(shelf, tmp_path, canvas(by_stem)) == ["tile.ckpt", SPARE]
    by_name = node(2, "LoraLoader", "tile.safetensors", 1, 1)
    assert left(shelf, tmp_path, canvas(by_stem, by_name)) == ["tile.ckpt", SPARE]
    assert left(shelf, tmp_path, canvas(by_name)) == ["tile.ckpt", "tile.pt", SPARE]


@pytest.mark.parametrize(
    ("kind", "value", "folder"),
    [
        ("NunchakuFluxDiTLoader", "svdq-int4-flux.1-dev", "diffusion_models/svdq-int4-flux.1-dev"),
        ("Qwen2_VQA", "Qwen2.5-VL-7B-Instruct", "LLM/Qwen2.5-VL-7B-Instruct"),
        ("DownloadAndLoadFlorence2Model", "microsoft/Florence-2-large", "LLM/Florence-2-large"),
        ("SomeLoader", "microsoft/Florence-2-large", "LLM/models--microsoft--Florence-2-large/snapshots/1"),
        ("SomeLoader", "Florence-2-large", "odd/deeper/Florence-2-large/inner"),
        ("SomeLoader", "LLM/Florence-2-large", "LLM/Florence-2-large"),
        ("SomeLoader", "models\\LLM\\florence-2-large\\", "LLM/Florence-2-large"),
        ("SomeLoader", "one\nFlorence-2-large", "LLM/Florence-2-large"),
        ("SomeLoader", "sub/florence-2-LARGE", "LLM/sub/Florence-2-large"),
        ("SomeLoader", "./Florence-2-large/", "LLM/sub/Florence-2-large"),
        ("Note", "put it into models/LLM/Florence-2-large and restart", "LLM/Florence-2-large"),
        (
            "MarkdownNote",
            "- [model](https://huggingface.co/microsoft/Florence-2-large)",
            "LLM/Florence-2-large",
        ),
        ("MarkdownNote", "models/\n├── Florence-2-large/\n│   └── model", "LLM/Florence-2-large"),
    ],
)
def test_a_folder_that_is_named_uses_every_file_in_it(
    shelf: Shelf, tmp_path: Path, models: Path, kind: str, value: str, folder: str
) -> None:
    add(shelf, models, f"{folder}/model.safetensors", f"{folder}/text/pytorch_model.bin")
    assert left(shelf, tmp_path, canvas(node(1, kind, value, "fp16"))) == [SPARE]
    assert left(shelf, tmp_path, prompt(n1=(kind, {"a": value}))) == [SPARE]


@pytest.mark.parametrize("value", ["large", "model.bin", "", "../LLM", "microsoft/Florence-2"])
def test_another_folder_than_is_named_is_unused(
    shelf: Shelf, tmp_path: Path, models: Path, value: str
) -> None:
    add(shelf, models, "LLM/Florence-2-large/model.safetensors")
    assert left(shelf, tmp_path, canvas(node(1, "SomeLoader", value))) == ["model.safetensors", SPARE]


@pytest.mark.parametrize(
    "text", ["embedding:bad_hands", "ugly,(EMBEDDING:neg\\bad_hands:1.2)", "Embedding:bad_hands."]
)
def test_an_embedding_in_any_letters_is_used(shelf: Shelf, tmp_path: Path, models: Path, text: str) -> None:
    add(shelf, models, "embeddings/neg/bad_hands.pt")
    assert left(shelf, tmp_path, canvas(node(1, "CLIPTextEncode", text))) == [SPARE]
    assert left(shelf, tmp_path, prompt(n1=("CLIPTextEncode", {"text": text}))) == [SPARE]


def test_the_type_of_a_text_encoder_is_not_a_folder(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "loras/flux/a.safetensors")
    document = canvas(node(1, "DualCLIPLoader", "x.safetensors", "y.safetensors", "flux", "default"))
    assert left(shelf, tmp_path, document) == ["a.safetensors", SPARE]
    prose = canvas(node(1, "CLIPTextEncode", "flux, flux/a, a"))
    assert left(shelf, tmp_path, prose) == ["a.safetensors", SPARE]


PRESETS = (
    "ipadapter/ip-adapter-plus_sd15.safetensors", "clip_vision/CLIP-ViT-H-14-laion2B-s32B-b79K.safetensors",
    "loras/ipadapter/ip-adapter-faceid_sd15_lora.safetensors",
)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "preset"),
    [
        ("IPAdapterUnifiedLoader", "PLUS (high strength)"),
        ("IPAdapterUnifiedLoaderFaceID", "FACEID PLUS V2"),
        ("IPAdapterUnifiedLoaderCommunity", "Composition"),
        ("IPAdapterModelHelper //Inspire", "SD1.5 Plus"),
        ("easy ipadapterApply", "PLUS (high strength)"),
    ],
)
def test_a_preset_keeps_what_it_chooses_from(
    shelf: Shelf, tmp_path: Path, models: Path, kind: str, preset: str
) -> None:
    add(shelf, models, *PRESETS, "loras/ink.safetensors")
    assert left(shelf, tmp_path, canvas(node(1, kind, preset))) == ["ink.safetensors", SPARE]
    assert len(left(shelf, tmp_path, canvas(node(1, "CLIPTextEncode", preset)))) == 5


def test_a_node_keeps_the_folder_that_has_its_name(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "BiRefNet/pth/General.pth", "sams/sam.pth", "upscale_models/x.pth")
    assert left(shelf, tmp_path, canvas(node(1, "LayerMask: BiRefNetUltraV2", "best"))) == [
        "sam.pth", "x.pth", SPARE,
    ]  # fmt: skip


def test_a_preview_may_need_the_approximate_vae(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "vae_approx/taef1_decoder.safetensors")
    assert left(shelf, tmp_path, canvas(node(1, "KSampler", 1, "fixed", 20))) == [SPARE]
    assert len(left(shelf, tmp_path, canvas(node(1, "LoadImage", "a.png")))) == 2


def test_what_is_like_a_name_and_is_none_leaves_a_model_unused(
    shelf: Shelf, tmp_path: Path, models: Path
) -> None:
    add(shelf, models, "loras/tile.safetensors")
    for text in ("my-tile.safetensors", "xtile.safetensors", "tiles", "tile.pt"):
        assert left(shelf, tmp_path, canvas(node(1, "Any", text))) == ["tile.safetensors", SPARE]


def test_what_holds_no_workflow_is_counted_by_kind_and_is_no_failure(
    shelf: Shelf, tmp_path: Path, models: Path
) -> None:
    add(shelf, models)
    flows = tmp_path / "flows"
    flows.mkdir()
    for name, content in {
        "empty.json": b"",
        "pointer.json": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64 + b"\n",
        "._flow.json": b"\0\x05\x16\x07\0\2\0\0Mac OS X" + bytes(60),
        "other.json": b"{}",
        "settings.json": b'{"theme": "dark"}',
        "picture.png": png(),
        "clip.mp4": mp4(),
        "anim.gif": b"GIF89a",
        "README": b"x",
    }.items():
        (flows / name).write_bytes(content)
    report = report_of(shelf, tmp_path, encoded(canvas(node(1, "LoraLoader", SPARE))))
    assert (report.workflows, report.others, report.problems) == (1, 9, [])
    assert report.others_by_kind == {
        "empty_file": 1, "lfs_pointer": 1, "apple_double": 1, "json": 2, "png": 1, "mp4": 1, ".gif": 1,
        "no extension": 1,
    }  # fmt: skip
    assert report.models == []


def test_of_the_paths_of_a_model_those_come_first_that_are_there(
    shelf: Shelf, tmp_path: Path, models: Path
) -> None:
    for place in ("diffusion_models/a.safetensors", "loras/b.safetensors"):
        write_model(models / place, "one content")
    shelf.scan(comfyui=[str(models.parent)])
    gone = models / "diffusion_models"
    gone.rename(tmp_path / "unplugged")
    [model] = [
        each
        for each in report_of(shelf, tmp_path, encoded(canvas(node(1, "LoraLoader", SPARE)))).models
        if each.name != SPARE
    ]
    away = str(gone / "a.safetensors")
    assert (model.paths, model.offline) == ((str(models / "loras" / "b.safetensors"), away), (away,))


def test_videos_and_sounds_count_as_workflows(shelf: Shelf, tmp_path: Path, models: Path) -> None:
    add(shelf, models, "loras/ink.safetensors")
    video = mp4(workflow=canvas(node(1, "LoraLoader", "ink.safetensors")))
    report = report_of(shelf, tmp_path, video, name="clip.MOV")
    assert [model.name for model in report.models] == [SPARE]
