"""Names as text: what may hold any bytes, made fit to be kept and shown."""

from __future__ import annotations

import os
import shlex
import unicodedata

from mlib.core.errors import WrongUsage

#: What steers or is not seen, by general category: controls, formats, surrogates, line and paragraph ends.
_UNSAFE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
#: Formats that words of some scripts and many emoji are written with.
_JOINERS = frozenset("\u200c\u200d")
#: Other characters that show nothing (Default_Ignorable_Code_Point of Unicode's DerivedCoreProperties.txt),
#: but for the sixteen variation selectors that emoji end in.
_INVISIBLE = (
    (0x034F, 0x034F),
    (0x115F, 0x1160),
    (0x17B4, 0x17B5),
    (0x180B, 0x180F),
    (0x2065, 0x2065),
    (0x3164, 0x3164),
    (0xFFA0, 0xFFA0),
    (0xFFF0, 0xFFF8),
    (0xE0000, 0xE0FFF),  # the tag block, and variation selectors that any text can be hidden in
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
    """Text that can neither steer a terminal nor hide in it: control, format and invisible characters, and
    what cannot be decoded, become escapes."""
    if text.isascii() and text.isprintable():
        return text
    return "".join(_escape(c) if _is_unsafe(c) else c for c in text)


def typed(text: str, *, what: str, lines: bool = False) -> str:
    """What a person typed, as it is kept: NFC and trimmed, line ends plain.

    Raises WrongUsage where it is no text, or where one line is wanted (`lines` False) and several are given.
    """
    if "\0" in text or any("\ud800" <= c <= "\udfff" for c in text):
        raise WrongUsage("bad_text", f"the {what} is not valid text")
    text = unicodedata.normalize("NFC", text.replace("\r\n", "\n")).strip()
    if not lines and ("\n" in text or "\r" in text):
        raise WrongUsage("bad_text", f"the {what} must be one line")
    return text


def forms(name: str) -> tuple[str, ...]:
    """A name as it is written, and in the other forms of Unicode: macOS and archives decompose accents,
    keyboards compose them."""
    if name.isascii():
        return (name,)
    return tuple(dict.fromkeys((name, *(unicodedata.normalize(form, name) for form in ("NFC", "NFD")))))


def composed(name: str) -> str:
    """The form of Unicode in which names are compared where both forms name the same."""
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


# --- Commands as a person pastes them into a shell.

#: What `printf` would not print as it stands, or the quotes around it would not hold.
_NOT_PLAIN = frozenset(b"\\%'-")


def quoted(word: str) -> str:
    """A word as a shell takes it; `printf` writes one with characters that no terminal is shown."""
    if visible(word) == word or word.endswith("\n"):  # at its end a shell would drop it
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
    """The command that gives something another name, one that nothing has."""
    number = 1
    while os.path.lexists(aside := f"{path}.old{'' if number == 1 else number}"):
        number += 1
    return f"mv -n {quoted(path)} {quoted(aside)}"
