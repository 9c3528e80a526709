"""Paths of another machine as they are on this one. Pure."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import WrongUsage
from mlib.core.models import Pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.exchange import Exported
    from mlib.core.models import Root


#: A path of Windows: with a drive, of a share, or with backslashes only.
_WINDOWS = re.compile(r"[A-Za-z]:|\\\\|[^/]*\\[^/]*$")


class Move(NamedTuple):
    """What lay below the directory `old` of another machine lies below `new` here.

    `old` is as it is compared: of Windows (`is_windows`) with slashes and in lower case, for there neither
    the kind of slash nor case tells paths apart.
    """

    old: str
    new: str
    is_windows: bool = False


def parse_move(text: str) -> Move:
    """`OLD=NEW` as it is typed: OLD a directory of the other machine, NEW one of this. Raises WrongUsage."""
    old, equals, new = text.partition("=")
    if not old or not new or not equals:
        raise WrongUsage(
            "bad_map", f"--map wants OLD=NEW, not '{text}'", hint="--map /old/models=/new/models"
        )
    is_windows = _WINDOWS.match(old) is not None
    compared = old.replace("\\", "/").lower() if is_windows else old
    return Move(compared.rstrip("/") or "/", os.path.abspath(os.path.expanduser(new)), is_windows)


def moved(path: str, moves: Sequence[Move]) -> str:
    """`path` with its beginning changed by the move of the longest OLD that is a directory of it."""
    for move in sorted(moves, key=lambda each: len(each.old), reverse=True):
        told = path.replace("\\", "/") if move.is_windows else path
        compared = told.lower() if move.is_windows else told
        above = move.old if move.old.endswith("/") else f"{move.old}/"
        if compared == move.old or compared.startswith(above):
            rest = told[len(above) :].lstrip("/")
            return os.path.normpath(os.path.join(move.new, rest)) if rest else move.new
    return path


def moved_record(exported: Exported, moves: Sequence[Move]) -> Exported:
    """A record with all its paths moved."""
    if not moves:
        return exported
    places = tuple(
        place._replace(path=moved(place.path, moves), root=place.root and moved(place.root, moves))
        for place in exported.places
    )
    record = exported.record
    if isinstance(record, Pending):
        record = record._replace(path=moved(record.path, moves))
    return exported._replace(record=record, places=places)


def moved_root(root: Root, moves: Sequence[Move]) -> Root:
    """A root with its path moved, and that of the ComfyUI or file that named it."""
    kind, colon, place = root.origin.partition(":")
    origin = f"{kind}:{moved(place, moves)}" if colon else root.origin
    return root._replace(path=moved(root.path, moves), origin=origin)
