from __future__ import annotations

import json
from importlib.resources import files

import pytest
from tests.core.kinds.tensors import Minimal, judged, minimal, minimal_headers, tensors

from mlib.core.formats.header import Tensor
from mlib.core.kinds.bases import UNKNOWN
from mlib.core.kinds.rulebook import FILES, Name, shipped_rules, spellings
from mlib.core.kinds.rules import Verdict

ANSWERS = [answer for group in shipped_rules() for answer in group.answers]


@pytest.mark.parametrize("header", minimal_headers(), ids=lambda header: header.rule)
def test_the_least_that_a_rule_asks_for_gives_its_answer(header: Minimal) -> None:
    verdict = judged(header.tensors)
    assert (verdict.kind, verdict.bases) == (header.kind, header.bases)
    assert verdict.rule == ("lora-undecided" if header.undecided else header.rule)
    assert verdict.evidence.endswith(f"→ {', '.join(filter(None, (header.kind, ' or '.join(header.bases))))}")


def test_every_rule_has_a_minimal_header() -> None:
    assert [answer.id for answer in ANSWERS] == [header.rule for header in minimal_headers()]


def test_a_rule_is_written_with_known_words_only() -> None:
    answer = {"id", "base", "like", "called", "kind"}
    condition = {"has", "lacks", "size", "fits", "last", "any"}
    for name in FILES:
        text = files("mlib.core.kinds").joinpath("rules", f"{name}.json").read_text(encoding="utf-8")
        file = json.loads(text)
        assert set(file) == {"sources", "groups"}
        for group in file["groups"]:
            assert set(group) <= {
                *("about", "kind", "prefixes", "rules", "adapters", "yields_to", "bundle"),
                *("models", "undecided"),
            }
            for model in group.get("models", ()):
                assert set(model) <= answer | {"source", "layers", "last", "has", "lacks", "under"}
            for rule in group.get("rules", ()):
                assert set(rule) <= answer | condition
                asked = [rule, *rule.get("any", ())]
                assert all(set(choice) <= condition for choice in asked[1:])
                assert any(each.get("has") or each.get("size") or each.get("last") for each in asked)


def test_no_two_rules_share_an_id() -> None:
    assert len({answer.id for answer in ANSWERS}) == len(ANSWERS) >= 134


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a", ["a"]),
        ("a.{b,c}", ["a.b", "a.c"]),
        ("{,x.}a{1,2}", ["a1", "a2", "x.a1", "x.a2"]),
        ("{{a,b}_{c,d},e}", ["a_c", "a_d", "b_c", "b_d", "e"]),
    ],
)
def test_braces_stand_for_either(text: str, expected: list[str]) -> None:
    assert sorted(set(spellings(text))) == expected


@pytest.mark.parametrize(
    ("name", "fits"),
    [
        ("p.a-b", True),
        ("p.axxb", True),
        ("p.ab", True),
        ("p.a", False),
        ("p.b", False),
        ("a-b", False),
        ("p.a-bc", False),
    ],
)
def test_a_star_is_any_text_after_the_prefix(name: str, fits: bool) -> None:
    assert Name(("a", "b")).fits(name, "p.") is fits


# --- order -------------------------------------------------------------------------------------------------


def test_an_adapter_is_no_base_though_its_names_hold_the_markers_of_one() -> None:
    lora = tensors(
        "diffusion_model.double_blocks.0.img_attn.qkv.lora_A.weight 16,3072",
        "diffusion_model.double_blocks.0.img_attn.qkv.lora_B.weight 9216,16",
        "diffusion_model.img_in.weight 3072,64",
        "diffusion_model.double_blocks.0.img_attn.norm.key_norm.scale 128",
    )
    assert judged(lora).kind == "lora"


def test_a_controlnet_is_no_base_though_it_repeats_half_of_it() -> None:
    copied = minimal("flux-dev")
    assert judged([*copied, *minimal("cn-flux-xlabs")]).kind == "controlnet"


