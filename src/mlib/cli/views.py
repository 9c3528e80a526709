"""`show` and `inspect` output: a page for a terminal, tab-separated rows for a pipe."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from mlib.cli import output as fmt
from mlib.cli.layout import entry, heading, section
from mlib.core import jsontext, times
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.content_record import About
    from mlib.core.sets import FileSet
    from mlib.core.sidecars.record import Sidecar
    from mlib.services.describing import Detail, FilePlace


# --- Parts of a page

#: Number of training captions shown; the JSON has all of them.
_CAPTIONS = 5


def sidecar_lines(sidecar: Sidecar) -> Iterator[tuple[str, str]]:
    """Label and text of the usage hints that only sidecars contain: weight, negative words, source."""
    if sidecar.preferred_weight is not None:
        yield "weight", f"{sidecar.preferred_weight:g}"
    if sidecar.negative_text:
        yield "negative", sidecar.negative_text
    if sidecar.source_url:
        yield "source", sidecar.source_url


def what_it_is(about: About) -> Iterator[tuple[str, str]]:
    """Label and text for the kind, its evidence and the format."""
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
    """Label and text of the known usage hints: trigger words, captions, title, training."""
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
    """Label and text of each finding; serious ones are marked with `!`."""
    for path, finding in about.findings:
        mark = "! " if finding.serious else ""
        where = f" ({os.path.basename(path)})" if path and about.has_copies else ""
        yield mark + finding.code, finding.message + where


def pending_rows(about: About) -> Iterator[tuple[str, ...]]:
    """Kind, usage and findings as tab-separated rows."""
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


def field_values(detail: Detail, name: str) -> list[str]:
    """The bare values of one field, for scripts. Raises as `field_document` does."""
    from mlib.documents import field_document

    return _plain(field_document(detail, name))


def as_rows(detail: Detail, *, with_meta: bool) -> Iterator[tuple[str, ...]]:
    """Rows of field and value; one row for each file, tag and hash."""
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
    known = detail.about()
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
    for name, value in detail.hashes_by_name.items():
        if name != "sha256":
            yield name, value
    yield "created_at", times.iso(model.created_at) or ""
    yield "updated_at", times.iso(model.updated_at) or ""
    if with_meta:
        yield "meta", detail.meta_json or "{}"


def as_page(detail: Detail, *, with_meta: bool) -> Iterator[str]:
    """A page for a terminal: kind, usage, files, hashes, findings and, on request, metadata."""
    known = detail.about()
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
        yield from (f"  {name:<12} {value}" for name, value in detail.hashes_by_name.items())
        yield from _same_weights(detail)
    if known is not None and known.findings:
        yield heading("findings")
        yield from section(list(findings(known)))
    if detail.meta_json and with_meta:
        yield heading("metadata")
        for key, value in _leaves(jsontext.parse(detail.meta_json)):
            yield from entry(key, value)
    elif detail.meta_json:
        yield "  (more metadata: --meta)"


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
    known = detail.about()
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
            yield f"    with {visible(name)}" + (" (no usable information)" if silent else "")
        for whole in detail.sets:
            if place.file.path in whole.parts:
                yield f"    {_as_part(whole)}"
    if not detail.places:
        yield "  no file seen yet"


def _as_part(whole: FileSet) -> str:
    """The set a file is part of, and how much of it is missing."""
    count = len(whole.parts) + len(whole.missing)
    missing = f", {len(whole.missing)} missing" if whole.missing else ""
    if whole.kind == "folder":
        return f"in the model folder {visible(whole.name)} ({fmt.plural(count, 'file')}{missing})"
    return f"one of {count} parts{missing}: {visible(os.path.basename(whole.name))}"


def _beside(detail: Detail, place: FilePlace) -> list[str]:
    """The names of the companions of one file."""
    from mlib.core.sidecars.companions import companions

    at = (os.path.split(path) for path in detail.companions)
    names = [name for directory, name in at if directory == place.file.directory]
    return [companion.name for companion in companions(place.file.name, names)]


def _same_weights(detail: Detail) -> Iterator[str]:
    for other in detail.same_weights:
        where = other.path or "missing"
        yield from entry("same weights", f"{other.sha256[:10]} {other.name} ({where})")


def _plain(value: Any) -> list[str]:
    """A value for scripts: plain text, one line per item of a list of texts, else JSON."""
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
