"""Names as text: what may hold any bytes, made fit to be kept and shown."""

from __future__ import annotations

import unicodedata

from mlib.core.errors import WrongUsage

#: Characters that reorder or hide what stands around them, beyond the control characters.
_INVISIBLE = frozenset(
    "\u061c\u200e\u200f\u2028\u2029\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069\ufeff"
)


def displayable(name: str) -> str:
    """A file name as text that any UTF-8 can hold: bytes that are none become `\\xNN`."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return exact(name).decode("utf-8", "backslashreplace")
    return name


def exact(text: str) -> bytes:
    """The bytes that a text stands for; half a surrogate pair, which JSON allows, becomes `\\uNNNN`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """Text that cannot steer a terminal: control, bidirectional and undecodable characters become escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _is_unsafe(c) else c for c in text)


def typed(text: str, *, what: str, lines: bool = False) -> str:
    """What a person typed, as it is kept: NFC and trimmed, line ends plain.

    Raises WrongUsage where it is no text, or where one line is wanted (`lines` False) and several are given.
    """
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise WrongUsage("bad_text", f"the {what} is not text in UTF-8")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if not lines and ("\n" in text or "\r" in text):
        raise WrongUsage("bad_text", f"the {what} must be one line")
    return text


def _is_unsafe(character: str) -> bool:
    return unicodedata.category(character) in ("Cc", "Cs") or character in _INVISIBLE


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    return named.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")
