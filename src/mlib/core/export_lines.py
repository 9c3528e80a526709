"""Read and write the lines of an export: one JSON object per line, with all that a library has on its models.

The first line is the header: `format`, `version`, the `schema` of the library it comes from, and its `roots`.
Then come the models, one per line sorted by SHA-256, then the pending imports (`"pending": true`). Times are
milliseconds since the epoch. A path may contain lone surrogates, which stand for bytes that are not UTF-8.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import jsontext
from mlib.core.comfyui.folders import canonical_type
from mlib.core.content_record import checked_usage
from mlib.core.errors import MlibError, Refused, WrongUsage
from mlib.core.payloads import strip_images
from mlib.core.records import TAGS, TEXT_FIELDS, Content, Model, OtherHashes, Pending, Root
from mlib.core.tag_spelling import checked_tag

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping


# --- Records

FORMAT = "mlib-export"
VERSION = 1


class BadLineError(Exception):
    """A line cannot be imported; the message says why."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class ExportedPlace(NamedTuple):
    """A path at which the model is or was, according to the exported library.

    `since` and `hashed_at` are set if that library had seen the file there and then missing. `root` is the
    path of its root, `given` the fields that sidecars filled there. `present` is known only when reading rows
    directly: it holds for one machine, so lines do not contain it.
    """

    path: str
    root: str | None = None
    since: int | None = None
    hashed_at: int | None = None
    given: frozenset[str] = frozenset()
    present: bool = False


class ExportedFacts(NamedTuple):
    """The facts about the content; each finding is (code, message, serious)."""

    content: Content | None = None
    hashes: OtherHashes | None = None
    findings: tuple[tuple[str, str, bool], ...] = ()


class Exported(NamedTuple):
    """One line: a model or a pending import with everything that belongs to it.

    `meta_json` is a JSON object as text, or None.
    """

    record: Model | Pending
    tags: tuple[str, ...]
    meta_json: str | None
    facts: ExportedFacts
    places: tuple[ExportedPlace, ...] = ()

    @property
    def present(self) -> list[str]:
        """The paths at which the model is present."""
        return [place.path for place in self.places if place.present]


class ExportHeader(NamedTuple):
    """The first line. `records` is the number of other lines; optional for exports made by hand."""

    version: int
    roots: tuple[Root, ...] = ()
    records: int | None = None


# --- Reading lines, which may come from anywhere, so every value is checked

_LONGEST_PATH = 32_767  # no system accepts more
_MOST = 2**63 - 1
_HEX = frozenset("0123456789abcdef")
_HASH_LENGTHS = {"autov1": 8, "autov3": 64, "crc32": 8, "blake3": 64}
_FIELDS = frozenset({*TEXT_FIELDS, TAGS})


def header_of(text: str, *, path: str) -> ExportHeader:
    """Read the header from a first line. Raises MlibError (`unknown_export`), Refused (`export_too_new`)."""
    try:
        document = jsontext.parse(text)
    except jsontext.NotJson:
        document = None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MlibError("unknown_export", f"not an export of mlib: {path}")
    try:
        header = _header(document)
    except BadLineError as error:
        message = f"the header of this export is damaged: {error.message}: {path}"
        raise MlibError("unknown_export", message) from error
    if header.version > VERSION:
        raise Refused(
            "export_too_new",
            f"this export was made by a newer mlib (version {header.version} of the format): {path}",
            hint="upgrade mlib",
        )
    return header


def _header(document: Mapping[str, jsontext.Json]) -> ExportHeader:
    version = _whole(document, "version")
    if not version:
        raise BadLineError("no version")
    if version > VERSION:  # its roots may have another form
        return ExportHeader(version)
    return ExportHeader(version, tuple(map(_root, _list(document, "roots"))), _whole(document, "records"))


def exported_of(text: str) -> Exported:
    """Read a line. Raises BadLineError."""
    try:
        document = jsontext.parse(text)
    except jsontext.NotJson as error:
        raise BadLineError(f"not JSON: {error}") from error
    if not isinstance(document, dict):
        raise BadLineError("not a JSON object")
    sha256 = _digest(document, "sha256", 64)
    common: dict[str, Any] = {
        "sha256": sha256,
        "name": _text(document, "name"),
        "type": _text(document, "type") or "other",
        "base_model": _text(document, "base_model"),
        "size_bytes": _whole(document, "size_bytes"),
        "description": _text(document, "description"),
        "notes": _text(document, "notes"),
        "created_at": _whole(document, "created_at") or 0,
        "edited": _fields(document.get("edited")),
    }
    tags = tuple(_tag(each) for each in _list(document, "tags"))
    meta_json = _meta_text(document.get("meta"))
    if document.get("pending") is True:
        path = _path(document.get("path"))
        claimed = document.get("claimed_hash")
        if claimed is not None:
            claimed = _digest(document, "claimed_hash", None)
        if not path and sha256 is None:
            raise BadLineError("neither a path nor a hash")
        pending = Pending(
            path=path, source=_text(document, "source"), claimed_hash=claimed, tags=tags, meta_json=meta_json,
            **common,
        )  # fmt: skip
        return Exported(pending, tags, meta_json, _facts_of(document, sha256))
    if sha256 is None:
        raise BadLineError("no sha256")
    model = Model(updated_at=_whole(document, "updated_at") or 0, **common)
    places = tuple(_place_of(each) for each in _list(document, "files"))
    return Exported(model, tags, meta_json, _facts_of(document, sha256), places)


def _meta_text(value: jsontext.Json) -> str | None:
    if value is not None and not isinstance(value, dict):
        raise BadLineError("meta is not an object")
    return strip_images(jsontext.dump(value)).text if value else None


