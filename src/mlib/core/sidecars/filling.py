"""What a model gets from its sidecars: only what nobody typed, and only from those that speak of it. Pure."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from mlib.core.formats.header import Finding
from mlib.core.kinds.bases import takes_in
from mlib.core.sidecars.companions import stem_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.core.models import Model, OtherHashes
    from mlib.core.sidecars.record import Sidecar

MISMATCH = "sidecar_mismatch"
#: What a model can get from a sidecar, besides tags.
FIELDS = ("name", "base_model", "description", "notes")
_SHOWN = 10


@dataclass(frozen=True, slots=True)
class Named:
    """A sidecar with the name of its file."""

    name: str
    sidecar: Sidecar


def mismatch(named: Named, sha256: str, hashes: OtherHashes) -> Finding | None:
    """The finding that a sidecar is about another file than this one, if its hashes say so.

    The SHA-256 decides, unless the tensors are the same: then only the header was edited since.
    """
    claims = named.sidecar.hashes
    if claims.get("autov3") and hashes.autov3 and hashes.autov3.startswith(claims["autov3"]):
        return None
    claimed = claims.get("sha256") or next(iter(named.sidecar.other_sha256), "")
    if claimed:
        if sha256 in (claimed, *named.sidecar.other_sha256):
            return None
        return _finding(named.name, f"SHA-256 {claimed[:_SHOWN]}", sha256[:_SHOWN])
    for claim, ours in _others(claims, sha256, hashes):
        if claims[claim] not in ours:
            return _finding(named.name, f"{claim} {claims[claim]}", ours[0])
    return None


def _others(claims: Mapping[str, str], sha256: str, hashes: OtherHashes) -> list[tuple[str, list[str]]]:
    """The claims that can be checked, with what would be right: a CRC32 goes about in two byte orders."""
    crc32 = hashes.crc32 or ""
    right = {
        "sha256_12": [sha256[:12]],
        "blake3": [hashes.blake3] if hashes.blake3 else [],
        "crc32": [crc32, bytes.fromhex(crc32)[::-1].hex()] if crc32 else [],
        "autov1": [hashes.autov1] if hashes.autov1 else [],
    }
    return [(claim, ours) for claim, ours in right.items() if claim in claims and ours]


def _finding(name: str, claim: str, ours: str) -> Finding:
    return Finding(MISMATCH, f"{name} is about another file: it says {claim}, this one is {ours}")


@dataclass(frozen=True, slots=True)
class Filling:
    """The text fields and tags that sidecars have to offer, the most trusted one first."""

    text: Mapping[str, str]
    tags: tuple[str, ...] = ()


def offered(sidecars: Sequence[Sidecar], *, file_name: str) -> Filling:
    """What several sidecars of one file offer together. A name that is only the file's is none."""
    stem = stem_of(file_name)
    text: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    for sidecar in sidecars:
        for field in FIELDS:
            value = getattr(sidecar, field)
            if value and not (field == "name" and value.casefold() in (stem, file_name.casefold())):
                text.setdefault(field, value)
        tags = tags or sidecar.tags
    return Filling(text, tags)


def filled(
    model: Model, filling: Filling, *, before: Filling, facts: Mapping[str, str]
) -> tuple[Model, dict[str, str]]:
    """The model with its empty fields filled, and the fields that changed.

    A field is empty if nobody typed it and it holds nothing, a mere fact (its file's name, the base model
    that the header shows), or what an earlier version of the sidecar said.
    """
    changed: dict[str, Any] = {}
    for field, value in filling.text.items():
        fact, held = facts.get(field, ""), getattr(model, field)
        # "SD1" beside a header that shows SD 1.5 adds nothing.
        says_more = field != "base_model" or not takes_in(value, fact)
        replaceable = held in ("", fact, before.text.get(field, ""))
        if field not in model.edited and held != value and replaceable and says_more:
            changed[field] = value
    return (replace(model, **changed) if changed else model), changed
