from __future__ import annotations

import json
import os
import socket
from typing import TYPE_CHECKING, Any

import pytest
from tests.core.sidecars.sidecar_files import (
    CLAIMS,
    HASHES,
    MARKDOWN,
    OTHER_SHA256,
    SHA256,
    all_kinds,
    as_bytes,
    lora_manager,
    rgthree,
    stability_matrix,
    swarm,
    version,
    web_ui,
    whole_model,
)

from mlib.core.sidecars import values
from mlib.core.sidecars.companions import SIDECAR_KINDS, companions
from mlib.core.sidecars.parse import MAX_BYTES, parse_sidecar, read_shared_sidecar, read_sidecar
from mlib.core.sidecars.record import Sidecar, SidecarError

if TYPE_CHECKING:
    from pathlib import Path

PAGE = "https://civitai.com/models/9?modelVersionId=71"
MODEL = "ink_wash_v3.safetensors"
INK = "Ink, and paper (https://a.example/paper).\n\nTrained on 90 drawings."


def parse(document: object, kind: str, *, model_name: str = MODEL) -> Sidecar:
    return parse_sidecar(as_bytes(document), kind=kind, model_name=model_name)


def fault(content: bytes, kind: str) -> str:
    with pytest.raises(SidecarError) as caught:
        parse_sidecar(content, kind=kind, model_name=MODEL)
    assert "\n" not in caught.value.message
    return caught.value.code


# --- what each writer leaves --------------------------------------------------------------------------------


def test_civitai_info() -> None:
    assert parse(version(), "civitai_info") == Sidecar(
        kind="civitai_info",
        name="Ink Wash v3 (SDXL)",
        version="v3 (SDXL)",
        type="loras",
        base_model="SDXL 1.0",
        trigger_words=("ink wash, loose lines", "inkwsh"),
        description=INK,
        tags=("ink", "Style"),
        source_url=PAGE,
        hashes=CLAIMS,
    )


def test_metadata_json() -> None:
    assert parse(lora_manager(), "metadata_json") == Sidecar(
        kind="metadata_json",
        name="Ink Wash v3 (SDXL)",
        version="v3 (SDXL)",
        type="loras",
        base_model="SDXL 1.0",
        trigger_words=("ink wash, loose lines", "inkwsh"),
        description="Ink and paper.\n\nTrained on 90 drawings.",
        tags=("ink", "mine"),
        notes="keep it <b> under 0.9\nfor faces",
        preferred_weight=0.65,
        author="brush",
        source_url=PAGE,
        hashes=CLAIMS,
    )


def test_cm_info() -> None:
    assert parse(stability_matrix(), "cm_info") == Sidecar(
        kind="cm_info",
        name="Ink Wash v3",
        version="v3",
        type="loras",
        trigger_words=("inkwsh",),
        description="Ink and paper.",
        tags=("ink",),
        author="brush",
        source_url=PAGE,
        hashes={name: CLAIMS[name] for name in ("sha256", "crc32", "blake3")},
    )


def test_a1111_json() -> None:
    assert parse(web_ui(), "a1111_json") == Sidecar(
        kind="a1111_json",
        base_model="SDXL",
        trigger_words=("inkwsh", "(ink wash, loose lines:1.1)"),
        description="Ink and paper.",
        notes="90 drawings",
        negative_text="photo, colour",
        preferred_weight=0.7,
    )


def test_markdown() -> None:
    assert parse_sidecar(MARKDOWN.encode(), kind="markdown", model_name=MODEL) == Sidecar(
        kind="markdown",
        name="Ink Wash",
        base_model="SDXL 1.0",
        trigger_words=("inkwsh", "loose lines"),
        description="Ink and paper.\n\n# More\n\nOf it.\n\n"
        "Trained on **90** drawings.\n\n```\n# not a heading\n```",
        author="brush",
        source_url=PAGE,
        hashes={"sha256": SHA256, "autov1": "1e234567", "autov3": "000000000012", "crc32": "00001234"},
    )


def test_text() -> None:
    found = parse_sidecar(all_kinds()["text"], kind="text", model_name=MODEL)
    assert found == Sidecar("text", description="Ink LoRA.\nUse 0.7.")
    page = parse_sidecar(b"<p>Ink</p><p>LoRA</p>", kind="text", model_name=MODEL)
    assert page.description == "Ink\n\nLoRA"


