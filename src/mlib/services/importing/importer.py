"""Turn pending imports into models, parts of models, or conflicts; batch by batch."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import jsontext, meta, tag_spelling, times
from mlib.core.payloads import strip_images
from mlib.core.records import SCANNED, TAGS, TEXT_FIELDS, KnownFile, Model, Pending
from mlib.core.text import displayable
from mlib.db import contents, files, models, pending, sidecars
from mlib.db import tags as stored_tags
from mlib.services.deriving import carry_over, same_weights_at
from mlib.services.resolving import check_waiting

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.db.library import Library


# --- Reports


@dataclass(frozen=True, slots=True)
class Imported:
    """A pending import that became a model, or part of one; `change` is created, updated or unchanged.

    `id` is None where a sidecar was taken over.
    """

    id: int | None
    sha256: str
    change: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A pending import, or with id None a sidecar, and the model it is about, with what they disagree on."""

    id: int | None
    sha256: str
    path: str
    pending: UserData
    existing: UserData
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A pending import, or a row on its way to become one, that could not be used."""

    id: int | None
    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class StillWaiting:
    """A pending import whose content no scan has seen yet."""

    id: int
    path: str


@dataclass(slots=True)
class ImportReport:
    """What became of every pending import asked for; of sidecars `ignored` holds the model's SHA-256."""

    success: list[Imported] = field(default_factory=list)
    conflict: list[Conflict] = field(default_factory=list)
    ignored: list[int | str] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    waiting: list[StillWaiting] = field(default_factory=list)
    backup: str | None = None
    #: How many folders to scan were taken over.
    roots: int = 0

    @property
    def total(self) -> int:
        lists = (self.success, self.conflict, self.ignored, self.deleted, self.failed, self.waiting)
        return sum(len(entries) for entries in lists)

    def add(self, other: ImportReport) -> None:
        """Take in what a later batch answered."""
        self.success += other.success
        self.conflict += other.conflict
        self.ignored += other.ignored
        self.deleted += other.deleted
        self.failed += other.failed
        self.waiting += other.waiting


# --- Conflict strategies (pure)

#: What is left in metadata of the images that were stripped from it: nothing that anybody typed.
COUNT = "images_count"


class ConflictStrategy(StrEnum):
    """What to do with a pending import whose model is known with other user data."""

    REPORT = "report"
    OVERRIDE = "override"
    MERGE = "merge"
    IGNORE = "ignore"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class UserData:
    """What a person typed: non-empty text by field, tags as shown by their folded form, free metadata."""

    text: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, jsontext.Json] = field(default_factory=dict)

    def __bool__(self) -> bool:
        typed = {key: value for key, value in self.meta.items() if key != COUNT}
        return bool(self.text or self.tags) or not meta.is_empty(typed)


def differences(existing: UserData, incoming: UserData) -> tuple[str, ...]:
    """Names of the non-empty things in `incoming` that `existing` does not hold equally."""
    names = [name for name, value in incoming.text.items() if existing.text.get(name) != value]
    if incoming.tags.keys() - existing.tags.keys():
        names.append("tags")
    keys = meta.differing(dict(existing.meta), dict(incoming.meta))
    names += [f"meta.{key}" for key in keys if key.rpartition(".")[2] != COUNT]
    return tuple(names)


def merge_user_data(existing: UserData, incoming: UserData) -> UserData:
    """`incoming` fills what is empty in `existing`; tags are united, the spelling there already wins."""
    return UserData(
        text={**incoming.text, **existing.text},
        tags={**incoming.tags, **existing.tags},
        meta=meta.fill(dict(existing.meta), dict(incoming.meta)),
    )


def override_user_data(existing: UserData, incoming: UserData) -> UserData:
    """What is non-empty in `incoming` wins, the rest of `existing` stays."""
    return UserData(
        text={**existing.text, **incoming.text},
        tags=incoming.tags or existing.tags,
        meta=meta.override(dict(existing.meta), dict(incoming.meta)),
    )


def resolve_conflict(existing: UserData, incoming: UserData, strategy: ConflictStrategy) -> UserData | None:
    """The user data a model gets, or None where there is a conflict that `strategy` leaves standing."""
    if not differences(existing, incoming):
        return existing
    if strategy is ConflictStrategy.IGNORE:
        return None
    if not existing or strategy is ConflictStrategy.MERGE:
        return merge_user_data(existing, incoming)
    if strategy is ConflictStrategy.OVERRIDE:
        return override_user_data(existing, incoming)
    return None


#: Pending imports handled in one transaction: short enough for other programs to write in between.
BATCH = 200


