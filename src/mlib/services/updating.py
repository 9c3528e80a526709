"""Edit user data: text fields, tags and metadata."""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from mlib.core import jsontext, meta, tag_spelling, times
from mlib.core.comfyui.folders import TYPE_FOLDERS, canonical_type
from mlib.core.errors import NotFound, WrongUsage
from mlib.core.payloads import strip_images
from mlib.core.records import TAGS, Model, Pending
from mlib.core.text import displayable, typed
from mlib.db import contents, files, models, pending, roots
from mlib.db import tags as stored_tags

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.db.library import Library
    from mlib.services.resolving import Target

#: Fields whose text may span lines.
_LONG_FIELDS = frozenset({"description", "notes"})


@dataclass(frozen=True, slots=True)
class Edit:
    """What to change: text by field ('' clears it), tags to add and remove, metadata to set and unset."""

    text: Mapping[str, str] = field(default_factory=dict)
    tag: Sequence[str] = ()
    untag: Sequence[str] = ()
    put: Mapping[str, jsontext.Json] = field(default_factory=dict)
    drop: Sequence[str] = ()


@dataclass(slots=True)
class UpdateReport:
    """Which targets changed, and in what; every target is in one of the two.

    `names` are theirs afterwards. `details` is for what a caller looks up while the change can be seen.
    """

    updated: dict[Target, tuple[str, ...]] = field(default_factory=dict)
    unchanged: list[Target] = field(default_factory=list)
    names: dict[Target, str] = field(default_factory=dict)
    details: dict[Target, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _State:
    """What an edit works on, alike for a model and a pending import."""

    record: Model | Pending
    tags: Mapping[str, str]
    meta_json: str | None


def parse_edit(
    *,
    text: Mapping[str, str],
    tag: Sequence[str] = (),
    untag: Sequence[str] = (),
    put: Sequence[str] = (),
    drop: Sequence[str] = (),
) -> Edit:
    """An Edit from what was typed (`put` holds KEY=VALUE). Raises WrongUsage."""
    wanted: dict[str, jsontext.Json] = {}
    for assignment in put:
        key, equals, value = assignment.partition("=")
        if not equals or not key.strip():
            raise WrongUsage("bad_set", f"expected KEY=VALUE, not '{displayable(assignment)}'")
        wanted[typed(key, what="key")] = meta.value_of(typed(value, what="value", lines=True))
    return Edit(
        text={
            name: typed(value, what=name.replace("_", " "), lines=name in _LONG_FIELDS)
            for name, value in text.items()
        },
        tag=[tag_spelling.checked_tag(value) for value in tag],
        untag=[tag_spelling.checked_tag(value) for value in untag],
        put=wanted,
        drop=[typed(key, what="key") for key in drop],
    )


def update(library: Library, targets: Sequence[Target], edit: Edit) -> UpdateReport:
    """Apply `edit` to every target, in one transaction. What is as wanted already is left untouched.

    Raises WrongUsage for a type that nothing has, metadata that stands in its own way, or an image payload.
    """
    report = UpdateReport()
    with library.transaction():
        edit = _with_known_type(library, edit)
        for target in targets:
            before = _read(library, target)
            after = _edited(before, edit, _facts(library, before))
            changes = _changes(before, after)
            report.names[target] = after.record.name
            if changes:
                _write(library, target, after)
                report.updated[target] = changes
            else:
                report.unchanged.append(target)
        stored_tags.forget_unused(library)
    return report


def _with_known_type(library: Library, edit: Edit) -> Edit:
    given = edit.text.get("type")
    if not given:
        return edit
    wanted = canonical_type(given)
    known = set(TYPE_FOLDERS) | models.types(library)
    if wanted not in known:
        close = difflib.get_close_matches(wanted, known, n=3)
        hint = (
            f"did you mean {' or '.join(close)}?"
            if close
            else "types are ComfyUI's folder names, such as loras"
        )
        raise WrongUsage("unknown_type", f"no such type: '{given}'", hint=hint)
    return replace(edit, text={**edit.text, "type": wanted})


def _read(library: Library, target: Target) -> _State:
    if target.pending_id is not None:
        entry = pending.get(library, target.pending_id)
        if entry is None:
            raise NotFound("pending_not_found", f"there is no pending import {target.pending_id}")
        return _State(entry, tag_spelling.distinct(entry.tags), entry.meta_json)
    assert target.sha256 is not None
    model = models.get(library, target.sha256)
    if model is None:
        raise NotFound("model_not_found", f"the model is gone: {target.sha256}")
    shown = tag_spelling.distinct(stored_tags.of_model(library, model.sha256))
    return _State(model, shown, models.meta(library, model.sha256))


def _facts(library: Library, state: _State) -> Mapping[str, str]:
    """What a name, type and base model are when nobody types them: those of the file."""
    if isinstance(state.record, Pending):
        return {"name": displayable(state.record.path.rpartition("/")[2]), "type": state.record.type}
    content = contents.get(library, state.record.sha256)
    base_model = content.base_model if content else ""
    rows = files.of_model(library, state.record.sha256)
    if not rows:
        return {"name": state.record.name, "type": state.record.type, "base_model": base_model}
    kind = roots.type_of(library, rows[0].root_id)
    kind = state.record.type if kind is None else kind
    return {"name": displayable(rows[0].name), "type": kind, "base_model": base_model}


def _edited(state: _State, edit: Edit, facts: Mapping[str, str]) -> _State:
    text: dict[str, Any] = {name: value or facts.get(name, "") for name, value in edit.text.items()}
    typed_now = {name for name, value in edit.text.items() if value}
    edited = (state.record.edited - edit.text.keys()) | typed_now
    wanted_tags = {
        key: name
        for key, name in state.tags.items()
        if key not in {tag_spelling.fold_tag(t) for t in edit.untag}
    }
    for key, name in tag_spelling.distinct(list(edit.tag)).items():
        wanted_tags.setdefault(key, name)
    if wanted_tags != state.tags and isinstance(state.record, Model):
        edited |= {TAGS}
    return _State(
        record=state.record._replace(**text, edited=edited),
        tags=wanted_tags,
        meta_json=_edited_meta(state.meta_json, edit),
    )


def _edited_meta(meta_json: str | None, edit: Edit) -> str | None:
    if not edit.put and not edit.drop:
        return meta_json
    before = jsontext.parse(meta_json) if meta_json else {}
    if not isinstance(before, dict):
        before = {"value": before}
    after = before
    for key in edit.drop:
        after = meta.drop(after, key)
    for key, value in edit.put.items():
        after = meta.put(after, key, value)
    if after == before:
        return meta_json
    text = jsontext.dump(after)
    if edit.put and strip_images(text).text != text:
        raise WrongUsage(
            "image_payload", "metadata cannot hold image data", hint="keep the picture beside the model"
        )
    return text if after else None


def _changes(before: _State, after: _State) -> tuple[str, ...]:
    names = [name for name in ("name", "type", "base_model", "description", "notes")
             if getattr(before.record, name) != getattr(after.record, name)]  # fmt: skip
    if before.tags != after.tags:
        names.append(TAGS)
    if before.record.edited != after.record.edited and not names:
        names.append("edited")
    if before.meta_json != after.meta_json:
        names.append("meta")
    return tuple(names)


def _write(library: Library, target: Target, state: _State) -> None:
    if isinstance(state.record, Pending):
        pending.put(
            library, state.record._replace(tags=tuple(state.tags.values()), meta_json=state.meta_json)
        )
        return
    assert target.sha256 is not None
    models.put(library, [state.record._replace(updated_at=times.now())])
    stored_tags.set_of_model(library, target.sha256, state.tags)
    models.put_meta(library, target.sha256, state.meta_json)
