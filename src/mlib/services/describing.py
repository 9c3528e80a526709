"""Describe one model or pending import in full: what `show` prints."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui.folders import name_below
from mlib.core.disk.storage import is_there, present_first
from mlib.core.errors import NotFound
from mlib.core.records import Content, KnownFile, Model, OtherHashes, Pending, Root
from mlib.core.sidecars.companions import beside
from mlib.db import contents, files, models, pending, roots, tags
from mlib.services.believing import Believed
from mlib.services.files.bundles import KnownSets

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.content_record import About
    from mlib.core.formats.header import Finding
    from mlib.core.sets import FileSet
    from mlib.core.sidecars.record import Sidecar
    from mlib.db.library import Library
    from mlib.services.resolving import Target


_AUTOV1 = 8  # digits


class FilePlace(NamedTuple):
    """A file with the name a workflow gives it; None where its root is not known.

    It is `offline` where no scan has found it missing and yet it is not there now.
    """

    file: KnownFile
    loader_name: str | None
    offline: bool = False

    @property
    def is_there(self) -> bool:
        return self.file.missing_since is None and not self.offline


class Related(NamedTuple):
    """Another model, and the path of one of its files if any is there now."""

    sha256: str
    name: str
    path: str | None


class Detail(NamedTuple):
    """All about a model, or about a pending import that would become one.

    `findings` come with the path they are about, None where it is the content. `trained_on` is the model in
    this library that a LoRA names as its base; `same_weights` are models whose tensors are the same bytes.
    `companions` are paths of what lies beside its files and belongs to them, as the disks are now; `sidecars`
    what those of them said that are not about another file, the most trusted first; `silent` are paths of
    those that were read and said nothing. `sets` are the models in several files that its files are parts of.
    """

    model: Model
    tags: tuple[str, ...]
    meta_json: str | None
    places: tuple[FilePlace, ...]
    content: Content | None = None
    hashes: OtherHashes = OtherHashes()
    findings: tuple[tuple[str | None, Finding], ...] = ()
    trained_on: Related | None = None
    same_weights: tuple[Related, ...] = ()
    header: bytes | None = None
    companions: tuple[str, ...] = ()
    sidecars: tuple[Sidecar, ...] = ()
    silent: tuple[str, ...] = ()
    sets: tuple[FileSet, ...] = ()
    pending: Pending | None = None

    @property
    def identifier(self) -> str:
        """What a script names it by: the sha256, or pending:ID."""
        return self.model.sha256 if self.pending is None else f"pending:{self.pending.id}"

    @property
    def present(self) -> bool:
        return any(place.file.missing_since is None for place in self.places)

    @property
    def offline(self) -> bool:
        """Whether it is known to be present, and none of its files is there now."""
        return self.present and not any(place.is_there for place in self.places)

    @property
    def hashes_by_name(self) -> dict[str, str]:
        """Every hash that is known, by the name that users give it."""
        sha256 = self.model.sha256
        if not sha256:
            return {}
        known = self.hashes
        hashes = {
            "sha256": sha256,
            "autov1": known.autov1,
            "autov2": sha256[:10],
            "autov3": known.autov3[:12] if known.autov3 else None,
            "sha256_12": sha256[:12],
            "crc32": known.crc32,
            "blake3": known.blake3,
        }
        found = {name: value for name, value in hashes.items() if value}
        xxh3 = next((place.file.xxh3 for place in self.places if place.file.xxh3), None)
        return {**found, "xxh3_128": xxh3} if xxh3 else found

    def about(self, *, with_header: bool = False) -> About | None:
        """What is kept about the content; None if no scan has looked into it yet."""
        if self.content is None:
            return None
        from mlib.core.content_record import About, usage_of

        usage = usage_of(self.content.usage_json)
        if self.sidecars:
            from mlib.core.sidecars.filling import with_sidecars

            usage = with_sidecars(usage, self.sidecars)
        header = None
        if with_header and self.header is not None:
            from mlib.core.formats.header import unpack

            with suppress(ValueError):  # kept by another version, or damaged: the rest is as good without it
                header = unpack(self.header)
        known = self.trained_on
        return About(
            format=self.content.format,
            kind=self.content.kind,
            base_model=self.content.base_model,
            evidence=self.content.evidence,
            usage=usage,
            sidecars=self.sidecars,
            is_kept=True,
            has_copies=len(self.places) > 1,
            findings=self.findings,
            header=header,
            trained_on={"sha256": known.sha256, "name": known.name} if known else {},
        )


def detail(library: Library, target: Target) -> Detail:
    """Everything the library holds about a target, and what lies beside its files; what is there now first.

    Raises NotFound if it went away meanwhile.
    """
    held = _held(library, target)
    ordered, offline = present_first(place.file for place in held.places)
    named = {place.file: place.loader_name for place in held.places}
    held = held._replace(
        places=tuple(FilePlace(file, named[file], file.path in offline) for file in ordered),
        trained_on=held.trained_on and _looked_for(library, held.trained_on),
        same_weights=tuple(_looked_for(library, other) for other in held.same_weights),
    )
    present = [place.file for place in held.places if place.is_there]
    found: dict[str, None] = {}
    for file in present:
        found |= dict.fromkeys(os.path.join(file.directory, each.name) for each in beside(file.path))
    places = [(file.directory, file.name, file.sha256) for file in present]
    with library.reading():
        said = Believed(library).said(places)
    told = [(place[0], each) for place in places for each in said.get(place, ())]
    silent = (os.path.join(at, each.name) for at, each in told if each.sidecar.is_empty)
    return held._replace(
        companions=tuple(found),
        sidecars=tuple(each.sidecar for _, each in told if not each.sidecar.is_empty),
        silent=tuple(path for path in silent if path in found),
        sets=_sets(library, present),
    )


def _sets(library: Library, present: Sequence[KnownFile]) -> tuple[FileSet, ...]:
    known = KnownSets(library)
    return tuple(dict.fromkeys(whole for row in present if (whole := known.of(row)) is not None))


def _held(library: Library, target: Target) -> Detail:
    with library.reading():
        if target.pending_id is not None:
            return _pending_detail(library, target.pending_id)
        assert target.sha256 is not None
        model = models.get(library, target.sha256)
        if model is None:
            raise NotFound("model_not_found", f"the model is gone: {target.sha256}")
        content = contents.get(library, model.sha256)
        return Detail(
            model=model,
            tags=tags.of_model(library, model.sha256),
            meta_json=models.meta(library, model.sha256),
            places=_places(library, files.of_model(library, model.sha256)),
            content=content,
            hashes=contents.hashes_of(library, model.sha256) or OtherHashes(),
            findings=tuple(contents.findings(library, model.sha256)),
            trained_on=_trained_on(library, content),
            same_weights=tuple(
                _related(library, sha256) for sha256 in contents.same_weights(library, model.sha256)
            ),
            header=contents.header(library, model.sha256),
        )


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
    content = contents.get(library, entry.sha256) if entry.sha256 else None
    seen = entry.observed.path if entry.observed else None
    return Detail(
        model=model,
        tags=entry.tags,
        meta_json=models.sound_json(library, entry.meta_json),
        places=_places(library, [entry.observed] if entry.observed else []),
        content=content,
        findings=tuple(contents.findings(library, entry.sha256, staged_at=seen)) if entry.sha256 else (),
        trained_on=_trained_on(library, content),
        header=contents.header(library, entry.sha256) if entry.sha256 else None,
        pending=entry,
    )


def _places(library: Library, rows: list[KnownFile]) -> tuple[FilePlace, ...]:
    by_id = {root.id: root for root in roots.all_roots(library)}
    return tuple(_place(row, by_id) for row in rows)


def _place(file: KnownFile, by_id: dict[int | None, Root]) -> FilePlace:
    root = by_id.get(file.root_id)
    return FilePlace(file, None if root is None else name_below(file.path, root.path))


def _trained_on(library: Library, content: Content | None) -> Related | None:
    """The base model that the trainer named by its hash, if the library has it."""
    if content is None or '"trained_on' not in content.usage_json:
        return None
    from mlib.core.content_record import usage_of

    usage = usage_of(content.usage_json)
    if usage.trained_on_sha256 and models.get(library, usage.trained_on_sha256):
        return _related(library, usage.trained_on_sha256)
    # The trainer's older, short hash is AutoV1, or the beginning of the SHA-256 where A1111 had its say.
    short = usage.trained_on_hash
    found = contents.find(library, "autov1", short, limit=2) if len(short) == _AUTOV1 else []
    if len(short) > _AUTOV1:
        found = models.with_prefix(library, short, limit=2)
    return _related(library, found[0]) if len(found) == 1 else None


def _related(library: Library, sha256: str) -> Related:
    model = models.get(library, sha256)
    return Related(sha256, model.name if model else "", None)


def _looked_for(library: Library, other: Related) -> Related:
    """The same with its path: outside of the reading, for it looks at the disk."""
    rows = (row for row in files.of_model(library, other.sha256) if row.missing_since is None)
    return other._replace(path=next((row.path for row in rows if is_there(row.path)), None))
