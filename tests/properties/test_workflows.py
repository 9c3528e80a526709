"""Workflows of any shape: what is named is found, wherever it stands, and nothing makes reading fail."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

from hypothesis import given, settings
from hypothesis import strategies as st
from tests.workflow_files import canvas, encoded, node, png, prompt, subgraph, text_chunk, webp
from tests.workflow_files import exif as exif_block

from mlib.core.workflows.graph import WorkflowError
from mlib.core.workflows.mentions import read_workflow

if TYPE_CHECKING:
    from mlib.core.workflows.needs import Need

MODES = st.sampled_from([0, 0, 0, 2, 4])
NAMES = st.sampled_from([f"{letter}.safetensors" for letter in "abcdefgh"])
#: A level of a workflow: loaders (name, mode), and instances of subgraphs (which, mode).
LEVELS = st.lists(
    st.tuples(
        st.lists(st.tuples(NAMES, MODES), max_size=3),
        st.lists(st.tuples(st.integers(0, 4), MODES), max_size=3),
    ),
    min_size=1,
    max_size=5,
)
KEYS = st.sampled_from(
    (
        *("nodes", "type", "widgets_values", "properties", "models", "name", "definitions", "id"),
        *("extra", "groupNodes", "class_type", "inputs", "prompt", "workflow", "subgraphs"),
        *("widgets_values_named", "mode", "url", "hash", "directory", "widget", "extra_data"),
        *("extra_pnginfo", "on", "active", "s"),
    )
)  # fmt: skip
VALUES = st.sampled_from(
    [
        "a.safetensors",
        "s",
        "s1",
        "workflow>s",
        "LoraLoader",
        "embedding:x",
        "<lora:y:1>",
        "taesd",
        "DiffusersLoader",
    ]
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | VALUES,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(KEYS | st.text(max_size=3), inner, max_size=6)
    ),
    max_leaves=40,
)


def read(content: bytes) -> tuple[Need, ...]:
    return read_workflow(io.BytesIO(content), len(content))


def nodes_of(level: Any) -> list[Any]:
    loaders, instances = level
    made = [node(n, "LoraLoader", name, 1, 1, mode=mode) for n, (name, mode) in enumerate(loaders)]
    return made + [node(50 + n, f"s{which}", mode=mode) for n, (which, mode) in enumerate(instances)]


def running(levels: list[Any]) -> set[str]:
    """The models that would be loaded: the rule, spelt out by going everywhere again and again."""
    active = {0}
    while True:
        reached = {
            which + 1
            for level in active
            for which, mode in levels[level][1]
            if mode == 0 and which + 1 < len(levels)
        }
        if reached <= active:
            return {name for level in active for name, mode in levels[level][0] if mode == 0}
        active |= reached


@given(LEVELS)
def test_each_model_is_found_and_is_bypassed_if_nothing_that_runs_names_it(levels: list[Any]) -> None:
    parts = [subgraph(*nodes_of(level), name=f"s{n}") for n, level in enumerate(levels[1:])]
    found = read(encoded(canvas(*nodes_of(levels[0]), subgraphs=parts)))
    assert {need.name for need in found} == {name for loaders, _ in levels for name, _ in loaders}
    assert {need.name for need in found if not need.bypassed} == running(levels)
    assert len(found) == len({need.name for need in found})


@given(
    st.lists(st.tuples(NAMES, st.sampled_from(["LoraLoader", "VAELoader", "Any"])), min_size=1, max_size=6)
)
def test_both_forms_and_every_wrapping_tell_the_same(entries: list[tuple[str, str]]) -> None:
    edited = canvas(*(node(n, kind, name) for n, (name, kind) in enumerate(entries)))
    run = prompt(**{f"n{n}": (kind, {"x": name, "m": ["1", 0]}) for n, (name, kind) in enumerate(entries)})
    expected = read(encoded(edited))
    for content in (
        encoded(run),
        encoded({"prompt": run}),
        png(text_chunk("workflow", edited, b"zTXt")),
        png(text_chunk("prompt", run), text_chunk("workflow", edited)),
        webp((b"EXIF", exif_block(workflow=edited, prompt=run))),
    ):
        assert read(content) == expected


@settings(max_examples=300)
@given(JSON)
def test_any_json_is_read_or_refused_in_a_line(document: Any) -> None:
    for content in (document, {"nodes": [document]}, {"1": {"class_type": "X", "inputs": document}}):
        message, found = _outcome(json.dumps(content).encode())
        assert "\n" not in message
        assert all(need.name for need in found)


def _outcome(content: bytes) -> tuple[str, tuple[Need, ...]]:
    try:
        return "", read(content)
    except WorkflowError as error:
        return error.message, ()
