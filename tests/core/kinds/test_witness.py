from __future__ import annotations

import pytest
from tests.core.kinds.tensors import judged, minimal, tensors

from mlib.core.kinds import claims
from mlib.core.kinds.bases import UNKNOWN, agreeing, takes_in
from mlib.core.kinds.rules import Verdict


@pytest.mark.parametrize(
    ("metadata", "kind", "base", "key"),
    [
        (
            {"modelspec.architecture": "stable-diffusion-xl-v1-base"},
            UNKNOWN,
            "SDXL",
            "modelspec.architecture",
        ),
        ({"modelspec.architecture": "Flux.1-dev/LoRA"}, "lora", "Flux.1 dev", "modelspec.architecture"),
        ({"modelspec.architecture": "stable-diffusion-v1-lora"}, "lora", "SD 1.5", "modelspec.architecture"),
        (
            {"modelspec.architecture": "stable-diffusion-v1/textual-inversion"},
            *("embedding", "SD 1.5", "modelspec.architecture"),
        ),
        ({"modelspec.architecture": "made-up/lora"}, "lora", "", "modelspec.architecture"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, UNKNOWN, "SDXL", "ss_base_model_version"),
        ({"ss_base_model_version": "flux1"}, UNKNOWN, "Flux.1", "ss_base_model_version"),
        *(
            ({key: value}, UNKNOWN, base, key)
            for key, value, base in [
                ("ss_base_model_version", "sd_1.5", "SD 1.5"),
                ("ss_base_model_version", "sdxl_1.0", "SDXL"),
                ("ss_base_model_version", "flux_2_klein_4b", "Flux.2 Klein 4B"),
                ("ss_base_model_version", "flux2_klein_9b", "Flux.2 Klein 9B"),
                ("ss_base_model_version", "wan_2.2_14b", "Wan 2.2"),
                ("ss_base_model_version", "z_image", "Z-Image"),
                ("ss_base_model_version", "zimage", "Z-Image"),
                ("ss_base_model_version", "hidream_i1", "HiDream"),
                ("ss_base_model_version", "hidream_o1_image", "HiDream-O1"),
                ("ss_base_model_version", "hunyuan_video_1_5", "Hunyuan Video 1.5"),
                ("ss_base_model_version", "framepack", "FramePack"),
                ("modelspec.architecture", "Flux.2-klein-4b", "Flux.2 Klein 4B"),
                ("modelspec.architecture", "Z-Image", "Z-Image"),
                ("modelspec.architecture", "Qwen-Image-Edit-2511", "Qwen-Image Edit or Qwen-Image"),
                ("modelspec.architecture", "wan2.1", "Wan 2.1"),
                ("modelspec.architecture", "hunyuan-video-1.5", "Hunyuan Video 1.5"),
                ("modelspec.architecture", "Krea-2", "Krea 2"),
            ]
        ),
        ({"general.architecture": "qwen3vl"}, "text_encoder", "Qwen3-VL", "general.architecture"),
        ({"general.architecture": "flux2"}, "diffusion_model", "Flux.2", "general.architecture"),
        ({"general.architecture": "z_image"}, "diffusion_model", "Z-Image", "general.architecture"),
        (
            {"model_class": "NunchakuFluxTransformer2dModel"},
            *("diffusion_model", "Flux.1", "model_class"),
        ),
        ({"ss_v2": "True"}, UNKNOWN, "SD 2", "ss_v2"),
        ({"ss_network_module": "networks.lora"}, "lora", "", "ss_network_module"),
        ({"ss_network_module": "lycoris.kohya"}, "lora", "", "ss_network_module"),
        ({"ss_network_module": "networks.lora_flux"}, "lora", "Flux.1 or Chroma", "ss_network_module"),
        ({"ss_network_module": "networks.lora_hv_1_5"}, "lora", "Hunyuan Video 1.5", "ss_network_module"),
        ({"general.architecture": "flux"}, "diffusion_model", "Flux", "general.architecture"),
        ({"general.architecture": "t5encoder"}, "text_encoder", "T5", "general.architecture"),
        ({"general.type": "adapter"}, "lora", "", "general.type"),
        ({"modelspec.air": "urn:air:sdxl:lora:civitai:1@2"}, "lora", "SDXL", "modelspec.air"),
        ({"air": "urn:air:Flux1Kontext:checkpoint:civitai:1@2"}, UNKNOWN, "Flux.1", "air"),
        ({"air": "urn:air:pony:LORA:civitai:1@2"}, "lora", "SDXL", "air"),
    ],
)
def test_metadata_testifies_and_the_key_is_named(
    metadata: dict[str, str], kind: str, base: str, key: str
) -> None:
    testimony = claims.read_claims(metadata)
    assert (testimony.kind, testimony.base) == (kind, base)
    assert [said.key for said in testimony.statements] == [key]


