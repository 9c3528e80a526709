"""Read, change and merge free metadata, a tree of dicts, by dotted keys.

Keys may themselves contain dots (`modelspec.title` as one key): at every object its longest key that is a
prefix of the dotted key is tried first, then shorter ones. A new key is placed below the longest of them, and
each further part becomes an object.

New trees share unchanged parts with the old ones, so never change a tree in place.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from mlib.core.errors import Hint, WrongUsage
from mlib.core.jsontext import MAX_DEPTH, Json, NotJson, Number, depth, parse

if TYPE_CHECKING:
    from collections.abc import Iterator

Meta: TypeAlias = dict[str, Json]

_NO_JSON = ("NaN", "Infinity", "-Infinity")


def read(meta: Meta, dotted: str) -> Json:
    """The value at a dotted key. Raises KeyError."""
    keys = _locate(meta, dotted)
    if keys is None:
        raise KeyError(dotted)
    value: Json = meta
    for key in keys:
        value = value[key] if isinstance(value, dict) else None
    return value


def put(meta: Meta, dotted: str, value: Json) -> Meta:
    """The tree with `value` at a dotted key; missing objects on the way are created.

    Raises WrongUsage (`bad_key`) for an empty key or part, for a key below something that is not an object,
    and for a result too deep to be read back.
    """
    if not all(part.strip() for part in dotted.split(".")):
        raise WrongUsage("bad_key", f"{dotted!r} is not a metadata key: it has an empty part")
    keys = _locate(meta, dotted) or _place(meta, dotted)
    if len(keys) + depth(value) > MAX_DEPTH:
        raise WrongUsage("bad_key", f"metadata may be nested at most {MAX_DEPTH} levels deep")
    tree = node = dict(meta)
    for key in keys[:-1]:
        child = node.get(key)
        copy = dict(child) if isinstance(child, dict) else {}
        node[key] = copy
        node = copy
    node[keys[-1]] = value
    return tree


def drop(meta: Meta, dotted: str) -> Meta:
    """The tree without a dotted key and any objects that this leaves empty; a missing key changes nothing."""
    keys = _locate(meta, dotted)
    if keys is None:
        return meta
    tree = node = dict(meta)
    parents = []
    for key in keys[:-1]:
        child = node[key]
        copy = dict(child) if isinstance(child, dict) else {}
        node[key] = copy
        parents.append((node, key))
        node = copy
    del node[keys[-1]]
    for parent, key in reversed(parents):
        if parent[key]:
            break
        del parent[key]
    return tree


def value_of(text: str) -> Json:
    """The value of `--set KEY=TEXT`: the text parsed as JSON if possible, else the text itself.

    A bare NaN or Infinity is text, since JSON does not have them.
    """
    if text.strip() in _NO_JSON:
        return text
    try:
        return parse(text)
    except NotJson:
        return text


def is_empty(value: Json) -> bool:
    """Whether a value is "", None, or a list or object of only such values. Zero and false are not empty."""
    if isinstance(value, dict):
        return all(is_empty(member) for member in value.values())
    if isinstance(value, (list, tuple)):
        return all(is_empty(item) for item in value)
    return value is None or value == ""


def fill(existing: Meta, incoming: Meta) -> Meta:
    """`existing`, with missing or empty values taken from `incoming`; lists are not merged."""
    merged = dict(existing)
    for key, new in incoming.items():
        old = existing.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            merged[key] = fill(old, new)
        elif is_empty(old) and not is_empty(new):
            merged[key] = new
    return merged


def override(existing: Meta, incoming: Meta) -> Meta:
    """`existing`, with its values replaced by the non-empty ones of `incoming`; lists are not merged."""
    merged = dict(existing)
    for key, new in incoming.items():
        old = existing.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            merged[key] = override(old, new)
        elif not is_empty(new):
            merged[key] = new
    return merged


def differing(existing: Meta, incoming: Meta) -> list[str]:
    """The dotted keys of `incoming`'s non-empty leaves that `existing` lacks or has a different value for.

    Numbers are equal if their literals or their values are.
    """
    return list(_differing(existing, incoming, ""))


def _differing(existing: Meta, incoming: Meta, prefix: str) -> Iterator[str]:
    for key, new in incoming.items():
        old = existing.get(key)
        if isinstance(new, dict):
            yield from _differing(old if isinstance(old, dict) else {}, new, f"{prefix}{key}.")
        elif not is_empty(new) and not _same(old, new):
            yield prefix + key


def _same(one: Json, other: Json) -> bool:
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_same(one[key], other[key]) for key in one)
    if isinstance(one, (list, tuple)) and isinstance(other, (list, tuple)):
        return len(one) == len(other) and all(map(_same, one, other))
    number, other_number = _literal(one), _literal(other)
    if number is None or other_number is None:
        return type(one) is type(other) and one == other
    return number == other_number or _equal_numbers(number, other_number)


def _literal(value: Json) -> str | None:
    """The literal of a number; None if the value is not a number."""
    if isinstance(value, Number):
        return str(value)
    return repr(value) if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def _equal_numbers(one: str, other: str) -> bool:
    from decimal import Decimal, InvalidOperation

    try:
        return Decimal(one) == Decimal(other)
    except InvalidOperation:  # an exponent beyond decimal's range
        return False


def _locate(meta: Meta, dotted: str) -> list[str] | None:
    """The keys that lead to an existing value, longest first at every object."""
    for key in _leading(meta, dotted):
        if len(key) == len(dotted):
            return [key]
        child = meta[key]
        below = _locate(child, dotted[len(key) + 1 :]) if isinstance(child, dict) else None
        if below is not None:
            return [key, *below]
    return None


def _place(meta: Meta, dotted: str) -> list[str]:
    """The keys at which to put a value that does not exist yet."""
    keys: list[str] = []
    node, rest = meta, dotted
    while found := _leading(node, rest):
        child = node[found[0]]
        keys.append(found[0])
        if not isinstance(child, dict):
            name = ".".join(keys)
            raise WrongUsage(
                "bad_key",
                f"{dotted!r} cannot be set: {name!r} is not an object",
                hint=Hint("{} first", ("--unset", name)),
            )
        node, rest = child, rest[len(found[0]) + 1 :]
    return keys + rest.split(".")


def _leading(meta: Meta, dotted: str) -> list[str]:
    """The keys of an object that equal the dotted key or are a prefix of it, longest first."""
    keys = [key for key in meta if dotted == key or dotted.startswith(f"{key}.")]
    return sorted(keys, key=len, reverse=True)
