"""What a workflow names, in each form it is kept in."""

from __future__ import annotations

import contextlib
import io
import json
from typing import Any

import pytest
from tests.workflow_files import (
    SUBGRAPH,
    canvas,
    chunk,
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
    user_comment,
    webp,
)

from mlib.core.workflows.graph import WorkflowError
from mlib.core.workflows.mentions import read_workflow
from mlib.core.workflows.needs import Need

LORA = node(3, "LoraLoader", "a.safetensors", 1, 1)
URL = "https://huggingface.co/x/resolve/main/a.safetensors?download=true"


def read(content: bytes) -> tuple[Need, ...]:
    return read_workflow(io.BytesIO(content), len(content))


def needs(document: Any) -> tuple[Need, ...]:
    return read(encoded(document))


def named(document: Any) -> list[tuple[str, str | None]]:
    return [(need.name, need.type) for need in needs(document)]


def refused(content: bytes) -> str:
    with pytest.raises(WorkflowError) as caught:
        read(content)
    assert "\n" not in caught.value.message
    return caught.value.code


def test_a_node_of_a_known_class_tells_the_folder_type() -> None:
    assert needs(canvas(LORA)) == (Need("a.safetensors", "loras", nodes=("3",), classes=("LoraLoader",)),)


def test_a_node_nobody_knows_names_a_model_of_an_unknown_type() -> None:
    assert named(canvas(node(1, "Any|Node", "x", 7, None, "b.GGUF"))) == [("b.GGUF", None)]


def test_what_only_looks_like_a_file_name_is_none() -> None:
    texts = [
        "https://a.example/b.safetensors", ".safetensors", "a/.safetensors", "two\nlines.safetensors",
        "x" * 2000 + ".pt", "safetensors", "a.txt", "",
    ]  # fmt: skip
    assert needs(canvas(node(1, "X", *texts), node(2, "Note", "a.safetensors"))) == ()


def test_what_is_declared_for_the_value_of_a_widget_is_taken_and_what_is_declared_for_another_is_not() -> (
    None
):
    declared = [
        {
            "name": "a.safetensors",
            "url": URL,
            "directory": "unet",
            "hash": "0xAB" + "C" * 62,
            "hash_type": "SHA256",
        },
        {"name": "old.safetensors", "url": URL, "directory": "vae"},
    ]
    assert needs(canvas(node(1, "X", "a.safetensors", models=declared))) == (
        Need(
            "a.safetensors", "diffusion_models", nodes=("1",), classes=("X",), url=URL, hash="ab" + "c" * 62
        ),
    )


def test_a_hash_of_another_kind_and_an_url_that_is_none_are_not_believed() -> None:
    declared = [{"name": "a.pt", "url": "file:///etc/passwd", "hash": "a" * 64, "hash_type": "MD5"}]
    [need] = needs(canvas(node(1, "VAELoader", "a.pt", models=declared)))
    assert (need.url, need.hash, need.type) == (None, None, "vae")


def test_a_node_of_two_types_tells_them_apart_by_place_and_by_name() -> None:
    expected = [("t.safetensors", "text_encoders"), ("c.safetensors", "checkpoints")]
    assert (
        named(canvas(node(1, "LTXAVTextEncoderLoader", "t.safetensors", "c.safetensors", "default")))
        == expected
    )
    inputs = {"ckpt_name": "c.safetensors", "text_encoder": "t.safetensors"}
    assert named(prompt(n1=("LTXAVTextEncoderLoader", inputs))) == expected[::-1]
    assert named(canvas({**node(1, "LTXAVTextEncoderLoader"), "widgets_values": inputs})) == expected[::-1]


def test_names_beside_the_widgets_give_names_and_no_values() -> None:
    """In one of the official templates they are older than the widgets themselves."""
    stale = {"unet_name": "old.safetensors", "weight_dtype": "default"}
    document = canvas(node(1, "UNETLoader", "new.safetensors", "default", widgets_values_named=stale))
    assert named(document) == [("new.safetensors", "diffusion_models")]


def test_the_nodes_of_subgraphs_count_and_so_do_those_deeper_in() -> None:
    inner = subgraph(LORA, name="inner")
    outer = subgraph(node(5, "inner"), node(6, "VAELoader", "v.safetensors"))
    document = canvas(node(57, SUBGRAPH, "v.safetensors"), subgraphs=[outer, inner])
    assert {(need.name, need.type): need.nodes for need in needs(document)} == {
        ("v.safetensors", "vae"): ("57:6",),
        ("a.safetensors", "loras"): ("57:5:3",),
    }