def test_the_sidecars_of_one_model_agree(tmp_path: Path) -> None:
    endings = (
        ".metadata.json",
        ".civitai.info",
        ".cm-info.json",
        ".rgthree-info.json",
        ".swarm.json",
        ".api_info.json",
        ".json",
        ".md",
        ".txt",
    )
    for ending, content in zip(endings, all_kinds().values(), strict=True):
        (tmp_path / f"ink_wash_v3{ending}").write_bytes(content)
    (tmp_path / MODEL).write_bytes(b"model")
    (tmp_path / "ink_wash_v3.png").write_bytes(b"picture")
    found = companions(MODEL, os.listdir(tmp_path))
    assert [one.kind for one in found] == [*SIDECAR_KINDS, "preview"]
    sidecars = [read_sidecar(str(tmp_path / one.name), kind=one.kind, model_name=MODEL) for one in found[:-1]]
    assert sidecars == [
        parse_sidecar(content, kind=kind, model_name=MODEL) for kind, content in all_kinds().items()
    ]
    assert {one.hashes["sha256"] for one in sidecars if "sha256" in one.hashes} == {SHA256}
    assert {one.hashes["autov3"] for one in sidecars if one.kind == "swarm_json"} == {"abcdef012345"}
    assert {one.source_url for one in sidecars if one.source_url} == {PAGE}
    assert not any(one.is_empty or one.cut or one.other_sha256 for one in sidecars)


def test_rgthree() -> None:
    assert parse(rgthree(), "rgthree_info") == Sidecar(
        kind="rgthree_info",
        name="Ink Wash - v3 (SDXL)",
        version="v3 (SDXL)",
        type="loras",
        base_model="SDXL 1.0",
        # 1girl is a caption: neither a person nor Civitai gave it.
        trigger_words=("ink wash", "my own word", "inkwsh"),
        description=INK,
        tags=("favourite", "ink"),
        notes="under 0.9 <for> faces",
        preferred_weight=0.6,
        source_url=PAGE,
        hashes=CLAIMS,
    )
    old = {"file": MODEL, "triggerWords": ["a, b"], "userTags": "x, y", "strengthMin": 0.2, "strengthMax": 1}
    assert parse(old, "rgthree_info") == Sidecar("rgthree_info", trigger_words=("a, b",), tags=("x", "y"))
    assert parse({"file": MODEL, "images": [], "raw": {}}, "rgthree_info").is_empty


def test_swarmui() -> None:
    found = parse(swarm(), "swarm_json")
    assert found == Sidecar(
        kind="swarm_json",
        name="Ink Wash",
        base_model="SDXL",
        trigger_words=("inkwsh", "(ink wash, loose lines:1.1)"),
        description="Ink and paper.",
        tags=("ink", "style"),
        notes="0.7 is enough",
        author="brush",
        hashes={"autov3": "abcdef012345"},
    )
    # Of other formats SwarmUI hashes something that is nobody's hash.
    assert parse(swarm(), "swarm_json", model_name="ink.ckpt").hashes == {}
    # It once wrote the same without `modelspec.`, and under the name of A1111's.
    plain = {key.removeprefix("modelspec."): value for key, value in swarm().items()}
    assert parse(plain, "swarm_json") == found
    plain["trigger_phrase"] = "x"
    assert parse({**plain, "standard_width": 1, "notes": None}, "a1111_json").trigger_words == ("x",)
    assert parse(swarm(), "a1111_json") == found


def test_of_a_whole_model_the_version_whose_file_hash_matches_is_read() -> None:
    def read(*digests: str, model_name: str = "renamed.safetensors") -> Sidecar:
        return parse_sidecar(
            as_bytes(whole_model()), kind="a1111_json", model_name=model_name, digests=digests
        )

    ours = Sidecar(
        kind="civitai_model",
        name="Ink Wash v3 (SDXL)",
        version="v3 (SDXL)",
        type="loras",
        base_model="SDXL 1.0",
        trigger_words=("ink wash, loose lines", "inkwsh"),
        description="Ink and paper.\n\nTrained on 90 drawings.",
        tags=("ink", "style"),
        author="brush",
        source_url=PAGE,
        hashes=CLAIMS,
    )
    assert read(SHA256) == ours
    assert read("abcdef012345") == ours  # the tensors are the same, only the header was edited
    assert read(OTHER_SHA256).trigger_words == ("oldink",)
    assert read(OTHER_SHA256).source_url == "https://civitai.com/models/9?modelVersionId=70"
    assert read(model_name=MODEL) == ours
    # The hash decides, whatever the file is called.
    assert read(OTHER_SHA256, model_name=MODEL).trigger_words == ("oldink",)


@pytest.mark.parametrize("digests", [(), ("00" * 32,)])
def test_of_a_whole_model_without_our_version_only_the_general_is_said(digests: tuple[str, ...]) -> None:
    said = parse_sidecar(
        as_bytes(whole_model()), kind="civitai_model", model_name="x.safetensors", digests=digests
    )
    assert said == Sidecar(
        kind="civitai_model",
        name="Ink Wash",
        type="loras",
        description="Ink and paper.",
        tags=("ink", "style"),
        author="brush",
        source_url="https://civitai.com/models/9",
        other_sha256=(OTHER_SHA256, SHA256),
    )