def _root(value: jsontext.Json) -> Root:
    if not isinstance(value, dict):
        raise BadLineError("a root is not an object")
    kind, path = canonical_type(_text(value, "type")), _path(value.get("path"))
    if not kind or not path.startswith("/") or path.strip("/") == "":
        raise BadLineError("a root has no type or no absolute path")
    return Root(kind, path, _text(value, "origin") or "import", value.get("any_file") is True)


def _place_of(value: jsontext.Json) -> ExportedPlace:
    if not isinstance(value, dict):
        raise BadLineError("a file is not an object")
    path, root = _path(value.get("path")), value.get("root")
    if not path.rpartition("/")[2]:
        raise BadLineError("a file has no name")
    since = _whole(value, "missing_since")
    return ExportedPlace(
        path=path,
        root=None if root is None else _path(root),
        since=since,
        hashed_at=None if since is None else _whole(value, "hashed_at"),
        given=_fields(value.get("given")),
    )


def _facts_of(document: Mapping[str, jsontext.Json], sha256: str | None) -> ExportedFacts:
    if sha256 is None:
        return ExportedFacts()
    listed = document.get("hashes") or {}
    if not isinstance(listed, dict):
        raise BadLineError("hashes is not an object")
    known = {name: _digest(listed, name, length) for name, length in _HASH_LENGTHS.items()}
    findings = []
    for each in _list(document, "findings"):
        if not isinstance(each, dict) or not _text(each, "code"):
            raise BadLineError("a finding has no code")
        findings.append((_text(each, "code"), _text(each, "message"), each.get("serious") is True))
    return ExportedFacts(
        content=_content_of(document.get("content"), sha256),
        hashes=OtherHashes(**known) if any(known.values()) else None,
        findings=tuple(findings),
    )


def _content_of(value: jsontext.Json, sha256: str) -> Content | None:
    if value is None:
        return None
    usage = checked_usage(value.get("usage")) if isinstance(value, dict) else None
    if not isinstance(value, dict) or usage is None:
        raise BadLineError("content or usage has the wrong form")
    evidence = [each for each in _list(value, "evidence") if isinstance(each, str)]
    if any("\n" in each or not _is_storable(each) for each in evidence):
        raise BadLineError("evidence is not a list of lines")
    format_, kind, base_model = (_text(value, name) for name in ("format", "kind", "base_model"))
    return Content(sha256, format_, kind, base_model, tuple(evidence), usage)


def _text(document: Mapping[str, jsontext.Json], name: str) -> str:
    value = document.get(name)
    if value is None:
        return ""
    if not isinstance(value, str) or isinstance(value, jsontext.Number) or not _is_storable(value):
        raise BadLineError(f"{name} is not text")
    return value


def _is_storable(text: str) -> bool:
    return "\0" not in text and (text.isascii() or not any("\ud800" <= each <= "\udfff" for each in text))


def _whole(document: Mapping[str, jsontext.Json], name: str) -> int | None:
    value = document.get(name)
    if value is None:
        return None
    if not isinstance(value, jsontext.Number) or not (
        value.isascii() and value.isdigit() and len(value) < 20
    ):
        raise BadLineError(f"{name} is not a whole number")
    if int(str(value)) > _MOST:
        raise BadLineError(f"{name} is too large")
    return int(str(value))


def _digest(document: Mapping[str, jsontext.Json], name: str, length: int | None) -> str | None:
    value = _text(document, name)
    if not value:
        return None
    if not _HEX.issuperset(value) or (len(value) != length if length else not 8 <= len(value) <= 64):
        raise BadLineError(f"{name} is not such a hash")
    return value


def _path(value: jsontext.Json) -> str:
    if value is None:
        return ""
    if not isinstance(value, str) or isinstance(value, jsontext.Number) or "\0" in value:
        raise BadLineError("a path is not text")
    if len(value) > _LONGEST_PATH:
        raise BadLineError(f"a path is {len(value)} characters long")
    try:
        value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        raise BadLineError("a path has an unpaired surrogate") from None
    return value


def _list(document: Mapping[str, jsontext.Json], name: str) -> list[jsontext.Json]:
    value = document.get(name)
    if value is not None and not isinstance(value, list):
        raise BadLineError(f"{name} is not a list")
    return value or []


def _fields(value: jsontext.Json) -> frozenset[str]:
    listed = [each for each in value if isinstance(each, str)] if isinstance(value, list) else []
    return _FIELDS.intersection(listed)


def _tag(value: jsontext.Json) -> str:
    if not isinstance(value, str) or isinstance(value, jsontext.Number):
        raise BadLineError("a tag is not text")
    try:
        return checked_tag(value)
    except WrongUsage as error:
        raise BadLineError(error.message) from error


# --- Writing lines


def header_line(schema: str, roots: Iterator[Root] | list[Root], *, records: int) -> str:
    """The first line of an export of `records` lines."""
    listed: list[jsontext.Json] = [
        {"type": root.type, "path": root.path, "origin": root.origin, "any_file": root.any_file}
        for root in roots
    ]
    return jsontext.dump_safe(
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
    return jsontext.dump_safe(document)


def _place(place: ExportedPlace) -> dict[str, Any]:
    said: dict[str, Any] = {"path": place.path, "root": place.root}
    if place.since is not None:
        said |= {"missing_since": place.since, "hashed_at": place.hashed_at}
    if place.given:
        said["given"] = sorted(place.given)
    return said


def _facts(facts: ExportedFacts) -> dict[str, Any]:
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
    """Free metadata as an object; other values, which mlib never writes, are wrapped under a key."""
    try:
        value = jsontext.parse(meta_json or "{}")
    except jsontext.NotJson:
        return {"unparsed": meta_json}
    return value if isinstance(value, dict) else {"value": value}
