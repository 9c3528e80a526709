"""Find models that no workflow names."""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui.folders import TYPE_FOLDERS
from mlib.core.disk.storage import is_there
from mlib.core.disk.walk import is_within
from mlib.core.errors import Refused
from mlib.core.events import Emit, Walking, silent
from mlib.core.records import Problem
from mlib.core.workflows.mentions import Mentions
from mlib.core.workflows.needs import last_part, looks_by_end
from mlib.db import files
from mlib.services.files.bundles import models_in_sets
from mlib.services.workflows.matching import Match, Shelves, fold_name, folder_names, match, type_of
from mlib.services.workflows.workflow_files import Other, read_file, workflow_files

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Sequence

    from mlib.core.workflows.needs import Need
    from mlib.db.library import Library

#: What a file may be that lies among workflows and is none: other programs' JSON, plain pictures, and what
#: holds nothing of its own.
_OTHERS = frozenset({"not_a_workflow", "empty_file", "lfs_pointer", "apple_double"})
#: What never stands within a name as most people give them: another name may begin behind it.
_BETWEEN_NAMES = re.compile(r"[^0-9a-z_.-]")
#: Folder types whose names are too short to tell anything in the class of a node.
_SHORTEST_TYPE = 4


class Unused(NamedTuple):
    """A model that no workflow names. `size_bytes` is that of its content, `disk_bytes` of all its copies
    (hard links count once). `set_name` is the same for all that can only go together, None for one file.

    Of the `paths` those that are there now come first, then the `offline` ones.
    """

    sha256: str
    name: str
    type: str
    size_bytes: int
    disk_bytes: int
    paths: tuple[str, ...]
    set_name: str | None = None
    offline: tuple[str, ...] = ()