def test_subgraphs_kept_inside_of_others_are_found() -> None:
    outer = subgraph(node(5, "inner"), definitions={"subgraphs": [subgraph(LORA, name="inner")]})
    assert named(canvas(node(57, SUBGRAPH), subgraphs=[outer])) == [("a.safetensors", "loras")]


def test_subgraphs_that_hold_themselves_end() -> None:
    document = canvas(node(1, SUBGRAPH), subgraphs=[subgraph(node(2, SUBGRAPH), LORA)])
    assert named(document) == [("a.safetensors", "loras")]


def test_subgraphs_doubled_over_and_over_are_read_once_each() -> None:
    parts = [subgraph(node(1, f"s{n + 1}"), node(2, f"s{n + 1}"), name=f"s{n}") for n in range(200)]
    document = canvas(node(1, "s0"), subgraphs=[*parts, subgraph(LORA, name="s200")])
    assert named(document) == [("a.safetensors", "loras")]


def promoting(inside: str, *outside: str) -> Any:
    """A workflow whose subgraph brings out the widget of its loader; one node for each model outside."""
    fed = [{"name": "unet_name", "widget": {"name": "unet_name"}, "link": 9}]
    loader = node(2, "UNETLoader", inside, "default", inputs=fed)
    part = subgraph(loader, inputs=[{"name": "unet_name_1", "linkIds": [9]}])
    instances = [
        node(5 + n, SUBGRAPH, name, widgets_values_named={"unet_name_1": name})
        for n, name in enumerate(outside)
    ]
    return canvas(*instances, subgraphs=[part])


def test_what_is_chosen_outside_of_a_subgraph_counts_and_not_what_stood_inside() -> None:
    [need] = needs(promoting("old.pt", "new.pt"))
    assert (need.name, need.type, need.nodes) == ("new.pt", "diffusion_models", ("5",))
    [need] = needs(promoting("same.pt", "same.pt"))
    assert (need.name, need.nodes) == ("same.pt", ("5:2",))


def test_what_stands_inside_counts_where_one_of_several_nodes_leaves_it() -> None:
    assert set(named(promoting("a.pt", "a.pt", "b.pt"))) == {
        ("a.pt", "diffusion_models"), ("b.pt", "diffusion_models"),
    }  # fmt: skip
    assert set(named(promoting("a.pt", "c.pt", "b.pt"))) == {
        ("c.pt", "diffusion_models"), ("b.pt", "diffusion_models"),
    }  # fmt: skip


def test_a_widget_of_a_subgraph_without_names_counts_if_nothing_inside_says_the_same() -> None:
    parts = [subgraph(LORA)]
    assert named(canvas(node(1, SUBGRAPH, "a.safetensors"), subgraphs=parts)) == [("a.safetensors", "loras")]
    assert set(named(canvas(node(1, SUBGRAPH, "b.safetensors"), subgraphs=parts))) == {
        ("a.safetensors", "loras"), ("b.safetensors", None),
    }  # fmt: skip


@pytest.mark.parametrize("mode", [2, 4])
def test_what_is_switched_off_is_marked(mode: int) -> None:
    off = node(3, "LoraLoader", "a.safetensors", mode=mode)
    assert [need.bypassed for need in needs(canvas(off))] == [True]
    assert [need.bypassed for need in needs(canvas(off, node(4, "LoraLoader", "a.safetensors")))] == [False]


def test_all_in_a_subgraph_that_is_switched_off_is_off_unless_another_node_stands_for_it_too() -> None:
    parts = [subgraph(LORA)]
    assert [need.bypassed for need in needs(canvas(node(1, SUBGRAPH, mode=4), subgraphs=parts))] == [True]
    both = canvas(node(1, SUBGRAPH, mode=4), node(2, SUBGRAPH), subgraphs=parts)
    assert [need.bypassed for need in needs(both)] == [False]
    assert [need.bypassed for need in needs(canvas(subgraphs=parts))] == [True]  # nothing stands for it


