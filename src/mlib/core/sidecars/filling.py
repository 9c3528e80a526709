"""What a model gets from its sidecars: only what nobody typed, and only from those that speak of it. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.formats.header import Finding
from mlib.core.kinds.bases import takes_in
from mlib.core.records import TAGS
from mlib.core.sidecars.companions import stem_of
from mlib.core.tags import distinct
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.kinds.usage import Usage
    from mlib.core.records import Model, OtherHashes
    from mlib.core.sidecars.record import Sidecar


# --- How to use a model by what its sidecars say, beside what the file itself says.


def with_sidecars(usage: Usage, sidecars: Sequence[Sidecar]) -> Usage:
    """`usage` with trigger words of the sidecars first, and with an author where the file names none."""
    authors = [sidecar.author for sidecar in sidecars if sidecar.author]
    return usage._replace(
        trigger_words=united([each.trigger_words for each in sidecars], usage.trigger_words),
        author=usage.author or next(iter(authors), ""),
    )


def united(said: Iterable[Iterable[str]], own: Iterable[str]) -> tuple[str, ...]:
    """The words of sidecars, the most trusted first, then those of the file itself; in any case each once."""
    seen: dict[str, str] = {}
    for words in (*said, own):
        for word in words:
            seen.setdefault(word.casefold(), word)
    return tuple(seen.values())


MISMATCH = "sidecar_mismatch"
_TEXT = ("name", "base_model", "description", "notes")
_SHOWN = 12


class Named(NamedTuple):
    """A sidecar with the name of its file."""

    name: str
    sidecar: Sidecar


def mismatch(named: Named, sha256: str, hashes: OtherHashes) -> Finding | None:
    """The finding that a sidecar is about another file than this one, if its hashes say so.

    The SHA-256 decides, unless the tensors are the same: then only the header was edited since. Of other
    claims the strongest that can be checked does. Where it speaks of several files, this must be one of them.
    """
    said = named.sidecar
    claims = (said.hashes, *said.other_hashes)
    found = [_mismatch(named.name, each, said.other_sha256, sha256, hashes) for each in claims]
    return None if None in found else found[0]


def digests(sha256: str, hashes: OtherHashes) -> frozenset[str]:
    """What a sidecar may claim of this file that no other file shares: whole, and in lower case."""
    known = (sha256, hashes.blake3, hashes.autov3 and hashes.autov3[:12])
    return frozenset(filter(None, known))


def of_one(sidecar: Sidecar, sha256: str, hashes: OtherHashes) -> Sidecar:
    """What a sidecar that several models share says of this one: of the claims only those that are right."""
    if not sidecar.other_hashes:
        return sidecar
    claims = (sidecar.hashes, *sidecar.other_hashes)
    own = (each for each in claims if _mismatch("", each, (), sha256, hashes) is None)
    return sidecar._replace(hashes=next(own, {}), other_hashes=())


def is_about_others(named: Named, others: Collection[tuple[str, OtherHashes]]) -> bool:
    """Whether a sidecar speaks of the `others` alone, which share it with a model that it is not about.

    So it is where one of them is what it claims, and it claims no more files than there are of them.
    """
    said = named.sidecar
    files = sum(map(bool, (said.hashes, *said.other_hashes))) + len(said.other_sha256)
    return files <= len(others) and any(mismatch(named, *other) is None for other in others)


def _mismatch(
    name: str, claims: Mapping[str, str], others: Collection[str], sha256: str, hashes: OtherHashes
) -> Finding | None:
    if claims.get("autov3") and hashes.autov3 and hashes.autov3.startswith(claims["autov3"]):
        return None
    claimed = claims.get("sha256") or next(iter(others), "")
    if claimed:
        if sha256 in (claimed, *others):
            return None
        return _finding(name, f"SHA-256 {claimed[:_SHOWN]}", sha256)
    for claim, ours in _right(sha256, hashes):
        if claim in claims:
            if claims[claim] in ours:
                return None
            return _finding(name, f"{claim} {claims[claim][:_SHOWN]}", ours[0])
    return None


def _right(sha256: str, hashes: OtherHashes) -> Iterator[tuple[str, tuple[str, ...]]]:
    """What would be right to claim, the strongest first: a CRC32 goes about in two byte orders."""
    if hashes.blake3:
        yield "blake3", (hashes.blake3,)
    yield "sha256_12", (sha256[:12],)
    if hashes.autov3:
        yield "autov3", (hashes.autov3[:12],)
    if hashes.crc32:
        yield "crc32", (hashes.crc32, bytes.fromhex(hashes.crc32)[::-1].hex())
    if hashes.autov1:
        yield "autov1", (hashes.autov1,)


def _finding(name: str, claim: str, ours: str) -> Finding:
    message = f"{visible(name)} describes another file: it claims {claim}, this one is {ours[:_SHOWN]}"
    return Finding(MISMATCH, message)


class Filling(NamedTuple):
    """The text fields and tags that sidecars have to offer, the most trusted one first."""

    text: Mapping[str, str]
    tags: tuple[str, ...] = ()


class History(NamedTuple):
    """What sidecars `offered` a model before, and the names of the fields that they have `given` it."""

    offered: tuple[Filling, ...] = ()
    given: frozenset[str] = frozenset()


def offered(sidecars: Sequence[Sidecar], *, file_name: str) -> Filling:
    """What several sidecars of one file offer together. A name that is only the file's is none."""
    stem = stem_of(file_name)
    text: dict[str, str] = {}
    tags: tuple[str, ...] = ()
    for sidecar in sidecars:
        for field in _TEXT:
            value = getattr(sidecar, field)
            if value and not (
                field == "name" and value.casefold() in (stem.casefold(), file_name.casefold())
            ):
                text.setdefault(field, value)
        tags = tags or sidecar.tags
    return Filling(text, tags)


def filled(
    model: Model, filling: Filling, *, facts: Mapping[str, Collection[str]], history: History
) -> tuple[Model, frozenset[str]]:
    """The model with its empty fields filled, and the fields that changed.

    A field is empty if nobody typed it and it holds what sidecars said before; or, where they gave nothing
    yet, nothing or one of its mere `facts` (the names of its files, the base model that the header shows).
    What they gave and is there no more somebody has emptied: it stays so.
    """
    changed: dict[str, Any] = {}
    for field, value in filling.text.items():
        held = getattr(model, field)
        earlier = {each.text[field] for each in history.offered if field in each.text}
        is_vacant = field not in history.given and (not held or held in facts.get(field, ()))
        # "SD1" beside a header that shows SD 1.5 adds nothing.
        is_vague = field == "base_model" and any(takes_in(value, fact) for fact in facts.get(field, ()))
        if field not in model.edited and held != value and (is_vacant or held in earlier) and not is_vague:
            changed[field] = value
    return (model._replace(**changed) if changed else model), frozenset(changed)


def filled_tags(
    model: Model, held: Collection[str], filling: Filling, *, history: History
) -> dict[str, str] | None:
    """The tags (folded to shown) for a model that bears those `held`; None if they stay as they are.

    Tags are filled where there are none and never were, and follow the sidecar as long as they are what it
    gave: one that a person added or took away makes them that person's.
    """
    ours, wanted = distinct(tuple(held)).keys(), distinct(filling.tags)
    if TAGS in model.edited or not wanted or ours == wanted.keys():
        return None
    if TAGS in history.given:
        is_free = any(each.tags and ours == distinct(each.tags).keys() for each in history.offered)
    else:
        is_free = not ours
    return wanted if is_free else None