@dataclass(slots=True)
class UnusedReport:
    """The models, the most bytes first, the parts of one together; how many models with a file were looked
    at, how many workflows were read; what the other files were (`json` and the like that held none,
    `lfs_pointer`, `.gif`); what could not be read."""

    models: list[Unused] = field(default_factory=list)
    examined: int = 0
    workflows: int = 0
    others_by_kind: Counter[str] = field(default_factory=Counter)
    problems: list[Problem] = field(default_factory=list)

    @property
    def others(self) -> int:
        return self.others_by_kind.total()

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
    loader would find none, by its hash, in a note or a list, by its folder, because a node that is used
    chooses among models of its type, or because another part of it is named where it is one of several files.
    Nothing is written. Raises NotFound where a directory is not there, Refused where no workflow is found at
    all: every model would seem unused.
    """
    report = UnusedReport()
    needs, said = _read(directories, report, emit)
    if not report.workflows:
        raise Refused(
            "no_workflows",
            f"no workflow was found ({report.others + len(report.problems)} other files), so that every model"
            " would seem unused",
            hint="name the folders of your workflows, and of images made with them",
        )
    with library.reading():
        shelves = Shelves(library, needs)
        present = files.present_files(library)
        used = _used(shelves, needs, said, present)
        models = [model for model in files.present_models(library) if among is None or model.sha256 in among]
        rest = {model.sha256: model for model in models if model.sha256 not in used}
        joined = models_in_sets(library) if rest else {}
        # What was not to be looked at counts as used: a part is offered only with all others.
        rest = {
            sha256: model
            for sha256, model in rest.items()
            if sha256 not in joined or (joined[sha256].is_known and rest.keys() >= joined[sha256].shas)
        }
        held = [file for file in present if file.sha256 in rest]
    report.examined = len(models)
    found = [
        each._replace(set_name=joined[each.sha256].name) if each.sha256 in joined else each
        for each in _with_files(rest, held)
    ]
    together: Counter[str] = Counter()
    for each in found:
        together[each.set_name or each.sha256] += each.disk_bytes
    report.models = sorted(
        found,
        key=lambda each: (
            -together[each.set_name or each.sha256],
            each.set_name or "",
            each.name,
            each.sha256,
        ),
    )
    return report


def _read(directories: Sequence[str], report: UnusedReport, emit: Emit) -> tuple[list[Need], Mentions]:
    """What all workflows need, each model once for each kind of node, and what else they say."""
    found: dict[tuple[object, ...], Need] = {}
    said = Mentions()
    for number, each in enumerate(workflow_files(directories), 1):
        if isinstance(each, Problem):
            report.problems.append(each)
            continue
        if isinstance(each, Other):
            report.others_by_kind[each.kind] += 1
            continue
        emit(Walking(number))
        read = read_file(each)
        if read.problem is None:
            report.workflows += 1
        elif read.problem.code in _OTHERS:
            report.others_by_kind[read.kind or read.problem.code] += 1
        else:
            report.problems.append(read.problem)
        if read.mentions is not None:
            said.add(read.mentions)
        for need in read.needs:
            found.setdefault((need.name, need.type, need.form, need.hash, need.by_end, need.classes), need)
    return list(found.values()), said


def _used(
    shelves: Shelves, needs: Sequence[Need], said: Mentions, present: Sequence[files.PresentFile]
) -> set[str]:
    """The SHA-256s of all that is used. What a used file draws with it (the parts of a set) belongs here."""
    used: set[str] = set()
    anywhere: set[str] = set()
    stems: set[str] = set()
    for need in needs:
        found = match(shelves, need)
        used.update(_named(need, found))
        if need.type == "loras" and any(map(looks_by_end, need.classes)):
            # Others name it too, who are stricter.
            stems.add(os.path.splitext(last_part(fold_name(need.name)))[0])
        if need.type == "loras" and not found.places and any("(rgthree)" in each for each in need.classes):
            anywhere.add(fold_name(need.name))
    names = _Names(said)
    chosen = _Chosen(shelves, said)
    for file in present:
        if file.sha256 in used:
            continue
        kind, inner = shelves.root_of(file.directory)
        if (
            names.name(file.name)
            or names.a_folder_of(kind, inner)
            or names.content(file.sha256)
            or chosen.takes(kind, file)
            or (kind == "loras" and os.path.splitext(fold_name(file.name))[0] in stems)
            # rgthree's last resort is a LoRA in whose path the name stands anywhere.
            or (kind == "loras" and _holds_any(os.path.join(inner, file.name), anywhere))
        ):
            used.add(file.sha256)
    return used


def _named(need: Need, found: Match) -> Iterator[str]:
    yield from (place.sha256 for place in (*found.places, *found.kin))
    if need.hash is not None:
        yield need.hash


def _holds_any(path: str, parts: Collection[str]) -> bool:
    path = fold_name(path)
    return any(part in path for part in parts)


class _Names:
    """What is said that may be the name of a file or of a folder."""

    def __init__(self, said: Mentions) -> None:
        self._words = {_slashed(word) for word in said.words}
        self._last = {last_part(word) for word in self._words}
        self._endings = {name for text in said.endings for name in _names_at_the_end(_slashed(text))}
        self._folders = {
            name for word in self._words for name in (word, *folder_names(word)) if last_part(name)
        }
        self._hashes = said.hashes
        self._known: dict[tuple[str | None, str], bool] = {}

    def name(self, name: str) -> bool:
        """Whether a file of this name is named, with or without its extension."""
        name = fold_name(name)
        return name in self._endings or name in self._last or os.path.splitext(name)[0] in self._last

    def content(self, sha256: str) -> bool:
        """Whether a hash of these bytes is named."""
        return not self._hashes.isdisjoint((sha256, sha256[:12], sha256[:10]))

    def a_folder_of(self, kind: str | None, inner: str) -> bool:
        """Whether a folder is named in which the folder `inner` of a type lies, or which it is."""
        key = kind, inner
        if key not in self._known:
            parts = [fold_name(part) for part in inner.split(os.sep) if part not in {"", "."}]
            lead = [fold_name(kind)] if kind else []
            self._known[key] = any(
                "/".join([*lead, *parts][first:last]) in self._folders
                for last in range(len(lead) + 1, len(lead) + len(parts) + 1)
                for first in range(last)
            )
        return self._known[key]


def _names_at_the_end(text: str) -> Iterator[str]:
    """Each way to read a file name off the end of a text: it begins where a word does."""
    text = last_part(text)
    yield text
    for between in _BETWEEN_NAMES.finditer(text):
        yield text[between.end() :]


class _Chosen:
    """What nodes choose from by themselves.

    A folder type that only a node pack knows is kept whole by a node that has its name (`BiRefNetRMBG`).
    """

    def __init__(self, shelves: Shelves, said: Mentions) -> None:
        classes = "\0".join(_letters(each) for each in said.classes)
        own = {type_of(root) for root in shelves.roots} - TYPE_FOLDERS.keys()
        self._patterns = [(choice.type, re.compile(choice.pattern, re.IGNORECASE)) for choice in said.choices]
        self._types = {
            each for each in own if len(_letters(each)) >= _SHORTEST_TYPE and _letters(each) in classes
        }
        words = {_slashed(word) for word in said.words}
        self._roots = [root.path for root in shelves.roots if _slashed(root.path) in words]

    def takes(self, kind: str | None, file: files.PresentFile) -> bool:
        """Whether a file of this type may be chosen: also where a node is given the root it lies in."""
        return (
            kind in self._types
            or any(kind == each and pattern.search(file.name) for each, pattern in self._patterns)
            or any(is_within(file.directory, root) for root in self._roots)
        )


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", fold_name(name))


def _slashed(text: str) -> str:
    return fold_name(text.replace("\\", "/").strip().strip("/").removeprefix("./"))


def _with_files(models: dict[str, files.PresentModel], held: list[files.PresentFile]) -> Iterator[Unused]:
    by_model: dict[str, list[files.PresentFile]] = {}
    for file in held:
        by_model.setdefault(file.sha256, []).append(file)
    for sha256, own in by_model.items():
        model = models[sha256]
        size = model.size_bytes or 0
        paths = [os.path.join(file.directory, file.name) for file in own]
        there = [path for path in paths if is_there(path)]
        offline = sorted(set(paths).difference(there))
        yield Unused(
            sha256=sha256,
            name=model.name,
            type=model.type,
            size_bytes=size,
            disk_bytes=size * len({file.identity for file in own}),
            paths=(*there, *offline),
            offline=tuple(offline),
        )