def test_a_node_that_passes_a_name_on_is_one_with_the_loader() -> None:
    document = canvas(
        node(1, "PrimitiveNode", "a.safetensors", "fixed"), node(3, "LoraLoader", "a.safetensors", mode=4)
    )
    assert needs(document) == (
        Need(
            "a.safetensors", "loras", nodes=("3", "1"), classes=("LoraLoader", "PrimitiveNode"), bypassed=True
        ),
    )


def test_a_node_nobody_knows_that_runs_is_no_less_than_a_loader_that_does_not() -> None:
    document = canvas(node(1, "MyLoader", "a.pt"), node(3, "LoraLoader", "a.pt", mode=4))
    assert [(need.type, need.bypassed) for need in needs(document)] == [("loras", False)]


def test_a_group_made_one_node_gives_its_widgets_their_types() -> None:
    group = {"nodes": [node(0, "VAELoader", "v.pt"), node(1, "LoraLoader", "old.pt", 1, 1)]}
    for kind in ("workflow>pair", "workflow/pair"):
        document = canvas(node(1, kind, "v.pt", "new.pt", 1, 1), extra={"groupNodes": {"pair": group}})
        assert named(document) == [("v.pt", "vae"), ("new.pt", "loras")]
    assert named(canvas(node(1, "workflow>pair"), extra={"groupNodes": {"pair": group}})) == [
        ("v.pt", "vae"), ("old.pt", "loras"),
    ]  # fmt: skip


@pytest.mark.parametrize("kind", ["UNETLoaderMultiGPU", "UNETLoaderDisTorch2MultiGPU"])
def test_the_doubles_of_loaders_are_known(kind: str) -> None:
    assert named(canvas(node(1, kind, "a.pt", "default", "cuda:1"))) == [("a.pt", "diffusion_models")]


def test_a_name_of_nothing_is_no_need() -> None:
    texts = [node(1, "DiffusersLoader", "./"), node(2, "Any", "embedding:./ <lora:./:1>")]
    assert needs(canvas(*texts, models=[{"name": "./"}])) == ()


@pytest.mark.parametrize("name", [r"styles\ink.safetensors", "./ink.safetensors", "Ink.SAFETENSORS"])
def test_a_name_is_kept_as_it_is_written(name: str) -> None:
    """ComfyUI compares it with its list as it stands (execution.py, `value_not_in_list`)."""
    assert named(canvas(node(3, "LoraLoader", name))) == [(name, "loras")]


def test_rows_of_rgthree_and_lora_manager_say_which_are_on() -> None:
    rows = [{}, {"type": "Header"}, {"on": True, "lora": "a.pt"}, {"on": False, "lora": r"x\b.pt"}, ""]
    found = needs(canvas(node(1, "Power Lora Loader (rgthree)", *rows)))
    assert [(need.name, need.type, need.bypassed) for need in found] == [
        ("a.pt", "loras", False), (r"x\b.pt", "loras", True),
    ]  # fmt: skip
    rows = ["<lora:ink:1>", [{"name": "ink", "active": True}, {"name": "off", "active": False}]]
    found = needs(canvas(node(1, "Lora Loader (LoraManager)", *rows)))
    assert [(need.name, need.form, need.bypassed) for need in found] == [
        ("ink", "stem", False), ("off", "stem", True),
    ]  # fmt: skip


def test_embeddings_in_a_prompt_are_needed_and_lora_tags_where_a_node_reads_them() -> None:
    text = (
        "a cat, (embedding:bad\\hands:1.2), embedding:easy.pt, <lora:ink:0.8>. embedding:x. not-embedding:y"
    )
    found = [
        (r"bad\hands", "embeddings", "stem"),
        ("easy.pt", "embeddings", "file"),
        ("x", "embeddings", "stem"),
    ]
    assert [need[:3] for need in needs(canvas(node(1, "CLIPTextEncode", text)))] == found
    tagged = needs(prompt(n1=("ImpactWildcardEncode", {"text": text})))
    assert [need[:3] for need in tagged] == [*found, ("ink", "loras", "stem")]


def test_a_lora_tag_may_give_the_weight_of_every_block() -> None:
    """Impact's wildcards.py, `extract_lora_values`."""
    blocks = ",".join(["0.123456"] * 26)
    text = f"<lora:sub/ink:1.0:0.8:LBW={blocks};A=4.0;B=1.0;><lora:pen:1>"
    assert [need.name for need in needs(canvas(node(1, "ImpactWildcardEncode", text)))] == ["sub/ink", "pen"]


