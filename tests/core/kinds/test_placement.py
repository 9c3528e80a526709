from __future__ import annotations

import pytest
from tests.core.kinds.tensors import judged, minimal

from mlib.core.comfyui.folders import TYPE_FOLDERS
from mlib.core.kinds.bases import belongs_in, is_misplaced, nouns
from mlib.core.kinds.rulebook import shipped_rules

KINDS = sorted(
    {answer.kind for group in shipped_rules() for answer in group.answers}
    | {group.bundle_kind for group in shipped_rules() if group.bundle_kind}
)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_that_is_told_apart_belongs_somewhere(kind: str) -> None:
    assert belongs_in(kind)
    assert not any(is_misplaced(kind, folder) for folder in belongs_in(kind))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_a_name_for_people(kind: str) -> None:
    one, many = nouns(kind)
    assert one.split(" ", 1) == ["an" if many[0] in "aeiouI" else "a", many.removesuffix("s")]
    assert "_" not in one


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        ("diffusion_model", "checkpoints"),
        ("checkpoint", "diffusion_models"),
        ("checkpoint", "unet"),
        ("lora", "checkpoints"),
        ("lora", "Checkpoints"),
        ("embedding", "loras"),
        ("vae", "vae_approx"),
        ("text_encoder", "clip_vision"),
        ("clip_vision", "clip"),
        ("upscaler", "latent_upscale_models"),
        ("controlnet", "loras"),
        ("ip_adapter", "controlnet"),
        ("motion_module", "checkpoints"),
    ],
)
def test_what_no_loader_of_the_folder_takes_is_misplaced(kind: str, folder: str) -> None:
    assert is_misplaced(kind, folder)


@pytest.mark.parametrize(
    ("kind", "folder"),
    [
        ("diffusion_model", "unet"),
        ("diffusion_model", "unet_gguf"),
        ("text_encoder", "clip"),
        ("controlnet", "t2i_adapter"),
        ("controlnet", "model_patches"),
        ("vae_approx", "vae"),
        ("clip", "clip_vision"),
        ("clip", "text_encoders"),
        ("lora", "lora"),
        ("vae", "diffusers"),
    ],
)
def test_what_a_loader_takes_is_in_its_place(kind: str, folder: str) -> None:
    assert not is_misplaced(kind, folder)


def test_unknown_kinds_and_unknown_types_are_never_misplaced() -> None:
    for folder in TYPE_FOLDERS:
        assert not is_misplaced("unknown", folder)
        assert not is_misplaced("", folder)
        assert not is_misplaced("kind of tomorrow", folder)
    for kind in KINDS:
        assert not is_misplaced(kind, "my own folder")
        assert not is_misplaced(kind, "")
    assert belongs_in("unknown") == frozenset()


@pytest.mark.parametrize(
    ("rule", "folder"),
    [
        *(("hidream-o1", "checkpoints"), ("sensenova", "checkpoints"), ("sam31", "checkpoints")),
        *(("rt-detr", "diffusion_models"), ("seedvr2-3b", "diffusion_models"), ("pid", "diffusion_models")),
        *(("triposplat", "diffusion_models"), ("minimax-music3", "diffusion_models")),
        *(("patch-zimage-fun", "model_patches"), ("patch-qwen-diffsynth", "model_patches")),
        *(("patch-anima-lllite", "model_patches"), ("patch-minimax-fun", "model_patches")),
        *(("cn-qwen-instantx", "controlnet"), ("cn-qwen-fun", "controlnet"), ("cn-sd35", "controlnet")),
        *(("birefnet", "background_removal"), ("film", "frame_interpolation"), ("raft", "optical_flow")),
        *(("moge", "geometry_estimation"), ("depth-anything-3", "geometry_estimation")),
        *(("latent-hv15-1080", "latent_upscale_models"), ("redux", "style_models")),
        *(("dinov3-large", "clip_vision"), ("audio-whisper", "audio_encoders")),
        *(("vae-seedvr2", "vae"), ("vae-trellis2-shape", "vae"), ("vae-minimax-audio", "vae")),
        *(("te-jina-clip", "text_encoders"), ("te-ministral3", "text_encoders")),
    ],
)
def test_a_model_belongs_where_the_official_workflow_templates_put_it(rule: str, folder: str) -> None:
    assert folder in belongs_in(judged(minimal(rule)).kind)
