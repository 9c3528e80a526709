"""Models that no workflow names."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import Refused
from mlib.core.events import Emit, Walking, silent
from mlib.core.models import Problem
from mlib.db import placed
from mlib.services.workflows.matching import Match, Shelves, match
from mlib.services.workflows.reading import read_file, workflow_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mlib.core.workflows.need import Need
    from mlib.db.library import Library

#: What a file may be that lies among workflows and is none: other programs' JSON, and plain pictures.
_NO_WORKFLOW = "not_a_workflow"


class Unused(NamedTuple):
    """A model that no workflow names. `size_bytes` is that of its content, `disk_bytes` of all its copies
    (hard links count once)."""

    sha256: str
    name: str
    type: str
    size_bytes: int
    disk_bytes: int
    paths: tuple[str, ...]


@dataclass(slots=True)
class UnusedReport:
    """The models, the most bytes first; how many models with a file were looked at, how many workflows were
    read, and how many files held none; what could not be read."""

    models: list[Unused] = field(default_factory=list)
    examined: int = 0
    workflows: int = 0
    others: int = 0
    problems: list[Problem] = field(default_factory=list)

    @property
    def disk_bytes(self) -> int:
        return sum(model.disk_bytes for model in self.models)


def unused(
    library: Library,
    directories: Sequence[str],
    *,
    among: Collection[str] | None = None,
    emit: Emit = silent,
) -> UnusedReport:
    """The models with a file (of these SHA-256s, or of all) that no workflow below `directories` names.

    A model counts as named under any doubt: by a bypassed node, in another case, in another folder where its
    loader would find none, or by its hash. Nothing is written. Raises NotFound where a directory is not
    there, Refused where no workflow is found at all: every model would seem unused.
    """
    report = UnusedReport()
    needs = _needs(directories, report, emit)
    if not report.workflows:
        raise Refused(
            "no_workflows",
            f"no workflow was found ({report.others + len(report.problems)} other files), so that every model"
            " would seem unused",
            hint="name the folders of your workflows, and of images made with them",
        )
    with library.reading():
        shelves = Shelves(library, needs)
        named = {sha256 for need in needs for sha256 in _named(need, match(shelves, need))}
        models = [model for model in placed.present_models(library) if among is None or model.sha256 in among]
        rest = {model.sha256: model for model in models if model.sha256 not in named}
        held = [file for file in placed.present_files(library) if file.sha256 in rest]
    report.examined = len(models)
    report.models = sorted(
        _with_files(rest, held), key=lambda each: (-each.disk_bytes, each.name, each.sha256)
    )
    return report


def _needs(directories: Sequence[str], report: UnusedReport, emit: Emit) -> list[Need]:
    """What all workflows need, each model once."""
    found: dict[tuple[str, str | None, str, str | None], Need] = {}
    for number, each in enumerate(workflow_files(directories), 1):
        if isinstance(each, Problem):
            report.problems.append(each)
            continue
        emit(Walking(number))
        read = read_file(each)
        if read.problem is None:
            report.workflows += 1
        elif read.problem.code == _NO_WORKFLOW:
            report.others += 1
        else:
            report.problems.append(read.problem)
        for need in read.needs:
            found.setdefault((need.name, need.type, need.form, need.hash), need)
    return list(found.values())


def _named(need: Need, found: Match) -> Iterator[str]:
    yield from (place.sha256 for place in (*found.places, *found.kin))
    if need.hash is not None:
        yield need.hash


def _with_files(models: dict[str, placed.Sized], held: list[placed.Held]) -> Iterator[Unused]:
    files: dict[str, list[placed.Held]] = {}
    for file in held:
        files.setdefault(file.sha256, []).append(file)
    for sha256, own in files.items():
        model = models[sha256]
        size = model.size_bytes or 0
        yield Unused(
            sha256=sha256,
            name=model.name,
            type=model.type,
            size_bytes=size,
            disk_bytes=size * len({file.identity for file in own}),
            paths=tuple(os.path.join(file.directory, file.name) for file in own),
        )