def test_an_only_version_is_ours_where_no_hash_says_otherwise() -> None:
    document = whole_model()
    document["modelVersions"].pop()
    said = parse(document, "a1111_json", model_name="x.safetensors")
    assert said.trigger_words == ("oldink",)
    assert said.other_sha256 == (OTHER_SHA256,)


def test_of_a_version_with_two_files_the_hash_of_ours_is_claimed() -> None:
    document = whole_model()
    document["modelVersions"][1]["files"].append(
        {"name": "ink_wash_v3_full.safetensors", "type": "Model", "hashes": {"SHA256": "77" * 32}}
    )
    said = parse_sidecar(
        as_bytes(document), kind="civitai_model", model_name="x.safetensors", digests=["77" * 32]
    )
    assert said.hashes == {"sha256": "77" * 32}


def test_models_that_share_a_whole_model_are_told_what_holds_for_each(tmp_path: Path) -> None:
    path = tmp_path / "ink.json"
    path.write_bytes(as_bytes(whole_model()))
    digests = {"ink.safetensors": [SHA256], "ink.pt": [OTHER_SHA256]}
    said = read_shared_sidecar(str(path), kind="a1111_json", model_names=list(digests), digests=digests)
    assert (said.name, said.trigger_words, said.base_model, said.tags) == ("", (), "", ("ink", "style"))
    assert said.hashes["sha256"] == SHA256
    assert said.other_hashes == ({"sha256": OTHER_SHA256},)


def test_an_answer_for_a_version_is_read_from_a_plain_json_too() -> None:
    assert parse(version(), "a1111_json") == parse(version(), "civitai_info")


# --- faults -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [kind for kind in SIDECAR_KINDS if kind not in ("markdown", "text")])
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"{", "not_json"),
        (b'{"a": 01}', "not_json"),
        (b"<!DOCTYPE html>", "not_json"),
        (b"[" * 100_000, "not_json"),
        (b'{"x":' * 100_000, "not_json"),
        (b"[]", "wrong_kind"),
        (b'"text"', "wrong_kind"),
        (b"12", "wrong_kind"),
        (b"\xff\xfe\x00", "not_text"),
        (b'{"a": "\xe9"}', "not_text"),
        (b"\0" * 100, "not_text"),
        (b" " * (MAX_BYTES + 1), "too_large"),
    ],
)
def test_what_is_no_json_object_has_a_code(content: bytes, code: str, kind: str) -> None:
    assert fault(content, kind) == code


@pytest.mark.parametrize("kind", ["markdown", "text"])
def test_what_is_no_text_has_a_code(kind: str) -> None:
    assert fault(b"caf\xe9", kind) == "not_text"
    assert fault(b"a\0b", kind) == "not_text"
    assert fault(b"\xff\xfea", kind) == "not_text"
    assert fault(b"a" * (MAX_BYTES + 1), kind) == "too_large"


@pytest.mark.parametrize("kind", ["preview", "config", "", "nonsense"])
def test_other_kinds_are_not_read(kind: str) -> None:
    assert fault(b"{}", kind) == "wrong_kind"


@pytest.mark.parametrize(
    "front",
    [
        "a: b: c",
        "a: [b",
        "a: 'b",
        "\tb: c",
        "a: @b",
        "a: \x07",
        "%YAML 1." + "1" * 5000,
        'a: "\\UFFFFFFFF"',
        "a: *b\n- c",
        "[" * 5000,
        "{a: " * 5000,
        "- " * 5000,
        "a: " + "b" * 40_000,
        "? [a]\n: b",
        "hashes:\n  ? {}\n  : x",
        "author: &a [*a]",
    ],
)
def test_front_matter_that_is_no_yaml_has_a_code(front: str) -> None:
    assert fault(f"---\n{front}\n---\ntext".encode(), "markdown") == "not_yaml"


def test_a_configuration_of_that_name_is_no_sidecar() -> None:
    for document in (
        {},
        None,
        {"architectures": ["X"]},
        {"description": "x"},
        {"description": 1, "notes": 2},
    ):
        assert fault(as_bytes(document), "a1111_json") == "wrong_kind"
    assert fault(b"", "a1111_json") == "not_json"
    # What A1111 writes of checkpoints and embeddings.
    assert parse({"description": "x", "notes": "", "vae": "y"}, "a1111_json").description == "x"
    assert parse({"sd version": "Unknown"}, "a1111_json").is_empty


