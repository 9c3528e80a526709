"""The name and type that nobody typed are those of the file and its folder, and change with them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.text import displayable
from mlib.db import files, models, roots
from mlib.services.judging import judge_places

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.models import KnownFile, Root
    from mlib.db.library import Library


def follow_file(library: Library, old: KnownFile, new: KnownFile, root: Root | None) -> None:
    """Let a model follow its file, which is called otherwise or lies in this root now; part of a transaction.

    In no root there is nothing to tell its type by.
    """
    model = models.get(library, new.sha256)
    if model is None:
        return
    changed = model
    if "name" not in model.edited and model.name == displayable(old.name):
        changed = changed._replace(name=displayable(new.name))
    if "type" not in model.edited and root is not None:
        changed = changed._replace(type=displayable(root.type))
    if changed != model:
        models.put(library, [changed])


def follow_folder(library: Library, shas: Iterable[str], kind: str) -> None:
    """Let models follow the type of a root that files of theirs belong to from now on; part of a transaction.

    One that has a present file in another root of the type it had keeps that. SHA-256s are full ones.
    """
    kind = displayable(kind)
    types = {root.id: displayable(root.type) for root in roots.all_roots(library)}
    for sha256 in shas:
        model = models.get(library, sha256)
        if model is None or model.type == kind or "type" in model.edited:
            continue
        present = [row for row in files.of_model(library, sha256) if row.missing_since is None]
        if model.type not in {types.get(row.root_id) for row in present}:
            models.put(library, [model._replace(type=kind)])


def remember_roots(library: Library, wanted: Iterable[Root]) -> None:
    """Add roots or bring them up to date; part of a transaction.

    With a new type models follow it, and whether their files are misplaced is judged anew.
    """
    before = {root.id: root.type for root in roots.all_roots(library)}
    roots.remember(library, wanted)
    for root in roots.all_roots(library):
        if root.id is not None and before.get(root.id, root.type) != root.type:
            follow_folder(library, roots.models_in(library, root.id), root.type)
            judge_places(library, files.in_root(library, root.id), [root])
