"""A query cut into its terms: white space parts them, quotes and backslashes keep it."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import WrongUsage
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

PLAIN, QUOTED, ESCAPED = "p", "q", "e"
_QUOTES = "\"'"
#: Behind these a value begins, and so may a quote; elsewhere it is an apostrophe, or inches.
_BEFORE_VALUE = ":,=<>"
#: What a backslash makes plain characters of, and at its beginning a whole word with a meaning.
_ESCAPABLE = frozenset("\\\"'*,:=<>-.")


class Word(NamedTuple):
    """A term as it was typed: its characters, and how each of them was (PLAIN, QUOTED or ESCAPED)."""

    text: str
    marks: str

    def cut(self, start: int, end: int | None = None) -> Word:
        return Word(self.text[start:end], self.marks[start:end])

    def is_plain(self, at: int, character: str) -> bool:
        """Whether this character stands there and means what it means to the grammar."""
        return self.text[at : at + 1] == character and self.marks[at] == PLAIN

    def parts(self, separator: str) -> list[Word]:
        """What stands between the plain separators."""
        places = [
            at
            for at, character in enumerate(self.text)
            if self.is_plain(at, character) and character == separator
        ]
        starts, ends = [0, *(at + 1 for at in places)], [*places, len(self.text)]
        return [self.cut(start, end) for start, end in zip(starts, ends, strict=True)]


def split(text: str) -> list[Word]:
    """The terms of one string. Raises WrongUsage (`bad_query`) where a quote is not closed."""
    words: list[Word] = []
    open_word: list[tuple[str, str]] = []
    for character, mark in [*_marked(text), (" ", PLAIN)]:
        if mark == PLAIN and character.isspace():
            if open_word:
                words.append(Word("".join(c for c, _ in open_word), "".join(m for c, m in open_word if c)))
            open_word = []
        else:
            open_word.append((character, mark))
    return words


def _marked(text: str) -> Iterator[tuple[str, str]]:
    """Every character with its mark; an opening quote is an empty one, for there may be nothing within."""
    quote = ""
    escaped = starts = False
    typed = ""  # the plain beginning of the term; behind anything else a space
    for character in text:
        if escaped:
            # In the midst of a word, as in a path of Windows, it is a character itself.
            if not (starts or character in _ESCAPABLE or character.isspace()):
                yield "\\", ESCAPED
            escaped, typed = False, " "
            yield character, ESCAPED
        elif character == "\\":
            escaped = True
            begins = typed in ("", "-") or typed[-1] in ",=<>" or typed.find(":") == len(typed) - 1
            starts = begins and not quote
        elif quote:
            if character == quote:
                quote = ""
            else:
                yield character, QUOTED
        elif character in _QUOTES and (typed in ("", "-") or typed[-1] in _BEFORE_VALUE):
            quote, typed = character, " "
            yield "", QUOTED
        else:
            typed = "" if character.isspace() else typed + character
            yield character, PLAIN
    if quote:
        raise WrongUsage(
            "bad_query",
            f"a quote is not closed in the query: {visible(text)}",
            hint=f"close it with {quote}, or write \\{quote} for the character itself",
        )
    if escaped:  # there is nothing behind it that it could protect
        yield "\\", ESCAPED
