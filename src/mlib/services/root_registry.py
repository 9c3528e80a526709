"""List, add and remove roots."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.comfyui.root_sources import comfyui_roots, distinct, root_option
from mlib.core.disk.storage import root_state
from mlib.core.disk.walk import is_within
from mlib.core.errors import Hint, NotFound
from mlib.core.text import composed, visible
from mlib.db import files, roots
from mlib.services.deriving import follow_folder, judge_places, remember_roots

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.disk.storage import RootState
    from mlib.core.records import Problem, Root
    from mlib.db.library import Library
    from mlib.db.roots import Holding


class RootReport(NamedTuple):
    """A remembered root, how it stands now, what the library knows in it, and when it was last seen whole."""

    root: Root
    standing: RootState
    holding: Holding


class AddReport(NamedTuple):
    """Roots that were added, or got another type, those that were known, and what was found to be wrong."""

    added: tuple[Root, ...]
    known: tuple[Root, ...]
    problems: tuple[Problem, ...]


class RemoveReport(NamedTuple):
    """The root that was forgotten, and how many files are missing now or belong to another root."""

    root: Root
    missing: int
    elsewhere: int


def list_roots(library: Library) -> list[RootReport]:
    """Every remembered root, in the order in which they are searched."""
    with library.reading():
        found = roots.all_roots(library)
        holdings = roots.holdings(library)
    return [RootReport(root, root_state(root.path), holdings[root.id or 0]) for root in found]


def wanted_roots(texts: Sequence[str]) -> tuple[tuple[Root, ...], tuple[Problem, ...]]:
    """The roots that `TYPE=DIR` and ComfyUI folders name, and what kept others from being found.

    Raises MlibError where one is neither.
    """
    found: list[Root] = []
    problems: list[Problem] = []
    for text in texts:
        if "=" in text and not os.path.isdir(text):
            found.append(root_option(text))
        else:
            result = comfyui_roots(text)
            found += result.roots
            problems += result.problems
    return distinct(found), tuple(problems)


def add_roots(library: Library, texts: Sequence[str]) -> AddReport:
    """Remember roots for the next scan. Raises MlibError where a text names none."""
    wanted, problems = wanted_roots(texts)
    with library.transaction():
        before = {root.path: root for root in roots.all_roots(library)}
        news = [root for root in wanted if before.get(root.path, root._replace(type="")).type != root.type]
        after = {**before, **{root.path: root for root in news}}
        if news:
            remember_roots(library, after.values())
        ids = {root.path: root for root in roots.all_roots(library)}
    added = tuple(ids[root.path] for root in news)
    return AddReport(added, tuple(ids[root.path] for root in wanted if ids[root.path] not in added), problems)


def remove_root(library: Library, name: str) -> RemoveReport:
    """Forget the root with this path or id. Models stay, with all that was said of them.

    Its files belong to the root around it where there is one; the others are missing from now on, for no scan
    looks at them any more. Raises NotFound (`root_not_found`).
    """
    with library.transaction():
        everyone = roots.all_roots(library)
        root = _named(everyone, name)
        assert root.id is not None
        others = sorted((each for each in everyone if each != root), key=lambda each: -len(each.path))
        around = next((each for each in others if is_within(root.path, each.path)), None)
        shas, rows = roots.models_in(library, root.id), files.in_root(library, root.id)
        moved = roots.hand_over(library, root.id, None if around is None else around.id, times.now())
        roots.forget(library, root.id)
        if around is not None:
            follow_folder(library, shas, around.type)
            judge_places(library, [row._replace(root_id=around.id) for row in rows], [around])
    return RemoveReport(root, 0 if around else moved, moved if around else 0)


def _named(everyone: Sequence[Root], name: str) -> Root:
    names = [name]
    if name and "\0" not in name:  # a link that is a root itself comes before the root that it leads to
        names += [os.path.abspath(name), os.path.realpath(name)]
    for each in names:
        for root in everyone:
            if root.path == each or str(root.id) == name:
                return root
    for root in everyone:
        if composed(root.path) in map(composed, names):
            return root
    raise NotFound(
        "root_not_found", f"no such root: '{visible(name)}'", hint=Hint("{} lists them", ("roots",))
    )