def test_files_that_are_none_have_a_code(tmp_path: Path) -> None:
    def code(path: str) -> str:
        with pytest.raises(SidecarError) as caught:
            read_sidecar(path, kind="text")
        return caught.value.code

    fifo, link, large, socket_ = (
        str(tmp_path / name) for name in ("fifo.txt", "link.txt", "large.txt", "s.txt")
    )
    os.mkfifo(fifo)
    os.symlink("link.txt", link)
    with open(large, "wb") as file:
        file.truncate(MAX_BYTES + 1)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(socket_)
    assert code(str(tmp_path)) == "not_a_file"
    assert code(fifo) == "not_a_file"
    assert code(socket_) == "not_a_file"
    assert code("/dev/zero") == "not_a_file"
    assert code(link) == "unreadable"
    assert code(large) == "too_large"
    assert code("a\0b.txt") == "unreadable"
    assert code(str(tmp_path / ("x" * 300))) == "unreadable"
    with pytest.raises(FileNotFoundError):
        read_sidecar(str(tmp_path / "none.txt"), kind="text")


def test_a_file_that_cannot_be_opened_has_a_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    path.write_text("a")

    def refuse(*_: object) -> int:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(SidecarError, match="permission denied") as caught:
        read_sidecar(str(path), kind="text")
    assert caught.value.code == "unreadable"


# --- encodings, blanks and stubs ----------------------------------------------------------------------------


def test_utf16_may_be_of_either_order() -> None:
    assert parse_sidecar(b"\xfe\xff\x00a", kind="text", model_name="").description == "a"
    assert parse_sidecar(b"\xff\xfea\x00", kind="text", model_name="").description == "a"


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_windows_encodings_are_read(encoding: str) -> None:
    text = "Tusche \u2013 été"
    assert parse_sidecar(text.encode(encoding), kind="text", model_name="").description == text
    document = json.dumps({"sd version": "SD1", "notes": text}, ensure_ascii=False).encode(encoding)
    assert parse_sidecar(document, kind="a1111_json", model_name="").notes == text
    front = f"---\nauthor: {text}\n---\n".encode(encoding)
    assert parse_sidecar(front, kind="markdown", model_name="").author == text


@pytest.mark.parametrize("kind", [kind for kind in SIDECAR_KINDS if kind != "a1111_json"])
@pytest.mark.parametrize("content", [b"", b" \n", b"\xef\xbb\xbf"])
def test_a_blank_file_says_nothing(content: bytes, kind: str) -> None:
    found = parse_sidecar(content, kind=kind, model_name=MODEL)
    assert found == Sidecar(kind)
    assert found.is_empty


@pytest.mark.parametrize("kind", ["metadata_json", "civitai_info", "cm_info"])
@pytest.mark.parametrize("document", [{}, None, {"unknown": 1}])
def test_an_empty_object_says_nothing(document: object, kind: str) -> None:
    assert parse(document, kind) == Sidecar(kind)


def stub(**filled: object) -> dict[str, object]:
    """What Civitai Helper writes of a model that Civitai does not know (scripts/ch_lib: dummy_model_info)."""
    return {
        "id": "",
        "modelId": "",
        "name": "",
        "trainedWords": [],
        "baseModel": "Unknown",
        "description": "",
        "model": {"name": MODEL, "type": "LORA", "nsfw": "", "poi": ""},
        "files": [{"name": MODEL, "sizeKB": 1, "type": "Model", "hashes": {"SHA256": SHA256}}],
        "tags": [],
        "downloadUrl": "",
        **filled,
    }


@pytest.mark.parametrize("id_", ["", None, 0])
def test_a_stub_of_civitai_helper_says_nothing(id_: object) -> None:
    assert parse(stub(id=id_), "civitai_info").is_empty
    # Its name is that of the file when it was written.
    assert parse(stub(), "civitai_info", model_name="renamed.safetensors").is_empty
    skeleton = {"sd_civitai_helper": {"version": "1.8", "skeleton_file": True}}
    assert parse(stub(extensions=skeleton), "civitai_info").is_empty


def test_a_stub_that_a_person_filled_is_read() -> None:
    bare = {"id": "", "trainedWords": ["my own word"], "description": "typed by me"}
    assert parse(bare, "civitai_info") == Sidecar(
        "civitai_info", trigger_words=("my own word",), description="typed by me"
    )
    said = parse(stub(trainedWords=["my own word"]), "civitai_info")
    assert said == Sidecar(
        "civitai_info", type="loras", trigger_words=("my own word",), hashes={"sha256": SHA256}
    )
    assert parse(stub(baseModel="SDXL 1.0"), "civitai_info").base_model == "SDXL 1.0"
    assert parse(stub(model={"name": "My Own"}), "civitai_info").name == "My Own"
    skeleton = {"sd_civitai_helper": {"skeleton_file": True}}
    document = {**version(), "extensions": skeleton}
    assert parse(document, "civitai_info").trigger_words == ("ink wash, loose lines", "inkwsh")