@pytest.mark.parametrize(
    "metadata",
    [
        {},
        {"ss_v2": "False"},  # also written by trainers of Flux
        {"ss_base_model_version": "None"},
        {"ss_network_module": "networks.control_net_lllite"},
        {"ss_network_module": "os.system"},
        {"modelspec.architecture": ""},
        {"modelspec.architecture": "/"},
        {"modelspec.architecture": "stable-diffusion-v1" + " " * 10_000_000},
        {"general.architecture": "\ud800\0\x1b[31m"},
        {"format": "pt"},
        {"air": "urn:air:other:checkpoint:civitai:1@2"},
        {"air": "9@71"},
    ],
    ids=lambda metadata: ascii(metadata)[:40],
)
def test_what_means_nothing_known_says_nothing(metadata: dict[str, str]) -> None:
    assert claims.read_claims(metadata).statements == ()


@pytest.mark.parametrize(
    ("wide", "narrow", "does"),
    [
        ("Flux.1", "Flux.1 dev", True),
        ("Flux", "Flux.2 dev", True),
        ("flux.1 DEV", "Flux.1 dev", True),
        ("T5", "T5-XXL", True),
        ("Qwen2", "Qwen2.5 7B", True),
        ("SD 3", "SD 3.5 Large", True),
        ("Flux.1 dev", "Flux.1", False),
        ("Flux.1", "Flux.2", False),
        ("SD 3 Medium", "SD 3.5 Medium", False),
        ("SD 1.5", "SDXL", False),
        ("", "SDXL", False),
    ],
)
def test_a_base_takes_in_those_whose_words_go_on_from_its_own(wide: str, narrow: str, does: bool) -> None:
    assert takes_in(wide, narrow) is does


def test_what_agrees_is_said_in_the_more_exact_words() -> None:
    assert agreeing(("Flux.1",), ("Flux.1 dev",)) == ("Flux.1 dev",)
    assert agreeing(("Flux.1 dev",), ("Flux",)) == ("Flux.1 dev",)
    assert agreeing(("SD 1.5", "SD 2", "SDXL"), ("SDXL",)) == ("SDXL",)
    assert agreeing(("SD 1.5",), ("SDXL",)) == ()


def test_a_word_that_several_models_have_lets_the_tensors_decide() -> None:
    said = claims.read_claims({"general.architecture": "hyvid"})
    for rule, base in (("hunyuan-image", "HunyuanImage 2.1"), ("hunyuan-video-15", "Hunyuan Video 1.5")):
        both = claims.reconcile(judged(minimal(rule)), said)
        assert (both.base, both.disagreements) == (base, ())


def test_a_word_decides_between_the_models_that_the_tensors_allow() -> None:
    lora = judged(tensors("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight 8,3072"))
    for version, base in (("chroma", "Chroma"), ("flux1", "Flux.1"), ("hunyuan_video", "Hunyuan Video")):
        both = claims.reconcile(lora, claims.read_claims({"ss_base_model_version": version}))
        assert (both.base, both.disagreements) == (base, ())
    both = claims.reconcile(lora, claims.read_claims({"ss_base_model_version": "wan"}))
    assert both.bases == lora.bases
    assert len(both.disagreements) == 1


