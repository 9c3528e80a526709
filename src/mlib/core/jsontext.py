"""Parse and write JSON without loss: numbers stay as written, and the result can always be stored."""

from __future__ import annotations

import json
import re
from itertools import chain
from json.encoder import encode_basestring
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

#: The deepest nesting of objects and lists. Real metadata stays under 20; code that walks a parsed value may
#: use two stack frames per level without reaching Python's own limit.
MAX_DEPTH = 200

Json: TypeAlias = "Mapping[str, Json] | Sequence[Json] | str | int | float | bool | None"


class NotJson(ValueError):
    """The text is not JSON that this program accepts; the message says where."""


class Number(str):
    """A number by its literal (`1.10`, `-0`, `1E5`, any length, also `NaN`); never equal to the same text."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Number) and str.__eq__(self, other)

    def __ne__(self, other: object) -> bool:
        return not self == other

    __hash__ = str.__hash__


class Raw(str):
    """Valid JSON text that `dump` embeds unchanged."""

    __slots__ = ()


class Members(list[tuple[str, Json]]):
    """An object as (key, value) pairs, keeping order and duplicate keys."""

    __slots__ = ()


_SURROGATE = re.compile("[\ud800-\udfff]")
#: Characters that JSON does not require to be escaped but that can control a terminal, or are invisible and
#: could hide text, as in `text.visible`; they only occur inside strings.
_STEERING = re.compile(
    "[\x7f-\x9f\xad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ufeff\uffa0\ufff0-\ufffb\U000e0000-\U000e0fff]"
)
_ENCODER = json.JSONEncoder(ensure_ascii=False)


def parse(text: str) -> Json:
    """Parse JSON: objects become dicts (of equal keys the last wins), numbers become `Number`.

    NaN, Infinity and -Infinity are accepted as numbers, as Python writes them. Raises NotJson for any other
    invalid JSON, and for more than MAX_DEPTH levels.
    """
    value = _load(text, None)
    # A value is at most as deep as it has opening brackets, and counting those is cheap.
    if text.count("[") + text.count("{") > MAX_DEPTH and depth(value) > MAX_DEPTH:
        raise NotJson("nested too deeply")
    return value


def parse_pairs(text: str) -> Json:
    """Like `parse`, with objects as `Members` and only Python's own limit on depth. Raises NotJson."""
    return _load(text, Members)


def _load(text: str, pairs: Callable[[list[tuple[str, Json]]], Json] | None) -> Json:
    try:
        value: Json = json.loads(
            text, parse_int=Number, parse_float=Number, parse_constant=Number, object_pairs_hook=pairs
        )
    except RecursionError:
        raise NotJson("nested too deeply") from None
    except ValueError as error:
        raise NotJson(str(error)) from None
    return value


def depth(value: Json) -> int:
    """The nesting depth of a value in objects and lists; 0 for a text or a number."""
    levels = 0
    level = _containers([value])
    while level:
        levels += 1
        level = _containers(chain.from_iterable(map(_children, filter(None, level))))
    return levels


def _containers(values: Iterable[Json]) -> list[Json]:
    return [value for value in values if isinstance(value, (dict, list, tuple))]


def _children(node: Json) -> Iterable[Json]:
    if isinstance(node, dict):
        return node.values()
    if isinstance(node, Members):
        return (value for _, value in node)
    return node if isinstance(node, (list, tuple)) else ()


def dump(value: Json) -> str:
    """Write dicts, `Members`, lists, tuples, texts, numbers, bools and None as JSON without optional spaces.

    `Number` and `Raw` are written unchanged; other text stays readable, but lone surrogates are escaped, so
    that the result can always be encoded. Raises TypeError for other types and for keys that are not text.
    """
    out: list[str] = []
    _write(value, out)
    return "".join(out)


def dump_safe(value: Json) -> str:
    """Like `dump`, with every character that could control a terminal escaped; always one line."""
    # Beyond U+FFFF JSON needs two escapes for one character (RFC 8259, section 7).
    return _STEERING.sub(lambda match: json.dumps(match[0])[1:-1], dump(value))


def _write(value: Json, out: list[str]) -> None:
    if isinstance(value, str):
        out.append(value if isinstance(value, (Number, Raw)) else _quoted(value))
    elif isinstance(value, (dict, Members)):
        separator = "{"
        for key, member in value.items() if isinstance(value, dict) else value:
            if not isinstance(key, str):
                raise TypeError(f"an object's key must be text, not {type(key).__name__}")
            out += (separator, _quoted(key), ":")
            _write(member, out)
            separator = ","
        out.append("}" if value else "{}")
    elif isinstance(value, (list, tuple)):
        separator = "["
        for item in value:
            out.append(separator)
            _write(item, out)
            separator = ","
        out.append("]" if value else "[]")
    else:
        out.append(_ENCODER.encode(value))


def _quoted(text: str) -> str:
    quoted = encode_basestring(text)
    if quoted.isascii():
        return quoted
    return _SURROGATE.sub(lambda match: f"\\u{ord(match[0]):04x}", quoted)
