"""How to use a model by what its sidecars say, beside what the file itself says."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.kinds.usage import Usage
    from mlib.core.sidecars.record import Sidecar


def with_sidecars(usage: Usage, sidecars: Sequence[Sidecar]) -> Usage:
    """`usage` with trigger words of the sidecars first, and with an author where the file names none.

    A word that is guessed from the training images gives way to what a person wrote.
    """
    words = [word for sidecar in sidecars for word in sidecar.trigger_words]
    guessed = {tag for tag, _ in usage.frequent_tags}
    own = [word for word in usage.trigger_words if not words or word not in guessed]
    seen: dict[str, str] = {}
    for word in [*words, *own]:
        seen.setdefault(word.casefold(), word)
    authors = [sidecar.author for sidecar in sidecars if sidecar.author]
    return usage._replace(
        trigger_words=tuple(seen.values()),
        author=usage.author or next(iter(authors), ""),
    )
