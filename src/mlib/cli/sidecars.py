"""What sidecars say, as JSON and as lines of a page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.sidecars.record import Sidecar


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
