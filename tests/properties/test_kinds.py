"""What holds of every header: an answer, the same in any order, and no say for strangers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st
from tests.core.kinds.tensors import Minimal, judged, minimal_headers, used

from mlib.core.formats.header import Tensor
from mlib.core.kinds import claims
from mlib.core.kinds.bases import UNKNOWN, belongs_in, takes_in
from mlib.core.kinds.rulebook import shipped_rules

if TYPE_CHECKING:
    from random import Random

HEADERS = minimal_headers()
GROUPS = shipped_rules()
PREFIXES = sorted({prefix for group in GROUPS for prefix in group.prefixes})
KNOWN = sorted({tensor.name for header in HEADERS for tensor in header.tensors})
PARTS = sorted(
    {
        part
        for group in GROUPS
        for rule in group.rules
        for names in rule.asks.has
        for name in names
        for part in name.parts
    }
)

lengths = st.sampled_from([0, 1, 4, 9, 16, 768, 1024, 1280, 2048, 3072, 3840, 2**63, -1]) | st.integers(
    0, 9999
)
shapes = st.lists(lengths, max_size=5).map(tuple)
dtypes = st.sampled_from(["F16", "BF16", "F32", "F8_E4M3", "Q4_K", ""])
pieces = st.sampled_from([*PARTS, *PREFIXES, ".", "_", "0", "1", "17", "weight", "lora_down"]) | st.text(
    max_size=5
)
names = (
    st.text()
    | st.builds(str.__add__, st.sampled_from(PREFIXES), st.sampled_from(KNOWN))
    | st.lists(pieces, max_size=6).map("".join)
    | st.builds(
        str.__add__,
        st.lists(pieces, max_size=5).map("".join),
        st.sampled_from([".lora_down.weight", ".lokr_w1"]),
    )
)
tensors = st.lists(st.builds(Tensor, names, dtypes, shapes), max_size=12)
headers = st.sampled_from(HEADERS)

METADATA_KEYS = [
    *("modelspec.architecture", "modelspec.title", "modelspec.trigger_phrase", "modelspec.resolution"),
    *("ss_base_model_version", "ss_v2", "ss_network_module", "ss_network_dim", "ss_network_alpha"),
    *("ss_tag_frequency", "ss_datasets", "ss_resolution", "ss_new_sd_model_hash", "ss_sd_model_hash"),
    *("general.architecture", "general.type", "general.file_type", "ssmd_keywords"),
]
json_like = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.text(max_size=3) | st.sampled_from(["subsets", "class_tokens"]), inner, max_size=3
        )
    ),
)
values = (
    st.text(st.characters())
    | json_like.map(str)
    | st.from_regex(r"\{\"[a-z]\": ?\{\"[a-z]*\": ?-?[0-9]{1,40}\}\}")
    | st.sampled_from(["flux-1-dev/lora", "sdxl_base_v1-0", "True", "networks.lora", "flux", "llama", "15"])
)
metadatas = st.dictionaries(st.sampled_from(METADATA_KEYS), values)


@given(tensors)
@example([])
def test_any_tensors_get_an_answer(found: list[Tensor]) -> None:
    verdict = judged(found)
    assert verdict.kind == UNKNOWN or belongs_in(verdict.kind)
    assert bool(verdict.rule) == bool(verdict.evidence) == (verdict.kind != UNKNOWN)


@given(st.lists(headers, max_size=3), tensors, st.randoms(use_true_random=False))
def test_the_order_of_tensors_decides_nothing(
    chosen: list[Minimal], found: list[Tensor], random: Random
) -> None:
    mixed = [*(tensor for header in chosen for tensor in header.tensors), *found]
    verdict = judged(mixed)
    random.shuffle(mixed)
    assert judged(mixed) == verdict


@given(headers, st.lists(st.builds(Tensor, names, dtypes, shapes), max_size=8))
def test_tensors_under_a_prefix_of_their_own_change_nothing(header: Minimal, strangers: list[Tensor]) -> None:
    added = [Tensor(f"stranger/{tensor.name}/", tensor.dtype, tensor.shape) for tensor in strangers]
    assert judged([*added, *header.tensors]) == judged(header.tensors)


@given(headers, st.sampled_from(["first_stage_model.", "vae.", "text_encoders.", "conditioner."]))
def test_only_a_diffusion_model_becomes_something_else_by_its_company(header: Minimal, prefix: str) -> None:
    verdict = judged([*header.tensors, Tensor(f"{prefix}stranger", "F16", (1,))])
    expected = "checkpoint" if header.kind == "diffusion_model" else header.kind
    assert (verdict.kind, verdict.bases) == (expected, header.bases)


@given(headers, st.sampled_from(HEADERS))
def test_of_two_minimal_headers_the_earlier_rule_or_a_still_earlier_one_decides(
    one: Minimal, other: Minimal
) -> None:
    order = [header.rule for header in HEADERS]
    both = judged([*one.tensors, *other.tensors])
    if both.rule != "lora-undecided":
        assert order.index(both.rule) <= max(order.index(one.rule), order.index(other.rule))


@given(metadatas, tensors)
def test_any_metadata_gets_an_answer_that_can_be_kept(metadata: dict[str, str], found: list[Tensor]) -> None:
    usage = used(metadata, found)
    kept = [*usage.trigger_words, usage.title, *(tag for tag, _ in usage.frequent_tags)]
    for text in kept:
        assert text.encode() == text.strip().encode()
        assert "\n" not in text
    assert 0 <= usage.parameters < 2**63
    assert usage.rank is None or 0 < usage.rank < 2**63


@given(metadatas, tensors)
def test_each_key_that_speaks_is_believed_or_its_disagreement_is_shown(
    metadata: dict[str, str], found: list[Tensor]
) -> None:
    verdict, testimony = judged(found), claims.read_claims(metadata)
    both = claims.reconcile(verdict, testimony)
    if verdict.kind != UNKNOWN:
        assert both.kind == verdict.kind
    for said in testimony.statements:
        shown = any(said.key in line for line in both.disagreements)
        accepted = (*both.bases, *verdict.called)
        agrees = not said.bases or any(
            takes_in(word, base) or takes_in(base, word) for word in said.bases for base in accepted
        )
        assert agrees or shown