def import_pending(
    library: Library,
    ids: Sequence[int] | None = None,
    *,
    strategy: ConflictStrategy = ConflictStrategy.REPORT,
    keep_backup: bool = True,
) -> ImportReport:
    """Make models of all pending imports, or of these; each batch in one transaction.

    With a strategy that can lose user data the library is backed up before its first use, unless
    `keep_backup` is off. Raises NotFound (`pending_not_found`) before anything is done if an id is unknown.
    """
    report = ImportReport()
    wanted = pending.ids(library) if ids is None else list(dict.fromkeys(ids))
    if ids is not None:
        check_waiting(library, wanted)
    destructive = strategy in (ConflictStrategy.OVERRIDE, ConflictStrategy.DELETE)
    if destructive and keep_backup and wanted:
        report.backup = library.backup("before-import")
    for start in range(0, len(wanted), BATCH):
        with library.transaction():
            entries = [pending.get(library, pending_id) for pending_id in wanted[start : start + BATCH]]
            for entry in filter(None, entries):
                _import_one(library, entry, strategy, report)
            if any(entry.tags for entry in filter(None, entries)):
                stored_tags.forget_unused(library)
    return report


def _import_one(library: Library, entry: Pending, strategy: ConflictStrategy, report: ImportReport) -> None:
    assert entry.id is not None
    if entry.sha256 is None:
        report.waiting.append(StillWaiting(entry.id, entry.path))
        return
    model = models.get(library, entry.sha256)
    said = incoming(entry)
    if isinstance(said, Failed):
        report.failed.append(said)
        return
    if model is None:
        content = contents.get(library, entry.sha256)
        model = _new_model(entry, base_model=entry.base_model or (content.base_model if content else ""))
        _write(library, model, said)
        _inherit(library, entry)
        _settle(library, entry, report, "created")
        return
    existing = user_data(library, model)
    result = resolve_conflict(existing, said, strategy)
    if result is None:
        _attach(library, entry)
        if strategy is ConflictStrategy.DELETE:
            pending.remove(library, entry.id)
            report.deleted.append(entry.id)
        elif strategy is ConflictStrategy.IGNORE:
            report.ignored.append(entry.id)
        else:
            differs = differences(existing, said)
            report.conflict.append(Conflict(entry.id, entry.sha256, entry.path, said, existing, differs))
        return
    changed = result != existing
    if changed:
        _write(library, model, result)
    if (
        strategy is ConflictStrategy.IGNORE and not changed
    ):  # the import says nothing that the model does not: it only goes
        _attach(library, entry)
        pending.remove(library, entry.id)
        report.success.append(Imported(entry.id, entry.sha256, "unchanged"))
        return
    changed |= _inherit(library, entry)
    _settle(library, entry, report, "updated" if changed else "unchanged")


def _inherit(library: Library, entry: Pending) -> bool:
    """Let what was staged in the place of the same weights go on with what was typed; whether it did."""
    if entry.observed is None:
        return False
    before = same_weights_at(library, entry.path, entry.observed.sha256)
    return before is not None and carry_over(library, entry.observed.sha256, before)


def user_data(library: Library, model: Model) -> UserData:
    """What a person typed about a model."""
    text = {name: getattr(model, name) for name in TEXT_FIELDS if name in model.edited}
    stored = models.meta(library, model.sha256)
    return UserData(
        text={name: value for name, value in text.items() if value},
        tags=tag_spelling.distinct(
            () if _are_given(library, model) else stored_tags.of_model(library, model.sha256)
        ),
        meta=_object(stored),
    )


def _are_given(library: Library, model: Model) -> bool:
    """Whether the tags are those of a sidecar, which nobody has changed."""
    return TAGS not in model.edited and TAGS in sidecars.anywhere(library, model.sha256)


def incoming(entry: Pending) -> UserData | Failed:
    """What a pending import says of user data."""
    text = {name: getattr(entry, name) for name in TEXT_FIELDS if name in entry.edited}
    try:
        free = _object(None if entry.meta_json is None else strip_images(entry.meta_json).text)
    except jsontext.NotJson as error:
        return Failed(entry.id, entry.path, "bad_meta", f"its metadata is not a JSON object: {error}")
    return UserData(
        text={name: value for name, value in text.items() if value},
        tags=tag_spelling.distinct(entry.tags),
        meta=free,
    )


def _object(meta_json: str | None) -> dict[str, jsontext.Json]:
    value = jsontext.parse(meta_json) if meta_json is not None else {}
    if not isinstance(value, dict):
        raise jsontext.NotJson("not an object")
    return value


def _new_model(entry: Pending, *, base_model: str) -> Model:
    assert entry.sha256 is not None
    created_at = entry.created_at or times.now()
    return Model(
        sha256=entry.sha256,
        name=entry.name or base_name(entry.path) or entry.sha256[:10],
        type=entry.type,
        base_model=base_model,
        size_bytes=entry.size_bytes,
        created_at=created_at,
        updated_at=created_at,
    )


