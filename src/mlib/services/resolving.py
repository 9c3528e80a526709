"""Resolve a REF to a model or pending import."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import Hint, NotFound, WrongUsage
from mlib.core.text import displayable, forms, visible
from mlib.db import contents, files, models, pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlib.db.library import Library


# --- REFs

#: Fewest hex digits that name a model.
SHORTEST_PREFIX = 4

_HEX = re.compile(r"[0-9a-f]{1,64}")
_PENDING = re.compile(r"pending:([0-9]{1,18})")


class Target(NamedTuple):
    """A model, or a pending import: exactly one of the two is set."""

    sha256: str | None = None
    pending_id: int | None = None

    @property
    def identifier(self) -> str:
        """What a script names it by: the SHA-256, or `pending:ID`."""
        return f"pending:{self.pending_id}" if self.sha256 is None else self.sha256

    @property
    def short(self) -> str:
        """As a person sees it: ten digits of the SHA-256, or `pending:ID`."""
        return self.identifier if self.sha256 is None else self.sha256[:10]


def as_pending(ref: str) -> int | None:
    """The id that `pending:ID` names; None for any other REF."""
    match = _PENDING.fullmatch(ref)
    return None if match is None else int(match[1])


def check_waiting(library: Library, ids: Iterable[int]) -> None:
    """Raise NotFound (`pending_not_found`) where one of these is no pending import."""
    for pending_id in ids:
        if not pending.exists(library, pending_id):
            raise NotFound(
                "pending_not_found",
                f"there is no pending import {pending_id}",
                hint=Hint("{} lists them", ("pending",)),
            )


def as_digits(ref: str) -> str | None:
    """A REF that may be the beginning of a SHA-256, however short, in lower case; None for any other."""
    digits = ref.lower()
    return digits if ref.isascii() and _HEX.fullmatch(digits) else None


#: Candidates that an ambiguous name is answered with.
CANDIDATES = 10


def resolve_all(library: Library, refs: Sequence[str]) -> list[Target]:
    """What each REF leads to, each target once. Raises NotFound where one leads nowhere, or to several."""
    with library.reading():
        return list(dict.fromkeys(resolve(library, ref) for ref in refs))


def resolve(library: Library, ref: str) -> Target:
    """The one model or pending import that `ref` names: `pending:ID`, hash prefix, path, or exact name.

    Its name is what it is called, or else what a file of it is called.
    """
    if not ref:
        raise WrongUsage("empty_ref", "a REF cannot be empty")
    pending_id = as_pending(ref)
    if pending_id is not None:
        if not pending.exists(library, pending_id):
            raise NotFound("pending_not_found", f"there is no pending import {pending_id}")
        return Target(pending_id=pending_id)
    found = _by_hash(library, ref)
    if Target(sha256=ref.lower()) not in found:  # a whole SHA-256 stands for nothing else
        found |= _by_other_hash(library, ref)
    spellings = forms(ref)
    for spelling in spellings:
        found |= _by_name(library, spelling)
    for look_up in (_by_path, _by_file_name):
        for spelling in () if found else spellings:
            found |= look_up(library, spelling)
    if len(found) == 1:
        return found.popitem()[0]
    if found:
        raise _ambiguous(library, ref, found)
    raise _unknown(ref)


def _by_hash(library: Library, ref: str) -> dict[Target, None]:
    prefix = as_digits(ref)
    if prefix is None or len(prefix) < SHORTEST_PREFIX:
        return {}
    found = models.with_prefix(library, prefix, limit=CANDIDATES + 1)
    return {Target(sha256=sha256): None for sha256 in found}


def _by_other_hash(library: Library, ref: str) -> dict[Target, None]:
    """What another hash, or one written in another way, may stand for. CRC32s go about in both orders."""
    from mlib.core.hashes import meanings  # most REFs need none of it

    found: dict[Target, None] = {}
    for name, digits in meanings(ref) if ref == ref.strip() else ():
        if name in ("sha256", "autov2", "sha256_12"):
            shas = models.with_prefix(library, digits, limit=CANDIDATES + 1)
        else:
            shas = contents.find(library, name, digits, limit=CANDIDATES + 1)
            if name == "crc32":
                shas += contents.find(library, name, bytes.fromhex(digits)[::-1].hex(), limit=CANDIDATES + 1)
        found |= dict.fromkeys(Target(sha256=sha256) for sha256 in shas)
    return found


def _by_name(library: Library, ref: str) -> dict[Target, None]:
    name = displayable(ref)
    return {Target(sha256=sha256): None for sha256 in models.named(library, name, limit=CANDIDATES + 1)}


def _by_path(library: Library, ref: str) -> dict[Target, None]:
    if "\0" in ref:  # a line of standard input may hold one, a path cannot
        return {}
    absolute = os.path.abspath(ref)
    directory, name = os.path.split(absolute)
    beside = os.path.join(os.path.realpath(directory), name)
    for path in dict.fromkeys((absolute, beside, os.path.realpath(absolute), ref)):
        rows = files.at_path(library, path)
        present = [row for row in rows if row.missing_since is None]
        if rows:
            return {Target(sha256=row.sha256): None for row in present or rows}
        if waiting := pending.at_path(library, path):
            return {Target(pending_id=entry.id): None for entry in waiting}
    return {}


def _by_file_name(library: Library, ref: str) -> dict[Target, None]:
    """Copies of a model may bear other names than the one it goes by."""
    return {Target(sha256=sha256): None for sha256 in files.named(library, ref, limit=CANDIDATES + 1)}


def _ambiguous(library: Library, ref: str, found: dict[Target, None]) -> NotFound:
    names = [f"{target.sha256[:16]} {_name_of(library, target.sha256)}" for target in found if target.sha256]
    names += [f"pending:{target.pending_id}" for target in found if target.pending_id is not None]
    more = ", …" if len(names) > CANDIDATES else ""
    return NotFound(
        "ambiguous_ref",
        f"'{visible(ref)}' names more than one model",
        hint="one of: " + ", ".join(names[:CANDIDATES]) + more,
    )


def _name_of(library: Library, sha256: str) -> str:
    """Its name, and whether it is gone: a file edited in place leaves a missing model of the same name."""
    model = models.get(library, sha256)
    rows = files.of_model(library, sha256)
    gone = " (missing)" if rows and all(row.missing_since is not None for row in rows) else ""
    return f"{visible(model.name)}{gone}" if model else ""


def _unknown(ref: str) -> NotFound:
    if len(ref) < SHORTEST_PREFIX and as_digits(ref) is not None:
        return NotFound(
            "ref_too_short",
            f"'{ref}' is too short for a hash",
            hint=f"give at least {SHORTEST_PREFIX} hex digits",
        )
    hint = "a REF is the beginning of a sha256, a path, an exact name, or pending:ID"
    return NotFound("model_not_found", f"no model matches '{visible(ref)}'", hint=hint)
