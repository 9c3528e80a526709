"""Telling whether a workflow would run: is every model it needs here?"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlib.services.workflows.matching import Match, Shelves, match
from mlib.services.workflows.reading import read_file
from mlib.services.workflows.suggesting import Suggestion, suggest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.models import Problem
    from mlib.core.workflows.need import Need
    from mlib.db.library import Library


class Answer(NamedTuple):
    """A need, what the library has for it, and what may stand in for it if that is nothing."""

    need: Need
    match: Match
    suggestions: tuple[Suggestion, ...] = ()

    @property
    def is_as_meant(self) -> bool | None:
        """Whether what is found has the hash that the workflow gives; None where it gives none."""
        if self.need.hash is None or not self.match.places:
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

    def count(self, state: str) -> int:
        """How many different models are found, ambiguous or missing."""
        return len({_key(each.need) for each in self.answers if each.match.state == state})

    @property
    def answers(self) -> list[Answer]:
        return [answer for file in self.files for answer in file.answers]

    @property
    def problems(self) -> list[Problem]:
        return [file.problem for file in self.files if file.problem is not None]

    @property
    def is_complete(self) -> bool:
        """Whether everything was read and nothing is missing."""
        return not self.problems and not self.count("missing")


def check(library: Library, paths: Sequence[str], *, with_bypassed: bool = False) -> CheckReport:
    """Look up every model that these workflows need; with `with_bypassed`, of nodes that are off too.

    Whatever is wrong with a file is its problem. Nothing is written.
    """
    read = [read_file(path) for path in paths]
    wanted = [[need for need in each.needs if with_bypassed or not need.bypassed] for each in read]
    with library.reading():
        shelves = Shelves(library, [need for needs in wanted for need in needs])
        matches = {need: match(shelves, need) for needs in wanted for need in needs}
        missing = [(need, found) for need, found in matches.items() if found.state == "missing"]
        suggestions = suggest(shelves, missing) if missing else {}
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


def _key(need: Need) -> tuple[str, str | None, str]:
    return need.name, need.type, need.form
