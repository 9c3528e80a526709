"""Whatever lies beside a model, reading it ends in a record that can be stored, or in a SidecarError."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from tests.core.sidecars.sidecar_files import PLAIN_JSON_KINDS

from mlib.core.sidecars import values
from mlib.core.sidecars.civitai import LENGTHS
from mlib.core.sidecars.companions import KINDS, SIDECAR_KINDS, by_stem, companions, stem_of
from mlib.core.sidecars.html_text import html_to_text, tidied
from mlib.core.sidecars.parse import parse_sidecar
from mlib.core.sidecars.record import Sidecar, SidecarError

CODES = {"not_json", "not_yaml", "not_text", "wrong_kind"}
KEYS = [
    "id",
    "modelId",
    "name",
    "model",
    "type",
    "description",
    "tags",
    "trainedWords",
    "baseModel",
    "air",
    "files",
    "hashes",
    "primary",
    "creator",
    "username",
    "civitai",
    "model_name",
    "file_name",
    "sha256",
    "autov3",
    "notes",
    "usage_tips",
    "sub_type",
    "hf_url",
    "base_model",
    "modelDescription",
    "ModelId",
    "VersionId",
    "ModelName",
    "UserTitle",
    "VersionName",
    "Tags",
    "ModelType",
    "Hashes",
    "SHA256",
    "CRC32",
    "TrainedWords",
    "SourceUrl",
    "sd version",
    "activation text",
    "preferred weight",
    "negative text",
    "extensions",
    "modelVersions",
    "raw",
    "userNote",
    "userTags",
    "word",
    "user",
    "links",
    "strengthMin",
    "triggerWords",
    "modelspec.title",
    "modelspec.trigger_phrase",
    "modelspec.tags",
    "modelspec.hash_sha256",
    "modelspec.architecture",
]
WORDS = [
    "LORA",
    "a.safetensors",
    "a" * 64,
    "e3b0c442",
    "<p>x</p>",
    "<a href='https://a.example'>b",
    "x, y",
    "(x, y",
    "data:image/png;base64,AAAA",
    "urn:air:sdxl:lora:civitai:1@2",
    "https://a.example",
    '{"strength": 1}',
    "\ud800",
    "\x00",
    "None",
    "Unknown",
]
texts = st.text(st.characters(codec=None), max_size=20) | st.sampled_from(WORDS)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | texts
garbage: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS) | texts, inner, max_size=6)
    ),
    max_leaves=20,
)
documents = st.dictionaries(st.sampled_from(KEYS), garbage, max_size=10)
kinds = st.sampled_from(SIDECAR_KINDS)
lines = st.lists(
    texts
    | st.sampled_from(
        [
            "---",
            "...",
            "# Trigger Words",
            "# About this version",
            "# x",
            "```",
            "author: x",
            "hashes:",
            "  SHA256: 1E2",
            "modelPage: https://a.example",
            "- a",
            "a: [b",
            "? x",
            "&a *a",
            "%YAML 1.1",
            "\ta",
        ]
    ),
    max_size=12,
).map("\n".join)


def read(content: bytes, kind: str) -> Sidecar | None:
    try:
        sidecar = parse_sidecar(content, kind=kind, model_name="a.safetensors")
    except SidecarError as error:
        refused = error
    else:
        check(sidecar)
        assert sidecar.kind in (PLAIN_JSON_KINDS if kind == "a1111_json" else (kind,))
        return sidecar
    assert refused.code in CODES
    assert "\n" not in refused.message
    return None


def check(sidecar: Sidecar) -> None:
    """What is promised of every record."""
    names = set(sidecar._fields)
    assert set(sidecar.cut) <= names
    one_line = [
        sidecar.name,
        sidecar.version,
        sidecar.type,
        sidecar.base_model,
        sidecar.author,
        sidecar.source_url,
    ]
    paragraphs = [sidecar.description, sidecar.notes, sidecar.negative_text]
    for text in [*one_line, *paragraphs, *sidecar.trigger_words, *sidecar.tags]:
        text.encode()
        assert text == text.strip()
        assert not any(c < " " and c not in "\n\t" for c in text)
    assert not any("\n" in text for text in [*one_line, *sidecar.trigger_words, *sidecar.tags])
    assert len(set(sidecar.trigger_words)) == len(sidecar.trigger_words) <= values.MAX_TRIGGER_WORDS
    assert len(sidecar.description.encode()) <= values.MAX_DESCRIPTION
    assert sidecar.source_url == "" or sidecar.source_url.lower().startswith(("http://", "https://"))
    for name, digits in [*sidecar.hashes.items(), *(("sha256", one) for one in sidecar.other_sha256)]:
        assert len(digits) == LENGTHS[name]
        assert set(digits) <= set("0123456789abcdef")
    assert sidecar.is_empty == (sidecar == Sidecar(sidecar.kind, cut=sidecar.cut))


@given(documents | garbage, kinds)
def test_json_of_any_shape_is_read_or_refused(document: object, kind: str) -> None:
    read(json.dumps(document).encode(), kind)


@given(st.binary(max_size=200), kinds)
def test_any_bytes_are_read_or_refused(content: bytes, kind: str) -> None:
    read(content, kind)


@given(lines, kinds)
def test_any_lines_are_read_or_refused(text: str, kind: str) -> None:
    read(text.encode("utf-8", "surrogatepass"), kind)
    read(f"---\n{text}\n---\n{text}".encode("utf-8", "replace"), "markdown")


@given(st.lists(texts, max_size=6))
def test_trigger_words_are_those_of_the_list(words: list[str]) -> None:
    sidecar = read(json.dumps({"TrainedWords": words}).encode(), "cm_info")
    assert sidecar is not None
    assert len(sidecar.trigger_words) <= len(words)
    plain = [
        word for word in words if word.isascii() and word.isalnum() and word.lower() not in ("none", "null")
    ]
    assert set(plain) <= set(sidecar.trigger_words)


tags = st.sampled_from(
    [
        "<p>",
        "</p>",
        "<br>",
        "<li>",
        "<ul>",
        "</ul>",
        "<a href='https://a.example'>",
        "</a>",
        "<!--",
        "-->",
        "<script>",
        "</script>",
        "<pre>",
        "</pre>",
        "<",
        ">",
        "&lt;",
        "&#60;",
        "\n",
        " ",
        "<b",
        "<!x>",
        "<td>",
    ]
)


@given(st.lists(tags | st.text(max_size=5), max_size=20).map("".join))
def test_html_becomes_tidy_text(html: str) -> None:
    text = html_to_text(html)
    assert text == tidied(text)


@given(st.text())
def test_text_without_a_tag_only_loses_white_space_and_control_characters(text: str) -> None:
    text = text.replace("<", "")
    assert "".join(html_to_text(text).split()) == "".join(tidied(text).split())


stems = st.sampled_from(["a", "A", "a.b", "a.preview", "a.example", "a.metadata", "b", ".a"])
endings = st.sampled_from(
    [
        *(ending.replace("#", "0") for ending in sum(KINDS.values(), ())),
        ".safetensors",
        ".ckpt",
        ".GGUF",
        "",
        ".JSON",
    ]
)
names = st.lists(st.tuples(stems, endings).map("".join) | st.text(max_size=6), max_size=20, unique=True)


@given(names)
def test_one_pass_and_one_model_at_a_time_agree(directory: list[str]) -> None:
    whole = by_stem(directory)
    given_to: dict[str, str] = {}
    for name in directory:
        if not name.lower().endswith((".safetensors", ".ckpt", ".gguf")) or name.startswith("."):
            continue
        found = companions(name, directory)
        assert found == whole.get(stem_of(name), ())
        for companion in found:
            assert companion.name.lower().startswith(stem_of(name))
            assert given_to.setdefault(companion.name, stem_of(name)) == stem_of(name)
