"""The batch importer: each pending import becomes a model, part of one, or a conflict."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlib.core import jsontext, tags, times
from mlib.core.models import TAGS, TEXT_FIELDS, KnownFile, Model, Pending
from mlib.core.payloads import strip_images
from mlib.core.text import displayable
from mlib.db import contents, files, given, models, pending
from mlib.db import tags as stored_tags
from mlib.services.importing.report import Conflict, Failed, Imported, ImportReport, Waiting
from mlib.services.importing.strategies import ConflictStrategy, UserData, differences, resolved
from mlib.services.inheriting import inherit, same_weights_at
from mlib.services.targets import check_waiting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.library import Library

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
        report.waiting.append(Waiting(entry.id, entry.path))
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
    result = resolved(existing, said, strategy)
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
    return before is not None and inherit(library, entry.observed.sha256, before)


def user_data(library: Library, model: Model) -> UserData:
    """What a person typed about a model."""
    text = {name: getattr(model, name) for name in TEXT_FIELDS if name in model.edited}
    stored = models.meta(library, model.sha256)
    return UserData(
        text={name: value for name, value in text.items() if value},
        tags=tags.distinct(() if _are_given(library, model) else stored_tags.of_model(library, model.sha256)),
        meta=_object(stored),
    )


def _are_given(library: Library, model: Model) -> bool:
    """Whether the tags are those of a sidecar, which nobody has changed."""
    return TAGS not in model.edited and TAGS in given.anywhere(library, model.sha256)


def incoming(entry: Pending) -> UserData | Failed:
    """What a pending import says of user data."""
    text = {name: getattr(entry, name) for name in TEXT_FIELDS if name in entry.edited}
    try:
        free = _object(None if entry.meta_json is None else strip_images(entry.meta_json).text)
    except jsontext.NotJson as error:
        return Failed(entry.id, entry.path, "bad_meta", f"its metadata is no JSON object: {error}")
    return UserData(
        text={name: value for name, value in text.items() if value}, tags=tags.distinct(entry.tags), meta=free
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
    beside = tags.distinct(stored_tags.of_model(library, model.sha256)) if _are_given(library, model) else {}
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
