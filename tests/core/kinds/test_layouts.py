"""What the tensors decide is remembered, and nothing else is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.formats.header import Tensor
from mlib.core.inspection import remembered

if TYPE_CHECKING:
    from collections.abc import Sequence


def test_equal_tensors_are_judged_once_and_others_anew() -> None:
    asked: list[tuple[Tensor, ...]] = []

    @remembered
    def count(tensors: Sequence[Tensor]) -> int:
        asked.append(tuple(tensors))
        return len(tensors)

    one, other = Tensor("a", "F16", (1, 2)), Tensor("a", "F16", (2, 1))
    assert [count([one]), count((one,)), count([other]), count([one, other])] == [1, 1, 1, 2]
    assert asked == [(one,), (other,), (one, other)]


def test_what_is_too_long_to_be_kept_is_judged_every_time() -> None:
    asked: list[int] = []

    @remembered
    def note(tensors: Sequence[Tensor]) -> None:
        asked.append(len(tensors))

    many = [Tensor(str(number), "F16", ()) for number in range(5_001)]
    note(many)
    note(many)
    assert asked == [5_001, 5_001]
