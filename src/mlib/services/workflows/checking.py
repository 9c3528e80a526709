"""Telling whether a workflow would run: is every model it needs here?"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.compare import stat_of
from mlib.db import files
from mlib.services.workflows.matching import Match, Shelves, match, unscanned
from mlib.services.workflows.reading import read_file
from mlib.services.workflows.suggesting import Suggestion, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.models import Problem
    from mlib.core.workflows.need import Need
    from mlib.db.library import Library
    from mlib.services.workflows.matching import Place, State


class Answer(NamedTuple):
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
    answers: tuple[Answer, ...] = ()
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
    def answers(self) -> list[Answer]:
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
                answers=tuple(Answer(need, matches[need], suggestions.get(need, ())) for need in needs),
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


def _known(library: Library, place: Place) -> Place:
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
