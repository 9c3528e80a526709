"""Describe what each command changed, by model and field instead of by row: what `log` prints."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import jsontext, meta
from mlib.core.records import TAGS, TEXT_FIELDS
from mlib.core.text import displayable
from mlib.db import history, models, pending, roots
from mlib.db.rows import fields_of, path_of
from mlib.services.resolving import SHORTEST_PREFIX, Target, as_digits, as_pending

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.core.jsontext import Json
    from mlib.db.history import Change, LogEntry
    from mlib.db.library import Library
    from mlib.db.rows import Values


# --- Finding models that only the history knows


def find_forgotten(library: Library, ref: str) -> Target | None:
    """The one that the history knows by `ref`, the beginning of a SHA-256 or pending:ID."""
    pending_id = as_pending(ref)
    if pending_id is not None:
        return Target(pending_id=pending_id) if history.is_known(library, f"pending:{pending_id}") else None
    prefix = as_digits(ref) or ""
    found = history.with_prefix(library, prefix, limit=2) if len(prefix) >= SHORTEST_PREFIX else []
    return Target(sha256=found[0]) if len(found) == 1 else None


#: The fields that stand for a whole thing that was made or went away.
MODEL, PENDING, ROOT = "model", "pending", "root"


class FieldChange(NamedTuple):
    """One thing that changed; `before` is None where there was nothing, `after` where nothing is left.

    It is about a model, about a pending import, or (a root, the spelling of a tag) about neither. The `name`
    of a root is its path, where it stayed.
    """

    sha256: str | None
    pending_id: int | None
    name: str
    field: str
    before: Json
    after: Json


class DescribedEntry(NamedTuple):
    """An entry, how many models and pending imports it touched, and what became of user data."""

    entry: LogEntry
    models: int
    pending: int
    changes: tuple[FieldChange, ...]


def log(
    library: Library, targets: Sequence[Target] | None = None, *, limit: int | None = None
) -> list[DescribedEntry]:
    """The newest entries first: all, or those that changed one of these models and pending imports.

    With targets only what changed of those is told.
    """
    subjects = None if targets is None else frozenset(filter(None, map(subject_of, targets)))
    with library.reading():
        if subjects is None:
            found = history.entries(library)
        else:
            every = {each.id: each for subject in subjects for each in history.entries(library, subject)}
            found = iter(sorted(every.values(), key=lambda each: each.id, reverse=True))
        return [describe_entry(library, each, subjects) for each in islice(found, limit)]


def subject_of(target: Target) -> str | None:
    """How the history names what a REF leads to."""
    return target.sha256 or (None if target.pending_id is None else f"pending:{target.pending_id}")


def describe_entry(
    library: Library, entry: LogEntry, subjects: frozenset[str] | None = None
) -> DescribedEntry:
    """One entry, whole or as far as it is about these subjects."""
    touched = [each for each in history.subjects(library, entry.id) if subjects is None or each in subjects]
    waiting = sum(each.startswith("pending:") for each in touched)
    if subjects is None:
        changes = history.changes(library, entry.id)
    else:
        changes = [
            each for one in sorted(subjects) for each in history.changes(library, entry.id, subject=one)
        ]
    return DescribedEntry(entry, len(touched) - waiting, waiting, tuple(_told(library, changes)))


def _told(library: Library, changes: Sequence[Change]) -> Iterator[FieldChange]:
    names = _Names(library, changes)
    for change in changes:
        for field, before, after in _fields(change):
            sha256, pending_id = _parts(change.subject)
            yield FieldChange(sha256, pending_id, names.of(change), field, before, after)


def _fields(change: Change) -> Iterator[tuple[str, Json, Json]]:
    before, after = change.before, change.after
    if change.table in ("models", "pending_import"):
        yield from _of_record(change.table, before, after)
    elif change.table == "model_meta":
        yield from _of_meta(before, after)
    elif change.table in ("model_tags", "pending_model_tags"):
        yield TAGS, before and before["tag"], after and after["tag"]
    elif change.table == "tags" and before is not None and after is not None:
        yield "tag", before["name"], after["name"]
    elif change.table == "roots" and (before is None or after is None):
        yield ROOT, _path(before), _path(after)
    elif change.table == "roots" and before is not None and after is not None and "type" in after:
        yield "type", before["type"], after["type"]


def _of_record(table: str, before: Values | None, after: Values | None) -> Iterator[tuple[str, Json, Json]]:
    if before is None or after is None:
        whole = before or after or {}
        kind = MODEL if table == "models" else PENDING
        yield kind, before and whole["name"], after and whole["name"]
        typed = fields_of(whole["edited"])
        for name in (name for name in TEXT_FIELDS if name in typed and name != "name"):
            yield name, before and whole[name], after and whole[name]
    else:
        for name in (name for name in TEXT_FIELDS if name in after):
            yield name, before[name], after[name]
    yield from _of_meta(before, after)


def _of_meta(before: Values | None, after: Values | None) -> Iterator[tuple[str, Json, Json]]:
    old, new = (_leaves(None if values is None else values.get("meta_json")) for values in (before, after))
    for key in [*old, *(key for key in new if key not in old)]:
        if old.get(key) != new.get(key):
            yield f"meta.{key}", old.get(key), new.get(key)


def _leaves(text: str | None) -> dict[str, Json]:
    try:
        value = jsontext.parse(text) if text else {}
    except jsontext.NotJson:
        value = text
    return meta_leaves(value, "") if isinstance(value, dict) else {"": value}


def meta_leaves(tree: meta.Meta, prefix: str) -> dict[str, Json]:
    """What is no object in a tree of metadata, by dotted key."""
    found: dict[str, Json] = {}
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found |= meta_leaves(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def _path(values: Values | None) -> str | None:
    return None if values is None else path_of(values["path"])


def _parts(subject: str | None) -> tuple[str | None, int | None]:
    if subject is None or not subject.startswith("pending:"):
        return subject, None
    return None, int(subject.partition(":")[2])


class _Names:
    """What the things that changes are about are called: as they are now, else as they were then."""

    def __init__(self, library: Library, changes: Sequence[Change]) -> None:
        self._library = library
        self._then = {
            change.subject: displayable((change.before or change.after or {}).get("name", ""))
            for change in changes
            if change.table in ("models", "pending_import")
        }
        self._known: dict[str, str] = {}

    def of(self, change: Change) -> str:
        subject = change.subject
        if change.table == "roots" and change.before is not None and change.after is not None:
            known = roots.all_roots(self._library)
            return next((root.path for root in known if root.id == change.key[0]), "")
        if subject is None:
            return ""
        if subject not in self._known:
            self._known[subject] = self._now(subject) or self._then.get(subject, "")
        return self._known[subject]

    def _now(self, subject: str) -> str:
        sha256, pending_id = _parts(subject)
        if pending_id is not None:
            entry = pending.get(self._library, pending_id)
            return entry.name if entry else ""
        model = models.get(self._library, sha256 or "")
        return model.name if model else ""
