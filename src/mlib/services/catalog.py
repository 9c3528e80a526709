"""Finding what a person means, and telling all that is known of it."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core.errors import NotFound, WrongUsage
from mlib.core.models import KnownFile, Model, Pending, Root
from mlib.core.text import displayable, visible
from mlib.db import files, models, pending, roots, tags
from mlib.services.targets import Target

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.library import Library

#: Fewest hex digits that name a model.
SHORTEST_PREFIX = 4
#: Candidates that an ambiguous name is answered with.
CANDIDATES = 10

_HEX = re.compile(r"[0-9a-fA-F]{1,64}")
_PENDING = re.compile(r"pending:([0-9]{1,18})")


@dataclass(frozen=True, slots=True)
class Place:
    """A file with the name a workflow gives it; None where its root is not known."""

    file: KnownFile
    loader_name: str | None


@dataclass(frozen=True, slots=True)
class Detail:
    """All about a model, or about a pending import that would become one."""

    model: Model
    tags: tuple[str, ...]
    meta_json: str | None
    places: tuple[Place, ...]
    pending: Pending | None = None

    @property
    def identifier(self) -> str:
        """What a script names it by: the sha256, or pending:ID."""
        return self.model.sha256 if self.pending is None else f"pending:{self.pending.id}"

    @property
    def present(self) -> bool:
        return any(place.file.missing_since is None for place in self.places)


def resolve_all(library: Library, refs: Sequence[str]) -> list[Target]:
    """What each REF leads to, each target once. Raises NotFound where one leads nowhere, or to several."""
    with library.reading():
        return list(dict.fromkeys(resolve(library, ref) for ref in refs))


def resolve(library: Library, ref: str) -> Target:
    """The one model or pending import that `ref` names: `pending:ID`, hash prefix, path, or exact name.

    Its name is what it is called, or else what a file of it is called.
    """
    if not ref:
        raise WrongUsage("empty_ref", "a REF cannot be empty")
    if match := _PENDING.fullmatch(ref):
        pending_id = int(match[1])
        if not pending.exists(library, pending_id):
            raise NotFound("pending_not_found", f"there is no pending import {pending_id}")
        return Target(pending_id=pending_id)
    found = _by_hash(library, ref) | _by_name(library, ref)
    found = found or _by_path(library, ref) or _by_file_name(library, ref)
    if len(found) == 1:
        return found.popitem()[0]
    if found:
        raise _ambiguous(library, ref, found)
    raise _unknown(ref)


def detail(library: Library, target: Target) -> Detail:
    """Everything the library holds about a target. Raises NotFound if it went away meanwhile."""
    with library.reading():
        if target.pending_id is not None:
            return _pending_detail(library, target.pending_id)
        assert target.sha256 is not None
        model = models.get(library, target.sha256)
        if model is None:
            raise NotFound("model_not_found", f"the model is gone: {target.sha256}")
        by_id = {root.id: root for root in roots.all_roots(library)}
        return Detail(
            model=model,
            tags=tags.of_model(library, model.sha256),
            meta_json=models.meta(library, model.sha256),
            places=tuple(_place(file, by_id) for file in files.of_model(library, model.sha256)),
        )


def read_refs(raw: bytes) -> list[str]:
    """REFs from standard input, a line each; empty lines say nothing. Raises WrongUsage if it is no UTF-8."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WrongUsage("bad_input", f"standard input is not UTF-8 (byte {error.start})") from None
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]


def _by_hash(library: Library, ref: str) -> dict[Target, None]:
    if len(ref) < SHORTEST_PREFIX or not _HEX.fullmatch(ref):
        return {}
    found = models.with_prefix(library, ref.lower(), limit=CANDIDATES + 1)
    return {Target(sha256=sha256): None for sha256 in found}


def _by_name(library: Library, ref: str) -> dict[Target, None]:
    name = displayable(ref)
    return {Target(sha256=sha256): None for sha256 in models.named(library, name, limit=CANDIDATES + 1)}


def _by_path(library: Library, ref: str) -> dict[Target, None]:
    if "\0" in ref:  # a line of standard input may hold one, a path cannot
        return {}
    absolute = os.path.abspath(ref)
    directory, name = os.path.split(absolute)
    beside = os.path.join(os.path.realpath(directory), name)
    for path in dict.fromkeys((absolute, beside, os.path.realpath(absolute), ref)):
        rows = files.at_path(library, path)
        present = [row for row in rows if row.missing_since is None]
        if rows:
            return {Target(sha256=row.sha256): None for row in present or rows}
        if waiting := pending.at_path(library, path):
            return {Target(pending_id=entry.id): None for entry in waiting}
    return {}


def _by_file_name(library: Library, ref: str) -> dict[Target, None]:
    """Copies of a model may bear other names than the one it goes by."""
    return {Target(sha256=sha256): None for sha256 in files.named(library, ref, limit=CANDIDATES + 1)}


def _ambiguous(library: Library, ref: str, found: dict[Target, None]) -> NotFound:
    names = [f"{target.sha256[:16]} {_name_of(library, target.sha256)}" for target in found if target.sha256]
    names += [f"pending:{target.pending_id}" for target in found if target.pending_id is not None]
    more = ", …" if len(names) > CANDIDATES else ""
    return NotFound(
        "ambiguous_ref",
        f"'{visible(ref)}' names more than one model",
        hint="one of: " + ", ".join(names[:CANDIDATES]) + more,
    )


def _name_of(library: Library, sha256: str) -> str:
    model = models.get(library, sha256)
    return visible(model.name) if model else ""


def _unknown(ref: str) -> NotFound:
    if len(ref) < SHORTEST_PREFIX and _HEX.fullmatch(ref):
        return NotFound(
            "ref_too_short",
            f"'{ref}' is too short for a hash",
            hint=f"give at least {SHORTEST_PREFIX} hex digits",
        )
    hint = "a REF is the beginning of a sha256, a path, an exact name, or pending:ID"
    return NotFound("model_not_found", f"no model is known by '{visible(ref)}'", hint=hint)


def _pending_detail(library: Library, pending_id: int) -> Detail:
    entry = pending.get(library, pending_id)
    if entry is None:
        raise NotFound("pending_not_found", f"there is no pending import {pending_id}")
    model = Model(
        sha256=entry.sha256 or "",
        name=entry.name,
        type=entry.type,
        base_model=entry.base_model,
        size_bytes=entry.size_bytes,
        description=entry.description,
        notes=entry.notes,
        created_at=entry.created_at,
        updated_at=entry.created_at,
        edited=entry.edited,
    )
    by_id = {root.id: root for root in roots.all_roots(library)}
    places = (_place(entry.observed, by_id),) if entry.observed else ()
    return Detail(model=model, tags=entry.tags, meta_json=entry.meta_json, places=places, pending=entry)


def _place(file: KnownFile, by_id: dict[int | None, Root]) -> Place:
    root = by_id.get(file.root_id)
    return Place(file, None if root is None else os.path.relpath(file.path, root.path))
