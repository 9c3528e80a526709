"""A sidecar's word in the form in which a library keeps it, and back."""

from __future__ import annotations

import json
from typing import Any

from mlib.core.sidecars.record import Sidecar


def packed(sidecar: Sidecar) -> str:
    """As JSON, without what it does not say."""
    said = {name: value for name, value in sidecar._asdict().items() if value not in ("", (), {}, None)}
    return json.dumps(said, ensure_ascii=True)


def unpacked(text: str) -> Sidecar:
    """The Sidecar that `packed` made this of; what another version kept beside it is passed over."""
    said: dict[str, Any] = json.loads(text)
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in said.items()
        if name in Sidecar._fields
    }
    return Sidecar(**kept)
