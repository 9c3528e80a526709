"""Paths of another machine as they are on this one. Pure."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import WrongUsage
from mlib.core.models import Pending
from mlib.core.text import composed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.exchange import Exported
    from mlib.core.models import Root


#: A path of Windows: with a drive, of a share, or with backslashes only.
_WINDOWS = re.compile(r"[A-Za-z]:|\\\\|[^/]*\\[^/]*$")
_EXTENDED = re.compile(r"^//[?.]/(UNC/)?", re.IGNORECASE)


class Move(NamedTuple):
    """What lay below the directory `old` of another machine lies below `new` here.

    `old` has its parts as they are compared: in either form of Unicode, and for Windows (`is_windows`) with
    either slash and in any case.
    """

    old: tuple[str, ...]
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
    return Move(_compared(old, is_windows), os.path.abspath(os.path.expanduser(new)), is_windows)


def moved(path: str, moves: Sequence[Move]) -> str:
    """`path` with its beginning changed by the move of the longest OLD that is a directory of it."""
    for move in sorted(moves, key=lambda each: len(each.old), reverse=True):
        if _compared(path, move.is_windows)[: len(move.old)] == move.old:
            rest = _parts(path, move.is_windows)[len(move.old) :]
            return os.path.normpath(os.path.join(move.new, *rest))
    return path


def _compared(path: str, is_windows: bool) -> tuple[str, ...]:
    parts = _parts(path, is_windows)
    return tuple(composed(part).lower() if is_windows else composed(part) for part in parts)


def _parts(path: str, is_windows: bool) -> list[str]:
    """The names that a path is made of; where it is absolute, the slashes it begins with come first."""
    if is_windows:  # `\\\\?\\` lifts the limit on a path's length, and says nothing of where it leads
        path = _EXTENDED.sub(lambda found: "//" if found[1] else "", path.replace("\\", "/"), count=1)
    lead = ("//" if is_windows and path.startswith("//") else "/") if path.startswith("/") else ""
    return [*([lead] if lead else []), *filter(None, path.split("/"))]


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
