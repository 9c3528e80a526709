"""List tags, rename one everywhere, remove one everywhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.errors import Hint, NotFound
from mlib.core.records import TAGS
from mlib.core.tag_spelling import checked_tag, fold_tag
from mlib.core.text import visible
from mlib.db import models, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.db.library import Library
    from mlib.db.tags import TagCount


class TagReport(NamedTuple):
    """What became of a tag, on how many models and pending imports; `after` is None where it is gone.

    `merged` says that the new name was a tag already.
    """

    before: str
    after: str | None
    models: int
    pending: int
    merged: bool = False
    backup: str | None = None


def counts(library: Library) -> list[TagCount]:
    """Every tag with how many models and pending imports bear it, in the order of their folded forms."""
    return tags.counts(library)


def rename(library: Library, old: str, new: str) -> TagReport:
    """Call a tag otherwise, in the spelling that was typed; what bears it joins those that bear the new one.

    Raises NotFound (`tag_not_found`) and WrongUsage for what can be no tag.
    """
    new = checked_tag(new)
    with library.transaction():
        before = _spelled(library, old)
        merged = fold_tag(new) != fold_tag(old) and tags.spelling(library, fold_tag(new)) is not None
        bearers = tags.bearers(library, fold_tag(old))
        if fold_tag(new) != fold_tag(old):
            for sha256 in bearers.models:
                _take(library, sha256, old)
                if not tags.bears(library, "model_tags", sha256, fold_tag(new)):
                    tags.give(library, "model_tags", sha256, new)
            for pending_id in bearers.pending:
                tags.take(library, "pending_model_tags", pending_id, fold_tag(old))
                if not tags.bears(library, "pending_model_tags", pending_id, fold_tag(new)):
                    tags.give(library, "pending_model_tags", pending_id, new)
            tags.forget_unused(library)
        tags.respell(library, new)
    return TagReport(before, new, len(bearers.models), len(bearers.pending), merged)


def delete(library: Library, name: str) -> TagReport:
    """Take a tag from all that bear it; the library is backed up first. Raises NotFound (`tag_not_found`)."""
    _spelled(library, name)
    backup = library.backup("before-tags-delete")
    with library.transaction():
        before = _spelled(library, name)
        bearers = tags.bearers(library, fold_tag(name))
        for sha256 in bearers.models:
            _take(library, sha256, name)
        for pending_id in bearers.pending:
            tags.take(library, "pending_model_tags", pending_id, fold_tag(name))
        tags.forget_unused(library)
    return TagReport(before, None, len(bearers.models), len(bearers.pending), backup=backup)


def _take(library: Library, sha256: str, name: str) -> None:
    """Take a tag from a model; from now on its tags are a person's choice, whatever a sidecar gave."""
    tags.take(library, "model_tags", sha256, fold_tag(name))
    model = models.get(library, sha256)
    if model is not None:
        models.put(library, [model._replace(edited=model.edited | {TAGS}, updated_at=times.now())])


def _spelled(library: Library, name: str) -> str:
    spelling = tags.spelling(library, fold_tag(name))
    if spelling is None:
        raise NotFound("tag_not_found", f"no such tag: '{visible(name)}'", hint=_hint(library, name))
    return spelling


def _hint(library: Library, name: str) -> str | Hint:
    import difflib

    names: Iterable[str] = (count.name for count in tags.counts(library))
    close = difflib.get_close_matches(fold_tag(name), {fold_tag(each): each for each in names}, n=3)
    return f"did you mean {' or '.join(close)}?" if close else Hint("{} lists them", ("tags",))
