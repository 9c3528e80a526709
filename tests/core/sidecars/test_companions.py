from __future__ import annotations

import pytest

from mlib.core.sidecars.companions import (
    KINDS,
    SIDECAR_KINDS,
    TABLE,
    Companion,
    by_stem,
    companions,
    is_sidecar_name,
    stem_of,
)


def names_of(name: str, *others: str) -> list[str]:
    return [companion.name for companion in companions(name, [name, *others])]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.metadata.json", "metadata_json"),
        ("a.civitai.info", "civitai_info"),
        ("a.civitai.json", "civitai_info"),
        ("a.cm-info.json", "cm_info"),
        ("a.json", "a1111_json"),
        ("a.md", "markdown"),
        ("a.description.txt", "text"),
        ("a.txt", "text"),
        ("a.yaml", "config"),
        ("a.yml", "config"),
        ("a.preview.png", "preview"),
        ("a.preview.mp4", "preview"),
        ("a.webp", "preview"),
        ("a.jxl", "preview"),
        ("a.thumb.jpg", "preview"),
        ("a.example.0.jpeg", "preview"),
        ("a.example.12.png", "preview"),
    ],
)
def test_each_ending_has_its_kind_in_any_case(name: str, kind: str) -> None:
    assert companions("a.safetensors", [name]) == (Companion(name, kind),)
    assert companions("A.SafeTensors", [name.upper()]) == (Companion(name.upper(), kind),)


@pytest.mark.parametrize(
    "name",
    [
        "a.ckpt",
        "a.safetensors",
        "a.metadata.safetensors",
        "a",
        "a.",
        "ab.json",
        "a_v2.json",
        "b.json",
        ".json",
        ".a.json",
        "json",
        "a.example.json",
        "a.example.x.png",
        "a.preview.json",
        "a.zip",
        "a.civitai",
        "a.json.bak",
    ],
)
def test_what_only_looks_alike_is_no_companion(name: str) -> None:
    assert names_of("a.safetensors", name) == []


def test_the_most_trusted_come_first_and_pictures_last() -> None:
    given = [
        "a.png",
        "a.txt",
        "a.yaml",
        "a.json",
        "a.preview.png",
        "a.md",
        "a.cm-info.json",
        "a.civitai.info",
        "a.description.txt",
        "a.metadata.json",
    ]
    assert names_of("a.safetensors", *given) == [
        "a.metadata.json",
        "a.civitai.info",
        "a.cm-info.json",
        "a.json",
        "a.md",
        "a.description.txt",
        "a.txt",
        "a.yaml",
        "a.preview.png",
        "a.png",
    ]


def test_a_stem_may_have_dots() -> None:
    assert names_of("a.b.safetensors", "a.b.json", "a.json", "a.b.c.json") == ["a.b.json"]


def test_models_of_one_stem_share_theirs() -> None:
    names = ["a.safetensors", "a.ckpt", "a.json", "a.png"]
    assert companions("a.safetensors", names) == companions("a.ckpt", names)
    assert len(companions("a.ckpt", names)) == 2


def test_a_companion_belongs_to_the_longest_stem_it_fits() -> None:
    names = [
        "a.safetensors",
        "a.example.safetensors",
        "a.preview.ckpt",
        "a.example.json",
        "a.preview.png",
        "a.json",
        "a.preview.preview.png",
    ]
    assert by_stem(names) == {
        "a": (Companion("a.json", "a1111_json"),),
        "a.example": (Companion("a.example.json", "a1111_json"),),
        "a.preview": (
            Companion("a.preview.preview.png", "preview"),
            Companion("a.preview.png", "preview"),
        ),
    }
    assert [one.name for one in companions("a.safetensors", names)] == ["a.json"]


def test_a_model_without_a_known_extension_has_companions_too() -> None:
    assert names_of("config", "config.json") == ["config.json"]
    assert names_of("yolo.engine", "yolo.json", "yolo.engine.json") == ["yolo.engine.json", "yolo.json"]


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.safetensors.rgthree-info.json", "rgthree_info"),
        ("a.safetensors.json", "a1111_json"),
        ("a.safetensors.png", "preview"),
        ("a.safetensors.preview.png", "preview"),
        ("a.safetensors.civitai.info", "civitai_info"),
        ("a.safetensors.sha256", "checksum"),
        ("a.safetensors.md", "markdown"),
    ],
)
def test_what_is_named_after_the_whole_file_name_is_of_that_model_alone(name: str, kind: str) -> None:
    models = ["a.safetensors", "a.ckpt"]
    of = Companion(name, kind, "a.safetensors")
    assert companions("A.SafeTensors", [*models, name]) == (of,)
    assert companions("a.ckpt", [*models, name]) == ()
    assert by_stem([*models, name]) == {"a": (of,)}
    assert by_stem(["a.xyz", name.replace("safetensors", "xyz")], models=["a.xyz"]) == {
        "a": (Companion(name.replace("safetensors", "xyz"), kind, "a.xyz"),)
    }


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.sha256", "checksum"),
        ("a.swarm.json", "swarm_json"),
        ("a.swarmpreview.jpg", "preview"),
        ("a.swarmpreview.webp", "preview"),
        ("a.rgthree-info.json", "rgthree_info"),
        ("a.api_info.json", "civitai_model"),
        ("a.metadata.json.bak", "backup"),
        ("a.sig", "signature"),
    ],
)
def test_more_endings(name: str, kind: str) -> None:
    assert companions("a.safetensors", [name]) == (Companion(name, kind),)


@pytest.mark.parametrize(
    "name", ["a.safetensors.index.json", "a.safetensors.part", "a.safetensors", "a.safetensors.ckpt"]
)
def test_what_begins_like_the_whole_name_may_be_something_else(name: str) -> None:
    assert companions("a.safetensors", [name]) == ()


def test_every_row_of_the_table_has_a_source() -> None:
    assert [each.kind for each in TABLE] == list(KINDS)
    assert all(each.source for each in TABLE)
    endings = [ending for each in TABLE for ending in each.endings]
    assert len(set(endings)) == len(endings)


def test_a_model_is_not_its_own_companion() -> None:
    assert companions("a.json", ["a.json", "a.md"]) == (Companion("a.md", "markdown"),)


def test_a_large_directory_costs_one_pass() -> None:
    models = [f"m{number}.safetensors" for number in range(5000)]
    names = [
        stem_of(model) + end for model in models for end in (".safetensors", ".json", ".png", ".civitai.info")
    ]
    found = by_stem(names)
    assert len(found) == 5000
    assert [one.kind for one in found["m4999"]] == ["civitai_info", "a1111_json", "preview"]


def test_every_sidecar_ending_passes_the_cheap_test() -> None:
    for kind in SIDECAR_KINDS:
        for ending in KINDS[kind]:
            assert is_sidecar_name(f"Model{ending}")
            assert is_sidecar_name(f"MODEL{ending.upper()}")
    for name in ("a.safetensors", "a.png", "a.yaml", "a.info", "json"):
        assert not is_sidecar_name(name)
