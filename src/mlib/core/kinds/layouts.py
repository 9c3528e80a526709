"""Remembering what only the tensors of a file decide: hundreds of LoRAs of one trainer have the same ones."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.core.formats.header import Tensor

Result = TypeVar("Result")

#: So many layouts are remembered, each of so many tensors at most.
_LAYOUTS = 16
_MAX_TENSORS = 5_000


def remembered(judge: Callable[[Sequence[Tensor]], Result]) -> Callable[[Sequence[Tensor]], Result]:
    """`judge`, answering from memory for the last few sequences of tensors it was asked about."""
    from_memory = functools.lru_cache(maxsize=_LAYOUTS)(judge)

    @functools.wraps(judge)
    def answer(tensors: Sequence[Tensor]) -> Result:
        return judge(tensors) if len(tensors) > _MAX_TENSORS else from_memory(tuple(tensors))

    return answer
