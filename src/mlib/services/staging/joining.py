"""What comes in once more, or from two sides: what waits at a path already is added to, never replaced."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core import jsontext, meta
from mlib.core.models import TEXT_FIELDS
from mlib.db import pending

if TYPE_CHECKING:
    from mlib.core.models import Pending
    from mlib.db.library import Library


@dataclass(frozen=True, slots=True)
class BadRow:
    """A row that could not be staged."""

    path: str
    code: str
    message: str


def joined(library: Library, entry: Pending) -> tuple[Pending, list[str]]:
    """What waits at this path already, typed since or said by another row, and what `entry` adds to it.

    With the names of what they disagree on: there, what waits already stays.
    """
    here = pending.at_path(library, entry.path)
    old = next((old for old in here if old.sha256 == entry.sha256 or old.id == entry.id), None)
    if old is None and entry.claimed_hash is not None:  # a scan may have completed it since
        old = next((old for old in here if old.claimed_hash == entry.claimed_hash), None)
    if old is None:
        return entry, []
    text = {name: getattr(entry, name) for name in TEXT_FIELDS if name in entry.edited}
    added = {name: value for name, value in text.items() if name not in old.edited}
    differs = [name for name, value in text.items() if name in old.edited and getattr(old, name) != value]
    free, new = (jsontext.parse(one.meta_json or "{}") for one in (old, entry))
    meta_json = old.meta_json
    if isinstance(free, dict) and isinstance(new, dict):
        whole = meta.fill(free, new)
        differs += [f"meta.{key}" for key in meta.differing(whole, new)]
        meta_json = meta_json if whole == free else jsontext.dump(whole)
    whole_entry = old._replace(
        **added,
        sha256=entry.sha256 or old.sha256,
        claimed_hash=old.claimed_hash or entry.claimed_hash,
        size_bytes=entry.size_bytes if entry.observed or old.size_bytes is None else old.size_bytes,
        edited=old.edited | added.keys(),
        meta_json=meta_json,
        tags=(*old.tags, *entry.tags),
        observed=entry.observed or old.observed,
    )
    return whole_entry, differs
