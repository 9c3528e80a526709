"""Records as the lines of an export."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlib.core import jsontext
from mlib.core.exchange.records import FORMAT, VERSION
from mlib.core.models import Pending

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.exchange.records import Exported, Facts, Place
    from mlib.core.models import Root


def header_line(schema: str, roots: Iterator[Root] | list[Root], *, records: int) -> str:
    """The first line of an export that so many records follow."""
    listed: list[jsontext.Json] = [
        {"type": root.type, "path": root.path, "origin": root.origin, "any_file": root.any_file}
        for root in roots
    ]
    return jsontext.tame(
        {"format": FORMAT, "version": VERSION, "schema": schema, "records": records, "roots": listed}
    )


def line(exported: Exported) -> str:
    """The line of a model or of a pending import."""
    record = exported.record
    document: dict[str, Any] = {}
    if isinstance(record, Pending):
        document |= {"pending": True, "path": record.path}
    document |= {
        "sha256": record.sha256,
        "name": record.name,
        "type": record.type,
        "base_model": record.base_model,
        "size_bytes": record.size_bytes,
        "description": record.description,
        "notes": record.notes,
        "tags": list(exported.tags),
        "edited": sorted(record.edited),
        "created_at": record.created_at,
    }
    if isinstance(record, Pending):
        document |= {"claimed_hash": record.claimed_hash, "source": record.source}
    else:
        document |= {"updated_at": record.updated_at, "files": [_place(each) for each in exported.places]}
    document |= _facts(exported.facts)
    document["meta"] = _meta(exported.meta_json)
    return jsontext.tame(document)


def _place(place: Place) -> dict[str, Any]:
    said: dict[str, Any] = {"path": place.path, "root": place.root}
    if place.since is not None:
        said |= {"missing_since": place.since, "hashed_at": place.hashed_at}
    if place.given:
        said["given"] = sorted(place.given)
    return said


def _facts(facts: Facts) -> dict[str, Any]:
    content, hashes = facts.content, facts.hashes
    return {
        "hashes": {name: value for name, value in hashes._asdict().items() if value} if hashes else {},
        "content": content
        and {
            "format": content.format,
            "kind": content.kind,
            "base_model": content.base_model,
            "evidence": list(content.evidence),
            "usage": jsontext.parse(content.usage_json),
        },
        "findings": [
            {"code": code, "message": message, "serious": serious}
            for code, message, serious in facts.findings
        ],
    }


def _meta(meta_json: str | None) -> jsontext.Json:
    """Free metadata as an object; a text that is none, which no command of ours writes, under a name."""
    try:
        value = jsontext.parse(meta_json or "{}")
    except jsontext.NotJson:
        return {"unparsed": meta_json}
    return value if isinstance(value, dict) else {"value": value}
