"""Files whose header was edited in place: other content by SHA-256, but the same weights."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.models import TEXT_FIELDS, OtherHashes
from mlib.core.tags import distinct
from mlib.db import files, hashes, models, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.hashes import Hashes
    from mlib.core.models import KnownFile, Model
    from mlib.db.library import Library


#: Text that no header tells.
_SAID = ("description", "notes")


@dataclass(frozen=True, slots=True)
class Heir:
    """The model that lay at a path before, and the hashes of the one that lies there now."""

    before: str
    hashes: Hashes


def find_heirs(library: Library, rows: Iterable[KnownFile]) -> list[Heir]:
    """Those of these files, not yet written, that took the place of the same weights. Writes nothing.

    AutoV3 tells, so only what `mlib hash --all` has looked at before can have an heir; such a file is read
    once more for it.
    """
    found: list[Heir] = []
    for row in rows:
        here = (each for each in files.at_path(library, row.path) if each.missing_since is None)
        before = next(here, None)
        if before is None or before.sha256 == row.sha256:
            continue
        known = hashes.get(library, before.sha256)
        if known is None or known.autov3 is None:
            continue
        from mlib.core.hashes import compute

        with suppress(OSError):
            now = compute(row.path, advance=lambda _: None)
            if now is not None and now.sha256 == row.sha256 and now.autov3 == known.autov3:
                found.append(Heir(before.sha256, now))
    return found


def inherit(library: Library, heirs: Iterable[Heir]) -> None:
    """Give each heir what was typed about the model before it, if nobody has typed anything about it.

    What a sidecar said of the old one follows too, for by its SHA-256 it may not speak of the new one.
    """
    for heir in heirs:
        now = heir.hashes
        hashes.put(library, now.sha256, OtherHashes(now.autov1, now.autov3, now.crc32, now.blake3))
        before, model = models.get(library, heir.before), models.get(library, now.sha256)
        if before is None or model is None or _is_described(library, model):
            continue
        text = {name: getattr(before, name) for name in TEXT_FIELDS if name in before.edited}
        said = {name: getattr(before, name) for name in _SAID if not getattr(model, name)}
        after = model._replace(**{**said, **text}, edited=before.edited)
        if after != model:
            models.put(library, [after._replace(updated_at=times.now())])
        tags.set_of_model(library, model.sha256, distinct(tags.of_model(library, before.sha256)))
        models.put_meta(library, model.sha256, models.meta(library, before.sha256))


def _is_described(library: Library, model: Model) -> bool:
    meta = models.meta(library, model.sha256)
    return bool(model.edited or tags.of_model(library, model.sha256)) or meta is not None
