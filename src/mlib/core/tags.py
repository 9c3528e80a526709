"""The normal form of a tag."""

from __future__ import annotations

import unicodedata

from mlib.core.errors import WrongUsage

#: Longest tag in characters: beyond this it is a note.
MAX_LENGTH = 200


def checked_tag(tag: str) -> str:
    """The tag as it is kept and shown: NFC, trimmed, white space within it single and plain.

    Commas and single spaces are part of a tag. Raises WrongUsage for one that is empty, too long, or holds
    what UTF-8 cannot say.
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
    """What two spellings of one tag have in common: the key they are compared by.

    Case folding can undo a normal form, so it is restored afterwards (Unicode's caseless matching, D145).
    """
    decomposed = unicodedata.normalize("NFD", checked_tag(tag)).casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", decomposed))


def distinct(tags: list[str] | tuple[str, ...]) -> dict[str, str]:
    """Folded key to shown form; the first spelling of a tag wins."""
    found: dict[str, str] = {}
    for tag in tags:
        found.setdefault(fold_tag(tag), checked_tag(tag))
    return found