# --- names --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "its_version", "name"),
    [
        ("Ink", "v2", "Ink v2"),
        ("Ink", "Ink", "Ink"),
        ("Ink v2", "V2", "Ink v2"),
        ("Ink", "Ink XL v2", "Ink XL v2"),
        ("Ink", "", "Ink"),
        ("", "v2", "v2"),
        ("Inkv2", "v2", "Inkv2 v2"),
    ],
)
def test_a_name_is_that_of_model_and_version(model: str, its_version: str, name: str) -> None:
    assert parse({"id": 1, "name": its_version, "model": {"name": model}}, "civitai_info").name == name


def test_the_names_a_person_gave_stand_alone() -> None:
    assert parse({**stability_matrix(), "UserTitle": "My ink"}, "cm_info").name == "My ink"
    assert parse({**lora_manager(), "model_name": "My ink"}, "metadata_json").name == "My ink"


@pytest.mark.parametrize("own", ["ink_wash_v3", "elsewhere"])
def test_the_file_name_is_no_name(own: str) -> None:
    document = {"file_name": "elsewhere", "model_name": own, "civitai": {}}
    assert parse(document, "metadata_json").name == ""
    assert parse({**document, "civitai": {"name": "v1"}}, "metadata_json").name == "v1"


# --- types, words, weights, addresses -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "key"),
    [
        ("Checkpoint", "checkpoints"),
        ("LORA", "loras"),
        ("LoCon", "loras"),
        ("DoRA", "loras"),
        ("TextualInversion", "embeddings"),
        ("Hypernetwork", "hypernetworks"),
        ("Controlnet", "controlnet"),
        ("Upscaler", "upscale_models"),
        ("VAE", "vae"),
        ("MotionModule", "animatediff_models"),
        ("Text Encoder", "text_encoders"),
        ("diffusion_model", "diffusion_models"),
        ("UNet", "diffusion_models"),
        ("ClipVision", "clip_vision"),
        ("Poses", ""),
        ("Other", ""),
        ("", ""),
    ],
)
def test_types_become_folder_keys(written: str, key: str) -> None:
    assert parse({"ModelType": written}, "cm_info").type == key


def test_lora_manager_and_the_files_own_entry_know_the_type_better() -> None:
    checkpoint = {**version(), "model": {"type": "Checkpoint"}}
    assert (
        parse({"sub_type": "diffusion_model", "civitai": checkpoint}, "metadata_json").type
        == "diffusion_models"
    )
    assert parse({"model_type": "embedding"}, "metadata_json").type == "embeddings"
    checkpoint["files"].append({"name": "ink.vae.pt", "type": "VAE"})
    assert parse(checkpoint, "civitai_info", model_name="ink.vae.pt").type == "vae"
    assert parse(checkpoint, "civitai_info").type == "checkpoints"


def test_an_air_stands_in_for_ids_type_and_base_model() -> None:
    found = parse({"air": "urn:air:sdxl:checkpoint:civitai:827@251"}, "civitai_info")
    assert (found.type, found.base_model) == ("checkpoints", "SDXL")
    assert found.source_url == "https://civitai.com/models/827?modelVersionId=251"


def test_a_base_model_in_words_is_more_exact_than_an_air() -> None:
    air = {"air": "urn:air:sdxl:lora:civitai:9@71"}
    assert parse({**air, "baseModel": "Pony"}, "civitai_info").base_model == "Pony"
    assert parse({"civitai": air}, "metadata_json").base_model == "SDXL"
    assert parse({"base_model": "Unknown", "civitai": air}, "metadata_json").base_model == "SDXL"
    assert parse({"base_model": "Pony", "civitai": air}, "metadata_json").base_model == "Pony"


@pytest.mark.parametrize("name", ["Other", "unknown", "", "  "])
def test_no_base_model_is_none(name: str) -> None:
    assert parse({"baseModel": name}, "civitai_info").base_model == ""
    assert parse({"base_model": name, "civitai": {"baseModel": "Pony"}}, "metadata_json").base_model == "Pony"


def test_a_prompt_is_split_outside_of_brackets_only() -> None:
    words = "a b , (c, d:1.2),, <lora:x:1,2>, [e\nf]\ng), h, None, a b"
    assert parse({"activation text": words}, "a1111_json").trigger_words == (
        "a b",
        "(c, d:1.2)",
        "<lora:x:1,2>",
        "[e f]",
        "g)",
        "h",
    )