@pytest.mark.parametrize("text", ["Embedding:x", "a cat, (EMBEDDING:x.pt:1.2)", "Lembedding:x"])
def test_an_embedding_in_other_letters_is_words_to_comfyui(text: str) -> None:
    """It splits a prompt at `embedding:` as it stands (sd1_clip.py, `tokenize_with_weights`)."""
    assert needs(canvas(node(1, "CLIPTextEncode", text))) == ()


def test_a_list_of_two_folders_may_mean_either() -> None:
    """KJNodes' model_optimization_nodes.py lists connectors of `text_encoders` beside diffusion models."""
    connector = "ltx-2_connector.safetensors"
    assert named(canvas(node(1, "DiffusionModelSelector", connector))) == [(connector, None)]
    assert named(canvas(node(1, "GGUFLoaderKJ", "a.gguf", connector, "default"))) == [
        ("a.gguf", "diffusion_models"), (connector, None),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("NunchakuFluxLoraStack", "loras"),
        ("XY Input: LoRA", "loras"),
        ("easy controlnetLoaderADV", "controlnet"),
        ("Tiled Upscaler Script", "controlnet"),
        ("WanVideoUni3C_ControlnetLoader", "controlnet"),
        ("WanVideoTinyVAELoader", "vae_approx"),
        ("easy hiresFix", "upscale_models"),
        ("easy samLoaderPipe", "sams"),
        ("easy ultralyticsDetectorPipe", "ultralytics"),
        ("CheckpointLoaderAdvancedMultiGPU", "checkpoints"),
        ("LTXVLoadConditioning", "embeddings"),
    ],
)
def test_nodes_of_widespread_packs_name_their_folder(kind: str, type_: str) -> None:
    assert named(canvas(node(1, kind, "a.pt"))) == [("a.pt", type_)]


def test_files_of_the_approximate_vaes_are_looked_for_where_comfyui_does() -> None:
    for kind in ("VAELoader", "VAELoaderKJ"):
        assert named(canvas(node(1, kind, "lighttaew2_1.safetensors"))) == [
            ("lighttaew2_1.safetensors", "vae_approx")
        ]
        assert named(canvas(node(1, kind, "taehv1_5.safetensors"))) == [("taehv1_5.safetensors", "vae")]


def test_what_a_subgraph_or_group_is_given_is_listed_or_not_by_the_node_within() -> None:
    inner = node(7, "UNETLoader", "a.pt", inputs=[{"name": "u", "link": 1, "widget": {"name": "unet_name"}}])
    inner["widgets_values_named"] = {"unet_name": "a.pt"}
    part = subgraph(inner, inputs=[{"name": "model", "linkIds": [1]}])
    outer = node(1, SUBGRAPH, "a.gguf", widgets_values_named={"model": "a.gguf"})
    assert [(*need[:2], need.listed) for need in needs(canvas(outer, subgraphs=[part]))] == [
        ("a.gguf", "diffusion_models", False),
    ]  # fmt: skip
    group = {"nodes": [node(0, "UNETLoader", "a.pt")]}
    document = canvas(node(1, "workflow>one", "a.gguf"), extra={"groupNodes": {"one": group}})
    assert [(need.type, need.listed) for need in needs(document)] == [("diffusion_models", False)]


@pytest.mark.parametrize("node_class", ["CLIPTextEncode", "ImpactWildcardEncode"])
def test_a_prompt_that_ends_like_a_file_name_is_no_file_name(node_class: str) -> None:
    text = "a cat, embedding:easy, embedding:bad.pt"
    found = [("easy", "embeddings", "stem"), ("bad.pt", "embeddings", "file")]
    for document in (canvas(node(1, node_class, text)), prompt(n1=(node_class, {"text": text}))):
        assert [need[:3] for need in needs(document)] == found
    assert needs(canvas(node(1, "CLIPTextEncode", "a label that says model.bin"))) == ()
    assert named(canvas(node(1, "LoraLoader", "embedding:odd.pt"))) == [("embedding:odd.pt", "loras")]


