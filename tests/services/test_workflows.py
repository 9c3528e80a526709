"""Checking workflows against a library, and finding what none of them names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.services.shelf import Shelf, remove
from tests.tools import write_model
from tests.workflow_files import canvas, encoded, node, png, text_chunk

from mlib.core.errors import NotFound, Refused
from mlib.core.records import OtherHashes
from mlib.db import contents
from mlib.services.workflows.checking import check
from mlib.services.workflows.unused import unused

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.services.workflows.checking import NeedAnswer


def save(folder: Path, *nodes: Any, name: str = "flow.json") -> str:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(encoded(canvas(*nodes)))
    return str(path)


def lora(name: str, **more: Any) -> Any:
    return node(3, "LoraLoader", name, 1, 1, **more)


def answer(shelf: Shelf, tmp_path: Path, *nodes: Any) -> NeedAnswer:
    [checked] = check(shelf.library, [save(tmp_path, *nodes)]).files
    [only] = checked.answers
    return only


def suggested(found: NeedAnswer) -> list[tuple[str, str]]:
    return [(os.path.basename(each.place.path), each.why) for each in found.suggestions]


def test_a_model_is_found_by_the_name_its_loader_knows_it_by(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = write_model(shelf.loras / "styles" / "ink.safetensors")
    shelf.scan()
    found = answer(shelf, tmp_path, lora("styles/ink.safetensors"))
    assert (found.match.state, found.match.places[0].sha256) == ("found", sha256)
    assert found.match.places[0].path == str(shelf.loras / "styles" / "ink.safetensors")


@pytest.mark.parametrize(
    "name",
    [
        *("Styles/INK.safetensors", "styles/ink.SAFETENSORS", r"styles\ink.safetensors"),
        *("./styles/ink.safetensors", "styles//ink.safetensors", "styles/./ink.safetensors"),
    ],
)
def test_the_name_in_other_letters_is_suggested_and_not_found(
    shelf: Shelf, tmp_path: Path, name: str
) -> None:
    """ComfyUI takes a value only as it stands in its list."""
    write_model(shelf.loras / "styles" / "ink.safetensors")
    write_model(shelf.loras / "ink.safetensors", "another")
    shelf.scan()
    found = answer(shelf, tmp_path, lora(name))
    assert found.match.state == "missing"
    assert [(each.place.loader_name, each.why) for each in found.suggestions] == [
        ("styles/ink.safetensors", "case"),
        ("ink.safetensors", "name"),
    ]


def test_the_very_name_goes_before_one_in_another_case(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "INK.safetensors")
    sha256 = write_model(shelf.loras / "ink.safetensors")
    shelf.scan()
    found = answer(shelf, tmp_path, lora("ink.safetensors"))
    assert (found.match.state, found.match.places[0].sha256) == ("found", sha256)
    assert answer(shelf, tmp_path, lora("Ink.safetensors")).match.state == "missing"


def test_a_file_in_another_folder_is_missing_and_suggested(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "styles" / "ink.safetensors")
    write_model(shelf.vae / "ink.safetensors", "another")
    shelf.scan()
    found = answer(shelf, tmp_path, lora("ink.safetensors"))
    assert found.match.state == "missing"
    assert [each.place.loader_name for each in found.suggestions] == [
        "styles/ink.safetensors",
        "ink.safetensors",
    ]
    assert {each.why for each in found.suggestions} == {"name"}


def test_a_node_nobody_knows_may_mean_any_folder(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "bbox" / "face.pt")
    shelf.scan()
    assert answer(shelf, tmp_path, node(1, "X", "bbox/face.pt")).match.state == "found"
    assert answer(shelf, tmp_path, node(1, "X", "face.pt")).match.state == "found"
    assert answer(shelf, tmp_path, node(1, "X", "loras/bbox/face.pt")).match.state == "found"
    assert answer(shelf, tmp_path, node(1, "X", "other/face.pt")).match.state == "missing"
    assert answer(shelf, tmp_path, node(1, "X", str(shelf.loras / "bbox/face.pt"))).match.state == "found"


def test_two_contents_of_one_loader_name_are_ambiguous_and_the_first_folder_goes_first(
    shelf: Shelf, tmp_path: Path
) -> None:
    more = tmp_path / "a-more"
    shelf.add_root("loras", more)
    first = write_model(shelf.loras / "ink.safetensors")
    write_model(more / "ink.safetensors", "another")
    shelf.scan()
    found = answer(shelf, tmp_path, lora("ink.safetensors"))
    assert found.match.state == "ambiguous"
    assert found.match.places[0].sha256 == first


def test_two_copies_of_one_content_are_one(shelf: Shelf, tmp_path: Path) -> None:
    more = tmp_path / "more"
    shelf.add_root("loras", more)
    for folder in (shelf.loras, more):
        write_model(folder / "ink.safetensors", "same")
    shelf.scan()
    assert answer(shelf, tmp_path, lora("ink.safetensors")).match.state == "found"


def test_the_hash_a_workflow_gives_leads_to_the_file_under_another_name(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = write_model(shelf.loras / "renamed.safetensors")
    shelf.scan()
    declared = [{"name": "ink.safetensors", "hash": sha256.upper(), "hash_type": "SHA256"}]
    found = answer(shelf, tmp_path, lora("ink.safetensors", models=declared))
    assert (found.match.state, suggested(found), found.is_as_meant) == (
        "missing", [("renamed.safetensors", "hash")], None,
    )  # fmt: skip


def test_a_file_of_the_name_with_other_bytes_than_the_workflow_means_is_told(
    shelf: Shelf, tmp_path: Path
) -> None:
    write_model(shelf.loras / "ink.safetensors")
    shelf.scan()
    found = answer(
        shelf, tmp_path, lora("ink.safetensors", models=[{"name": "ink.safetensors", "hash": "a" * 64}])
    )
    assert (found.match.state, found.is_as_meant) == ("found", False)


def test_what_lay_there_is_followed_to_where_it_is_now_and_to_its_equals(
    shelf: Shelf, tmp_path: Path
) -> None:
    path = shelf.loras / "ink.safetensors"
    sha256 = write_model(path)
    shelf.scan()
    twin = write_model(shelf.loras / "other.safetensors", "other")
    shelf.scan()
    path.rename(shelf.vae / "b.safetensors")
    shelf.scan()
    with shelf.library.transaction():
        # A scan that knows what moved drops the old row: put it back, as it is after a copy and a removal.
        shelf.library.execute(
            "INSERT INTO files (directory, name, sha256, root_id, missing_since) SELECT ?, ?, ?, root_id, 1"
            " FROM files WHERE directory = ? LIMIT 1",
            [str(shelf.loras), "ink.safetensors", sha256, str(shelf.loras)],
        )
        for each in (sha256, twin):
            contents.put_hashes(shelf.library, each, OtherHashes(autov3="c" * 64))
    found = answer(shelf, tmp_path, lora("ink.safetensors"))
    assert suggested(found) == [("b.safetensors", "moved"), ("other.safetensors", "weights")]


def test_the_name_in_the_url_is_suggested(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "as it was.safetensors")
    shelf.scan()
    url = "https://a.example/x/as%20it%20was.safetensors?download=true"
    found = answer(shelf, tmp_path, lora("zz.safetensors", models=[{"name": "zz.safetensors", "url": url}]))
    assert suggested(found) == [("as it was.safetensors", "download")]


def test_a_name_much_like_it_in_the_same_type_is_suggested(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "ink_wash_v3_fp16.safetensors")
    write_model(shelf.vae / "ink_wash_v3_fp8.safetensors")
    write_model(shelf.loras / "unlike_fp8.safetensors")
    shelf.scan()
    found = answer(shelf, tmp_path, lora("ink_wash_v3_fp8_scaled.safetensors"))
    assert suggested(found) == [("ink_wash_v3_fp16.safetensors", "similar")]


def test_an_embedding_in_a_prompt_needs_no_extension(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "embeddings"
    shelf.add_root("embeddings", folder)
    write_model(folder / "bad" / "hands.v2.safetensors")
    shelf.scan()
    text = node(1, "CLIPTextEncode", "embedding:bad/hands.v2, embedding:gone")
    [checked] = check(shelf.library, [save(tmp_path, text)]).files
    assert [each.match.state for each in checked.answers] == ["found", "missing"]


def test_a_folder_of_parts_is_found_whole(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "diffusers"
    shelf.add_root("diffusers", folder)
    parts = {write_model(folder / "sd" / part / "x.safetensors", part) for part in ("unet", "vae")}
    shelf.scan()
    found = answer(shelf, tmp_path, node(1, "DiffusersLoader", "sd"))
    assert {place.sha256 for place in found.match.places} == parts
    assert found.match.state == "found"
    assert answer(shelf, tmp_path, node(1, "DiffusersLoader", "s")).match.state == "missing"


def test_old_names_of_folder_types_are_the_new_ones(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "unet"
    shelf.add_root("unet", folder)
    write_model(folder / "a.gguf")
    shelf.scan()
    assert answer(shelf, tmp_path, node(1, "UnetLoaderGGUF", "a.gguf")).match.state == "found"


@pytest.mark.parametrize("folder", ["Lora", "LORAS", "Loras"])
def test_a_folder_in_other_letters_is_another_type_for_comfyui(
    shelf: Shelf, tmp_path: Path, folder: str
) -> None:
    comfyui = tmp_path / "ComfyUI"
    write_model(comfyui / "models" / folder / "sub" / "there.safetensors")
    (comfyui / "models" / "checkpoints").mkdir(parents=True)
    shelf.scan(comfyui=[str(comfyui)])
    found = answer(shelf, tmp_path, lora("sub/there.safetensors"))
    assert found.match.state == "missing"
    assert suggested(found) == [("there.safetensors", "name")]
    assert answer(shelf, tmp_path, node(1, "Unknown", "sub/there.safetensors")).match.state == "found"


def test_a_key_of_the_yaml_in_other_letters_is_another_type_for_comfyui(shelf: Shelf, tmp_path: Path) -> None:
    write_model(tmp_path / "nas" / "there.safetensors")
    write_model(tmp_path / "unets" / "unet.safetensors")
    yaml = tmp_path / "extra.yaml"
    yaml.write_text(f"a:\n  LORAS: {tmp_path / 'nas'}\n  unet: {tmp_path / 'unets'}\n")
    shelf.scan(extra_paths=[str(yaml)])
    assert answer(shelf, tmp_path, lora("there.safetensors")).match.state == "missing"
    assert answer(shelf, tmp_path, node(1, "UNETLoader", "unet.safetensors")).match.state == "found"


def test_a_name_in_a_lora_tag_is_found_by_its_end(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = write_model(shelf.loras / "wan" / "sub" / "tile_lora.safetensors")
    write_model(shelf.loras / "my_tile_lora.safetensors", "another")
    write_model(shelf.vae / "tile_lora.safetensors", "a VAE")
    shelf.scan()
    row = {"name": "tile_lora", "active": True}
    deeper = {"name": r"sub\tile_lora", "active": True}
    elsewhere = {"on": True, "lora": "old/place/tile_lora.safetensors"}
    for each in (
        node(1, "ImpactWildcardEncode", "<lora:tile_lora:1>"),
        node(1, "WildcardEncode //Inspire", "<lora:tile_lora.safetensors:1>"),
        node(1, "Power Prompt (rgthree)", "<lora:sub/tile_lora:0.5>"),
        node(1, "Power Lora Loader (rgthree)", {}, elsewhere, ""),
        node(1, "Lora Loader (LoraManager)", "", [row]),
        node(1, "Lora Loader (LoraManager)", "", [deeper]),
    ):
        found = answer(shelf, tmp_path, each)
        assert (found.match.state, [place.sha256 for place in found.match.places]) == ("found", [sha256])
    for each in (
        lora("tile_lora.safetensors"),
        node(1, "ImpactWildcardEncode", "<lora:other/tile_lora:1>"),
        node(1, "Power Lora Loader (rgthree)", {"on": True, "lora": r"wan\sub\tile_lora.safetensors"}),
        node(1, "Lora Loader Stack (rgthree)", "tile_lora.safetensors", 1),
    ):
        assert answer(shelf, tmp_path, each).match.state == "missing"
    other = write_model(shelf.loras / "flux" / "tile_lora.safetensors", "other bytes")
    shelf.scan()
    found = answer(shelf, tmp_path, node(1, "ImpactWildcardEncode", "<lora:tile_lora:1>"))
    assert found.match.state == "ambiguous"
    assert {place.sha256 for place in found.match.places} == {sha256, other}
    found = answer(shelf, tmp_path, node(1, "ImpactWildcardEncode", "<lora:flux/tile_lora:1>"))
    assert [place.sha256 for place in found.match.places] == [other]


def test_nodes_that_go_by_the_stem_take_another_extension(shelf: Shelf, tmp_path: Path) -> None:
    """rgthree's power_prompt_utils.py `get_lora_by_filename`, LoRA Manager's utils.py `get_lora_info`."""
    at_the_top = write_model(shelf.loras / "ink.pt", "top")
    below = write_model(shelf.loras / "wan" / "ink.safetensors", "below")
    only = write_model(shelf.loras / "wan" / "pen.ckpt", "only")
    shelf.scan()
    row = {"name": "pen.safetensors", "active": True}
    for each, sha256 in (
        (node(1, "Power Lora Loader (rgthree)", {"on": True, "lora": "ink.safetensors"}), at_the_top),
        (node(1, "Power Lora Loader (rgthree)", {"on": True, "lora": "wan/ink.pt"}), below),
        (node(1, "Power Lora Loader (rgthree)", {"on": True, "lora": "old/pen.safetensors"}), only),
        (node(1, "Power Prompt (rgthree)", "<lora:pen.safetensors:1>"), only),
        (node(1, "Lora Loader (LoraManager)", "", [row]), only),
    ):
        found = answer(shelf, tmp_path, each)
        assert (found.match.state, [place.sha256 for place in found.match.places]) == ("found", [sha256])
    missing = (
        lora("ink.safetensors"),
        node(1, "Lora Loader Stack (rgthree)", "pen.safetensors", 1),
        node(1, "Power Lora Loader (rgthree)", {"on": True, "lora": "INK.safetensors"}),
        node(1, "ImpactWildcardEncode", "<lora:pen.safetensors:1>"),
    )
    for each in missing:
        assert answer(shelf, tmp_path, each).match.state == "missing"


def test_an_embedding_is_found_in_any_subfolder_and_by_comfyuis_order_of_extensions(
    shelf: Shelf, tmp_path: Path
) -> None:
    folder = tmp_path / "embeddings"
    shelf.add_root("embeddings", folder)
    first = write_model(folder / "neg" / "bad_pictures.safetensors")
    write_model(folder / "neg" / "bad_pictures.pt", "older")
    write_model(folder / "neg" / "odd.ckpt", "no extension that is tried")
    shelf.scan()
    for text in (
        "embedding:bad_pictures",
        "embedding:neg/bad_pictures",
        "embedding:bad_pictures.safetensors",
    ):
        found = answer(shelf, tmp_path, node(1, "CLIPTextEncode", text))
        assert (found.match.state, [place.sha256 for place in found.match.places]) == ("found", [first])
    for text in (
        "embedding:odd",
        "embedding:pictures",
        "embedding:Bad_pictures",
        r"embedding:neg\bad_pictures",
    ):
        assert answer(shelf, tmp_path, node(1, "CLIPTextEncode", text)).match.state == "missing"
    write_model(folder / "pos" / "bad_pictures.bin", "another")
    shelf.scan()
    found = answer(shelf, tmp_path, node(1, "CLIPTextEncode", "embedding:bad_pictures"))
    assert (found.match.state, len(found.match.places)) == ("ambiguous", 2)


def test_a_root_within_another_is_listed_by_both(shelf: Shelf, tmp_path: Path) -> None:
    sha256 = write_model(shelf.loras / "wan" / "deep" / "w.safetensors")
    write_model(shelf.loras / "top.safetensors", "top")
    shelf.add_root("loras", shelf.loras / "wan")
    shelf.add_root("checkpoints", shelf.loras / "wan" / "deep")
    shelf.scan()
    for each in (
        lora("wan/deep/w.safetensors"),
        lora("deep/w.safetensors"),
        node(1, "CheckpointLoaderSimple", "w.safetensors"),
        node(1, "NobodyKnows", "w.safetensors"),
    ):
        found = answer(shelf, tmp_path, each)
        assert (found.match.state, [place.sha256 for place in found.match.places]) == ("found", [sha256])
    assert found.match.places[0].path == str(shelf.loras / "wan" / "deep" / "w.safetensors")
    missing = answer(shelf, tmp_path, lora("w.safetensors"))
    assert (missing.match.state, missing.suggestions[0].place.type) == ("missing", "loras")
    assert (
        answer(shelf, tmp_path, node(1, "CheckpointLoaderSimple", "top.safetensors")).match.state == "missing"
    )


def test_the_folders_of_node_packs_may_be_roots_of_their_own(shelf: Shelf, tmp_path: Path) -> None:
    """As an extra_model_paths.yaml gives them, or a root that is named: the node puts `bbox/` before."""
    shelf.add_root("ultralytics_bbox", tmp_path / "detectors")
    shelf.add_root("xlabs_loras", tmp_path / "xlabs")
    write_model(tmp_path / "detectors" / "face.pt")
    write_model(tmp_path / "xlabs" / "furry.safetensors", "furry")
    shelf.scan()
    for kind, name, state in (
        ("UltralyticsDetectorProvider", "bbox/face.pt", "found"),
        ("UltralyticsDetectorProvider", "segm/face.pt", "missing"),
        ("UltralyticsDetectorProvider", "face.pt", "missing"),
        ("FluxLoraLoader", "furry.safetensors", "found"),
    ):
        assert answer(shelf, tmp_path, node(1, kind, name)).match.state == state


@pytest.mark.parametrize(
    ("kind", "folder", "name", "lists_it"),
    [
        ("UNETLoader", "diffusion_models", "flux-Q4.gguf", False),
        ("UnetLoaderGGUF", "diffusion_models", "flux-Q4.GGUF", True),
        ("UnetLoaderGGUFDisTorchMultiGPU", "diffusion_models", "flux-Q4.gguf", True),
        ("UnetLoaderGGUF", "diffusion_models", "flux.safetensors", False),
        ("DiffusionModelLoaderKJ", "diffusion_models", "flux-Q4.gguf", False),
        ("GGUFLoaderKJ", "diffusion_models", "flux-Q4.gguf", True),
        ("WanVideoModelLoader", "diffusion_models", "wan-Q4.gguf", True),
        ("CLIPLoader", "text_encoders", "t5-Q4.gguf", False),
        ("DualCLIPLoader", "text_encoders", "t5-Q4.gguf", False),
        ("DualCLIPLoaderGGUF", "text_encoders", "t5-Q4.gguf", True),
        ("DualCLIPLoaderGGUF", "text_encoders", "t5.safetensors", True),
        ("LoraLoader", "loras", "ink.onnx", False),
        ("VAELoader", "vae", "ae.gguf", False),
        ("ONNXDetectorProvider", "onnx", "face.onnx", True),
        ("NobodyKnows", "diffusion_models", "flux-Q4.gguf", True),
    ],
)
def test_a_loader_finds_only_the_extensions_that_it_lists(
    shelf: Shelf, tmp_path: Path, kind: str, folder: str, name: str, lists_it: bool
) -> None:
    sha256 = write_model(tmp_path / "ComfyUI" / "models" / folder / name)
    shelf.scan(comfyui=[str(tmp_path / "ComfyUI")])
    found = answer(shelf, tmp_path, node(1, kind, name, "default"))
    assert found.need.listed is lists_it
    assert found.match.state == ("found" if lists_it else "missing")
    assert [each.place.sha256 for each in found.suggestions] == ([] if lists_it else [sha256])
    assert not unused(shelf.library, [str(tmp_path)]).models


def test_one_file_may_be_listed_by_one_node_and_not_by_another(shelf: Shelf, tmp_path: Path) -> None:
    write_model(tmp_path / "ComfyUI" / "models" / "unet" / "flux-Q4.gguf")
    shelf.scan(comfyui=[str(tmp_path / "ComfyUI")])
    nodes = (node(1, "UNETLoader", "flux-Q4.gguf"), node(2, "UnetLoaderGGUF", "flux-Q4.gguf"))
    report = check(shelf.library, [save(tmp_path, *nodes)])
    assert [(each.match.state, each.need.nodes) for each in report.answers] == [
        ("missing", ("1",)), ("found", ("2",)),
    ]  # fmt: skip


def test_the_folders_of_node_packs_are_searched(shelf: Shelf, tmp_path: Path) -> None:
    xlabs = tmp_path / "ComfyUI" / "models" / "xlabs"
    write_model(xlabs / "loras" / "furry.safetensors")
    write_model(xlabs / "controlnets" / "canny.safetensors", "canny")
    write_model(shelf.loras / "plain.safetensors")
    shelf.scan(comfyui=[str(tmp_path / "ComfyUI")])
    assert answer(shelf, tmp_path, node(1, "FluxLoraLoader", "furry.safetensors")).match.state == "found"
    found = answer(shelf, tmp_path, node(1, "LoadFluxControlNet", "flux-dev", "canny.safetensors"))
    assert found.match.state == "found"
    assert answer(shelf, tmp_path, node(1, "FluxLoraLoader", "plain.safetensors")).match.state == "missing"
    assert answer(shelf, tmp_path, lora("furry.safetensors")).match.state == "missing"


@pytest.mark.parametrize(
    ("kind", "folder", "values"),
    [
        ("NunchakuFluxDiTLoader", "diffusion_models/svdq-int4-flux.1-dev", ["svdq-int4-flux.1-dev", 0]),
        ("Qwen2_VQA", "LLM/Qwen2.5-VL-7B-Instruct", ["what?", "Qwen2.5-VL-7B-Instruct"]),
        ("DownloadAndLoadFlorence2Model", "LLM/Florence-2-large", ["microsoft/Florence-2-large", "fp16"]),
        ("DownloadAndLoadFlorence2Model", "LLM/models--a--Florence/snapshots/1", ["a/Florence", "fp16"]),
    ],
)
def test_a_folder_that_a_node_names_is_found_with_all_its_files(
    shelf: Shelf, tmp_path: Path, kind: str, folder: str, values: list[str]
) -> None:
    models = tmp_path / "ComfyUI" / "models"
    parts = {write_model(models / folder / name) for name in ("one.safetensors", "deep/two.safetensors")}
    write_model(models / "LLM" / "other" / "x.safetensors")
    shelf.scan(comfyui=[str(tmp_path / "ComfyUI")])
    found = answer(shelf, tmp_path, node(1, kind, *values))
    assert (found.match.state, {place.sha256 for place in found.match.places}) == ("found", parts)


def test_what_a_node_downloads_by_itself_is_not_missing(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    path = save(
        tmp_path,
        node(1, "RIFE VFI", "rife47.pth", 10),
        node(2, "DWPreprocessor", "enable", "yolox_l.onnx", "dw-ll_ucoco_384_bs5.torchscript.pt"),
        node(3, "DownloadAndLoadFlorence2Model", "microsoft/Florence-2-large"),
    )
    report = check(shelf.library, [path])
    assert (report.count("automatic"), report.count("missing"), report.is_complete) == (4, 0, True)
    write_model(shelf.loras / "rife47.pth")
    shelf.scan()
    assert check(shelf.library, [path]).count("found") == 1


def test_without_a_library_is_told_what_is_needed(tmp_path: Path) -> None:
    path = save(tmp_path, lora("a.pt"), node(4, "VAELoader", "b.pt"), node(5, "Note", "c.pt"))
    report = check(None, [path])
    assert [(each.need.name, each.need.type, each.match.state) for each in report.answers] == [
        ("a.pt", "loras", "unknown"), ("b.pt", "vae", "unknown"),
    ]  # fmt: skip
    assert not report.is_complete
    assert check(None, [save(tmp_path, node(1, "Note", "x"), node(2, "RIFE VFI", "x.pth"))]).is_complete


def test_what_no_scan_has_seen_yet_is_found_where_the_loader_lists_it(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "known.safetensors")
    shelf.scan()
    write_model(shelf.loras / "sub" / "new.safetensors", "new")
    (shelf.loras / "folder.safetensors").mkdir()
    (shelf.loras / "link.safetensors").symlink_to(tmp_path / "nowhere")
    (shelf.loras / "empty.safetensors").touch()
    found = answer(shelf, tmp_path, lora("sub/new.safetensors"))
    assert (found.match.state, found.is_as_meant, found.suggestions) == ("found", None, ())
    [place] = found.match.places
    assert (place.path, place.sha256) == (str(shelf.loras / "sub" / "new.safetensors"), "")
    for each in (
        lora("Sub/new.safetensors"),
        lora("new.safetensors"),
        lora("./sub/new.safetensors"),
        lora("../loras/sub/new.safetensors"),
        lora("folder.safetensors"),
        lora("link.safetensors"),
        lora("empty.safetensors"),
        node(1, "VAELoader", "sub/new.safetensors"),
    ):
        assert answer(shelf, tmp_path, each).match.state == "missing"


def test_a_folder_that_two_links_lead_to_is_listed_by_both(shelf: Shelf, tmp_path: Path) -> None:
    """A scan goes through it once, a loader each time."""
    sha256 = write_model(tmp_path / "store" / "n.safetensors")
    (shelf.loras / "a").symlink_to(tmp_path / "store")
    (shelf.loras / "b").symlink_to(tmp_path / "store")
    shelf.scan()
    for name in ("a/n.safetensors", "b/n.safetensors"):
        found = answer(shelf, tmp_path, lora(name))
        assert (found.match.state, [place.sha256 for place in found.match.places]) == ("found", [sha256])
        assert found.match.places[0].path == str(shelf.loras / name)


def test_a_missing_file_is_not_found(shelf: Shelf, tmp_path: Path) -> None:
    path = shelf.loras / "ink.safetensors"
    write_model(path)
    write_model(shelf.loras / "other.safetensors")
    shelf.scan()
    remove([path])
    shelf.scan()
    assert answer(shelf, tmp_path, lora("ink.safetensors")).match.state == "missing"


def test_what_is_found_is_there_now(shelf: Shelf, tmp_path: Path) -> None:
    path = shelf.loras / "ink.safetensors"
    write_model(path)
    write_model(shelf.loras / "ink_v2.safetensors")
    write_model(shelf.vae / "ink.safetensors", "another")
    shelf.scan()
    assert answer(shelf, tmp_path, lora("ink.safetensors")).match.state == "found"
    remove([path, shelf.loras / "ink_v2.safetensors"])
    found = answer(shelf, tmp_path, lora("ink.safetensors"))
    assert (found.match.state, found.match.places) == ("missing", ())
    assert [each.place.path for each in found.suggestions] == [str(shelf.vae / "ink.safetensors")]
    copy = shelf.loras.parent / "more"
    shelf.add_root("loras", copy)
    write_model(path, "one")
    write_model(copy / "ink.safetensors", "two")
    shelf.scan()
    assert answer(shelf, tmp_path, lora("ink.safetensors")).match.state == "ambiguous"
    remove([path])
    assert answer(shelf, tmp_path, lora("ink.safetensors")).match.state == "found"


def test_what_is_bypassed_is_left_out_unless_it_is_asked_for(shelf: Shelf, tmp_path: Path) -> None:
    path = save(tmp_path, lora("a.pt", mode=4), node(4, "VAELoader", "b.pt"))
    [checked] = check(shelf.library, [path]).files
    assert ([each.need.name for each in checked.answers], checked.left_out) == (["b.pt"], 1)
    [checked] = check(shelf.library, [path], with_bypassed=True).files
    assert (len(checked.answers), checked.left_out) == (2, 0)


def test_files_that_cannot_be_read_are_problems(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text("{")
    os.mkfifo(tmp_path / "fifo.json")
    paths = [str(tmp_path / name) for name in ("bad.json", "fifo.json", "none.json", ".", "a\0b")]
    report = check(shelf.library, [*paths, "", save(tmp_path, lora("a.pt"))])
    assert [problem.code for problem in report.problems] == [
        "bad_json", "not_a_file", "no_such_path", "not_a_file", "no_such_path", "no_such_path",
    ]  # fmt: skip
    assert (report.count("missing"), report.is_complete) == (1, False)


def test_models_that_no_workflow_names_are_unused_the_most_bytes_first(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "used.safetensors")
    small = write_model(shelf.loras / "small.safetensors", size=100)
    big = write_model(shelf.vae / "big.safetensors", size=1000)
    write_model(shelf.loras / "copied.safetensors", "small.safetensors", size=100)
    os.link(shelf.vae / "big.safetensors", shelf.vae / "linked.safetensors")
    shelf.scan()
    save(tmp_path / "flows", lora("used.safetensors"))
    report = unused(shelf.library, [str(tmp_path / "flows")])
    assert [(model.sha256, model.disk_bytes) for model in report.models] == [
        (big, (shelf.vae / "big.safetensors").stat().st_size),
        (small, 2 * (shelf.loras / "small.safetensors").stat().st_size),
    ]
    assert (report.examined, report.workflows, report.others, report.problems) == (3, 1, 0, [])
    assert report.disk_bytes == sum(model.disk_bytes for model in report.models)


def test_a_model_is_used_under_any_doubt(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "bypassed.safetensors")
    write_model(shelf.loras / "deeper" / "Moved.safetensors")
    write_model(shelf.vae / "elsewhere.safetensors")
    by_hash = write_model(shelf.vae / "by-hash.safetensors")
    write_model(shelf.loras / "in-image.safetensors")
    write_model(shelf.loras / "tagged.safetensors")
    rest = write_model(shelf.loras / "rest.safetensors")
    shelf.scan()
    flows = tmp_path / "flows" / "deep" / "er"
    save(
        flows,
        lora("bypassed.safetensors", mode=2),
        lora("moved.safetensors"),
        lora("elsewhere.safetensors"),
        lora("gone.safetensors", models=[{"name": "gone.safetensors", "hash": by_hash}]),
        node(8, "Wildcards", "<lora:tagged:1>"),
    )
    (flows / "x.png").write_bytes(png(text_chunk("workflow", canvas(lora("in-image.safetensors")))))
    (flows / "picture.PNG").write_bytes(png())
    (flows / "other.json").write_text("{}")
    (flows / "bad.json").write_text("{")
    report = unused(shelf.library, [str(tmp_path / "flows")])
    assert [model.sha256 for model in report.models] == [rest]
    assert (report.workflows, report.others, [each.code for each in report.problems]) == (2, 2, ["bad_json"])


def test_links_are_followed_once_and_loops_end(shelf: Shelf, tmp_path: Path) -> None:
    write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    flows = tmp_path / "flows"
    save(tmp_path / "away", lora("a.safetensors"))
    flows.mkdir()
    (flows / "there").symlink_to(tmp_path / "away")
    (flows / "again").symlink_to(tmp_path / "away")
    (flows / "loop").symlink_to(flows)
    (flows / "broken.json").symlink_to("nowhere")
    report = unused(shelf.library, [str(flows), str(flows / "there")])
    assert (report.workflows, report.models, report.problems) == (1, [], [])


def test_only_the_models_asked_for_are_looked_at(shelf: Shelf, tmp_path: Path) -> None:
    first, _ = (write_model(shelf.loras / name) for name in ("a.safetensors", "b.safetensors"))
    shelf.scan()
    path = save(tmp_path / "flows", lora("c.safetensors"))
    report = unused(shelf.library, [path], among={first})
    assert ([model.sha256 for model in report.models], report.examined) == ([first], 1)


def test_a_model_without_a_file_takes_no_room(shelf: Shelf, tmp_path: Path) -> None:
    for name in ("a.safetensors", "b.safetensors"):
        write_model(shelf.loras / name)
    shelf.scan()
    remove([shelf.loras / "a.safetensors"])
    shelf.scan()
    report = unused(shelf.library, [save(tmp_path, lora("b.safetensors"))])
    assert (report.models, report.examined) == ([], 1)


def test_without_any_workflow_nothing_is_called_unused(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(Refused) as refused:
        unused(shelf.library, [str(tmp_path / "empty")])
    assert refused.value.code == "no_workflows"
    with pytest.raises(NotFound):
        unused(shelf.library, [str(tmp_path / "nowhere")])
    with pytest.raises(NotFound):
        unused(shelf.library, [""])