@pytest.mark.parametrize(
    ("written", "weight"),
    [
        (0.7, 0.7),
        (1, 1.0),
        (-0.5, -0.5),
        ("0.8", 0.8),
        (" 1 ", 1.0),
        (0, None),
        ("0", None),
        (None, None),
        (True, None),
        ("", None),
        ("x", None),
        ("1_0", None),
        ("nan", None),
        (1e999, None),
        ("1e999", None),
        (1e9, None),
        (float("nan"), None),
        ([0.7], None),
        ({}, None),
    ],
)
def test_a_weight_is_a_number_that_says_something(written: object, weight: float | None) -> None:
    assert parse({"preferred weight": written}, "a1111_json").preferred_weight == weight
    assert (
        parse({"usage_tips": json.dumps({"strength": written})}, "metadata_json").preferred_weight == weight
    )
    assert parse({"usage_tips": {"strength": written}}, "metadata_json").preferred_weight == weight


@pytest.mark.parametrize(
    "tips", ["{", "[]", "", "null", "[" * 100_000, '{"strength_min": 0.5}', " " * 70_000, 7]
)
def test_usage_tips_may_be_anything(tips: object) -> None:
    assert parse({"usage_tips": tips}, "metadata_json").preferred_weight is None


@pytest.mark.parametrize(
    ("ids", "page"),
    [
        ({"ModelId": 9, "VersionId": 71}, PAGE),
        ({"ModelId": "9", "VersionId": "71"}, PAGE),
        ({"ModelId": 9, "VersionId": None}, "https://civitai.com/models/9"),
        ({"ModelId": None, "VersionId": 71}, ""),
        ({"ModelId": 9, "Source": "OpenModelDb"}, ""),
        ({"ModelId": 9, "SourceUrl": "https://a.example/m"}, "https://a.example/m"),
        ({"ModelId": 9, "SourceUrl": "javascript:x"}, "https://civitai.com/models/9"),
        ({"ModelId": 9.5}, ""),
        ({"ModelId": -9}, ""),
        ({"ModelId": 1e300}, ""),
        ({"ModelId": "9/../x"}, ""),
        ({"ModelId": True}, ""),
    ],
)
def test_the_page_is_made_of_whole_numbers_or_is_an_address(ids: dict[str, Any], page: str) -> None:
    assert parse(ids, "cm_info").source_url == page


def test_a_page_of_hugging_face() -> None:
    url = "https://huggingface.co/x/y"
    assert parse({"hf_url": url}, "metadata_json").source_url == url


# --- hashes -------------------------------------------------------------------------------------------------


def with_files(*entries: dict[str, Any]) -> dict[str, Any]:
    return {**version(), "files": list(entries)}


def entry(name: str, sha256: str, **more: object) -> dict[str, Any]:
    return {"name": name, "type": "Model", "hashes": {"SHA256": sha256}, **more}


def claims(document: dict[str, Any], model_name: str = MODEL) -> tuple[dict[str, str], tuple[str, ...]]:
    found = parse(document, "civitai_info", model_name=model_name)
    return dict(found.hashes), found.other_sha256


def test_the_file_of_the_models_name_is_the_models() -> None:
    files = with_files(entry("other.safetensors", OTHER_SHA256, primary=True), entry(MODEL.upper(), SHA256))
    assert claims(files) == ({"sha256": SHA256}, ())
    assert claims(files, "ink_wash_v3") == ({"sha256": SHA256}, ())


def test_else_the_primary_file_is() -> None:
    files = with_files(entry("a.safetensors", OTHER_SHA256), entry("b.safetensors", SHA256, primary=True))
    assert claims(files, "renamed.safetensors") == ({"sha256": SHA256}, ())
    assert claims(files, "") == ({"sha256": SHA256}, ())


def test_of_two_files_of_one_name_the_primary_is() -> None:
    assert claims(with_files(entry(MODEL, OTHER_SHA256), entry(MODEL, SHA256, primary=True))) == (
        {"sha256": SHA256},
        (),
    )
    assert claims(with_files(entry(MODEL, OTHER_SHA256), entry(MODEL, SHA256))) == (
        {},
        (OTHER_SHA256, SHA256),
    )


def test_a_file_of_another_extension_is_never_taken_for_the_model() -> None:
    files = with_files(entry("a.safetensors", OTHER_SHA256, primary=True))
    assert claims(files, "a.ckpt") == ({}, (OTHER_SHA256,))


def test_files_that_cannot_be_told_apart_are_all_kept() -> None:
    files = with_files(
        entry("a.safetensors", SHA256),
        entry("b.safetensors", OTHER_SHA256),
        entry("data.zip", "b" * 64, type="Training Data"),
        entry("c.safetensors", SHA256.upper()),
        entry("d.safetensors", "short"),
    )
    assert claims(files, "renamed.safetensors") == ({}, (SHA256, OTHER_SHA256))
    assert not parse(files, "civitai_info", model_name="renamed.safetensors").is_empty


@pytest.mark.parametrize(
    "files", [None, 1, "x", {}, [], [None, 1, "x", []], [{}], [{"name": 1, "hashes": []}]]
)
def test_files_of_any_shape_claim_nothing(files: object) -> None:
    assert claims({**version(), "files": files}) == ({}, ())