def test_built_in_names_and_folders_stand_for_files() -> None:
    assert [need[:3] for need in needs(canvas(node(1, "VAELoader", "taesd")))] == [
        ("taesd_encoder", "vae_approx", "stem"), ("taesd_decoder", "vae_approx", "stem"),
    ]  # fmt: skip
    assert needs(canvas(node(1, "VAELoader", "pixel_space"))) == ()
    assert [need[:3] for need in needs(canvas(node(1, "DiffusersLoader", "sd-15")))] == [
        ("sd-15", "diffusers", "folder")
    ]


def test_a_list_of_models_at_the_top_tells_more_and_makes_no_need() -> None:
    models = [{"name": "a.pt", "directory": "clip", "url": URL, "hash": "a" * 64}, 7, {"name": 3}]
    assert needs(canvas(models=models)) == ()
    for name in ("a.pt", "x/a.pt"):
        [need] = needs(canvas(node(1, "CLIPLoader", name), models=models))
        assert (need.name, need.url, need.hash) == (name, URL, "a" * 64)
    [need] = needs(canvas(node(1, "Any", "a.pt"), models=models))
    assert (need.type, need.url) == ("text_encoders", URL)


def test_the_form_that_is_run_is_read_alone_and_as_it_is_sent() -> None:
    document = prompt(n3=("LoraLoader", {"lora_name": "a.safetensors", "model": ["4", 0], "strength": 1.0}))
    expected = (Need("a.safetensors", "loras", nodes=("3",), classes=("LoraLoader",)),)
    assert needs(document) == needs({"prompt": document, "client_id": "x"}) == expected
    full = {
        "prompt": document,
        "extra_data": {"extra_pnginfo": {"workflow": canvas(node(9, "VAELoader", "v.pt"))}},
    }
    assert named(full) == [("v.pt", "vae"), ("a.safetensors", "loras")]


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_a_png_is_read_from_text_of_any_kind(kind: bytes) -> None:
    image = png(text_chunk("other", {"a": 1}, kind), text_chunk("workflow", canvas(LORA), kind))
    assert [need.name for need in read(image)] == ["a.safetensors"]


def test_an_animated_png_has_it_after_the_image() -> None:
    assert len(read(png(after=[text_chunk("workflow", canvas(LORA), b"comf")]))) == 1


def test_both_forms_in_an_image_are_one_workflow() -> None:
    both = {
        "prompt": prompt(n3=("LoraLoader", {"lora_name": "a.safetensors"})),
        "workflow": canvas(
            node(3, "LoraLoader", "a.safetensors", models=[{"name": "a.safetensors", "url": URL}])
        ),
    }
    image = png(*(text_chunk(name, document) for name, document in both.items()))
    [need] = read(image)
    assert (need.nodes, need.url) == (("3",), URL)
    assert read(webp((b"VP8X", bytes(10)), (b"EXIF", exif(**both)), (b"XMP ", b"x"))) == (need,)


@pytest.mark.parametrize("order", "<>")
@pytest.mark.parametrize("lead", [b"", b"Exif\0\0"])
def test_a_webp_is_read_from_its_exif(order: str, lead: bytes) -> None:
    block = lead + exif(order, workflow=canvas(LORA), other={})
    assert [need.name for need in read(webp((b"VP8 ", b"abc"), (b"EXIF", block)))] == ["a.safetensors"]


def test_the_prompt_of_another_program_in_an_image_is_no_fault() -> None:
    image = png(chunk(b"tEXt", b"prompt\0a cat"), text_chunk("workflow", canvas(LORA)))
    assert len(read(image)) == 1
    assert refused(png(chunk(b"tEXt", b"prompt\0a cat"))) == "not_a_workflow"


def test_numbers_as_python_writes_them_are_no_fault() -> None:
    assert read(b'{"1": {"class_type": "LoraLoader", "inputs": {"lora_name": "a.pt", "x": NaN}}}')


def test_a_byte_order_mark_is_no_fault() -> None:
    assert read(b"\xef\xbb\xbf" + encoded(canvas(LORA)))


