"""Names of base models, some more exact than others: Flux.1 takes in Flux.1 dev, Wan takes in Wan 2.2 S2V."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_WORD = re.compile(r"[0-9]+|[^\W\d_]+")


def takes_in(wide: str, narrow: str) -> bool:
    """Whether the base model `narrow` is one of those that `wide` names: its words go on where those end."""
    words = _words(wide)
    return bool(words) and _words(narrow)[: len(words)] == words


def agreeing(ours: Sequence[str], theirs: Iterable[str]) -> tuple[str, ...]:
    """What both can mean, in the more exact words of the two; empty if they contradict each other."""
    others = tuple(theirs)
    both = [
        other if takes_in(base, other) else base
        for base in ours
        for other in others
        if takes_in(base, other) or takes_in(other, base)
    ]
    return tuple(dict.fromkeys(both))


def _words(name: str) -> list[str]:
    return _WORD.findall(name.casefold())
