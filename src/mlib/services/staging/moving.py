"""Paths of another machine as they are on this one. Pure."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import WrongUsage

if TYPE_CHECKING:
    from collections.abc import Sequence


class Move(NamedTuple):
    """What lay below the directory `old` lies below `new`."""

    old: str
    new: str


def parse_move(text: str) -> Move:
    """`OLD=NEW` as it is typed: OLD a directory of the other machine, NEW one of this. Raises WrongUsage."""
    old, equals, new = text.partition("=")
    if not old or not new or not equals:
        raise WrongUsage(
            "bad_map", f"--map wants OLD=NEW, not '{text}'", hint="--map /old/models=/new/models"
        )
    return Move(old.rstrip("/\\") or old, os.path.abspath(new))


def moved(path: str, moves: Sequence[Move]) -> str:
    """`path` with its beginning changed by the move of the longest OLD that is a directory of it."""
    for move in sorted(moves, key=lambda each: len(each.old), reverse=True):
        rest = path[len(move.old) :]
        if path.startswith(move.old) and (not rest or rest[0] in "/\\" or move.old.endswith("/")):
            if "\\" in move.old:
                rest = rest.replace("\\", "/")
            return os.path.normpath(f"{move.new}/{rest.lstrip('/')}") if rest.strip("/") else move.new
    return path