@pytest.mark.parametrize(
    ("content", "code"),
    [
        (b"", "empty_file"),
        (b"{", "bad_json"),
        (b"[" * 100_000, "bad_json"),
        (b'{"nodes": ' + b"[" * 300 + b"]" * 300 + b"}", "bad_json"),
        (b'{"a": ' + b"9" * 5000 + b"}", "bad_json"),
        (b"{}", "not_a_workflow"),
        (b"[]", "not_a_workflow"),
        (b"3", "not_a_workflow"),
        (b'{"nodes": {}}', "not_a_workflow"),
        (b'{"prompt": "x"}', "not_a_workflow"),
        (b"\xff\xd8\xff\xe0", "bad_image"),
        (b"\0\1\2\xff" * 9, "not_a_workflow"),
        (b"\0\x05\x16\x07" + bytes(90), "apple_double"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"a" * 64, "lfs_pointer"),
        (mp4(), "not_a_workflow"),
        (mp4(workflow="a cat")[:-40], "bad_media"),
        (jpeg(), "not_a_workflow"),
        (matroska({}), "not_a_workflow"),
        (matroska({"workflow": {}})[:-4], "not_a_workflow"),
        (flac(comment="a cat"), "not_a_workflow"),
        (mp3(), "not_a_workflow"),
        (ogg(), "not_a_workflow"),
        (glb({}), "not_a_workflow"),
        (glb({"asset": {"version": "2.0"}, "nodes": [{"mesh": 0}]}), "not_a_workflow"),
        (b'{"asset": {"version": "2.0"}, "nodes": []}', "not_a_workflow"),
        (b"<svg/>", "not_a_workflow"),
        (b"<svg><metadata>&lt;", "not_a_workflow"),
        (png(), "not_a_workflow"),
        (png()[:40], "bad_image"),
        (b"\x89PNG\r\n\x1a\n", "bad_image"),
        (png(chunk(b"zTXt", b"workflow\0\0no zlib")), "bad_image"),
        (png(text_chunk("workflow", 7)), "not_a_workflow"),
        (png(chunk(b"tEXt", b"workflow\0{")), "bad_json"),
        (webp(), "not_a_workflow"),
        (webp((b"EXIF", b"")), "not_a_workflow"),
        (webp((b"EXIF", b"II*\0\xff\xff\xff\xff")), "not_a_workflow"),
        (webp((b"EXIF", exif(workflow=canvas(LORA))[:30])), "not_a_workflow"),
        (b"RIFF\xff\xff\xff\xffWEBPVP8 \xff\xff\xff\xff", "bad_image"),
    ],
)
def test_what_cannot_be_read_says_why(content: bytes, code: str) -> None:
    assert refused(content) == code


def test_a_bomb_is_not_unpacked() -> None:
    import zlib

    bomb = zlib.compress(bytes(64 << 20), 9)
    assert refused(png(chunk(b"zTXt", b"workflow\0\0" + bomb))) == "too_large"


def test_many_bombs_and_many_texts_are_not_taken_together() -> None:
    import zlib

    small = chunk(b"zTXt", b"workflow\0\0" + zlib.compress(b" " * (1 << 20)))
    assert refused(png(*[small] * 400, text_chunk("prompt", {}))) == "not_a_workflow"
    text = '{"a": "' + "x" * (9 << 20) + '"}'
    assert refused(mp4(**{f"n{number}": text for number in range(5)})) == "too_large"


def test_a_file_that_is_too_long_is_not_read() -> None:
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            assert size == 12
            return b"{" * 12

    with pytest.raises(WorkflowError, match="32 MB"):
        read_workflow(Endless(), 2**40)


def test_names_that_no_file_can_have_can_still_be_shown() -> None:
    found = read(json.dumps(canvas(node(1, "X", "\ud800.pt", "\udcff.pt"))).encode())
    assert [need.name for need in found] == ["\\ud800.pt", "\udcff.pt"]


PAINT = node(3, "LoraLoader", "水彩画.safetensors", 1, 1)


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt", b"iTXt"])
def test_text_in_a_png_is_utf8_as_the_front_end_reads_it(kind: bytes) -> None:
    text = json.dumps(canvas(PAINT), ensure_ascii=False)
    assert [need.name for need in read(png(text_chunk("workflow", text, kind)))] == ["水彩画.safetensors"]


def test_text_in_a_png_that_is_not_utf8_is_latin_1_as_the_format_says() -> None:
    text = json.dumps(canvas(node(3, "LoraLoader", "café.safetensors")), ensure_ascii=False)
    image = png(chunk(b"tEXt", b"workflow\0" + text.encode("latin-1")))
    assert [need.name for need in read(image)] == ["café.safetensors"]


