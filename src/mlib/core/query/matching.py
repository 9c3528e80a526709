"""When a text is in another: the one definition, which the library's statements follow."""

from __future__ import annotations

import unicodedata


def folded(text: str) -> str:
    """What two spellings have in common whatever their case (Unicode's caseless matching, D145)."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", decomposed))


def common(text: str, wanted: str) -> str:
    """`text` as it is compared with the folded `wanted`: where that is ASCII, only ASCII letters fold.

    SQLite can do that by itself, ten times as fast.
    """
    if not wanted.isascii():
        return folded(text)
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