def test_a_checkpoint_with_stray_lora_tensors_is_a_checkpoint() -> None:
    model = tensors(
        "model.diffusion_model.input_blocks.0.0.weight 320,4,3,3",
        "model.diffusion_model.input_blocks.2.1.transformer_blocks.0.attn2.to_k.weight 320,768",
        "first_stage_model.decoder.conv_in.weight 512,4,3,3",
        "cond_stage_model.transformer.text_model.embeddings.position_ids 1,77",
    )
    stray = tensors("lora_unet_mid_block_attentions_0_proj_in.lora_up.weight 320,4")
    verdict = judged([*stray, *model])
    assert (verdict.kind, verdict.base, verdict.rule) == ("checkpoint", "SD 1.5", "sd1")
    assert judged(stray).kind == "lora"


@pytest.mark.parametrize("beside", ["first_stage_model.x", "vae.x", "conditioner.x", "text_encoders.x"])
def test_a_diffusion_model_that_brings_its_company_is_a_checkpoint(beside: str) -> None:
    alone = tensors(
        "model.diffusion_model.input_blocks.0.0.weight 320,4,3,3",
        "model.diffusion_model.input_blocks.4.1.transformer_blocks.0.attn2.to_k.weight 640,2048",
    )
    assert judged(alone).kind == "diffusion_model"
    verdict = judged([*alone, *tensors(beside)])
    assert (verdict.kind, verdict.base) == ("checkpoint", "SDXL")
    assert verdict.evidence.endswith(f"; {beside} in the same file → checkpoint, SDXL")


def test_a_checkpoint_of_an_unknown_model_is_not_taken_for_its_vae_or_its_text_encoder() -> None:
    checkpoint = tensors(
        "model.diffusion_model.brand_new.0.weight",
        "first_stage_model.decoder.conv_in.weight 512,4,3,3",
        "model.layers.0.post_attention_layernorm.weight 4096",
    )
    verdict = judged(checkpoint)
    assert (verdict.kind, verdict.bases) == ("checkpoint", ())


@pytest.mark.parametrize(
    "prefix", ["", "model.diffusion_model.", "diffusion_model.", "model.model.", "net.", "model."]
)
def test_a_diffusion_model_is_known_under_every_prefix_it_is_saved_with(prefix: str) -> None:
    moved = [Tensor(prefix + tensor.name, "BF16", tensor.shape) for tensor in minimal("flux-dev")]
    assert judged(moved).base == "Flux.1 dev"


def test_the_tensors_of_one_rule_must_share_a_prefix() -> None:
    one, *others = minimal("flux-dev")
    assert judged([Tensor(f"net.{one.name}", "BF16", one.shape), *others]).rule != "flux-dev"


# --- adapters ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        ("lora_unet_{}_transformer_blocks_0_attn2_to_k.lora_{}.weight", "down", "up"),
        ("unet.{}.transformer_blocks.0.attn2.to_k.lora_{}.weight", "A", "B"),
        ("unet.{}.transformer_blocks.0.attn2.processor.to_k_lora.{}.weight", "down", "up"),
        ("base_model.model.{}.transformer_blocks.0.attn2.to_k.lora_{}.default.weight", "A", "B"),
        ("lora_unet_{}_transformer_blocks_0_attn2_to_k.hada_w1_{}", "b", "a"),
    ],
    ids=["kohya", "peft", "diffusers", "wrapped", "loha"],
)
@pytest.mark.parametrize(
    "block", ["down_blocks.1.attentions.0", "input_blocks.4.1", "mid_block.attentions.0"]
)
def test_the_spelling_of_the_trainer_does_not_matter(names: tuple[str, str, str], block: str) -> None:
    form, down, up = names
    if form.startswith("lora_unet_"):
        block = block.replace(".", "_")
    for inputs, base in ((768, "SD 1.5"), (1024, "SD 2 / SVD"), (2048, "SDXL")):
        lora = [
            Tensor(form.format(block, down), "F16", (8, inputs)),
            Tensor(form.format(block, up), "F16", (1280 if block.startswith("mid") else 640, 8)),
        ]
        assert (judged(lora).kind, judged(lora).base) == ("lora", base)


def test_text_encoder_layers_that_come_first_do_not_decide_the_base() -> None:
    encoder = tensors(
        "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_down.weight 8,768",
        "lora_te_text_model_encoder_layers_0_mlp_fc1.lora_down.weight 8,768",
    )
    unet = tensors("lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight 8,1024")
    assert judged(encoder).bases == ("SD 1.5",)  # for it has nothing else
    assert judged([*encoder, *unet]).base == "SD 2"


