"""What the safetensors library itself says of a file: the judge of our own reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

import safetensors

if TYPE_CHECKING:
    from collections.abc import Callable

_deserialize: Callable[[bytes], object] = safetensors.deserialize


def refusal(content: bytes) -> str | None:
    """Why the library refuses a file, or None if it opens it."""
    try:
        _deserialize(content)
    except safetensors.SafetensorError as error:
        return str(error)
    return None