def test_only_whole_hashes_count() -> None:
    given = {
        **HASHES,
        "SHA256": SHA256[:-1],
        "CRC32": "deadbeeg",
        "AutoV3": "e3b0c44298fc",
        "AutoV1": "E3B0C442",
        "BLAKE3": 7,
        "x" * 100: "y",
        "Sha256_12": f" {SHA256[:12]} ",
    }
    assert dict(parse({"Hashes": given}, "cm_info").hashes) == {"sha256_12": SHA256[:12]}
    nothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert not parse({"sha256": nothing}, "metadata_json").hashes


def test_what_lora_manager_computed_goes_before_what_civitai_says() -> None:
    ours = lora_manager()
    assert dict(parse({**ours, "sha256": OTHER_SHA256, "autov3": None}, "metadata_json").hashes) == {
        "sha256": OTHER_SHA256
    }
    waiting = {**ours, "sha256": "", "hash_status": "pending", "autov3": None}
    assert dict(parse(waiting, "metadata_json").hashes) == CLAIMS
    ours["civitai"]["files"].append({"name": "b.safetensors", "hashes": {"SHA256": OTHER_SHA256}})
    assert parse(ours, "metadata_json", model_name="renamed.ckpt").other_sha256 == ()


# --- Markdown -----------------------------------------------------------------------------------------------


def markdown(text: str) -> Sidecar:
    return parse_sidecar(text.encode(), kind="markdown", model_name=MODEL)


def test_what_its_writer_puts_for_nothing_is_nothing() -> None:
    found = markdown(
        "---\nauthor: null\nmodelPage: https://huggingface.co/x/y\npreview: []\nwebsite: HuggingFace\n---\n\n"
        "# Trigger Words\n\nNo trigger words\n\n# About this version\n\nNo description about this version\n\n"
        "# None\n\nNo description about this model\n"
    )
    assert found == Sidecar("markdown", source_url="https://huggingface.co/x/y")


@pytest.mark.parametrize(
    "text",
    [
        "# Readme\n\nText.",
        "---\n\nText.",
        "---\nText.\n\nMore.\n---\nEnd.",
        "Text\n---\na: b\n---",
        "# Trigger Words\n\na, b",
        "---\n- a\n---\nb",
    ],
)
def test_markdown_without_front_matter_is_a_description(text: str) -> None:
    assert markdown(text) == Sidecar("markdown", description=text)


@pytest.mark.parametrize(
    "front",
    [
        "author:\n- x",
        "author: {a: b}",
        "hashes: x",
        "hashes: [x]",
        "",
        "# only",
        "hashes:\n  SHA256: {a: b}",
        "<<: {author: x}",
        "modelPage: 'javascript:x'",
        "baseModel: ~",
    ],
)
def test_front_matter_of_any_shape_says_nothing(front: str) -> None:
    assert markdown(f"---\n{front}\n---\n").is_empty


def test_an_alias_in_front_matter_is_the_value_it_names() -> None:
    assert markdown("---\nwebsite: &x Ada\nauthor: *x\n---\n").author == "Ada"


def test_aliases_that_multiply_cost_no_more_than_their_text() -> None:
    doubled = "\n".join(f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60))
    found = markdown(f"---\na0: &a0 {{SHA256: x}}\n{doubled}\nhashes: *a59\nauthor: Ada\n---\n")
    assert (found.author, dict(found.hashes)) == ("Ada", {})


def test_markdown_keeps_its_lines_and_loses_its_pictures() -> None:
    found = markdown('a\n![x](data:image/png;base64,AAAA)\n\n\n\n- b <img src="x"> c\n  `<p>`')
    assert found.description == "a\n\n- b  c\n  `<p>`"


# --- bounds and odd values ----------------------------------------------------------------------------------


def test_what_is_too_long_is_cut_and_named() -> None:
    found = parse(
        {
            **lora_manager(),
            "model_name": "n" * 600,
            "base_model": "b" * 501,
            "notes": "é" * 5000,
            "modelDescription": "d" * 70_000,
            "tags": [f"t{number}" for number in range(300)],
            "civitai": {"trainedWords": [f"w{number}" for number in range(101)], "name": "v" * 501},
        },
        "metadata_json",
    )
    assert set(found.cut) == {
        "name",
        "version",
        "base_model",
        "notes",
        "description",
        "tags",
        "trigger_words",
    }
    assert len(found.base_model) == 500
    assert len(found.notes.encode()) == values.MAX_NOTE
    assert len(found.description) == values.MAX_DESCRIPTION
    assert len(found.tags) == values.MAX_TAGS
    assert len(found.trigger_words) == values.MAX_TRIGGER_WORDS


