"""Which copies have to stay although the same bytes lie elsewhere: a loader looks for them where they are."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import canonical_type
from mlib.core.kinds.placement import is_misplaced
from mlib.db import contents, roots
from mlib.services.filework.alike import real_path, real_place
from mlib.services.sets import KnownSets

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from mlib.core.sets import FileSet
    from mlib.db.library import Library
    from mlib.services.duplicating.finding import Choice, Copy


class Needed(NamedTuple):
    """A copy that was to go and stays, and why."""

    copy: Copy
    reason: str


def spare_needed(library: Library, choices: Sequence[Choice]) -> tuple[list[Choice], list[Needed]]:
    """The choices without the copies that must not go to the trash, and those.

    Such are: a file of a folder that a loader takes as a whole; a part of a model in several files of which
    not all parts go, or of which no other copy stays whole; and the last copy below the folders of a type,
    where its loaders would find none, unless no loader of that type takes it.
    """
    known = KnownSets(library)
    whole = {copy: known.of(copy.row) for choice in choices for copy in (*choice.kept, *choice.gone)}
    needed = [*_in_folders(choices, whole), *_last_of_type(library, choices)]
    while True:
        spared = {each.copy for each in needed}
        choices = [
            choice._replace(
                kept=(*choice.kept, *(copy for copy in choice.gone if copy in spared)),
                gone=tuple(copy for copy in choice.gone if copy not in spared),
            )
            for choice in choices
        ]
        more = list(_parts_alone(choices, whole))
        if not more:
            return [choice for choice in choices if choice.gone], needed
        needed += more


def sets_going(library: Library, choices: Sequence[Choice]) -> dict[Copy, FileSet]:
    """The copies that go and are parts of a model in several files, each with that."""
    known = KnownSets(library)
    found = {copy: known.of(copy.row) for choice in choices for copy in choice.gone}
    return {copy: whole for copy, whole in found.items() if whole is not None}


def _in_folders(choices: Sequence[Choice], whole: Mapping[Copy, FileSet | None]) -> Iterator[Needed]:
    for choice in choices:
        for copy in choice.gone:
            found = whole[copy]
            if found is not None and found.kind == "folder":
                yield Needed(copy, f"the model in the folder {found.name} needs it")


def _last_of_type(library: Library, choices: Sequence[Choice]) -> Iterator[Needed]:
    types = {root.id: canonical_type(root.type) for root in roots.all_roots(library)}
    for choice in choices:
        served = {types.get(copy.row.root_id) for copy in choice.kept}
        for copy in sorted(choice.gone, key=lambda copy: (len(copy.row.path), copy.row.path)):
            kind = types.get(copy.row.root_id)
            if kind is None or kind in served:
                continue
            content = contents.get(library, copy.row.sha256)
            if content is None or not is_misplaced(content.kind, kind):
                served.add(kind)
                yield Needed(copy, f"loaders of {kind} would find no copy")


def _parts_alone(choices: Sequence[Choice], whole: Mapping[Copy, FileSet | None]) -> Iterator[Needed]:
    going = {real_place(copy.row) for choice in choices for copy in choice.gone}
    staying = {
        real_place(copy.row): {found.name for each in choice.kept if (found := whole[each]) is not None}
        for choice in choices
        for copy in choice.gone
    }
    for choice in choices:
        for copy in choice.gone:
            found = whole[copy]
            if found is None:
                continue
            parts = [real_path(part) for part in found.parts]
            if not going.issuperset(parts):
                yield Needed(copy, "the other parts of its model stay")
            elif not set.intersection(*(staying[part] for part in parts)):
                yield Needed(copy, "no other copy of its model is whole")