BOTH = {"prompt": prompt(n3=("LoraLoader", {"lora_name": "水彩画.safetensors"})), "workflow": canvas(PAINT)}
#: What VideoHelperSuite wrote as one comment: the prompt as JSON in a string.
COMMENT = {"comment": {"prompt": json.dumps(BOTH["prompt"]), "workflow": BOTH["workflow"]}}


@pytest.mark.parametrize(
    "content",
    [
        webp((b"EXIF", exif(**BOTH))),
        jpeg(exif(**BOTH)),
        jpeg(exif(">", **BOTH)),
        jpeg(comment=BOTH),
        jpeg(user_comment(BOTH, b"UNICODE\0", "utf-16-be")),
        jpeg(user_comment(BOTH, b"UNICODE\0", "utf-16-le", ">")),
        jpeg(user_comment(BOTH, b"ASCII\0\0\0", "ascii")),
        webp((b"EXIF", user_comment(BOTH, bytes(8), "ascii"))),
        b"\0\0\0\x1cftypavif" + bytes(40) + exif(**BOTH),
        mp4(**BOTH),
        mp4(**COMMENT),
        quicktime(**COMMENT),
        matroska(BOTH),
        matroska(COMMENT),
        matroska(BOTH, open_ended=True),
        flac(**BOTH),
        flac(**COMMENT),
        ogg(b"OpusTags", **BOTH),
        ogg(b"\x03vorbis", **BOTH),
        mp3(4, **BOTH),
        mp3(3, **BOTH),
        svg(BOTH),
        svg(BOTH, escaped=True),
        glb({"asset": {"extras": BOTH}, "nodes": [{}]}),
        latent(**BOTH),
    ],
)
def test_a_file_that_a_workflow_made_holds_it(content: bytes) -> None:
    [need] = read(content)
    assert (need.name, need.type, need.nodes) == ("水彩画.safetensors", "loras", ("3",))
    # Whatever is cut off or altered: it is read, or refused in words.
    for at in range(0, len(content), max(1, len(content) // 60)):
        for damaged in (content[:at], content[:at] + b"\xff" * 9 + content[at + 9 :]):
            with contextlib.suppress(WorkflowError):
                read(damaged)


def test_numbers_of_lengths_that_are_not_there_are_no_fault() -> None:
    for lead in (b"\x1aE\xdf\xa3", b"fLaC\x84", b"ID3\4\0\0", b"\0\0\0\1ftypmp42", b"glTF", b"OggS"):
        for rest in (b"\xff" * 300, b"\x7f" * 300, bytes(300)):
            with pytest.raises(WorkflowError):
                read(lead + rest)


HISTORY = {
    "6e3b": {
        "prompt": [
            7,
            "6e3b",
            BOTH["prompt"],
            {"extra_pnginfo": {"workflow": canvas(PAINT, node(9, "VAELoader", "v.pt", mode=4))}},
            ["9"],
        ],
        "outputs": {"9": {"images": [{"filename": "a.png"}]}},
        "status": {"completed": True},
    }
}


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (HISTORY, {"水彩画.safetensors": False, "v.pt": True}),
        (
            {"queue_running": [HISTORY["6e3b"]["prompt"]], "queue_pending": []},
            {"水彩画.safetensors": False, "v.pt": True},
        ),
        ({key: json.dumps(value) for key, value in BOTH.items()}, {"水彩画.safetensors": False}),
        (json.dumps(json.dumps(BOTH)), {"水彩画.safetensors": False}),
        (
            [canvas(LORA), {"workflow": canvas(PAINT)}],
            {"a.safetensors": False, "水彩画.safetensors": False},
        ),
    ],
)
def test_workflows_are_found_in_what_servers_and_people_keep(
    document: Any, expected: dict[str, bool]
) -> None:
    assert {need.name: need.bypassed for need in needs(document)} == expected


def test_json_with_comments_and_last_commas_is_read() -> None:
    text = json.dumps(canvas(node(1, "LoraLoader", "a//b/*c*/,].safetensors")))
    commented = "// mine\n{ /* not\n this */" + text[1:-1] + ", // end\n}"
    assert named_in(commented.encode()) == ["a//b/*c*/,].safetensors"]
    latin = json.dumps(canvas(node(1, "LoraLoader", "café.safetensors")), ensure_ascii=False)
    assert named_in(latin.encode("latin-1")) == ["café.safetensors"]
    assert named_in(("\ufeff" + text).encode("utf-16-le")) == ["a//b/*c*/,].safetensors"]


