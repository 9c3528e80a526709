"""What models look like: as JSON, as tab-separated rows, and as a page for a person."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.cli import output as fmt
from mlib.cli.layout import entry, heading, section
from mlib.core import jsontext, meta, times
from mlib.core.errors import NotFound, WrongUsage
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlib.core.formats.header import Finding, Header
    from mlib.core.inspection import Inspection
    from mlib.core.kinds.usage import Usage
    from mlib.core.records import KnownFile
    from mlib.core.sets import FileSet
    from mlib.core.sidecars.record import Sidecar
    from mlib.services.describing import Detail, Place


# --- What sidecars say, as JSON and as lines of a page.


def sidecar_json(sidecar: Sidecar) -> dict[str, Any]:
    """All of it, but for what was not said."""
    document: dict[str, Any] = {
        "kind": sidecar.kind,
        "name": sidecar.name,
        "version": sidecar.version,
        "type": sidecar.type,
        "base_model": sidecar.base_model,
        "trigger_words": list(sidecar.trigger_words),
        "description": sidecar.description,
        "tags": list(sidecar.tags),
        "notes": sidecar.notes,
        "negative_text": sidecar.negative_text,
        "preferred_weight": sidecar.preferred_weight,
        "author": sidecar.author,
        "source_url": sidecar.source_url,
        "hashes": dict(sidecar.hashes),
    }
    return {key: value for key, value in document.items() if value not in ("", [], {}, None)}


def sidecar_lines(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Label and text of what helps to use the model and no header tells."""
    if sidecar.preferred_weight is not None:
        yield "weight", f"{sidecar.preferred_weight:g}"
    if sidecar.negative_text:
        yield "negative", sidecar.negative_text
    if sidecar.source_url:
        yield "source", sidecar.source_url


# --- What a file says of itself, as JSON, as rows and as lines of a page: for `show` and `inspect` alike.

#: Captions of training images that are shown; the rest is in the JSON.
_CAPTIONS = 5


class About(NamedTuple):
    """Kind, base model and the rest of one content; `findings` with the path they are about, or None.

    A header that `is_kept` in a library holds no images any more.
    """

    format: str
    kind: str
    base_model: str
    evidence: tuple[str, ...]
    usage: Usage
    findings: tuple[tuple[str | None, Finding], ...]
    header: Header | None = None
    trained_on: Mapping[str, str] = {}
    sidecars: tuple[Sidecar, ...] = ()
    is_kept: bool = False
    has_copies: bool = False


def of_detail(detail: Detail, *, with_header: bool = False) -> About | None:
    """What is kept about a model's content; None if no scan has looked into it yet."""
    if detail.content is None:
        return None
    from mlib.core.content_record import usage_of

    usage = usage_of(detail.content.usage_json)
    if detail.sidecars:
        from mlib.core.sidecars.filling import with_sidecars

        usage = with_sidecars(usage, detail.sidecars)
    header = None
    if with_header and detail.header is not None:
        from mlib.core.formats.header import unpack

        with suppress(ValueError):  # kept by another version, or damaged: the rest is as good without it
            header = unpack(detail.header)
    known = detail.trained_on
    return About(
        format=detail.content.format,
        kind=detail.content.kind,
        base_model=detail.content.base_model,
        evidence=detail.content.evidence,
        usage=usage,
        sidecars=detail.sidecars,
        is_kept=True,
        has_copies=len(detail.places) > 1,
        findings=detail.findings,
        header=header,
        trained_on={"sha256": known.sha256, "name": known.name} if known else {},
    )


def of_inspection(
    inspection: Inspection,
    findings: tuple[tuple[str | None, Finding], ...],
    sidecars: tuple[Sidecar, ...],
) -> About:
    """What was just read from a file."""
    return About(
        format=inspection.header.format,
        kind=inspection.kind,
        base_model=inspection.base_model,
        evidence=inspection.evidence,
        usage=inspection.usage,
        findings=findings,
        header=inspection.header,
        sidecars=sidecars,
    )


