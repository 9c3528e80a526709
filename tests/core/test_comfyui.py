from __future__ import annotations

import pytest

from mlib.core.comfyui.folders import (
    BUILT_IN_FOLDERS,
    MODEL_EXTENSIONS,
    NO_MODEL_EXTENSIONS,
    OUTPUT_FOLDERS,
    SKIPPED_TYPES,
    TYPE_ALIASES,
    TYPE_FOLDERS,
    canonical_type,
    is_model_name,
    is_type_name,
)


def test_the_folders_of_a_type_stand_in_the_order_comfyui_searches_them() -> None:
    assert TYPE_FOLDERS["text_encoders"] == ("text_encoders", "clip")
    assert TYPE_FOLDERS["diffusion_models"] == ("unet", "diffusion_models")
    assert TYPE_FOLDERS["controlnet"] == ("controlnet", "t2i_adapter")
    others = set(TYPE_FOLDERS) - {"text_encoders", "diffusion_models", "controlnet"}
    assert {"checkpoints", "loras", "vae", "embeddings", "upscale_models", "detection"} <= others
    assert all(TYPE_FOLDERS[kind] == (kind,) for kind in others)


def test_no_folder_belongs_to_two_types() -> None:
    assert sum(map(len, TYPE_FOLDERS.values())) == len(BUILT_IN_FOLDERS)


def test_types_without_models_are_no_built_in_types() -> None:
    assert {"configs", "custom_nodes", "datasets", "fonts", "download_model_base"} == SKIPPED_TYPES
    assert BUILT_IN_FOLDERS.isdisjoint(SKIPPED_TYPES)


def test_every_alias_and_output_folder_leads_to_a_built_in_type() -> None:
    assert set(TYPE_ALIASES.values()) <= set(TYPE_FOLDERS)
    assert {canonical_type(folder) for folder in OUTPUT_FOLDERS} <= set(TYPE_FOLDERS)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("unet", "diffusion_models"),
        ("clip", "text_encoders"),
        ("t2i_adapter", "controlnet"),
        ("checkpoint", "checkpoints"),
        ("Checkpoint", "checkpoints"),
        ("LORA", "loras"),
        ("embedding", "embeddings"),
        ("VAE", "vae"),
        ("upscale", "upscale_models"),
        ("Upscaler", "upscale_models"),
        ("hypernetwork", "hypernetworks"),
        ("textual_inversion", "embeddings"),
        ("TextualInversion", "embeddings"),
        ("  loras\n", "loras"),
    ],
)
def test_a_type_in_other_words_becomes_the_folder_key(given: str, expected: str) -> None:
    assert canonical_type(given) == expected


@pytest.mark.parametrize("kind", sorted(TYPE_FOLDERS))
def test_a_folder_key_is_its_own_canonical_name(kind: str) -> None:
    assert canonical_type(kind) == kind


def test_an_unknown_type_is_stripped_and_otherwise_kept() -> None:
    assert canonical_type(" My Models ") == "My Models"
    assert canonical_type("IPAdapter-Flux") == "IPAdapter-Flux"


@pytest.mark.parametrize("name", ["loras", "My Models", "模型", "a/b"])
def test_a_visible_name_can_be_a_type(name: str) -> None:
    assert is_type_name(name)


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\x1b[31m", "a\0", "a\udc80", "a\u202eb"])
def test_blank_names_control_characters_and_stray_bytes_are_no_types(name: str) -> None:
    assert not is_type_name(name)


@pytest.mark.parametrize("any_file", [False, True])
@pytest.mark.parametrize("extension", sorted(MODEL_EXTENSIONS))
def test_a_model_extension_counts_in_either_case_and_everywhere(extension: str, *, any_file: bool) -> None:
    assert is_model_name("a" + extension, any_file=any_file)
    assert is_model_name("Ä b.v1" + extension.upper(), any_file=any_file)


@pytest.mark.parametrize(
    "name", ["a.safetensors.part", "a.txt", "a", "safetensors", "a.", "put_loras_here", "a.safetensors ", ""]
)
def test_a_name_without_a_model_extension_is_no_model(name: str) -> None:
    assert not is_model_name(name, any_file=False)


@pytest.mark.parametrize("any_file", [False, True])
@pytest.mark.parametrize("name", [".safetensors", "._a.safetensors", ".a.gguf", ".a.engine", ".", ".."])
def test_a_name_that_starts_with_a_dot_is_no_model(name: str, *, any_file: bool) -> None:
    assert not is_model_name(name, any_file=any_file)


@pytest.mark.parametrize("name", ["a.engine", "a.tflite", "tokenizer.MODEL", "a.v1-5", "a b.é", "a.\udc80"])
def test_where_any_file_may_be_a_model_an_unknown_extension_is_enough(name: str) -> None:
    assert is_model_name(name, any_file=True)
    assert not is_model_name(name, any_file=False)


@pytest.mark.parametrize(
    "name",
    [
        *("a.preview.PNG", "a.mp4", "a.txt", "a.metadata.json", "a.civitai.info", "a.yaml", "README.md"),
        *("a.html", "a.csv", "a.py", "a.log", "a.toml", "a.zip", "a.tar.gz"),
        *("a.engine.part", "a.engine.aria2", "LICENSE", "a."),
    ],
)
def test_companions_documents_and_downloads_are_no_models_even_where_any_file_may_be(name: str) -> None:
    assert not is_model_name(name, any_file=True)


def test_no_extension_is_both_a_model_s_and_never_a_model_s() -> None:
    assert MODEL_EXTENSIONS.isdisjoint(NO_MODEL_EXTENSIONS)
    assert all(e == e.lower() and e[0] == "." for e in MODEL_EXTENSIONS | NO_MODEL_EXTENSIONS)
