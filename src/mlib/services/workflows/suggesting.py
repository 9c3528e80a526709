"""What may stand in for a model that a workflow needs and its loader would not find."""

from __future__ import annotations

import os
import re
from collections import Counter
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote, urlsplit

from mlib.db import files, hashes
from mlib.services.workflows.matching import Place, folded, is_in_other_letters

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlib.core.workflows.need import Need
    from mlib.services.workflows.matching import Match, Shelves

#: Suggestions for one need.
MOST = 5
#: How alike two names must be, and how many are compared at all (a comparison takes some 50 us).
_ALIKE = 0.75
_COMPARED = 200
#: Letters by which words begin alike: `colour` and `color`.
_BEGINNING = 4
_BEGINNINGS = re.compile(r"(?<![^\W_])[^\W_]{1,4}")

_WORDS = re.compile(r"[^\W_]+")
#: Words that tell in which precision a model is, not which model it is.
_PRECISION = re.compile(
    r"b?f(?:p|loat)?(?:4|8|16|32)|n?fp[48]|nf4|int[48]|i?q[2-8]|[0-9kmsl]|e[45]m[23](?:fn)?|scaled|mixed|pruned|gguf"
)


class Suggestion(NamedTuple):
    """A present file, and why.

    `hash` the workflow means these bytes; `moved` these bytes lay where the loader looks; `weights` the same
    tensors; `case` the same name there, spelled otherwise; `name` the same name elsewhere; `download` the
    name in its URL; `similar` a name much like it.
    """

    place: Place
    why: str


def suggest(shelves: Shelves, missing: Sequence[tuple[Need, Match]]) -> dict[Need, tuple[Suggestion, ...]]:
    """The best few for each need that is missing, the surest first, each content once."""
    near = _near_names(shelves, [need for need, _ in missing if need.form != "folder"])
    found: dict[Need, tuple[Suggestion, ...]] = {}
    for need, hit in missing:
        best: dict[str, Suggestion] = {}
        for suggestion in _all(shelves, need, hit, near.get(need, ())):
            best.setdefault(suggestion.place.sha256, suggestion)
            if len(best) == MOST:
                break
        found[need] = tuple(best.values())
    return found


def _all(shelves: Shelves, need: Need, match: Match, near: Sequence[str]) -> Iterator[Suggestion]:
    if need.hash is not None:
        yield from _of_content(shelves, [need.hash], "hash")
    yield from _of_content(shelves, match.gone, "moved")
    alike = [
        sha256 for known in filter(None, (need.hash, *match.gone)) for sha256 in _same_weights(shelves, known)
    ]
    yield from _of_content(shelves, alike, "weights")
    if need.listed:
        in_other_letters = [place for place in match.kin if is_in_other_letters(place, need)]
        yield from (Suggestion(place, "case") for place in in_other_letters)
    yield from (Suggestion(place, "name") for place in match.kin)
    if need.url is not None:
        name = os.path.basename(unquote(urlsplit(need.url).path))
        yield from _named(shelves, [name], "download", need)
    yield from _named(shelves, near, "similar", need)


def _of_content(shelves: Shelves, shas: Iterable[str], why: str) -> Iterator[Suggestion]:
    for sha256 in shas:
        for row in files.of_model(shelves.library, sha256):
            if (found := shelves.row_of(row)).present:
                yield Suggestion(shelves.place(found), why)


def _same_weights(shelves: Shelves, sha256: str) -> list[str]:
    return hashes.same_weights(shelves.library, sha256)


def _named(shelves: Shelves, names: Iterable[str], why: str, need: Need) -> Iterator[Suggestion]:
    for name in names:
        places = [shelves.place(row, need.type) for row in shelves.named(name) if row.present]
        for place in sorted(places, key=lambda place: place.type != need.type):
            if why != "similar" or need.type in (None, place.type):
                yield Suggestion(place, why)


def _near_names(shelves: Shelves, needs: Sequence[Need]) -> Mapping[Need, list[str]]:
    """For each need the names much like its own: those with most words that begin alike are compared."""
    words = {need: _beginnings(need.name) for need in needs}
    wanted = set().union(*words.values())
    holding: dict[str, list[str]] = {}
    for name in shelves.names if wanted else ():
        # Every name of the library comes by here: beginnings of words, found without making words of it.
        for word in wanted.intersection(_BEGINNINGS.findall(folded(name))):
            holding.setdefault(word, []).append(name)
    return {need: _nearest(need, words[need], holding) for need in needs}


def _nearest(need: Need, words: set[str], holding: Mapping[str, list[str]]) -> list[str]:
    shared: Counter[str] = Counter()
    for word in words:
        shared.update(holding.get(word, ()))
    own = " ".join(_words(need.name))
    scored = []
    for name, _ in shared.most_common(_COMPARED):
        alike = SequenceMatcher(None, own, " ".join(_words(name)))
        if alike.quick_ratio() >= _ALIKE and (ratio := alike.ratio()) >= _ALIKE:
            scored.append((-ratio, name))
    return [name for _, name in sorted(scored)[:MOST]]


def _beginnings(name: str) -> set[str]:
    return {word[:_BEGINNING] for word in _words(name)}


def _words(name: str) -> list[str]:
    """The words of a file name that tell which model it is."""
    words = _WORDS.findall(folded(os.path.splitext(os.path.basename(name))[0]))
    return [word for word in words if not _PRECISION.fullmatch(word)] or words
