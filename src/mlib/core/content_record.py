"""Convert an inspection to the form stored in the library, and back."""

from __future__ import annotations

import json
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import jsontext
from mlib.core.kinds.usage import Usage
from mlib.core.records import Content
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlib.core.formats.header import Finding, Header
    from mlib.core.inspection import Inspection
    from mlib.core.sidecars.record import Sidecar


class About(NamedTuple):
    """What content is and how to use it; `findings` with the path that each is about, or None.

    A header that `is_kept` in a library has no images. `trained_on` names a model of this library.
    """

    format: str
    kind: str
    base_model: str
    evidence: tuple[str, ...]
    usage: Usage
    findings: tuple[tuple[str | None, Finding], ...]
    header: Header | None = None
    trained_on: Mapping[str, str] = MappingProxyType({})
    sidecars: tuple[Sidecar, ...] = ()
    is_kept: bool = False
    has_copies: bool = False


def content_of(sha256: str, inspection: Inspection) -> Content:
    """The storable part of an inspection apart from header and findings, as text that is safe to show."""
    return Content(
        sha256=sha256,
        format=inspection.header.format,
        kind=inspection.kind,
        base_model=inspection.base_model,
        evidence=tuple(visible(" ".join(line.split())) for line in inspection.evidence),
        usage_json=json.dumps(
            {name: getattr(inspection.usage, name) for name in Usage._fields}, default=dict
        ),
    )


def usage_of(usage_json: str) -> Usage:
    """Read a stored Usage; fields of other versions are ignored."""
    kept: dict[str, Any] = json.loads(usage_json)
    known = {name: kept[name] for name in Usage._fields if name in kept}
    for name in ("trigger_words", "frequent_tags"):
        known[name] = tuple(tuple(item) if isinstance(item, list) else item for item in known.get(name, ()))
    return Usage(**known)


def checked_usage(value: jsontext.Json) -> str | None:
    """The JSON text of a usage from elsewhere; None if `usage_of` could not read it."""
    if not isinstance(value, dict):
        return None
    for name, member in value.items():
        is_right = _SHAPES.get(name)
        if is_right is not None and not is_right(member):
            return None
    return jsontext.dump(value)


def _is_text(value: jsontext.Json) -> bool:
    return isinstance(value, str) and not isinstance(value, jsontext.Number)


def _is_whole(value: jsontext.Json) -> bool:
    return isinstance(value, jsontext.Number) and value.isascii() and value.isdigit() and len(value) < 20


def _is_number(value: jsontext.Json) -> bool:
    return isinstance(value, jsontext.Number) and len(value) < 40


def _are_words(value: jsontext.Json) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_counted(value: jsontext.Json) -> bool:
    return isinstance(value, list) and all(
        isinstance(each, list) and len(each) == 2 and _is_text(each[0]) and _is_whole(each[1])
        for each in value
    )


def _are_counts(value: jsontext.Json) -> bool:
    return isinstance(value, dict) and all(map(_is_whole, value.values()))


_SHAPES: dict[str, Callable[[jsontext.Json], bool]] = {
    **dict.fromkeys(Usage._fields, _is_text),
    "trigger_words": _are_words,
    "frequent_tags": _are_counted,
    "rank": lambda value: value is None or _is_whole(value),
    "alpha": lambda value: value is None or _is_number(value),
    "parameters": _is_whole,
    "dtypes": _are_counts,
}
