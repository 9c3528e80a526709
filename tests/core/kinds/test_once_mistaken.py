"""Headers that were once taken for another model, each as short as it can be."""

from __future__ import annotations

import pytest
from tests.core.kinds.tensors import judged, tensors

from mlib.core.formats.header import Tensor
from mlib.core.kinds.bases import UNKNOWN

KLEIN = "diffusion_model.single_blocks.0.linear2.lora_A.weight"
LTX2 = "diffusion_model.transformer_blocks.0.audio_to_video_attn.to_k.lora_A.weight"
GATE = "transformer.transformer_blocks.0.attn.to_gate.lora_A.weight"
QUERY = "transformer.transformer_blocks.0.attn.to_q.lora_A.weight"
LAST = "lora_unet_single_transformer_blocks_39_attn_to_k.lora_down.weight"
ERNIE = "diffusion_model.layers.0.self_attention.to_q.lora_A.weight"
LAYER = "diffusion_model.layers.0.attention.to_q.lora_A.weight"
PROJ = "lycoris_double_blocks_0_img_attn_proj"


@pytest.mark.parametrize(
    ("header", "bases"),
    [
        ([f"{KLEIN} 16,12288"], ["Flux.2 Klein 4B"]),
        ([f"{KLEIN} 16,15360"], ["Flux.1", "Chroma", "Hunyuan Video"]),
        (["diffusion_model.double_blocks.0.img_mlp.2.lora_A.weight 16,9216"], ["Flux.2 Klein 4B"]),
        ([f"{LTX2} 16,2048"], ["LTX-2"]),
        ([f"{LTX2} 16,4096"], ["LTX-2"]),
        ([f"{LTX2} 16,3072"], []),
        ([f"{GATE} 16,6144"], ["Krea 2"]),
        ([f"{QUERY} 16,5376"], ["MiniMax H3"]),
        ([f"{QUERY} 16,2560"], ["ACE-Step"]),
        ([f"{QUERY} 16,2048"], ["Hunyuan Video 1.5", "MiniMax Music 3"]),
        ([f"{QUERY} 16,2432"], ["SD 3.5 Large"]),
        ([f"{LAST} 16,3072"], ["Hunyuan Video", "FramePack"]),
        ([f"{LAST} 16,3584"], ["HunyuanImage 2.1"]),
        ([f"{ERNIE} 16,3072"], ["Ernie Image"]),
        ([f"{LAYER} 16,4608"], ["Ideogram 4"]),
        ([f"{LAYER} 16,3840"], ["Z-Image"]),
        (["diffusion_model.layers.0.attn.to_q.lora_A.weight 16,2520"], ["OmniGen2"]),
        (["diffusion_model.layers.0.attention.qkv.lora_A.weight 16,2304"], ["Lumina 2"]),
        (["transformer.joint_transformer_blocks.0.attn.to_q.lora_A.weight 16,3072"], ["AuraFlow"]),
        (["lora_unet_blocks_0_attn1_Wqkv.lora_down.weight 16,1408"], ["HunyuanDiT"]),
        (["transformer.blocks.0.attn1.to_q.lora_A.weight 16,1408"], ["HunyuanDiT"]),
        (["transformer.blocks.0.attn1.to_q.lora_A.weight 16,1536"], ["Wan 2.1 1.3B"]),
        (["transformer.blocks.0.attn1.to_q.lora_A.weight 16,3072"], ["Wan 2.2 TI2V 5B", "CogVideoX 5B"]),
        (["transformer.blocks.0.attn1.to_q.lora_A.weight 16,5120"], ["Wan 2.1 14B", "Wan 2.2 A14B"]),
        ([f"{PROJ}.lokr_w1 16,16", f"{PROJ}.lokr_w2 256,256"], ["Flux.2 Klein 9B"]),
        (
            [f"{PROJ}.lokr_w1 16,16", f"{PROJ}.lokr_w2_a 256,8", f"{PROJ}.lokr_w2_b 8,256"],
            ["Flux.2 Klein 9B"],
        ),
        (["lora_te2_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight 16,1280"], ["SDXL"]),
    ],
    ids=lambda each: str(each)[:90],
)
def test_a_lora_is_told_by_the_sizes_of_its_layers(header: list[str], bases: list[str]) -> None:
    verdict = judged(tensors(*header))
    assert (verdict.kind, list(verdict.bases)) == ("lora", bases)


@pytest.mark.parametrize("width", [896, 1536, 3072, 5120, 6656, 7168, 8192])
@pytest.mark.parametrize("normed", [True, False])
def test_a_language_model_of_some_width_is_no_text_encoder(width: int, normed: bool) -> None:
    names = [f"model.layers.0.post_attention_layernorm.weight {width}"]
    if normed:
        names.append("model.layers.0.self_attn.q_norm.weight 128")
    assert judged(tensors(*names)).kind == UNKNOWN


@pytest.mark.parametrize(
    ("names", "base"),
    [
        (["audio_proj.audio_proj_glob_1.layer.bias 8"], "Wan HuMo"),
        (["control_adapter.conv.weight 5120,24,2,2"], "Wan Camera"),
        (["patch_embedding_pose.weight 5120,16,1,2,2"], "Wan SCAIL"),
        (["patch_embedding_pose.weight 8", "patch_embedding_mask.weight 8"], "Wan SCAIL 2"),
        (["patch_embedding_global.weight 5120,36,1,2,2"], "WanDancer"),
        (["patch_embedding.weight 5120,36,1,2,2", "img_emb.proj.0.bias 8"], "Wan 2.1 I2V"),
        (["patch_embedding.weight 5120,48,1,2,2", "img_emb.proj.0.bias 8"], "Wan 2.1 Fun Control"),
        (["patch_embedding.weight 5120,52,1,2,2", "ref_conv.weight 5120,16,2,2"], "Wan 2.2 Fun Control"),
        (["patch_embedding.weight 5120,36,1,2,2"], "Wan 2.2 I2V A14B"),
    ],
)
def test_a_variant_of_wan_is_told_by_what_comfyui_asks_for(names: list[str], base: str) -> None:
    verdict = judged(tensors("head.modulation 1,2,5120", *names))
    assert (verdict.kind, verdict.base) == ("diffusion_model", base)


