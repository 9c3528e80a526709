"""What a half-typed word may become: types, tags and names of models that begin with it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.comfyui import TYPE_FOLDERS
from mlib.core.query.matching import folded
from mlib.core.text import forms
from mlib.db import models, tags

if TYPE_CHECKING:
    from mlib.db.library import Library

#: More than this nobody reads.
_MOST = 100
_SHORTEST_SHA = 4
_SHA_SHOWN = 10


def types(library: Library, begun: str) -> list[str]:
    """Types in use or built into ComfyUI, in either case."""
    begun = folded(begun)
    return sorted(
        name for name in models.types(library) | set(TYPE_FOLDERS) if folded(name).startswith(begun)
    )


def tag_names(library: Library, begun: str) -> list[str]:
    """Tags in either case."""
    return tags.beginning_with(library, folded(begun), limit=_MOST)


def refs(library: Library, begun: str) -> list[str]:
    """Names of models and, of 4 digits or more, the short SHA-256s."""
    found = [
        name for form in forms(begun) for name in models.names_beginning_with(library, form, limit=_MOST)
    ]
    if len(begun) >= _SHORTEST_SHA and set(begun.lower()) <= set("0123456789abcdef"):
        shas = models.with_prefix(library, begun.lower(), limit=_MOST)
        found += [sha256[: max(_SHA_SHOWN, len(begun))] for sha256 in shas]
    return found
