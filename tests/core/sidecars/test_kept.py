"""A sidecar's word as a library keeps it."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.sidecars import sidecar_files

from mlib.core.sidecars.parse import parse_sidecar
from mlib.core.sidecars.record import Sidecar, packed, unpacked

texts = st.text(max_size=20)
lists = st.lists(texts, max_size=4).map(tuple)
sidecars = st.builds(
    Sidecar,
    kind=st.sampled_from(["civitai_info", "text"]),
    name=texts, version=texts, type=texts, base_model=texts, trigger_words=lists, description=texts,
    tags=lists, notes=texts, negative_text=texts,
    preferred_weight=st.none() | st.floats(allow_nan=False, allow_infinity=False),
    author=texts, source_url=texts, hashes=st.dictionaries(texts, texts, max_size=3), other_sha256=lists,
    cut=lists,
)  # fmt: skip


@given(sidecars)
def test_what_is_kept_comes_back(sidecar: Sidecar) -> None:
    assert unpacked(packed(sidecar)) == sidecar


@given(sidecars)
def test_it_is_kept_as_plain_ascii_json(sidecar: Sidecar) -> None:
    text = packed(sidecar)
    assert text.isascii()
    assert json.loads(text)["kind"] == sidecar.kind


@pytest.mark.parametrize("kind", list(sidecar_files.all_kinds()))
def test_every_kind_comes_back(kind: str) -> None:
    sidecar = parse_sidecar(sidecar_files.all_kinds()[kind], kind=kind, model_name="ink_wash_v3")
    assert unpacked(packed(sidecar)) == sidecar


def test_what_says_nothing_is_short() -> None:
    assert packed(Sidecar("text")) == '{"kind": "text"}'


def test_what_another_version_kept_beside_it_is_passed_over() -> None:
    assert unpacked('{"kind": "text", "notes": "n", "later": [1, {}]}') == Sidecar("text", notes="n")
