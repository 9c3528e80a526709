"""The normal form of a tag."""

from __future__ import annotations

import unicodedata

from mlib.core.errors import WrongUsage

#: The most characters of a tag; anything longer is a note.
MAX_LENGTH = 200


def checked_tag(tag: str) -> str:
    """The tag as stored and shown: NFC, trimmed, white space collapsed to single spaces.

    Commas and single spaces are part of a tag. Raises WrongUsage if it is empty, too long, or cannot be
    encoded as UTF-8.
    """
    text = " ".join(unicodedata.normalize("NFC", tag).split())
    if not text:
        raise WrongUsage("bad_tag", "a tag cannot be empty")
    if len(text) > MAX_LENGTH:
        raise WrongUsage("bad_tag", f"a tag cannot be longer than {MAX_LENGTH} characters")
    if "\0" in text or any("\ud800" <= character <= "\udfff" for character in text):
        raise WrongUsage("bad_tag", "a tag must be valid text")
    return text


def fold_tag(tag: str) -> str:
    """The key by which spellings of a tag are compared.

    Case folding can undo normalisation, so normalise again afterwards (Unicode's caseless matching, D145).
    """
    decomposed = unicodedata.normalize("NFD", checked_tag(tag)).casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", decomposed))


def distinct(tags: list[str] | tuple[str, ...]) -> dict[str, str]:
    """Map folded keys to shown forms; the first spelling of a tag wins."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(fold_tag(tag), checked_tag(tag))
    return found
