"""Roots that are not there now: what lies in them is not gone."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.standing import standing
from mlib.db import roots

if TYPE_CHECKING:
    from mlib.core.models import Root
    from mlib.db.library import Library


def roots_away(library: Library) -> list[Root]:
    """The roots that cannot be asked now: absent, unreadable, or empty although files are known in them."""
    holding = roots.present_counts(library)
    states = [(root, standing(root.path)) for root in roots.all_roots(library)]
    return [
        root
        for root, state in states
        if state in ("absent", "unreadable") or (state == "empty" and holding.get(root.id or 0))
    ]