def pending_json(about: About | None) -> dict[str, Any]:
    """The keys that tell of content in `show --json` and `inspect --json`; unknown is null or empty."""
    if about is None:
        empty: dict[str, Any] = {"kind": None, "kind_evidence": [], "format": None, "trigger_words": []}
        return {**empty, "findings": [], "header": {}, "sidecars": []}
    return {
        "kind": about.kind,
        "kind_evidence": list(about.evidence),
        "format": about.format,
        "trigger_words": list(about.usage.trigger_words),
        "findings": [_finding(path, finding) for path, finding in about.findings],
        "header": _header(about),
        "sidecars": [sidecar_json(sidecar) for sidecar in about.sidecars],
    }


def _finding(path: str | None, finding: Finding) -> dict[str, Any]:
    return {
        "code": finding.code,
        "message": finding.message,
        "serious": finding.serious,
        "path": path,
    }


def _header(about: About) -> dict[str, Any]:
    usage = about.usage
    document: dict[str, Any] = {
        "base_model": about.base_model,
        "title": usage.title,
        "author": usage.author,
        "license": usage.license,
        "resolution": usage.resolution,
        "rank": usage.rank,
        "alpha": usage.alpha,
        "precision": usage.precision,
        "parameters": usage.parameters,
        "dtypes": dict(usage.dtypes),
        "frequent_tags": dict(usage.frequent_tags),
        "trained_on": {
            "name": usage.trained_on,
            "sha256": usage.trained_on_sha256 or None,
            "hash": usage.trained_on_hash or None,
            "model": dict(about.trained_on) or None,
        },
    }
    if about.header is not None:
        document["tensors"] = len(about.header.tensors)
        document["details"] = dict(about.header.details)
        document["metadata"] = (
            dict(about.header.metadata) if about.is_kept else _without_images(about.header.metadata)
        )
    return document


def _without_images(metadata: Mapping[str, str]) -> Any:
    from mlib.core import jsontext
    from mlib.core.payloads import strip_images

    return jsontext.Raw(strip_images(jsontext.dump(dict(metadata))).text)


def what_it_is(about: About) -> Iterator[tuple[str, str]]:
    """Label and text of what the content is."""
    yield "kind", about.kind + (f" for {about.base_model}" if about.base_model else "")
    for number, line in enumerate(about.evidence):
        yield ("because" if number == 0 else ""), line
    usage = about.usage
    parts = [about.format, usage.precision]
    if usage.rank is not None:
        parts.append(f"rank {usage.rank}" + (f", alpha {usage.alpha:g}" if usage.alpha is not None else ""))
    if usage.parameters:
        parts.append(f"{fmt.count(usage.parameters)} parameters")
    yield "format", ", ".join(filter(None, parts))


def how_to_use(about: About) -> Iterator[tuple[str, str]]:
    """Label and text of what helps to use it; nothing where the file does not say."""
    usage = about.usage
    if usage.trigger_words:
        yield "trigger", ", ".join(usage.trigger_words)
    if usage.frequent_tags:
        yield "captions", ", ".join(f"{tag} ({count})" for tag, count in usage.frequent_tags[:_CAPTIONS])
    for label, text in (
        ("title", usage.title),
        ("author", usage.author),
        ("license", usage.license),
        ("resolution", usage.resolution),
        ("trained on", _trained_on(about)),
    ):
        if text:
            yield label, text
    said: dict[str, str] = {}
    for sidecar in about.sidecars:
        for label, text in sidecar_lines(sidecar):
            said.setdefault(label, text)
    yield from said.items()


def _trained_on(about: About) -> str:
    usage = about.usage
    if about.trained_on:
        return f"{about.trained_on['name']} ({about.trained_on['sha256'][:10]}, in this library)"
    short = usage.trained_on_sha256[:10] or usage.trained_on_hash
    return f"{usage.trained_on} ({short})" if usage.trained_on and short else usage.trained_on or short


