"""Files whose header was edited in place: other content by SHA-256, but the same weights."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core.models import OtherHashes
from mlib.db import files, hashes, pending
from mlib.services.inheriting import inherit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.hashes import Hashes
    from mlib.core.models import KnownFile
    from mlib.db.library import Library


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
        before = _before(library, row)
        known = None if before is None else hashes.get(library, before)
        if before is None or known is None or known.autov3 is None:
            continue
        from mlib.core.hashes import compute

        with suppress(OSError):
            now = compute(row.path, advance=lambda _: None)
            if now is not None and now.sha256 == row.sha256 and now.autov3 == known.autov3:
                found.append(Heir(before, now))
    return found


def keep_heirs(library: Library, heirs: Iterable[Heir]) -> None:
    """Keep the hashes of heirs, and let those that are models inherit; part of a transaction.

    One that is staged inherits when it is imported: by these hashes it is known then.
    """
    for heir in heirs:
        now = heir.hashes
        hashes.put(library, now.sha256, OtherHashes(now.autov1, now.autov3, now.crc32, now.blake3))
        inherit(library, now.sha256, heir.before)


def _before(library: Library, row: KnownFile) -> str | None:
    """The model whose place this content takes now; also where what took it first is still staged."""
    here = files.at_path(library, row.path)
    present = next((each for each in here if each.missing_since is None), None)
    if present is not None:
        return None if present.sha256 == row.sha256 else present.sha256
    staged = {entry.sha256 for entry in pending.at_path(library, row.path) if entry.observed is not None}
    if not staged or row.sha256 in staged:
        return None
    left = [each for each in here if each.sha256 != row.sha256]
    return max(left, key=lambda each: each.missing_since or 0).sha256 if left else None
