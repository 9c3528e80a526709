"""Which files of a folder are one model, and what is missing of it."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.tools import write_bytes, write_model

from mlib.core.records import Root
from mlib.core.sets import FileSet, Sets, Split

if TYPE_CHECKING:
    from pathlib import Path

#: What a transformers model says of itself.
CONFIG = {"architectures": ["Qwen2ForCausalLM"], "model_type": "qwen2"}


@pytest.fixture
def root(tmp_path: Path) -> Root:
    """A folder of a type that only node packs know."""
    folder = tmp_path / "LLM"
    folder.mkdir()
    return Root("LLM", str(folder), "user")


def write(root: Root, *names: str) -> None:
    for name in names:
        write_model(root_path(root, name))


def write_json(root: Root, name: str, value: Any) -> None:
    write_bytes(root_path(root, name), json.dumps(value).encode())


def root_path(root: Root, name: str) -> Path:
    from pathlib import Path

    return Path(root.path) / name


def found(root: Root, name: str) -> FileSet | None:
    """The set of a file, all paths relative to the root."""
    whole = Sets().of(str(root_path(root, name)), root)
    if whole is None:
        return None

    def relative(paths: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(os.path.relpath(path, root.path) for path in paths)

    return FileSet(
        whole.kind,
        os.path.relpath(whole.name, root.path),
        relative(whole.parts),
        relative(whole.missing),
        relative(whole.listed_by),
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("wan-00001-of-00002.safetensors", "wan-00002-of-00002.safetensors"),
        ("model.fp16-00001-of-00002.safetensors", "model.fp16-00002-of-00002.safetensors"),
        ("model-00001-of-00002.fp16.safetensors", "model-00002-of-00002.fp16.safetensors"),
        ("q4-00001-of-00002.gguf", "q4-00002-of-00002.gguf"),
        ("pytorch_model_01-of-02.bin", "pytorch_model_02-of-02.bin"),
        ("t5-00000-of-00002.pt", "t5-00001-of-00002.pt"),
        ("sub/x-00001-of-00002.ckpt", "sub/x-00002-of-00002.ckpt"),
    ],
)
def test_numbered_parts_are_one_model(root: Root, first: str, second: str) -> None:
    write(root, first, second, "other.safetensors", "other-00001-of-00002.txt")
    whole = found(root, first)
    assert whole is not None
    assert whole == found(root, second)
    assert (whole.kind, whole.parts, whole.missing) == ("parts", (first, second), ())
    assert found(root, "other.safetensors") is None


@pytest.mark.parametrize(
    "name",
    [
        "model.safetensors",
        "x-00001-of-00001.safetensors",
        "1-of-2.safetensors",
        "a-00001-of-999999.safetensors",
        "photo-00001-of-00002.png",
        "00001-of-00002",
    ],
)
def test_what_is_in_one_file_is_no_set(root: Root, name: str) -> None:
    write(root, name)
    assert found(root, name) is None


def test_a_part_that_is_not_there_is_missing_by_name(root: Root) -> None:
    write(root, "w-00002-of-00003.safetensors")
    whole = found(root, "w-00002-of-00003.safetensors")
    assert whole is not None
    assert whole.missing == ("w-00001-of-00003.safetensors", "w-00003-of-00003.safetensors")


def test_sets_of_other_names_numbers_and_endings_are_apart(root: Root) -> None:
    names = [
        "a-00001-of-00002.gguf",
        "b-00001-of-00002.gguf",
        "a-00001-of-00003.gguf",
        "a-00001-of-00002.bin",
    ]
    write(root, *names)
    assert [whole.parts for name in names if (whole := found(root, name))] == [(name,) for name in names]


def test_an_index_names_its_parts_and_goes_with_them(root: Root) -> None:
    write(root, "first.safetensors", "second.safetensors", "other.safetensors")
    weights = {"a": "first.safetensors", "b": "second.safetensors", "c": "third.safetensors"}
    write_json(root, "model.safetensors.index.json", {"weight_map": weights})
    whole = found(root, "second.safetensors")
    assert whole == FileSet(
        "parts",
        "model.safetensors.index.json",
        ("first.safetensors", "second.safetensors"),
        ("third.safetensors",),
        ("model.safetensors.index.json",),
    )
    assert found(root, "other.safetensors") is None


def test_an_index_of_numbered_parts_is_of_their_set(root: Root) -> None:
    parts = ("m-00001-of-00002.safetensors", "m-00002-of-00002.safetensors")
    write(root, *parts)
    write_json(root, "m.safetensors.index.json", {"weight_map": dict(zip("ab", parts, strict=True))})
    whole = found(root, parts[0])
    assert whole == FileSet("parts", "m-*-of-00002.safetensors", parts, (), ("m.safetensors.index.json",))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"weight_map": 3}',
        b'{"weight_map": {"a": "/etc/passwd", "b": "../up.safetensors", "c": "a\\u0000b", "d": 4}}',
        b'{"weight_map": {"a": "gone.safetensors", "b": "away.safetensors"}}',
        b"[" * 100_000,
    ],
)
def test_an_index_that_is_none_makes_no_set(root: Root, text: bytes) -> None:
    write(root, "a.safetensors")
    write_bytes(root_path(root, "a.safetensors.index.json"), text)
    assert found(root, "a.safetensors") is None


def test_an_index_reaches_into_folders_below_it(root: Root) -> None:
    write(root, "x/deep/a.safetensors", "x/b.safetensors")
    index = {"weight_map": {"a": "deep/a.safetensors", "b": "b.safetensors"}}
    write_json(root, "x/model.safetensors.index.json", index)
    whole = found(root, "x/b.safetensors")
    assert whole is not None
    assert whole.parts == ("x/b.safetensors", "x/deep/a.safetensors")
    assert found(root, "x/deep/a.safetensors") == whole


def test_a_gguf_that_was_renamed_tells_by_its_header(root: Root) -> None:
    write(root, "one.gguf", "two.gguf", "alone.gguf")
    said = {"one.gguf": Split(1, 3), "two.gguf": Split(2, 3)}
    whole = Sets(lambda path: said.get(os.path.basename(path))).of(str(root_path(root, "two.gguf")), root)
    assert whole is not None
    assert [os.path.basename(path) for path in whole.parts] == ["one.gguf", "two.gguf"]
    assert whole.missing == ("part 3 of 3",)


def test_a_pipeline_is_all_that_lies_below_its_folder(root: Root) -> None:
    write(root, "pipe/unet/diffusion_pytorch_model.safetensors", "pipe/vae/diffusion_pytorch_model.bin")
    write(root, "pipe/flat.safetensors", "beside.safetensors", "pipe/#recycle/old.safetensors")
    write_json(root, "pipe/model_index.json", {"_class_name": "FluxPipeline"})
    write_json(root, "pipe/unet/config.json", CONFIG)
    whole = found(root, "pipe/unet/diffusion_pytorch_model.safetensors")
    assert whole == found(root, "pipe/flat.safetensors")
    assert whole == FileSet(
        "folder",
        "pipe",
        (
            "pipe/flat.safetensors",
            "pipe/unet/diffusion_pytorch_model.safetensors",
            "pipe/vae/diffusion_pytorch_model.bin",
        ),
    )
    assert found(root, "beside.safetensors") is None


def test_a_model_folder_of_transformers_is_one_model_even_with_one_file(root: Root) -> None:
    write(root, "Florence-2/model.safetensors", "Florence-2/onnx/decoder.onnx")
    write_json(root, "Florence-2/config.json", CONFIG)
    whole = found(root, "Florence-2/onnx/decoder.onnx")
    assert whole is not None
    assert (whole.kind, whole.name, len(whole.parts)) == ("folder", "Florence-2", 2)


def test_what_is_missing_in_a_component_is_missing_in_the_whole(root: Root) -> None:
    write(root, "pipe/text_encoder/model-00001-of-00002.safetensors", "pipe/vae/v.safetensors")
    write_json(root, "pipe/model_index.json", {})
    whole = found(root, "pipe/vae/v.safetensors")
    assert whole is not None
    assert whole.missing == ("pipe/text_encoder/model-00002-of-00002.safetensors",)


def test_a_config_of_another_program_makes_no_model_of_a_folder(root: Root) -> None:
    write(root, "trained/style.safetensors")
    write_json(root, "trained/config.json", {"learning_rate": 1e-4})
    assert found(root, "trained/style.safetensors") is None


def test_models_that_share_a_folder_with_a_stray_config_are_models_of_their_own(root: Root) -> None:
    write(root, *(f"mine/style-{n}.safetensors" for n in range(3)))
    write_json(root, "mine/config.json", CONFIG)
    assert found(root, "mine/style-1.safetensors") is None


def test_a_root_is_never_one_model(root: Root) -> None:
    write(root, "model.safetensors")
    write_json(root, "config.json", CONFIG)
    write_json(root, "model_index.json", {})
    assert found(root, "model.safetensors") is None


class TestWhereLoadersTakeFiles:
    @pytest.fixture
    def root(self, tmp_path: Path) -> Root:
        (tmp_path / "vae").mkdir()
        return Root("vae", str(tmp_path / "vae"), "user")

    def test_a_file_beside_a_config_is_a_file_like_any_other(self, root: Root) -> None:
        names = ["SDXL/diffusion_pytorch_model.safetensors", "SDXL/diffusion_pytorch_model.fp16.safetensors"]
        write(root, *names)
        write_json(root, "SDXL/config.json", {"_class_name": "AutoencoderKL"})
        assert found(root, names[0]) is None

    @pytest.mark.parametrize(
        "names",
        [
            ("a-00001-of-00002.safetensors", "a-00002-of-00002.safetensors"),
            ("transformer_blocks.safetensors", "unquantized_layers.safetensors"),
        ],
    )
    def test_a_model_split_in_a_folder_is_one(self, root: Root, names: tuple[str, ...]) -> None:
        write(root, *(f"svdq/{name}" for name in names))
        write_json(root, "svdq/config.json", {"num_layers": 19})
        whole = found(root, f"svdq/{names[0]}")
        assert whole is not None
        assert (whole.kind, whole.name) == ("folder", "svdq")


def test_a_folder_that_cannot_be_listed_holds_no_set(root: Root) -> None:
    assert found(root, "gone/a-00001-of-00002.safetensors") is None


def test_links_that_lead_round_in_circles_end(root: Root) -> None:
    write(root, "pipe/a.safetensors")
    write_json(root, "pipe/model_index.json", {})
    root_path(root, "pipe/again").symlink_to(root_path(root, "pipe"))
    root_path(root, "pipe/self").symlink_to("self")
    whole = found(root, "pipe/a.safetensors")
    assert whole is not None
    assert whole.parts == ("pipe/a.safetensors",)


_NAMES = st.from_regex(
    r"(a|b|model)[-_.]?0?[0-3]{1,3}-of-0?[0-3]{1,3}(\.fp16)?\.(safetensors|gguf|bin)", fullmatch=True
)


@given(names=st.sets(_NAMES, max_size=8))
def test_every_part_knows_the_same_set_and_no_two_sets_share_one(
    names: set[str], tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("parts")
    for name in names:
        (folder / name).touch()
    sets = Sets()
    root = Root("loras", str(folder), "user")
    for name in names:
        path = str(folder / name)
        whole = sets.of(path, root)
        if whole is not None:
            assert path in whole.parts
            assert all(sets.of(part, root) == whole for part in whole.parts)
            assert not any(os.path.exists(gone) for gone in whole.missing)
            assert len(whole.parts) + len(whole.missing) > 1
