"""The cells of a terminal that text takes, and lines of it that do not take too many."""

from __future__ import annotations

import unicodedata
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Categories of what begins no line, and of what ends none: closing and opening punctuation, and joints.
_CLOSING = frozenset({"Pe", "Pf", "Po", "Lm", "Mn", "Mc", "Me", "Cf"})
_OPENING = frozenset({"Ps", "Pi", "Cf"})


def cell_width(text: str) -> int:
    """How many cells of a terminal `text` takes: wide characters two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(cells_of(character) for character in text)


def cells_of(character: str) -> int:
    """The same for one character."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def lines_of(text: str, width: int) -> Iterator[str]:
    """`text` in lines of at most `width` cells, broken at spaces and, in scripts without them, between
    wide characters; a longer word of others stays whole."""
    line, room = "", width
    for piece in _pieces(text):
        cells = cell_width(piece.rstrip())
        if line and cells > room:
            yield line.rstrip()
            line, room = "", width
        line += piece
        room -= cell_width(piece)
    if line.strip():
        yield line.rstrip()


def _pieces(text: str) -> Iterator[str]:
    """The parts between which a line may end, with the spaces behind them."""
    piece = ""
    for character in text:
        if piece and _may_part(piece[-1], character):
            yield piece
            piece = ""
        piece += character
    if piece:
        yield piece


def _may_part(before: str, after: str) -> bool:
    if before.isspace() or after.isspace():
        return not after.isspace()
    if cells_of(before) < 2 and cells_of(after) < 2:
        return False
    return unicodedata.category(after) not in _CLOSING and unicodedata.category(before) not in _OPENING