def findings(about: About) -> Iterator[tuple[str, str]]:
    """Label and text of what its owner should know, the serious marked."""
    for path, finding in about.findings:
        mark = "! " if finding.serious else ""
        where = f" ({os.path.basename(path)})" if path and about.has_copies else ""
        yield mark + finding.code, finding.message + where


def pending_rows(about: About) -> Iterator[tuple[str, ...]]:
    """The same as tab-separated rows."""
    yield "kind", about.kind
    yield "format", about.format
    for line in about.evidence:
        yield "kind_evidence", line
    usage = about.usage
    if usage.precision:
        yield "precision", usage.precision
    if usage.parameters:
        yield "parameters", str(usage.parameters)
    if usage.rank is not None:
        yield "rank", str(usage.rank)
    if usage.alpha is not None:
        yield "alpha", f"{usage.alpha:g}"
    for word in about.usage.trigger_words:
        yield "trigger_word", word
    for label, text in how_to_use(about):
        if label not in ("trigger", "captions"):
            yield label.replace(" ", "_"), text
    for path, finding in about.findings:
        yield "finding", finding.code, finding.message, "serious" if finding.serious else "", path or ""


def summary(about: About) -> str:
    """One line: what it is, and how many things are wrong."""
    return visible(about.kind + (f" for {about.base_model}" if about.base_model else ""))


def as_json(detail: Detail) -> dict[str, Any]:
    """The object of `show --json` (a contract: keys are only ever added)."""
    model, entry = detail.model, detail.pending
    document: dict[str, Any] = {
        "sha256": model.sha256 or None,
        "name": model.name,
        "type": model.type,
        "base_model": model.base_model,
        "size_bytes": model.size_bytes,
        "description": model.description,
        "notes": model.notes,
        "tags": list(detail.tags),
        "present": detail.present,
        "created_at": times.iso(model.created_at),
        "updated_at": times.iso(model.updated_at),
        "files": [file_json(place.file, place.loader_name, offline=place.offline) for place in detail.places],
        "hashes": _hashes(detail),
        "meta": jsontext.Raw(detail.meta_json or "{}"),
        "edited": sorted(model.edited),
        "pending": entry is not None,
        **pending_json(of_detail(detail, with_header=True)),
        "same_weights": [
            {"sha256": other.sha256, "name": other.name, "path": other.path} for other in detail.same_weights
        ],
        "companions": list(detail.companions),
        "silent_sidecars": list(detail.silent),
        "sets": [
            {
                "kind": each.kind,
                "name": each.name,
                "parts": list(each.parts),
                "missing": list(each.missing),
                "listed_by": list(each.listed_by),
            }
            for each in detail.sets
        ],
    }
    if entry is not None:
        document |= {
            "id": entry.id,
            "path": entry.path,
            "source": entry.source,
            "claimed_hash": entry.claimed_hash,
        }
    return document


def field_values(detail: Detail, name: str) -> list[str]:
    """The bare values of one field, for scripts. Raises as `field` does."""
    return _plain(field(detail, name))


def field(detail: Detail, name: str) -> Any:
    """One field as the JSON of a model has it, or made of that.

    Raises WrongUsage for a field that does not exist, NotFound for the path of a model that is nowhere now.
    """
    name = name.strip().replace("-", "_")
    if name.startswith("meta."):
        return _meta_value(detail, name.removeprefix("meta."))
    there = [place for place in detail.places if place.is_there]
    if name == "paths":
        return [place.file.path for place in there]
    if name in ("path", "loader_name"):
        return _path_value(detail, there, name)
    document = as_json(detail)
    values = {**document, **document["hashes"]}
    if name in values:
        return values[name]
    fields = ", ".join([*document, "path", "paths", "loader_name", "meta.KEY", *document["hashes"]])
    raise WrongUsage("unknown_field", f"there is no field '{name}'", hint=f"fields: {fields}")


