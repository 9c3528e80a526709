"""The instructions of a pickle that put a plain value on the stack: a number, a text, an empty container."""

from __future__ import annotations

import re
from struct import Struct
from typing import TYPE_CHECKING

from mlib.core.formats.pickle_values import OPAQUE, Pairs

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.core.formats.pickle_source import Source

_LONGEST_TEXT = 2**16
_LONGEST_DIGITS = 40
_DOUBLE = Struct(">d")
_ESCAPE = re.compile(rb"\\(?:([0-7]{1,3})|x([0-9a-fA-F]{2})|(.))", re.DOTALL)
_ESCAPES = {b"a": b"\a", b"b": b"\b", b"f": b"\f", b"n": b"\n", b"r": b"\r", b"t": b"\t", b"v": b"\v"}
_UNCHANGED = (b"\\", b"'", b'"')


def _constant(value: object) -> Callable[[Source], object]:
    return lambda _: value


def _number(width: int, *, signed: bool = False) -> Callable[[Source], object]:
    return lambda source: int.from_bytes(source.take(width), "little", signed=signed)


def _text(width: int) -> Callable[[Source], object]:
    """A text with its length in front, in a number so many bytes wide."""

    def literal(source: Source) -> object:
        count = source.unsigned(width)
        if count <= _LONGEST_TEXT:
            return source.take(count)
        source.skip(count)
        return OPAQUE

    return literal


def _blob(width: int) -> Callable[[Source], object]:
    """Bytes, or a long number, with the length in front."""

    def literal(source: Source) -> object:
        source.skip(source.unsigned(width))
        return OPAQUE

    return literal


def _decimal(source: Source) -> object:
    """A number in digits; `00` and `01` are the booleans of protocol 0."""
    digits = source.line()
    if digits in (b"00", b"01"):
        return digits == b"01"
    if len(digits) > _LONGEST_DIGITS:
        return OPAQUE
    try:
        return int(digits.rstrip(b"L"))
    except ValueError:
        return OPAQUE  # Python reads other notations too, hexadecimal for one


def _float(source: Source) -> object:
    digits = source.line()
    try:
        return float(digits) if len(digits) <= _LONGEST_DIGITS else OPAQUE
    except ValueError:
        return OPAQUE


def _binary_float(source: Source) -> object:
    return _DOUBLE.unpack(source.take(8))[0]


def _long(source: Source) -> object:
    return int.from_bytes(source.take(source.byte()), "little", signed=True)


def _quoted(source: Source) -> object:
    text = source.line().strip(b" \t\r\n\v\f")
    return _ESCAPE.sub(_unescaped, text[1:-1]) if len(text) <= _LONGEST_TEXT else OPAQUE


def _unescaped(match: re.Match[bytes]) -> bytes:
    octal, hexadecimal, character = match.groups()
    if octal:
        return bytes([int(octal, 8) & 0xFF])
    if hexadecimal:
        return bytes([int(hexadecimal, 16)])
    whole: bytes = character if character in _UNCHANGED else match[0]
    return _ESCAPES.get(character, whole)


def _raw_unicode(source: Source) -> object:
    text = source.line()
    if len(text) > _LONGEST_TEXT:
        return OPAQUE
    return text.decode("raw_unicode_escape", "replace").encode("utf-8", "replace")


#: What to read for each, by the number of the instruction.
LITERALS: dict[int, Callable[[Source], object]] = {
    ord("N"): _constant(None),
    0x88: _constant(True),
    0x89: _constant(False),
    ord("I"): _decimal,
    ord("L"): _decimal,
    ord("J"): _number(4, signed=True),
    ord("K"): _number(1),
    ord("M"): _number(2),
    0x8A: _long,
    0x8B: _blob(4),
    ord("F"): _float,
    ord("G"): _binary_float,
    ord("S"): _quoted,
    ord("T"): _text(4),
    ord("U"): _text(1),
    ord("V"): _raw_unicode,
    ord("X"): _text(4),
    0x8C: _text(1),
    0x8D: _text(8),
    ord("B"): _blob(4),
    ord("C"): _blob(1),
    0x8E: _blob(8),
    0x96: _blob(8),
    0x97: _constant(OPAQUE),
    ord(")"): _constant(()),
    ord("]"): lambda _: [],
    0x8F: lambda _: [],
    ord("}"): lambda _: Pairs(),
}
