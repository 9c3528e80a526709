from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.core.kinds.tensors import tensors

from mlib.core.formats.header import Tensor
from mlib.core.kinds import rules as module
from mlib.core.kinds.rules import outline

if TYPE_CHECKING:
    from random import Random

NAMES = st.text(alphabet="ab1207_.\n", max_size=12)


def lines(*names: str) -> list[str]:
    return [line for line, _, _ in outline(tensors(*names)).alike]


@pytest.mark.parametrize(
    ("name", "line"),
    [
        ("blocks.2.weight", "blocks.N.weight"),
        ("blocks_10_attn_12_to_q", "blocks_N_attn_N_to_q"),
        ("blocks.0.weight", "blocks.0.weight"),
        ("blocks.1.weight", "blocks.1.weight"),
        ("blocks.19", "blocks.N"),
        ("attn2_to_k", "attn2_to_k"),
        ("hada_w1_b", "hada_w1_b"),
        ("blocks.02.weight", "blocks.02.weight"),
        ("", ""),
    ],
)
def test_whole_numbers_above_one_are_all_alike(name: str, line: str) -> None:
    assert lines(name) == [line]


def test_tensors_alike_are_counted_by_dtype_and_shape() -> None:
    found = [
        *tensors("a.2.w 4,4", "a.3.w 4,4", "a.4.w 8,4"),
        Tensor("a.5.w", "F32", (4, 4)),
    ]
    assert outline(found).alike == {
        ("a.N.w", "F16", (4, 4)): 2,
        ("a.N.w", "F16", (8, 4)): 1,
        ("a.N.w", "F32", (4, 4)): 1,
    }


def test_of_no_tensors_nothing_is_left() -> None:
    assert outline([]).alike == {}


@given(st.lists(NAMES, max_size=12), st.randoms(use_true_random=False), st.integers(1, 5))
def test_neither_neighbours_nor_order_change_a_line(names: list[str], random: Random, at_once: int) -> None:
    """Names are changed many at once, and some of them have line ends of their own."""
    found = [Tensor(name, "F16", (number,)) for number, name in enumerate(names)]
    alone = {(line, shape) for one in found for line, _, shape in outline([one]).alike}
    shuffled = random.sample(found, len(found))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "_AT_ONCE", at_once)
        together = {(line, shape) for line, _, shape in outline(shuffled).alike}
    assert together == alone
    assert sum(outline(found).alike.values()) == len(found)