def _path_value(detail: Detail, there: list[Place], name: str) -> str:
    if there:
        return there[0].file.path if name == "path" else there[0].loader_name or ""
    if detail.pending is not None and name == "path":
        return detail.pending.path
    if detail.offline:
        raise NotFound(
            "no_file",
            f"no file of the model is there now: {visible(detail.model.name)}",
            hint=f"is a drive off? it was last seen at {visible(detail.places[0].file.path)}",
        )
    raise NotFound("no_file", f"no file of the model is present: {visible(detail.model.name)}")


def as_rows(detail: Detail, *, with_meta: bool) -> Iterator[tuple[str, ...]]:
    """Field and value, tab-separated; a file, tag or hash a row."""
    model = detail.model
    if detail.pending is not None:
        yield "pending", str(detail.pending.id)
        yield "path", detail.pending.path
    yield "sha256", model.sha256
    yield "name", model.name
    yield "type", model.type
    yield "base_model", model.base_model
    yield "size_bytes", "" if model.size_bytes is None else str(model.size_bytes)
    yield "description", model.description
    yield "notes", model.notes
    for tag in detail.tags:
        yield "tag", tag
    known = of_detail(detail)
    if known is not None:
        yield from pending_rows(known)
    for other in detail.same_weights:
        yield "same_weights", other.sha256, other.name, other.path or ""
    for path in detail.companions:
        yield "companion", path
    for path in detail.silent:
        yield "silent_sidecar", path
    for each in detail.sets:
        yield "set", each.kind, each.name, str(len(each.parts)), str(len(each.missing))
    for place in detail.places:
        since = times.iso(place.file.missing_since)
        here = "offline" if place.offline else "present"
        yield (
            "file",
            place.file.path,
            place.loader_name or "",
            here if since is None else f"missing since {since}",
        )
    for name, value in _hashes(detail).items():
        if name != "sha256":
            yield name, value
    yield "created_at", times.iso(model.created_at) or ""
    yield "updated_at", times.iso(model.updated_at) or ""
    if with_meta:
        yield "meta", detail.meta_json or "{}"


def as_page(detail: Detail, *, with_meta: bool) -> Iterator[str]:
    """A page for a person: what it is, where it is, its hashes; our own marks are the only ones in it."""

    known = of_detail(detail)
    yield heading(_title(detail)) + _state(detail)
    yield heading("what it is")
    yield from _description(detail)
    if known is not None and (use := list(how_to_use(known))):
        yield heading("how to use it")
        for label, text in use:
            yield from entry(label, text)
    yield heading("where it is")
    yield from _places(detail)
    if detail.model.sha256:
        yield heading("hashes")
        yield from (f"  {name:<12} {value}" for name, value in _hashes(detail).items())
        yield from _same_weights(detail)
    if known is not None and known.findings:
        yield heading("findings")
        yield from section(list(findings(known)))
    if detail.meta_json and with_meta:
        yield heading("metadata")
        for key, value in _leaves(jsontext.parse(detail.meta_json)):
            yield from entry(key, value)
    elif detail.meta_json:
        yield "  (there is metadata: --meta shows it)"


def _title(detail: Detail) -> str:
    path = detail.pending.path if detail.pending else ""
    return visible(detail.model.name or path or detail.model.sha256)


def _state(detail: Detail) -> str:
    if detail.pending is not None:
        return f"  (pending import {detail.pending.id})"
    if detail.offline:
        return "  (offline)"
    return "" if detail.present else "  (missing)"


def _description(detail: Detail) -> Iterator[str]:
    model = detail.model
    yield from entry("type", model.type + (f", {model.base_model}" if model.base_model else ""))
    known = of_detail(detail)
    if known is not None:
        for label, text in what_it_is(known):
            yield from entry(label, text)
    yield from entry("size", fmt.exact_size(model.size_bytes))
    if detail.tags:
        yield from entry("tags", ", ".join(f'"{tag}"' if "," in tag else tag for tag in detail.tags))
    for label in ("description", "notes"):
        if text := getattr(model, label):
            yield from entry(label, text)
    yield from entry("added", fmt.moment(model.created_at))
    if model.updated_at != model.created_at:
        yield from entry("updated", fmt.moment(model.updated_at))