def test_what_just_fits_is_not_cut() -> None:
    document = {
        "description": "d" * values.MAX_DESCRIPTION,
        "notes": "é" * (values.MAX_NOTE // 2),
        "activation text": ",".join(f"w{number}" for number in range(values.MAX_TRIGGER_WORDS)),
    }
    found = parse(document, "a1111_json")
    assert found.cut == ()
    assert found.description == document["description"]
    assert found.notes == document["notes"]
    assert len(found.trigger_words) == values.MAX_TRIGGER_WORDS


def test_a_tag_that_is_none_is_left_out() -> None:
    found = parse({"Tags": ["", "  ", "x" * 201, 7, None, {"name": "objects"}, " a \n b ", "A b"]}, "cm_info")
    assert found.tags == ("objects", "a b")
    assert found.cut == ("tags",)


def test_images_are_never_kept() -> None:
    uri = "data:image/png;base64," + "iVBORw0KGgo" * 20_000
    found = parse(
        {"sd version": "", "description": f'<p>a<img src="{uri}">b</p>', "notes": f"c {uri} d"}, "a1111_json"
    )
    assert (found.description, found.notes, found.cut) == ("ab", "c  d", ())
    assert parse({"sd version": "", "notes": uri}, "a1111_json").is_empty


def test_every_text_can_be_stored() -> None:
    found = parse(
        {"ModelName": "a\ud800\x00\x1b\nb", "ModelDescription": "\udc80\u2028c", "Tags": ["\ud800"]},
        "cm_info",
    )
    assert found.name == "a\\ud800 b"
    assert found.description == "\\x80\nc"
    assert found.tags == ("\\ud800",)


@pytest.mark.parametrize(
    "odd", [None, True, 0, 7.5, -1e400, "", [], {}, [[]], [{}], {"a": 1}, ["\ud800"], "x" * 10**6]
)
@pytest.mark.parametrize(
    ("kind", "document"),
    [
        ("metadata_json", lora_manager()),
        ("civitai_info", version()),
        ("cm_info", stability_matrix()),
        ("a1111_json", web_ui()),
    ],
)
def test_any_value_in_any_field_is_borne(kind: str, document: dict[str, Any], odd: object) -> None:
    for key in document:
        check(parse({**document, key: odd}, kind))
    for key in document.get("civitai", {}):
        check(parse({**document, "civitai": {**document["civitai"], key: odd}}, kind))
    for key in document.get("model", {}):
        check(parse({**document, "model": {**document["model"], key: odd}}, kind))


def check(sidecar: Sidecar) -> None:
    for name in sidecar._fields:
        value = getattr(sidecar, name)
        texts = value if isinstance(value, tuple) else (value,) if isinstance(value, str) else ()
        for text in texts:
            text.encode()
            assert "\0" not in text


@pytest.mark.parametrize(
    "unit",
    [
        "<!--",
        "<a ",
        "</a",
        "<",
        "&#1",
        "[",
        "{",
        "(",
        ",",
        "a,",
        '"',
        "\\",
        " ",
        " \n",
        "\n",
        "![",
        "![](",
        "data:image/",
        "data:image/png,",
        "data:image/png;base64,",
        "A" * 70 + "\n",
        "---\n",
        "# a\n",
        "# trigger words\n",
        "```\n",
        "é",
    ],
)
def test_four_megabytes_of_anything_come_to_an_end(unit: str) -> None:
    room = MAX_BYTES - 100
    filled = (unit * (room // len(unit.encode()))).encode()
    for prefix in (b"", b"---\n", b"---\na: b\n---\n# Trigger Words\n"):
        parse_sidecar(prefix + filled, kind="markdown", model_name=MODEL)
    parse_sidecar(filled, kind="text", model_name=MODEL)
    written = json.dumps(unit, ensure_ascii=False)[1:-1]
    inner = written * (room // len(written.encode()))
    for kind, key in (
        ("a1111_json", "activation text"),
        ("a1111_json", "description"),
        ("metadata_json", "notes"),
    ):
        found = f'{{"sd version": "", "{key}": "{inner}"}}'.encode()
        parse_sidecar(found, kind=kind, model_name=MODEL)


@pytest.mark.parametrize(
    "unit", ["0", "[]", "{}", "[0]", '{"":0}', '""', '{"name":"x"}', '"data:image/png,"']
)
@pytest.mark.parametrize("key", ["trainedWords", "files", "x"])
def test_four_megabytes_of_small_values_come_to_an_end(unit: str, key: str) -> None:
    count = (MAX_BYTES - 100) // (len(unit) + 1)
    parse_sidecar(f'{{"{key}":[{",".join([unit] * count)}]}}'.encode(), kind="civitai_info", model_name=MODEL)
