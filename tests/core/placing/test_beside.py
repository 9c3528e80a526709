"""What goes where a model goes."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.core.sidecars.companions import KINDS, Folder, companions, companions_of, renamed

if TYPE_CHECKING:
    from pathlib import Path


def names(paths: tuple[str, ...]) -> list[str]:
    return sorted(os.path.basename(path) for path in paths)


@pytest.fixture
def here(tmp_path: Path) -> Path:
    folder = tmp_path / "loras"
    folder.mkdir()
    for name in ("a.safetensors", "a.png", "a.civitai.info", "A.txt", "ab.safetensors", "ab.png"):
        (folder / name).touch()
    return folder


def test_companions_of_this_model_alone_go(here: Path) -> None:
    beside = companions_of(str(here / "a.safetensors"))
    assert names(beside.own) == ["A.txt", "a.civitai.info", "a.png"]
    assert beside.shared == ()


@pytest.mark.parametrize("sibling", ["a.ckpt", "A.gguf"])
def test_what_a_sibling_of_the_same_stem_needs_stays(here: Path, sibling: str) -> None:
    (here / sibling).touch()
    beside = companions_of(str(here / "a.safetensors"))
    assert beside.own == ()
    assert names(beside.shared) == ["A.txt", "a.civitai.info", "a.png"]
    gone_too = companions_of(str(here / "a.safetensors"), leaving=[str(here / sibling)])
    assert names(gone_too.own) == ["A.txt", "a.civitai.info", "a.png"]


def test_what_is_named_after_the_whole_name_goes_though_a_sibling_stays(here: Path) -> None:
    (here / "a.ckpt").touch()
    for name in ("a.safetensors.rgthree-info.json", "a.safetensors.png", "a.ckpt.sha256"):
        (here / name).touch()
    beside = companions_of(str(here / "a.safetensors"))
    assert names(beside.own) == ["a.safetensors.png", "a.safetensors.rgthree-info.json"]
    assert names(beside.shared) == ["A.txt", "a.civitai.info", "a.png"]
    assert names(companions_of(str(here / "a.ckpt")).own) == ["a.ckpt.sha256"]


def test_what_two_models_of_one_name_in_other_letters_may_share_stays(here: Path) -> None:
    (here / "A.SAFETENSORS").touch()
    (here / "a.safetensors.json").touch()
    beside = companions_of(str(here / "a.safetensors"))
    assert "a.safetensors.json" in names(beside.shared)


def test_a_model_of_any_extension_is_no_companion(here: Path) -> None:
    beside = companions_of(str(here / "a.safetensors"), models={"a.png"})
    assert names(beside.shared) == ["A.txt", "a.civitai.info"]


def test_directories_are_no_companions_and_links_are(here: Path) -> None:
    (here / "a.json").mkdir()
    (here / "a.md").symlink_to("nowhere")
    assert "a.json" not in names(companions_of(str(here / "a.safetensors")).own)
    assert "a.md" in names(companions_of(str(here / "a.safetensors")).own)


STEMS = st.text(st.characters(codec="utf-8", exclude_characters="/\0"), min_size=1, max_size=8)
ENDINGS = st.sampled_from([ending for endings in KINDS.values() for ending in endings if "#" not in ending])


@given(STEMS, STEMS, ENDINGS)
def test_a_renamed_companion_is_one_of_the_renamed_model(old: str, new: str, ending: str) -> None:
    """Whatever the letters: some grow when they are lowered, some are lowered by what follows them."""
    model, to = f"{old}.safetensors", f"{new}.gguf"
    for name in companions(model, [f"{old}{ending}", f"{old.upper()}{ending}", f"{model}{ending}", model]):
        before, now = (model, to) if name.of else (old, new)
        if len(name.name.lower()) == len(before.lower()) + len(ending):
            after = renamed(name.name, model=model, to=to)
            assert after == name.name if before == now else after.startswith(now)
            assert after.lower().endswith(ending)


@given(
    st.lists(st.text("aAbß.İ", min_size=1, max_size=4), unique=True, max_size=8),
    st.text("aAbß.İ", min_size=1, max_size=3),
)
def test_what_begins_alike_stands_together(names: list[str], stem: str) -> None:
    """In any case, and for letters too that get longer when they are lowered."""
    pairs = sorted((name.lower(), name) for name in names)
    folder = Folder([lowered for lowered, _ in pairs], [name for _, name in pairs])
    wanted = {name for name in names if name.lower().startswith(stem.lower())}
    assert set(folder.beginning_with(stem.lower())) == wanted


def test_a_companion_in_other_letters_is_renamed_with_its_model_only() -> None:
    assert renamed("a.png", model="A.safetensors", to="A.safetensors") == "a.png"
    assert renamed("a.png", model="A.safetensors", to="A.ckpt") == "a.png"
    assert renamed("a.png", model="A.safetensors", to="B.safetensors") == "B.png"
    assert renamed("a.png", model="A.safetensors", to="a.safetensors") == "a.png"


def test_what_is_named_after_the_whole_name_follows_the_whole_name() -> None:
    assert renamed("a.pt.json", model="a.pt", to="b.pt") == "b.pt.json"
    assert renamed("a.pt.json", model="a.pt", to="a.safetensors") == "a.safetensors.json"
    assert renamed("a.pt.preview.png", model="A.pt", to="A.pt") == "a.pt.preview.png"
    assert renamed("a.json", model="a.j", to="b.j") == "b.json"
