"""Text out of a file's metadata, made fit to be one line of an answer."""

from __future__ import annotations

import re

#: Control characters, and halves of surrogate pairs, which no UTF-8 can hold.
_UNFIT = re.compile("[\x00-\x1f\x7f-\x9f\ud800-\udfff]+")


def one_line(text: str, *, longest: int) -> str:
    """`text` with its white space made plain, cut to `longest` characters."""
    if len(text) <= longest and text.isprintable() and "  " not in text and text == text.strip(" "):
        return text  # as most are: nothing printable is unfit, or white space but for the space
    return " ".join(_UNFIT.sub(" ", text[: 4 * longest]).split())[:longest]
