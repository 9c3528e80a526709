"""Make names, which may contain any bytes, safe to store, to show, and to paste into a shell."""

from __future__ import annotations

import os
import shlex
import unicodedata

from mlib.core.errors import WrongUsage

#: Control and invisible characters by general category: controls, formats, surrogates, line and paragraph
#: separators.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Format characters needed to write some scripts and many emoji.
_JOINERS = frozenset("\u200c\u200d")
#: Other invisible characters (Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt), except
#: the sixteen variation selectors that follow emoji.
_INVISIBLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2065, 0x2065),
    (0x3164, 0x3164),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),  # the tag block, and variation selectors, in which any text can be hidden
)


def displayable(name: str) -> str:
    """A file name as valid UTF-8 text: undecodable bytes become `\\xNN`."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return exact(name).decode("utf-8", "backslashreplace")
    return name


def exact(text: str) -> bytes:
    """The bytes that a text stands for; an unpaired surrogate, which JSON allows, becomes `\\uNNNN`."""
    try:
        return text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return text.encode("utf-8", "backslashreplace")


def visible(text: str) -> str:
    """Escape control, format, invisible and undecodable characters, so that text can neither control a
    terminal nor hide in it."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _is_unsafe(c) else c for c in text)


def typed(text: str, *, what: str, lines: bool = False) -> str:
    """Normalise what a person typed for storage: NFC, trimmed, LF line ends.

    Raises WrongUsage if it is not valid text, or has several lines and `lines` is False.
    """
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise WrongUsage("bad_text", f"the {what} is not valid text")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if not lines and ("\n" in text or "\r" in text):
        raise WrongUsage("bad_text", f"the {what} must be one line")
    return text


def forms(name: str) -> tuple[str, ...]:
    """A name as written and in Unicode's other normal forms: macOS and archives decompose accents,
    keyboards compose them."""
    if name.isascii():
        return (name,)
    return tuple(dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))))


def composed(name: str) -> str:
    """The Unicode form for comparing names where both forms mean the same file."""
    return name if name.isascii() else unicodedata.normalize("NFC", name)


def _is_unsafe(character: str) -> bool:
    if unicodedata.category(character) in _UNSAFE:
        return character not in _JOINERS
    return any(first <= ord(character) <= last for first, last in _INVISIBLE)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    named = {"\n": "\\n", "\t": "\\t", "\r": "\\r"}
    if code > 0xFFFF:
        return f"\\U{code:08x}"
    return named.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


# --- Shell commands to paste

#: Characters that `printf` would not print literally, or that end the quotes around them.
_NOT_PLAIN = frozenset(b"\\%'-")


def quoted(word: str) -> str:
    """Quote a word for a shell; use `printf` if it has characters that are not shown on a terminal."""
    if visible(word) == word or word.endswith("\n"):  # the shell would drop it from the end of $(...)
        return shlex.quote(word)
    plain = (
        chr(byte) if 0x20 <= byte < 0x7F and byte not in _NOT_PLAIN else f"\\{byte:03o}"
        for byte in exact(word)
    )
    return f"\"$(printf '{''.join(plain)}')\""


def library_option(path: str) -> tuple[str, str]:
    """The arguments that name the library at `path`."""
    return "--library", path


def move_away(path: str) -> str:
    """The command that renames something to an unused name."""
    number = 1
    while os.path.lexists(aside := f"{path}.old{'' if number == 1 else number}"):
        number += 1
    return f"mv -n {quoted(path)} {quoted(aside)}"
