"""Keep what is derived from a file's name and place up to date.

That is: findings about names and folders, a name and type that nobody typed, and user data that passes to
the successor of a model (same weights, new header).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.inspection import PLACE_CODES, place_findings
from mlib.core.records import TEXT_FIELDS
from mlib.core.tag_spelling import distinct
from mlib.core.text import displayable
from mlib.db import contents, files, models, roots, tags

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.records import KnownFile, Root
    from mlib.db.library import Library


# --- Findings about names and folders


def judge_places(
    library: Library, rows: Iterable[KnownFile], roots: Sequence[Root]
) -> list[tuple[str, Finding]]:
    """Keep what is wrong with the names and folders of these files; part of a transaction.

    `roots` are those that they belong to. Gives what was found, by path.
    """
    types = {root.id: root.type for root in roots}
    found: list[tuple[str, Finding]] = []
    for row in rows:
        content = contents.get(library, row.sha256)
        if content is not None:
            folder_type = types.get(row.root_id)
            wrong = place_findings(content.format, content.kind, name=row.name, folder_type=folder_type)
            contents.put_place_findings(library, row, wrong, codes=PLACE_CODES)
            found += [(row.path, finding) for finding in wrong]
    return found


# --- Default names and types


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


#: Text that no header tells.
_SAID = ("description", "notes")


def carry_over(library: Library, heir: str, before: str) -> bool:
    """Give a model what was typed about the one before it, if nobody has typed anything about it.

    What a sidecar said of the old one follows too, for by its SHA-256 it may not speak of the new one. Both
    are full SHA-256s; one that is no model neither gives nor gets. Whether there was anything to give. Part
    of a transaction.
    """
    old, model = models.get(library, before), models.get(library, heir)
    if old is None or model is None or _is_described(library, heir, model.edited):
        return False
    text = {name: getattr(old, name) for name in TEXT_FIELDS if name in old.edited}
    said = {name: getattr(old, name) for name in _SAID if not getattr(model, name)}
    after = model._replace(**{**said, **text}, edited=old.edited)
    if after != model:
        models.put(library, [after._replace(updated_at=times.now())])
    tagged, meta_json = distinct(tags.of_model(library, before)), models.meta(library, before)
    tags.set_of_model(library, heir, tagged)
    models.put_meta(library, heir, meta_json)
    return after != model or bool(tagged) or meta_json is not None


def same_weights_at(library: Library, path: str, heir: str) -> str | None:
    """The full SHA-256 of the content with the heir's AutoV3 that lay at this path last, as far as known."""
    own = contents.hashes_of(library, heir)
    if own is None or own.autov3 is None:
        return None
    now = times.now()
    for row in sorted(files.at_path(library, path), key=lambda row: -(row.missing_since or now)):
        other = None if row.sha256 == heir else contents.hashes_of(library, row.sha256)
        if other is not None and other.autov3 == own.autov3:
            return row.sha256
    return None


def _is_described(library: Library, sha256: str, edited: frozenset[str]) -> bool:
    return bool(edited or tags.of_model(library, sha256)) or models.meta(library, sha256) is not None
