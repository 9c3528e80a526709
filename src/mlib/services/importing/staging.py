"""Stage pending imports: merge rows for one path, and map paths of another machine to this one. Pure."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import jsontext, meta
from mlib.core.errors import Hint, WrongUsage
from mlib.core.records import TEXT_FIELDS, Pending
from mlib.core.text import composed
from mlib.db import pending

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.export_lines import Exported
    from mlib.core.records import Root
    from mlib.db.library import Library


# --- Merging with what is pending at the same path


@dataclass(frozen=True, slots=True)
class UnusableRow:
    """A row that could not be staged."""

    path: str
    code: str
    message: str


def merge_pending(library: Library, entry: Pending) -> tuple[Pending, list[str]]:
    """What waits at this path already, typed since or said by another row, and what `entry` adds to it.

    With the names of what they disagree on: there, what waits already stays.
    """
    here = pending.at_path(library, entry.path)
    old = next((old for old in here if old.sha256 == entry.sha256 or old.id == entry.id), None)
    if old is None and entry.claimed_hash is not None:  # a scan may have completed it since
        old = next((old for old in here if old.claimed_hash == entry.claimed_hash), None)
    if old is None:
        return entry, []
    text = {name: getattr(entry, name) for name in TEXT_FIELDS if name in entry.edited}
    added = {name: value for name, value in text.items() if name not in old.edited}
    differs = [name for name, value in text.items() if name in old.edited and getattr(old, name) != value]
    free, new = (jsontext.parse(one.meta_json or "{}") for one in (old, entry))
    meta_json = old.meta_json
    if isinstance(free, dict) and isinstance(new, dict):
        whole = meta.fill(free, new)
        differs += [f"meta.{key}" for key in meta.differing(whole, new)]
        meta_json = meta_json if whole == free else jsontext.dump(whole)
    whole_entry = old._replace(
        **added,
        sha256=entry.sha256 or old.sha256,
        claimed_hash=old.claimed_hash or entry.claimed_hash,
        size_bytes=entry.size_bytes if entry.observed or old.size_bytes is None else old.size_bytes,
        edited=old.edited | added.keys(),
        meta_json=meta_json,
        tags=(*old.tags, *entry.tags),
        observed=entry.observed or old.observed,
    )
    return whole_entry, differs


#: A path of Windows: with a drive, of a share, or with backslashes only.
_WINDOWS = re.compile(r"[A-Za-z]:|\\\\|[^/]*\\[^/]*$")
_EXTENDED = re.compile(r"^//[?.]/(UNC/)?", re.IGNORECASE)


class PathMap(NamedTuple):
    """What lay below the directory `old` of another machine lies below `new` here.

    `old` has its parts as they are compared: in either form of Unicode, and for Windows (`is_windows`) with
    either slash and in any case.
    """

    old: tuple[str, ...]
    new: str
    is_windows: bool = False


def parse_path_map(text: str) -> PathMap:
    """`OLD=NEW` as it is typed: OLD a directory of the other machine, NEW one of this. Raises WrongUsage."""
    old, equals, new = text.partition("=")
    if not old or not new or not equals:
        raise WrongUsage(
            "bad_map",
            f"expected OLD=NEW, not '{text}'",
            hint=Hint("{}", ("--map", "/old/models=/new/models")),
        )
    is_windows = _WINDOWS.match(old) is not None
    return PathMap(_compared(old, is_windows), os.path.abspath(os.path.expanduser(new)), is_windows)


def map_path(path: str, moves: Sequence[PathMap]) -> str:
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


def map_record(exported: Exported, moves: Sequence[PathMap]) -> Exported:
    """A record with all its paths moved."""
    if not moves:
        return exported
    places = tuple(
        place._replace(path=map_path(place.path, moves), root=place.root and map_path(place.root, moves))
        for place in exported.places
    )
    record = exported.record
    if isinstance(record, Pending):
        record = record._replace(path=map_path(record.path, moves))
    return exported._replace(record=record, places=places)


def map_root(root: Root, moves: Sequence[PathMap]) -> Root:
    """A root with its path moved, and that of the ComfyUI or file that named it."""
    kind, colon, place = root.origin.partition(":")
    origin = f"{kind}:{map_path(place, moves)}" if colon else root.origin
    return root._replace(path=map_path(root.path, moves), origin=origin)