def _write(library: Library, model: Model, data: UserData) -> None:
    text: dict[str, Any] = dict(data.text)
    edited = model.edited | text.keys() | ({TAGS} if data.tags else set())
    # Tags that a sidecar gave stay beside those that a person chose.
    beside = (
        tag_spelling.distinct(stored_tags.of_model(library, model.sha256))
        if _are_given(library, model)
        else {}
    )
    models.put(
        library, [model._replace(**text, edited=edited, updated_at=times.now() if data else model.updated_at)]
    )
    stored_tags.set_of_model(library, model.sha256, {**beside, **data.tags})
    models.put_meta(library, model.sha256, jsontext.dump(dict(data.meta)) if data.meta else None)


def _settle(library: Library, entry: Pending, report: ImportReport, change: str) -> None:
    assert entry.id is not None
    assert entry.sha256 is not None
    _attach(library, entry)
    if entry.observed is None and entry.path:
        _note_claim(library, entry)
    pending.remove(library, entry.id)
    report.success.append(Imported(entry.id, entry.sha256, change))


def _attach(library: Library, entry: Pending) -> None:
    """The path is a file of the model once its bytes have been read, whatever becomes of the user data.

    What a later scan has found at the path stands.
    """
    seen = entry.observed
    if seen is None:
        return
    here = files.at_path(library, entry.path)
    if any(row.sha256 == seen.sha256 and (row.hashed_at or 0) >= (seen.hashed_at or 0) for row in here):
        return
    others = [row for row in here if row.missing_since is None and row.sha256 != seen.sha256]
    if any((row.hashed_at or 0) > (seen.hashed_at or 0) for row in others):
        files.put(library, [seen._replace(missing_since=times.now())])
        return
    files.mark_missing(library, others, times.now())
    files.put(library, [seen])


def _note_claim(library: Library, entry: Pending) -> None:
    """Remember where an older manager saw the model last: a file that is missing until a scan finds it."""
    assert entry.sha256 is not None
    if any(row.sha256 == entry.sha256 for row in files.at_path(library, entry.path)):
        return
    directory, name = os.path.split(entry.path)
    claim = KnownFile(
        directory=directory,
        name=name,
        sha256=entry.sha256,
        root_id=None,
        stat=None,
        xxh3=None,
        hashed_at=None,
        racy=True,
        missing_since=times.now(),
    )
    files.put(library, [claim])


def base_name(path: str) -> str:
    """The last part of a path of this or another system, as text."""
    return displayable(path.replace("\\", "/").rstrip("/").rpartition("/")[2])


# --- Why imports are pending


class Reason(StrEnum):
    """Why a pending import waits."""

    CONFLICT = "conflict"
    PATH_NOT_FOUND = "path_not_found"
    UNHASHED = "unhashed"
    BAD_META = "bad_meta"
    READY = "ready"


class WaitReason(NamedTuple):
    """A pending import, and why it waits.

    In a conflict `model` is what the model it is about is called, and `differs` the fields they disagree on.
    """

    entry: Pending
    reason: Reason
    model: str | None = None
    differs: tuple[str, ...] = ()


def list_waiting(library: Library) -> list[WaitReason]:
    """Every pending import with what keeps it, oldest first.

    Looks at the disk for those without a hash, and for what a scan has staged: it may have gone since.
    """
    with library.reading():
        entries = [pending.get(library, pending_id) for pending_id in pending.ids(library)]
        judged = [_judged(library, entry) for entry in filter(None, entries)]
    return [_looked_for(wait) for wait in judged]


def _judged(library: Library, entry: Pending) -> WaitReason:
    if entry.sha256 is None:
        return WaitReason(entry, Reason.UNHASHED)
    data = incoming(entry)
    if isinstance(data, Failed):
        return WaitReason(entry, Reason.BAD_META)
    model = models.get(library, entry.sha256)
    if model is None:
        return WaitReason(entry, Reason.READY)
    try:
        existing = user_data(library, model)
    except jsontext.NotJson:
        return WaitReason(entry, Reason.BAD_META, model.name)
    if resolve_conflict(existing, data, ConflictStrategy.REPORT) is not None:
        return WaitReason(entry, Reason.READY, model.name)
    return WaitReason(entry, Reason.CONFLICT, model.name, differences(existing, data))


def _looked_for(wait: WaitReason) -> WaitReason:
    is_staged = wait.reason is Reason.READY and wait.entry.source == SCANNED
    if wait.reason is not Reason.UNHASHED and not is_staged:
        return wait
    found = "\0" not in wait.entry.path and os.path.lexists(wait.entry.path)
    return wait if found else wait._replace(reason=Reason.PATH_NOT_FOUND)
