"""What the tensors of a file come down to: of a layer's thousand brothers only their numbers differ."""

from __future__ import annotations

import functools
import re
from collections import Counter
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlib.core.formats.header import Tensor

#: It begins with the digit, of which there are few: looking behind from every character takes twice as long.
_NUMBER_ABOVE_1 = re.compile(r"[1-9](?<=[_.].)(?:[0-9]++|(?<=[2-9]))(?=[_.\n])")
#: So many names are changed at once: as one text, for a fifth of the time that changing every name takes.
_AT_ONCE = 200
#: LoRAs of one trainer have the same names, whatever their rank: so many texts of them are remembered, of so
#: many characters at most.
_TEXTS = 256
_MAX_TEXT = 40_000


class Outline(NamedTuple):
    """All tensors, and how many there are of each line, dtype and shape.

    A line is a tensor's name with N for every whole number above 1 in it.
    """

    tensors: Sequence[Tensor]
    alike: Mapping[tuple[str, str, tuple[int, ...]], int]


def outline(tensors: Sequence[Tensor]) -> Outline:
    """The outline of a file with these tensors, in any order."""
    names, dtypes, shapes = zip(*tensors, strict=True) if tensors else ((), (), ())
    alike = Counter(zip(_lines(names), dtypes, shapes, strict=True))
    return Outline(tensors, alike)


def _lines(names: Sequence[str]) -> Iterator[str]:
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        text = "\n".join(some)
        lines = _remembered(text) if len(text) <= _MAX_TEXT else _changed(text)
        # A name of several lines is no real one.
        yield from lines if len(lines) == len(some) else ("\n".join(_changed(name)) for name in some)


def _changed(text: str) -> tuple[str, ...]:
    return tuple(_NUMBER_ABOVE_1.sub("N", f"\n{text}\n")[1:-1].split("\n"))


_remembered = functools.lru_cache(maxsize=_TEXTS)(_changed)