def named_in(content: bytes) -> list[str]:
    return [need.name for need in read(content)]


@pytest.mark.parametrize("piece", ["/*", "//", '"', '"\\"', "\\", ",", ", ", '"a\\'])
def test_what_is_no_json_is_refused_in_time_that_grows_with_it(piece: str) -> None:
    content = ("{" + piece * 400_000).encode()  # ends in this life only if each step is linear
    assert refused(content) == "bad_json"


@pytest.mark.parametrize(
    "values", ["one.pt\ntwo.pt", "one.pt,two.pt", "one.pt; two.pt\n", '["one.pt", "two.pt"]']
)
def test_a_list_of_names_is_several_needs(values: str) -> None:
    assert [need.name for need in needs(canvas(node(1, "Any", values)))] == ["one.pt", "two.pt"]
    assert [need.name for need in needs(prompt(n1=("LoraLoader", {"a": values})))] == ["one.pt", "two.pt"]


def test_a_comma_in_a_name_is_one() -> None:
    assert named(canvas(node(1, "LoraLoader", "ink, washed.pt"))) == [("ink, washed.pt", "loras")]


@pytest.mark.parametrize(
    "kind",
    [
        *("ShowText|pysssss", "PreviewAny", "Note", "MarkdownNote", "easy showAnything"),
        *("Display Any (rgthree)", "SaveImage", "CheckpointSave", "Image Save", "VHS_VideoCombine"),
    ],
)
def test_what_is_shown_or_says_where_to_save_is_no_need(kind: str) -> None:
    texts = node(1, kind, "a.safetensors", ["b.safetensors"], "<lora:c:1> embedding:d")
    assert needs(canvas(texts)) == ()
    assert needs(prompt(n1=("Any", {"filename_prefix": "x.pt"}))) == ()


def test_nodes_of_packs_with_folders_of_their_own_are_known() -> None:
    document = canvas(
        node(1, "FluxLoraLoader", "a.safetensors", 1),
        node(2, "LoadFluxControlNet", "flux-dev", "b.safetensors"),
        node(3, "LoadFluxIPAdapter", "c.safetensors", "d.safetensors", "CPU"),
        node(4, "UltralyticsDetectorProvider", "bbox/face.pt"),
    )
    assert named(document) == [
        ("a.safetensors", "xlabs_loras"), ("b.safetensors", "xlabs_controlnets"),
        ("c.safetensors", "xlabs_ipadapters"), ("d.safetensors", "clip_vision"),
        ("bbox/face.pt", "ultralytics"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "values", "need"),
    [
        ("NunchakuFluxDiTLoader", ["svdq-int4-flux.1-dev", 0, "x"], "svdq-int4-flux.1-dev"),
        ("Qwen2_VQA", ["what is it?", "Qwen2.5-VL-7B-Instruct", "none"], "Qwen2.5-VL-7B-Instruct"),
        (
            "DownloadAndLoadFlorence2Model",
            ["microsoft/Florence-2-large", "fp16"],
            "microsoft/Florence-2-large",
        ),
    ],
)
def test_a_folder_that_a_node_names_is_a_need(kind: str, values: list[Any], need: str) -> None:
    [found] = needs(canvas(node(1, kind, *values)))
    assert (found.name, found.form) == (need, "folder")
    assert found.automatic is not kind.startswith("Nunchaku")
    assert [each.name for each in needs(canvas(node(1, kind, need)))] == [need]
    [found] = needs(canvas(node(1, kind, *(f"{each}.safetensors" for each in values if each == need))))
    assert found.form == "file"


@pytest.mark.parametrize(
    "kind",
    [
        *("RIFE VFI", "DWPreprocessor", "DepthAnythingPreprocessor", "DownloadAndLoadSAM2Model"),
        "DWPreprocessor_Provider_for_SEGS //Inspire",
    ],
)
def test_what_a_node_downloads_by_itself_is_marked(kind: str) -> None:
    assert [need.automatic for need in needs(canvas(node(1, kind, "a.pth")))] == [True]
    both = canvas(node(1, kind, "a.pth"), node(2, "Any", "a.pth"))
    assert [need.automatic for need in needs(both)] == [False]
