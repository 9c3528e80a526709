"""An inspection in the form in which a library keeps it, and back."""

from __future__ import annotations

import json
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from mlib.core.kinds.usage import Usage
from mlib.core.models import Content
from mlib.core.text import visible

if TYPE_CHECKING:
    from mlib.core.inspection import Inspection

_NAMES = tuple(each.name for each in fields(Usage))


def content_of(sha256: str, inspection: Inspection) -> Content:
    """What is kept of an inspection, beside its header and its findings: text that can be kept and shown."""
    return Content(
        sha256=sha256,
        format=inspection.header.format,
        kind=inspection.kind,
        base_model=inspection.base_model,
        evidence=tuple(visible(" ".join(line.split())) for line in inspection.evidence),
        usage_json=json.dumps({name: getattr(inspection.usage, name) for name in _NAMES}, default=dict),
    )


def usage_of(usage_json: str) -> Usage:
    """The Usage that was kept; what another version kept beside it is passed over."""
    kept: dict[str, Any] = json.loads(usage_json)
    known = {name: kept[name] for name in _NAMES if name in kept}
    for name in ("trigger_words", "frequent_tags"):
        known[name] = tuple(tuple(item) if isinstance(item, list) else item for item in known.get(name, ()))
    return Usage(**known)
