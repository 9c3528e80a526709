"""What the tensors of a file come down to: of a layer's thousand brothers only their numbers differ."""

from __future__ import annotations

import functools
import re
from collections import Counter, defaultdict
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlib.core.formats.header import Tensor

#: It begins with the digit, of which there are few: looking behind from every character takes twice as long.
_NUMBER_ABOVE_1 = re.compile(r"[1-9](?<=[_.].)(?:[0-9]++|(?<=[2-9]))(?=[_.\n])")
#: The first whole number of a name, and what stands before it.
_BLOCK = re.compile(r"^([^\n]{1,100}?)[_.]([0-9]{1,4})[_.]", re.MULTILINE)
#: So many names are changed at once: as one text, for a fifth of the time that changing every name takes.
_AT_ONCE = 200
#: LoRAs of one trainer have the same names, whatever their rank: so many texts of them are remembered, of so
#: many characters at most.
_TEXTS = 256
_MAX_TEXT = 40_000


class Outline(NamedTuple):
    """All tensors, how many there are of each line, dtype and shape, and which blocks.

    A line is a tensor's name with N for every whole number above 1 in it. `blocks` are the first whole
    numbers in the names, by what stands before them.
    """

    tensors: Sequence[Tensor]
    alike: Mapping[tuple[str, str, tuple[int, ...]], int]
    blocks: Mapping[str, frozenset[int]]


class _Changed(NamedTuple):
    lines: tuple[str, ...]
    blocks: Mapping[str, frozenset[int]]


def outline(tensors: Sequence[Tensor]) -> Outline:
    """The outline of a file with these tensors, in any order."""
    names, dtypes, shapes = zip(*tensors, strict=True) if tensors else ((), (), ())
    lines: list[str] = []
    blocks: list[Mapping[str, frozenset[int]]] = []
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        text = "\n".join(some)
        changed = _remembered(text) if len(text) <= _MAX_TEXT else _change(text)
        if len(changed.lines) == len(some):
            lines += changed.lines
            blocks.append(changed.blocks)
        else:  # no real tensor name has line breaks
            alone = [_change(name) for name in some]
            lines += ["\n".join(each.lines) for each in alone]
            blocks += [each.blocks for each in alone if len(each.lines) == 1]
    return Outline(tensors, Counter(zip(lines, dtypes, shapes, strict=True)), _united(blocks))


def _change(text: str) -> _Changed:
    lines = _NUMBER_ABOVE_1.sub("N", f"\n{text}\n")[1:-1].split("\n")
    blocks: defaultdict[str, set[int]] = defaultdict(set)
    for name, number in set(_BLOCK.findall(text)):
        blocks[name].add(int(number))
    return _Changed(tuple(lines), {name: frozenset(numbers) for name, numbers in blocks.items()})


_remembered = functools.lru_cache(maxsize=_TEXTS)(_change)


def _united(all_blocks: Iterable[Mapping[str, frozenset[int]]]) -> dict[str, frozenset[int]]:
    united: dict[str, frozenset[int]] = {}
    for blocks in all_blocks:
        for name, numbers in blocks.items():
            united[name] = united[name] | numbers if name in united else numbers
    return united
