"""What was typed about a model goes on with its weights, when a file with another header takes its place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.models import TEXT_FIELDS
from mlib.core.tags import distinct
from mlib.db import files, hashes, models, tags

if TYPE_CHECKING:
    from mlib.db.library import Library

#: Text that no header tells.
_SAID = ("description", "notes")


def inherit(library: Library, heir: str, before: str) -> bool:
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
    own = hashes.get(library, heir)
    if own is None or own.autov3 is None:
        return None
    now = times.now()
    for row in sorted(files.at_path(library, path), key=lambda row: -(row.missing_since or now)):
        other = None if row.sha256 == heir else hashes.get(library, row.sha256)
        if other is not None and other.autov3 == own.autov3:
            return row.sha256
    return None


def _is_described(library: Library, sha256: str, edited: frozenset[str]) -> bool:
    return bool(edited or tags.of_model(library, sha256)) or models.meta(library, sha256) is not None