@pytest.mark.parametrize(
    "name",
    [
        "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight 16,4096",  # of a language model
        "transformer.transformer_blocks.0.attn1.to_q.lora_A.weight 16,1160",  # as no model has it
        "lora_unet_down_blocks_0_resnets_0_conv1.lora_down.weight 8,333,3,3",
        "anything.lokr_w1 4,4",
    ],
)
def test_an_adapter_of_nothing_known_is_a_lora_of_unknown_base(name: str) -> None:
    verdict = judged(tensors(name))
    assert (verdict.kind, verdict.bases) == ("lora", ())


def test_one_layer_of_a_size_that_does_not_fit_is_enough() -> None:
    lora = tensors(
        "lora_unet_down_blocks_0_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight 8,320",
        "lora_unet_down_blocks_1_attentions_0_transformer_blocks_0_attn2_to_k.lora_down.weight 8,1024",
    )
    assert judged(lora).base == judged(lora[::-1]).base == ""


def test_where_two_bases_look_the_same_both_are_named() -> None:
    assert judged(minimal("vae-4ch")).bases == ("SD 1.5", "SD 2", "SDXL")
    assert judged(minimal("wan-t2v-14b")).bases == ("Wan 2.1 T2V 14B", "Wan 2.2 T2V A14B")
    shared = tensors("lora_unet_double_blocks_0_img_attn_qkv.lora_down.weight 8,3072")
    assert judged(shared).bases == ("Flux.1", "Chroma", "Flux.2 Klein 4B", "Hunyuan Video")


def test_more_adapter_tensors_than_anyone_trains_are_still_a_lora() -> None:
    many = [Tensor(f"x{number}.y.lora_down.weight", "F16", (1, 1)) for number in range(50_001)]
    verdict = judged(many)
    assert (verdict.kind, verdict.rule) == ("lora", "lora-unknown")
    assert judged(many[::-1]) == verdict


# --- no answer ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "names",
    [
        (),
        ("",),
        ("stft_conv.weight", "conv1.weight", "lstm_cell.weight_ih", "final_conv.bias"),
        ("lin0.model.1.weight 1,64,1,1", "lin1.model.1.weight 1,192,1,1"),
        ("conv1.weight 10,3,3,3", "prelu1.weight 10", "dense5_1.weight 2,128"),
        ("decoder.conv_in.weight 512,5,3,3",),
        ("input_blocks.0.0.weight 320,4,3,3",),
        ("double_blocks.0.img_attn.norm.key_norm.scale 128",),
    ],
)
def test_what_no_rule_knows_is_unknown(names: tuple[str, ...]) -> None:
    assert judged(tensors(*names)) == Verdict(kind=UNKNOWN)


def test_a_size_is_asked_only_of_an_axis_that_is_there() -> None:
    for shape in ((), (768,), (0, 0, 0), (-1,), (2**70, 768)):
        found = judged([Tensor("emb_params", "F32", shape)])
        assert found.base == ("SD 1.5" if shape[-1:] == (768,) else "")


def test_evidence_names_what_was_found_and_what_was_not() -> None:
    assert judged(minimal("flux-schnell")).evidence == (
        "double_blocks.0.img_attn.norm.key_norm.scale; img_in.weight; time_in.in_layer.bias; "
        "time_in.out_layer.bias; vector_in.in_layer.weight; vector_in.out_layer.bias; "
        "double_blocks up to 18; single_blocks up to 37; no guidance_in.* → diffusion_model, Flux.1 schnell"
    )
    assert judged(minimal("flux-fill")).evidence.startswith("img_in.weight[1] = 384; ")


def test_evidence_stays_short_whatever_a_tensor_is_called() -> None:
    verdict = judged([Tensor(f"string_to_param.{'x' * 1_000_000}", "F32", (1, 768))])
    assert verdict.rule == "ti-sd1"
    assert len(verdict.evidence) < 200


def test_names_that_occur_twice_are_judged_alike_in_any_order() -> None:
    twice = [Tensor("emb_params", "F32", (1, 768)), Tensor("emb_params", "F32", (1, 1024))]
    assert judged(twice) == judged(twice[::-1])
