"""What a file says of itself, as JSON, as rows and as lines of a page: for `show` and `inspect` alike."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.cli import format as fmt
from mlib.cli.sidecars import sidecar_json, sidecar_lines
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlib.core.formats.header import Finding, Header
    from mlib.core.inspection import Inspection
    from mlib.core.kinds.usage import Usage
    from mlib.core.sidecars.record import Sidecar
    from mlib.services.catalog import Detail

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
    from mlib.core.keeping import usage_of

    usage = usage_of(detail.content.usage_json)
    if detail.sidecars:
        from mlib.core.sidecars.advice import with_sidecars

        usage = with_sidecars(usage, detail.sidecars)
    header = None
    if with_header and detail.header is not None:
        from mlib.core.formats.header_json import unpack

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


def as_json(about: About | None) -> dict[str, Any]:
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


def as_rows(about: About) -> Iterator[tuple[str, ...]]:
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
