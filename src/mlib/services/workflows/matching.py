"""Which file a loader would take for what a workflow names, as ComfyUI searches its folders."""

from __future__ import annotations

import os
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui import canonical_type
from mlib.core.walk import is_within
from mlib.db import files, placed, roots

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.models import KnownFile, Root
    from mlib.core.workflows.need import Need
    from mlib.db.library import Library

State = Literal["found", "ambiguous", "missing"]


class Place(NamedTuple):
    """A present file by the name its loader knows it by; both None where its root is not remembered."""

    path: str
    sha256: str
    type: str | None
    loader_name: str | None


class Match(NamedTuple):
    """What a need comes to. `places` are what its loader may take, the first first; none where it is missing.

    `kin` are present files of the same name elsewhere, `gone` contents that lay where the loader looks.
    """

    state: State
    places: tuple[Place, ...] = ()
    kin: tuple[Place, ...] = ()
    gone: tuple[str, ...] = ()


class Shelves:
    """The library's files by name, for some needs; to be used inside of one `reading`."""

    def __init__(self, library: Library, needs: Iterable[Need]) -> None:
        self.library = library
        self._roots = {root.id: (place, root) for place, root in enumerate(roots.all_roots(library))}
        self._rows: dict[str, list[placed.Placed]] = {}
        self.load({os.path.basename(need.name) for need in needs if need.form == "file"})

    def load(self, names: Iterable[str]) -> None:
        """Fetch the rows of files of these names, at once."""
        new = [name for name in names if name not in self._rows]
        self._rows.update((name, []) for name in new)
        for row in placed.named(self.library, new):
            self._rows[row.name].append(row)

    def named(self, name: str) -> list[placed.Placed]:
        """The rows of files of exactly this name."""
        self.load([name])
        return self._rows[name]

    @cached_property
    def names(self) -> list[str]:
        """The name of every file."""
        return placed.all_names(self.library)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(folded(name), []).append(name)
        return found

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(folded(os.path.splitext(name)[0]), []).append(name)
        return found

    def alike(self, name: str, *, stem: bool) -> list[placed.Placed]:
        """The rows of files of this name in any case, with any extension if it is a stem."""
        names = (self._stems if stem else self._folded).get(folded(name), ())
        self.load(names)
        return [row for each in names for row in self._rows[each]]

    def place(self, row: placed.Placed) -> Place:
        """Where a row's file is, in a loader's words."""
        path = os.path.join(row.directory, row.name)
        if row.root_id not in self._roots:
            return Place(path, row.sha256, None, None)
        root = self._roots[row.root_id][1]
        return Place(path, row.sha256, canonical_type(root.type), os.path.relpath(path, root.path))

    def place_of(self, row: KnownFile) -> Place:
        """Where a file is, in a loader's words."""
        return self.place(_placed(row))

    def in_order(self, rows: Iterable[placed.Placed]) -> list[placed.Placed]:
        """Rows as ComfyUI comes by them: its folders one after another."""
        last = len(self._roots)
        return sorted(
            rows, key=lambda row: (self._roots.get(row.root_id, (last,))[0], row.directory, row.name)
        )

    def roots_of(self, kind: str | None) -> list[Root]:
        """The remembered roots of a type."""
        return [root for _, root in self._roots.values() if canonical_type(root.type) == kind]


def folded(name: str) -> str:
    """A name without what file systems and people take lightly: case, and how accents are composed."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def match(shelves: Shelves, need: Need) -> Match:
    """What the library has for a need: under its very name, as ComfyUI compares what it lists."""
    if need.form == "folder":
        return _folder(shelves, need)
    if os.path.isabs(need.name):
        rows = [_placed(row) for row in files.at_path(shelves.library, os.path.normpath(need.name))]
        return _match(shelves, [row for row in rows if row.present], rows, need)
    stem = need.form == "stem"
    rows = [] if stem else shelves.named(os.path.basename(need.name))
    found = [row for row in rows if row.present and _is_meant(shelves.place(row), need)]
    if not found:
        rows = shelves.alike(os.path.basename(need.name), stem=stem)
        found = [row for row in rows if stem and row.present and _is_meant(shelves.place(row), need)]
    if not found and need.type is None:
        # Node packs have folders of their own, which ComfyUI's names do not begin at.
        tail = "/" + folded(_named(need.name, stem=stem))
        found = [row for row in rows if row.present and _tail(shelves.place(row), stem=stem).endswith(tail)]
    return _match(shelves, found, rows, need)


def _match(shelves: Shelves, found: list[placed.Placed], rows: list[placed.Placed], need: Need) -> Match:
    if found:
        places = tuple(shelves.place(row) for row in shelves.in_order(found))
        return Match("found" if len({place.sha256 for place in places}) == 1 else "ambiguous", places)
    gone = [row.sha256 for row in rows if not row.present and is_in_other_letters(shelves.place(row), need)]
    kin = tuple(shelves.place(row) for row in shelves.in_order(row for row in rows if row.present))
    return Match("missing", kin=kin, gone=tuple(dict.fromkeys(gone)))


def _folder(shelves: Shelves, need: Need) -> Match:
    """All files of a folder below a root of the type: one model in many parts."""
    for root in shelves.roots_of(need.type):
        tree = os.path.normpath(os.path.join(root.path, need.name))
        if tree == root.path or not is_within(tree, root.path):
            continue
        places = tuple(
            shelves.place_of(row)
            for directory in files.known_directories(shelves.library, tree)
            for row in files.in_directory(shelves.library, directory)
            if row.missing_since is None
        )
        if places:
            return Match("found", places)
    return Match("missing")


def is_in_other_letters(place: Place, need: Need) -> bool:
    """Whether this is the place that is meant but for the case of letters, and how accents are composed."""
    if not _is_of_type(place, need):
        return False
    return folded(_name_at(place, need)) == folded(need.name)


def _is_meant(place: Place, need: Need) -> bool:
    return _is_of_type(place, need) and _name_at(place, need) == need.name


def _is_of_type(place: Place, need: Need) -> bool:
    return place.loader_name is not None and need.type in (None, place.type)


def _name_at(place: Place, need: Need) -> str:
    return _named(place.loader_name or "", stem=need.form == "stem")


def _named(name: str, *, stem: bool) -> str:
    return os.path.splitext(name)[0] if stem else name


def _tail(place: Place, *, stem: bool) -> str:
    return folded(_named(place.path, stem=stem))


def _placed(row: KnownFile) -> placed.Placed:
    return placed.Placed(row.directory, row.name, row.sha256, row.root_id, row.missing_since is None)
