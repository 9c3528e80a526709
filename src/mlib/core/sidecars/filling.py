"""Fill a model's fields from its sidecars: only those nobody typed, and only from sidecars about this model.

Pure functions: nothing here reads a disk or a library.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.formats.header import Finding
from mlib.core.kinds.bases import takes_in
from mlib.core.records import TAGS
from mlib.core.sidecars.companions import stem_of
from mlib.core.tag_spelling import distinct
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.kinds.usage import Usage
    from mlib.core.records import Model, OtherHashes
    from mlib.core.sidecars.record import Sidecar


# --- Usage: the sidecars' words and author beside the file's own


def with_sidecars(usage: Usage, sidecars: Sequence[Sidecar]) -> Usage:
    """`usage` with the sidecars' trigger words first, and their author if the file names none."""
    authors = [sidecar.author for sidecar in sidecars if sidecar.author]
    return usage._replace(
        trigger_words=united([each.trigger_words for each in sidecars], usage.trigger_words),
        author=usage.author or next(iter(authors), ""),
    )


def united(said: Iterable[Iterable[str]], own: Iterable[str]) -> tuple[str, ...]:
    """The words of sidecars, most trusted first, then the file's own; each once, ignoring case."""
    seen: dict[str, str] = {}
    for words in (*said, own):
        for word in words:
            seen.setdefault(word.casefold(), word)
    return tuple(seen.values())


MISMATCH = "sidecar_mismatch"
_TEXT = ("name", "base_model", "description", "notes")
_SHOWN = 12


# --- Sidecars about another file


class Named(NamedTuple):
    """A sidecar with its file name."""

    name: str
    sidecar: Sidecar


def mismatch(named: Named, sha256: str, hashes: OtherHashes) -> Finding | None:
    """The finding that a sidecar describes another file, if its hashes say so.

    The SHA-256 decides, unless the tensors are equal: then only the header has been edited since. Otherwise
    the strongest claim that can be checked decides. If it lists several files, this must be one of them.
    """
    said = named.sidecar
    claims = (said.hashes, *said.other_hashes)
    found = [_mismatch(named.name, each, said.other_sha256, sha256, hashes) for each in claims]
    return None if None in found else found[0]


def digests(sha256: str, hashes: OtherHashes) -> frozenset[str]:
    """The complete hashes, in lower case, by which a sidecar may identify this file."""
    known = (sha256, hashes.blake3, hashes.autov3 and hashes.autov3[:12])
    return frozenset(filter(None, known))


def of_one(sidecar: Sidecar, sha256: str, hashes: OtherHashes) -> Sidecar:
    """A sidecar shared by several models, reduced to the claims that are true of this one."""
    if not sidecar.other_hashes:
        return sidecar
    claims = (sidecar.hashes, *sidecar.other_hashes)
    own = (each for each in claims if _mismatch("", each, (), sha256, hashes) is None)
    return sidecar._replace(hashes=next(own, {}), other_hashes=())


def is_about_others(named: Named, others: Collection[tuple[str, OtherHashes]]) -> bool:
    """Whether a shared sidecar is about the `others` only, not about this model.

    That is so if one of them is what it claims and it claims no more files than there are others.
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
    """The true claims for each hash, strongest first; CRC32 is written in two byte orders."""
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


# --- Filling fields and tags


class Filling(NamedTuple):
    """The text fields and tags that sidecars offer, by trust."""

    text: Mapping[str, str]
    tags: tuple[str, ...] = ()


class History(NamedTuple):
    """What sidecars `offered` a model before, and the names of the fields that they have filled (`given`)."""

    offered: tuple[Filling, ...] = ()
    given: frozenset[str] = frozenset()


def offered(sidecars: Sequence[Sidecar], *, file_name: str) -> Filling:
    """What all sidecars of one file offer together. A name that is just the file's name does not count."""
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

    A field counts as empty if nobody typed it and it holds what sidecars said before; or, if they have not
    filled it yet, if it is blank or one of its `facts` (the names of its files, the header's base model).
    A field that they filled and that is now empty was cleared by a person and stays empty.
    """
    changed: dict[str, Any] = {}
    for field, value in filling.text.items():
        held = getattr(model, field)
        earlier = {each.text[field] for each in history.offered if field in each.text}
        is_vacant = field not in history.given and (not held or held in facts.get(field, ()))
        # "SD1" adds nothing to a header's SD 1.5.
        is_vague = field == "base_model" and any(takes_in(value, fact) for fact in facts.get(field, ()))
        if field not in model.edited and held != value and (is_vacant or held in earlier) and not is_vague:
            changed[field] = value
    return (model._replace(**changed) if changed else model), frozenset(changed)


def filled_tags(
    model: Model, held: Collection[str], filling: Filling, *, history: History
) -> dict[str, str] | None:
    """The new tags (folded to shown) of a model that has the tags `held`; None if they do not change.

    Tags are filled if there are none and never were, and follow the sidecar as long as they equal what it
    gave: once a person adds or removes one, they are that person's.
    """
    ours, wanted = distinct(tuple(held)).keys(), distinct(filling.tags)
    if TAGS in model.edited or not wanted or ours == wanted.keys():
        return None
    if TAGS in history.given:
        is_free = any(each.tags and ours == distinct(each.tags).keys() for each in history.offered)
    else:
        is_free = not ours
    return wanted if is_free else None
