"""How to use a model by what its sidecars say, beside what the file itself says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlib.core.kinds.usage import Usage
    from mlib.core.sidecars.record import Sidecar


def with_sidecars(usage: Usage, sidecars: Sequence[Sidecar]) -> Usage:
    """`usage` with trigger words of the sidecars first, and with an author where the file names none."""
    authors = [sidecar.author for sidecar in sidecars if sidecar.author]
    return usage._replace(
        trigger_words=united([each.trigger_words for each in sidecars], usage.trigger_words),
        author=usage.author or next(iter(authors), ""),
    )


def united(said: Iterable[Iterable[str]], own: Iterable[str]) -> tuple[str, ...]:
    """The words of sidecars, the most trusted first, then those of the file itself; in any case each once."""
    seen: dict[str, str] = {}
    for words in (*said, own):
        for word in words:
            seen.setdefault(word.casefold(), word)
    return tuple(seen.values())