def _places(detail: Detail) -> Iterator[str]:
    if detail.pending is not None:
        yield f"  {visible(detail.pending.path)}"
        return
    for place in detail.places:
        path = visible(place.file.path)
        if place.file.missing_since is not None:
            yield f"  missing since {fmt.moment(place.file.missing_since)}: {path}"
            continue
        if place.offline:
            yield f"  offline: {path}"
            continue
        yield f"  {path}"
        if place.loader_name:
            yield f"    as {visible(place.loader_name)}"
        for name in _beside(detail, place):
            silent = os.path.join(place.file.directory, name) in detail.silent
            yield f"    with {visible(name)}" + (", which says nothing" if silent else "")
        for whole in detail.sets:
            if place.file.path in whole.parts:
                yield f"    {_as_part(whole)}"
    if not detail.places:
        yield "  no file of it has been seen"


def _as_part(whole: FileSet) -> str:
    """What a file is a part of, and what is missing of that."""
    count = len(whole.parts) + len(whole.missing)
    missing = f", {len(whole.missing)} missing" if whole.missing else ""
    if whole.kind == "folder":
        return f"in the model folder {visible(whole.name)} ({fmt.plural(count, 'file')}{missing})"
    return f"one of {count} parts{missing}: {visible(os.path.basename(whole.name))}"


def _beside(detail: Detail, place: Place) -> list[str]:
    """The names of the companions of one file."""
    from mlib.core.sidecars.companions import companions

    at = (os.path.split(path) for path in detail.companions)
    names = [name for directory, name in at if directory == place.file.directory]
    return [companion.name for companion in companions(place.file.name, names)]


def _same_weights(detail: Detail) -> Iterator[str]:
    for other in detail.same_weights:
        where = other.path or "missing"
        yield from entry("same weights", f"{other.sha256[:10]} {other.name} ({where})")


def file_json(file: KnownFile, loader_name: str | None, *, offline: bool) -> dict[str, Any]:
    """An element of `files`, in `show --json` and `list --json`.

    `present` is what scans have found, `offline` that it is not there now all the same.
    """
    return {
        "path": file.path,
        "loader_name": loader_name,
        "present": file.missing_since is None,
        "offline": offline,
        "missing_since": times.iso(file.missing_since),
        "size_bytes": file.stat.size_bytes if file.stat else None,
        "mtime": times.iso(file.stat.mtime_ns // 1_000_000) if file.stat else None,
    }


def _hashes(detail: Detail) -> dict[str, str]:
    sha256 = detail.model.sha256
    if not sha256:
        return {}
    known = detail.hashes
    hashes = {
        "sha256": sha256,
        "autov1": known.autov1,
        "autov2": sha256[:10],
        "autov3": known.autov3[:12] if known.autov3 else None,
        "sha256_12": sha256[:12],
        "crc32": known.crc32,
        "blake3": known.blake3,
    }
    found = {name: value for name, value in hashes.items() if value}
    xxh3 = next((place.file.xxh3 for place in detail.places if place.file.xxh3), None)
    return {**found, "xxh3_128": xxh3} if xxh3 else found


def _meta_value(detail: Detail, key: str) -> Any:
    document = jsontext.parse(detail.meta_json or "{}")
    try:
        return meta.read(document if isinstance(document, dict) else {}, key)
    except KeyError:
        raise NotFound("no_such_key", f"the metadata has no '{key}'") from None


def _plain(value: Any) -> list[str]:
    """A value as a script wants it: text bare, a list of plain values a line each, the rest as JSON."""
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return [str(item) for item in value]
    if value is None:
        return [""]
    if isinstance(value, str):
        return [str(value)]
    return [jsontext.dump(value)]


def _leaves(value: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield visible(prefix), str(value) if isinstance(value, str) else jsontext.dump(value)
