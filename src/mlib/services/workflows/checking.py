"""Check whether the library has every model that a workflow needs, and suggest replacements."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import TYPE_CHECKING, NamedTuple, get_args
from urllib.parse import unquote, urlsplit

from mlib.core.disk.compare import stat_of
from mlib.db import contents, files
from mlib.services.workflows.matching import (
    LoaderFile,
    Match,
    Shelves,
    State,
    fold_name,
    is_in_other_letters,
    match,
    unscanned,
)
from mlib.services.workflows.workflow_files import read_file

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from mlib.core.records import Problem
    from mlib.core.workflows.needs import Need
    from mlib.db.library import Library


# --- Suggestions for missing models

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

    place: LoaderFile
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
    return contents.same_weights(shelves.library, sha256)


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
        for word in wanted.intersection(_BEGINNINGS.findall(fold_name(name))):
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
    words = _WORDS.findall(fold_name(os.path.splitext(os.path.basename(name))[0]))
    return [word for word in words if not _PRECISION.fullmatch(word)] or words


class NeedAnswer(NamedTuple):
    """A need, what the library has for it, and what may stand in for it if that is nothing."""

    need: Need
    match: Match
    suggestions: tuple[Suggestion, ...] = ()

    @property
    def is_as_meant(self) -> bool | None:
        """Whether what is found has the hash that the workflow gives; None where either is not known."""
        if self.need.hash is None or not self.match.places or not self.match.places[0].sha256:
            return None
        return self.match.places[0].sha256 == self.need.hash


class Checked(NamedTuple):
    """A workflow: its needs answered, and how many were left out as bypassed; or why it cannot be read."""

    path: str
    answers: tuple[NeedAnswer, ...] = ()
    left_out: int = 0
    problem: Problem | None = None


@dataclass(frozen=True, slots=True)
class CheckReport:
    """Every workflow in the order given."""

    files: tuple[Checked, ...]

    def count(self, state: State) -> int:
        """How many different models are in this state."""
        return len({_key(each.need) for each in self.answers if each.match.state == state})

    @property
    def counts(self) -> dict[State, int]:
        """How many different models are in each state."""
        return {state: self.count(state) for state in get_args(State)}

    @property
    def answers(self) -> list[NeedAnswer]:
        return [answer for file in self.files for answer in file.answers]

    @property
    def problems(self) -> list[Problem]:
        return [file.problem for file in self.files if file.problem is not None]

    @property
    def is_complete(self) -> bool:
        """Whether everything was read and nothing is missing, or not known to be there."""
        return not self.problems and not self.count("missing") and not self.count("unknown")


def check(library: Library | None, paths: Sequence[str], *, with_bypassed: bool = False) -> CheckReport:
    """Look up every model that these workflows need; with `with_bypassed`, of nodes that are off too.

    What is found is there now. Without a library every need is `unknown`, but for what its node downloads.
    Whatever is wrong with a file is its problem. Nothing is written.
    """
    read = [read_file(path) for path in paths]
    wanted = [[need for need in each.needs if with_bypassed or not need.bypassed] for each in read]
    needs = [need for each in wanted for need in each]
    suggestions: dict[Need, tuple[Suggestion, ...]] = {}
    if library is None:
        matches = {need: Match("automatic" if need.automatic else "unknown") for need in needs}
    else:
        matches, suggestions = _answers(library, needs)
    return CheckReport(
        tuple(
            Checked(
                path=each.path,
                answers=tuple(NeedAnswer(need, matches[need], suggestions.get(need, ())) for need in needs),
                left_out=len(each.needs) - len(needs),
                problem=each.problem,
            )
            for each, needs in zip(read, wanted, strict=True)
        )
    )


def _answers(
    library: Library, needs: Sequence[Need]
) -> tuple[dict[Need, Match], dict[Need, tuple[Suggestion, ...]]]:
    """Matches and suggestions, looked at again without the files that are gone since the last scan.

    Nothing is looked at on a disk while the library is read: the disk may be slow, or gone.
    """
    gone: set[str] = set()
    while True:
        with library.reading():
            shelves = Shelves(library, needs, gone=gone)
            matches = {need: match(shelves, need) for need in needs}
            missing = [(need, found) for need, found in matches.items() if found.state == "missing"]
            suggestions = suggest(shelves, missing) if missing else {}
        told = {place.path for found in matches.values() for place in found.places}
        told |= {each.place.path for found in suggestions.values() for each in found}
        new = {path for path in told if not os.path.exists(path)} - gone
        if not new:
            break
        gone |= new
    for need in suggestions:
        place = next(unscanned(shelves, need), None)
        if place is not None:
            matches[need] = Match("found", (_known(library, place),))
    return matches, {need: each for need, each in suggestions.items() if not matches[need].places}


def _known(library: Library, place: LoaderFile) -> LoaderFile:
    """A place that no scan has seen, with the SHA-256 of its file if one has seen that elsewhere."""
    try:
        status = stat_of(os.stat(place.path))
    except OSError:
        return place
    with library.reading():
        row = files.by_inode(library, status)
    return place if row is None else place._replace(sha256=row.sha256)


def _key(need: Need) -> tuple[str, str | None, str]:
    return need.name, need.type, need.form