def test_the_name_that_a_site_gives_a_variant_of_wan_is_no_contradiction() -> None:
    lora = judged(tensors("diffusion_model.blocks.0.self_attn.q.lora_A.weight 16,5120"))
    for ecosystem in ("wanvideo14bt2v", "wanvideo14bi2v720p", "wanvideo22i2va14b", "wanvideo"):
        said = claims.read_claims({"modelspec.air": f"urn:air:{ecosystem}:lora:civitai:1@2"})
        assert claims.reconcile(lora, said).disagreements == ()


def test_metadata_makes_the_base_more_exact() -> None:
    said = claims.read_claims({"modelspec.architecture": "flux-1-dev/lora"})
    both = claims.reconcile(judged(minimal("lora-flux")), said)
    assert (both.kind, both.base, both.disagreements) == ("lora", "Flux.1 dev", ())


def test_metadata_picks_one_of_several_bases() -> None:
    said = claims.read_claims({"modelspec.architecture": "stable-diffusion-xl-v1-base"})
    assert claims.reconcile(judged(minimal("vae-4ch")), said).bases == ("SDXL",)


def test_metadata_may_name_a_base_that_looks_the_same() -> None:
    both = claims.reconcile(
        judged(minimal("vae-4ch")), claims.read_claims({"modelspec.architecture": "pixart-sigma"})
    )
    assert (both.base, both.disagreements) == ("PixArt Sigma", ())


def test_a_wider_name_in_the_metadata_takes_nothing_away() -> None:
    both = claims.reconcile(judged(minimal("chroma")), claims.read_claims({"general.architecture": "flux"}))
    assert (both.base, both.disagreements) == ("Chroma", ())


def test_metadata_fills_what_the_tensors_do_not_say() -> None:
    both = claims.reconcile(
        judged(minimal("lora-unknown")), claims.read_claims({"ss_base_model_version": "sd_v1"})
    )
    assert (both.kind, both.base, both.disagreements) == ("lora", "SD 1.5", ())
    both = claims.reconcile(Verdict(), claims.read_claims({"general.architecture": "llama"}))
    assert (both.kind, both.base) == ("text_encoder", "Llama")


def test_a_contradiction_is_shown_and_the_tensors_decide() -> None:
    said = claims.read_claims({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"})
    both = claims.reconcile(judged(minimal("sd1")), said)
    assert (both.kind, both.base) == ("diffusion_model", "SD 1.5")
    assert both.disagreements == (
        "tensors say diffusion_model, modelspec.architecture (stable-diffusion-xl-v1-base/lora) says lora",
        "tensors say SD 1.5, modelspec.architecture (stable-diffusion-xl-v1-base/lora) says SDXL",
    )


def test_keys_that_contradict_each_other_are_shown_too() -> None:
    said = claims.read_claims(
        {"modelspec.architecture": "flux-1-dev/lora", "ss_base_model_version": "sdxl_base_v1-0"}
    )
    both = claims.reconcile(Verdict(), said)
    assert (both.kind, both.base) == ("lora", "Flux.1 dev")
    assert both.disagreements == (
        "modelspec.architecture says Flux.1 dev, ss_base_model_version (sdxl_base_v1-0) says SDXL",
    )


def test_a_checkpoint_may_call_itself_by_its_diffusion_model() -> None:
    both = claims.reconcile(
        Verdict(kind="checkpoint", bases=("SDXL",)), claims.read_claims({"general.architecture": "sdxl"})
    )
    assert (both.kind, both.disagreements) == ("checkpoint", ())


def test_without_metadata_the_tensors_answer_alone() -> None:
    verdict = judged(minimal("sd1"))
    both = claims.reconcile(verdict, claims.read_claims({}))
    assert (both.kind, both.bases, both.disagreements) == (verdict.kind, verdict.bases, ())