def test_a_deciding_tensor_that_is_packed_narrows_nothing() -> None:
    flux = tensors("double_blocks.0.img_attn.norm.key_norm.scale 128", "guidance_in.in_layer.weight 8,8")
    for dtype, base in (("BF16", "Flux.1 Fill"), ("U8", "Flux.1")):
        assert judged([*flux, Tensor("img_in.weight", dtype, (3072, 384))]).base == base


@pytest.mark.parametrize(
    "endings",
    [
        ("lora_down.weight", "lora_up.weight", "alpha"),
        ("lora_A.weight", "lora_B.weight", "lora_magnitude_vector"),
        ("hada_w1_a", "hada_w1_b", "hada_w2_a", "hada_w2_b"),
        ("lokr_w1", "lokr_w2_a", "lokr_w2_b"),
        ("oft_blocks", "rescale"),
        ("oft_R.weight",),
        ("a1.weight", "a2.weight", "b1.weight", "b2.weight"),
        ("on_input", "weight"),
        ("ia3_l",),
        ("diff", "diff_b"),
        ("lora_down.weight", "lora_up.weight", "dora_scale"),
    ],
    ids=lambda endings: endings[0],
)
def test_every_kind_of_adapter_is_a_lora(endings: tuple[str, ...]) -> None:
    assert judged(tensors(*(f"lycoris_some_layer.{ending}" for ending in endings))).kind == "lora"


def test_what_only_ends_like_a_part_of_an_adapter_is_none() -> None:
    assert judged(tensors("net.a1.weight", "net.b1.weight")).kind == UNKNOWN


@pytest.mark.parametrize(
    ("doubles", "singles", "bases"),
    [
        (19, 38, ("Flux.1", "Chroma")),
        (20, 40, ("Hunyuan Video",)),
        (3, 3, ("Flux.1", "Chroma", "Hunyuan Video")),
        (21, 40, ()),
    ],
)
def test_how_many_blocks_there_are_tells_models_of_one_layout_apart(
    doubles: int, singles: int, bases: tuple[str, ...]
) -> None:
    lora = [
        *(f"lora_unet_double_blocks_{block}_img_attn_qkv.lora_down.weight" for block in range(doubles)),
        *(f"lora_unet_single_blocks_{block}_linear2.lora_down.weight" for block in range(singles)),
    ]
    verdict = judged(tensors(*(f"{name} 8,{15360 if 'linear2' in name else 3072}" for name in lora)))
    assert verdict.bases == bases


WHOLE = ("input_blocks_1", "output_blocks_4")


@pytest.mark.parametrize(
    ("header", "bases"),
    [
        # One layer of a model for video is that of the model for images it was made from.
        (
            [f"lora_unet_{WHOLE[0]}_1_transformer_blocks_0_attn1_to_q.lora_down.weight 8,320"],
            "SD 1.5 / SD 2 / SVD",
        ),
        (
            [f"lora_unet_{each}_1_transformer_blocks_0_attn1_to_q.lora_down.weight 8,640" for each in WHOLE],
            "SD 1.5 / SD 2 / SDXL",
        ),
        # LyCORIS writes a convolution's kernel into its inputs: here 16 of them, and 2x2.
        (
            ["lycoris_patch_embedding.hada_w1_a 5120,4", "lycoris_patch_embedding.hada_w1_b 4,64"],
            "Wan 2.1 14B / Wan 2.2 A14B",
        ),
        (
            [
                "lycoris_down_blocks_0_resnets_0_conv1.hada_w1_a 320,4",
                "lycoris_down_blocks_0_resnets_0_conv1.hada_w1_b 4,2880",
                "lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_a 320,4",
                "lycoris_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.hada_w1_b 4,768",
            ],
            "SD 1.5",
        ),
        # IA3 shows no sizes.
        (
            [
                "diffusion_model.transformer.layers.23.cross_attn.to_q.on_input 1",
                "diffusion_model.transformer.layers.23.cross_attn.to_q.weight 8",
            ],
            "ACE-Step 1.5 / ACE-Step 1.5 XL / Stable Audio",
        ),
        # The decoder of HiDream-O1 is that of a language model, which nobody adapts under these names.
        (["diffusion_model.language_model.layers.0.self_attn.q_proj.lora_A.weight 8,4096"], "HiDream-O1"),
        (["lora_unet_model_language_model_layers_0_mlp_up_proj.lora_down.weight 8,4096"], "HiDream-O1"),
        (["base_model.model.model.language_model.layers.0.self_attn.q_proj.lora_A.weight 8,4096"], ""),
        (["model.language_model.layers.0.self_attn.q_proj.lora_A.weight 8,4096"], ""),
    ],
    ids=lambda each: str(each)[:90],
)
def test_of_few_layers_every_model_that_has_them_is_told(header: list[str], bases: str) -> None:
    verdict = judged(tensors(*header))
    assert (verdict.kind, verdict.base) == ("lora", bases)
