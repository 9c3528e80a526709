"""Find the file a loader would take for a name in a workflow, searching folders as ComfyUI does."""

from __future__ import annotations

import os
import stat
import sys
import unicodedata
from functools import cached_property
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui.folders import TYPE_ALIASES, name_below
from mlib.core.disk.walk import is_within
from mlib.core.workflows.needs import PACK_FOLDERS, last_part, looks_by_end
from mlib.db import files, roots

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator

    from mlib.core.records import KnownFile, Root
    from mlib.core.workflows.needs import Need
    from mlib.db.library import Library

#: `automatic`: not here, and its node downloads it by itself. `unknown`: there is no library to ask.
State = Literal["found", "ambiguous", "missing", "automatic", "unknown"]

#: What ComfyUI tries for an embedding without its extension, in this order (sd1_clip.py `load_embed`).
_EMBEDDING_EXTENSIONS = (".safetensors", ".pt", ".bin")


class LoaderFile(NamedTuple):
    """A present file by the name its loader knows it by; both None where no remembered root holds it.

    `sha256` is "" where no scan has seen it yet. `turn` is the place of that root among all: ComfyUI searches
    them in this order.
    """

    path: str
    sha256: str
    type: str | None
    loader_name: str | None
    turn: int = sys.maxsize


class Match(NamedTuple):
    """What a need comes to. `places` are what its loader may take, the first first; none where it is missing.

    `kin` are present files of the same name elsewhere, `gone` contents that lay where the loader looks.
    """

    state: State
    places: tuple[LoaderFile, ...] = ()
    kin: tuple[LoaderFile, ...] = ()
    gone: tuple[str, ...] = ()


class Shelves:
    """The library's files by name, for some needs; to be used inside of one `reading`.

    `gone` are paths of which is known that no file is there, whatever the library says.
    """

    def __init__(self, library: Library, needs: Iterable[Need], *, gone: Collection[str] = ()) -> None:
        self.library = library
        self._gone = gone
        self.roots = roots.all_roots(library)
        self._rows: dict[str, list[files.Placed]] = {}
        self._holders: dict[str, list[tuple[int, Root]]] = {}
        self.load({os.path.basename(need.name) for need in needs if need.form == "file"})

    def load(self, names: Iterable[str]) -> None:
        """Fetch the rows of files of these names, at once."""
        new = [name for name in names if name not in self._rows]
        self._rows.update((name, []) for name in new)
        for row in files.placed_by_names(self.library, new):
            self._rows[row.name].append(self._now(row))

    def named(self, name: str) -> list[files.Placed]:
        """The rows of files of exactly this name."""
        self.load([name])
        return self._rows[name]

    @cached_property
    def names(self) -> list[str]:
        """The name of every file."""
        return files.all_names(self.library)

    @cached_property
    def _folded(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(fold_name(name), []).append(name)
        return found

    @cached_property
    def _stems(self) -> dict[str, list[str]]:
        found: dict[str, list[str]] = {}
        for name in self.names:
            found.setdefault(fold_name(os.path.splitext(name)[0]), []).append(name)
        return found

    def alike(self, name: str, *, stem: bool) -> list[files.Placed]:
        """The rows of files of this name in any case, with any extension if it is a stem."""
        names = (self._stems if stem else self._folded).get(fold_name(name), ())
        self.load(names)
        return [row for each in names for row in self._rows[each]]

    def row_of(self, row: KnownFile) -> files.Placed:
        """A row of a file as its name and place."""
        present = row.missing_since is None
        return self._now(files.Placed(row.directory, row.name, row.sha256, row.root_id, present))

    def _now(self, row: files.Placed) -> files.Placed:
        if row.present and self._gone and os.path.join(row.directory, row.name) in self._gone:
            return row._replace(present=False)
        return row

    def places(self, row: files.Placed) -> list[LoaderFile]:
        """A row's file in the words of every loader that lists it; the innermost root that holds it first."""
        path = os.path.join(row.directory, row.name)
        return [
            LoaderFile(path, row.sha256, type_of(root), name_below(path, root.path), turn)
            for turn, root in self._holding(row.directory)
        ] or [LoaderFile(path, row.sha256, None, None)]

    def place(self, row: files.Placed, kind: str | None = None) -> LoaderFile:
        """Where a row's file is, in the words of a loader of this type if one lists it."""
        places = self.places(row)
        return next((place for place in places if place.type == kind), places[0])

    def root_of(self, directory: str) -> tuple[str | None, str]:
        """The type of the innermost root in which a directory lies, and the path from there."""
        for _, root in self._holding(directory):
            return type_of(root), os.path.relpath(directory, root.path)
        return None, directory

    def _holding(self, directory: str) -> list[tuple[int, Root]]:
        """The roots in which a directory lies, the innermost first: one may lie within another."""
        if directory not in self._holders:
            within = [each for each in enumerate(self.roots) if is_within(directory, each[1].path)]
            self._holders[directory] = sorted(within, key=lambda each: -len(each[1].path))
        return self._holders[directory]


def type_of(root: Root) -> str:
    """The folder type ComfyUI knows a root by: other letters (`Lora`) make another type."""
    return TYPE_ALIASES.get(root.type, root.type)


def fold_name(name: str) -> str:
    """A name without what file systems and people take lightly: case, and how accents are composed."""
    return name.lower() if name.isascii() else unicodedata.normalize("NFC", name).casefold()


def match(shelves: Shelves, need: Need) -> Match:
    """What the library has for a need: under its very name, as ComfyUI compares what it lists."""
    return _folder(shelves, need) if need.form == "folder" else _file(shelves, need)


def _answer(
    need: Need, places: tuple[LoaderFile, ...], *, kin: tuple[LoaderFile, ...] = (), gone: Iterable[str] = ()
) -> Match:
    """What these places, the first first, come to. All files of a folder are one model."""
    if not places:
        return Match("automatic" if need.automatic else "missing", (), kin, tuple(dict.fromkeys(gone)))
    several = need.form != "folder" and len({place.sha256 for place in places}) > 1
    return Match("ambiguous" if several else "found", places)


def _file(shelves: Shelves, need: Need) -> Match:
    if os.path.isabs(need.name):
        rows = [shelves.row_of(row) for row in files.at_path(shelves.library, os.path.normpath(need.name))]
        return _match(shelves, [shelves.place(row, need.type) for row in rows if row.present], rows, need)
    stem = need.form == "stem" or _goes_by_stem(need)
    rows = [] if stem else shelves.named(os.path.basename(need.name))
    found = _taken(shelves, rows, need)
    if not found:
        last = last_part(need.name)
        rows = shelves.alike(last if need.form == "stem" or not stem else _stem(last), stem=stem)
        found = _taken(shelves, rows, need)
    return _match(shelves, found, rows, need)


def _taken(shelves: Shelves, rows: list[files.Placed], need: Need) -> list[LoaderFile]:
    """What the node would take of these rows: the first way to read the name that leads to any."""
    if not need.listed:
        return []
    places = _in_order(place for row in rows if row.present for place in shelves.places(row))
    for leads_to in _ways(need):
        found: dict[str, LoaderFile] = {}
        for place in filter(leads_to, places):
            found.setdefault(place.path, place)
        if found:
            taken = list(found.values())
            return _first_extensions(taken, need) if _is_embedding_in_text(need) else taken
    return []


def _in_order(places: Iterable[LoaderFile]) -> list[LoaderFile]:
    """Places as ComfyUI comes by them: its folders one after another."""
    return sorted(places, key=lambda place: (place.turn, place.path))


def _ways(need: Need) -> Iterator[Callable[[LoaderFile], bool]]:
    """How a node reads a name, the first first. A list of names is compared as it stands; a node that is not
    known may have a folder of its own, at which ComfyUI's names do not begin."""
    if not _is_embedding_in_text(need):
        yield lambda place: _name_at(place, need) == need.name
    if need.type is None:
        yield lambda place: _ends(_named(place.path, stem=need.form == "stem"), need.name)
    elif need.by_end:
        by_stem = need.form == "file" and _goes_by_stem(need)
        if by_stem:
            yield lambda place: _stem(_name_at(place, need) or "") == _stem(need.name)
        yield lambda place: _ends(_name_at(place, need), need.name)
        if _goes_by_stem(need):
            last = os.path.basename(need.name)
            yield lambda place: os.path.basename(_name_at(place, need) or "") == last
        if by_stem:
            yield lambda place: os.path.basename(_stem(_name_at(place, need) or "")) == _stem(last)


def _goes_by_stem(need: Need) -> bool:
    """Whether all nodes that name it look it up by themselves: with another extension too, in any folder."""
    return need.by_end and all(map(looks_by_end, need.classes))


def _is_embedding_in_text(need: Need) -> bool:
    return need.by_end and need.type == "embeddings"


def _ends(path: str | None, name: str) -> bool:
    return path is not None and f"{os.sep}{path}".endswith(f"{os.sep}{name}")


def _first_extensions(places: list[LoaderFile], need: Need) -> list[LoaderFile]:
    """In each folder the one that ComfyUI tries first."""
    best: dict[str, tuple[int, LoaderFile]] = {}
    for place in places:
        directory, extension = os.path.dirname(place.path), os.path.splitext(place.path)[1]
        if need.form == "stem" and extension not in _EMBEDDING_EXTENSIONS:
            continue
        turn = _EMBEDDING_EXTENSIONS.index(extension) if need.form == "stem" else 0
        best[directory] = min(best.get(directory, (turn, place)), (turn, place), key=lambda each: each[0])
    return [place for _, place in best.values()]


def _match(shelves: Shelves, found: list[LoaderFile], rows: list[files.Placed], need: Need) -> Match:
    if found:
        return _answer(need, tuple(found))
    gone = [
        row.sha256
        for row in rows
        if not row.present and is_in_other_letters(shelves.place(row, need.type), need)
    ]
    kin = _in_order(shelves.place(row, need.type) for row in rows if row.present)
    return _answer(need, (), kin=tuple(kin), gone=gone)


def unscanned(shelves: Shelves, need: Need) -> Iterator[LoaderFile]:
    """Where the loader of a need would list its file, if the disk has one there now; the first first.

    For what the library does not know there: newer than the last scan, or below a second link to a folder
    that a scan has gone through already. Their `sha256` is left empty.
    """
    if need.type is None or need.form != "file" or not need.listed or not _is_below(need.name):
        return
    folder, _, inner = PACK_FOLDERS.get(need.type, need.type).partition("/")
    for turn, root in enumerate(shelves.roots):
        name = need.name if type_of(root) == need.type else os.path.join(inner, need.name)
        if type_of(root) in (need.type, folder) and _is_listed(root.path, name):
            yield LoaderFile(os.path.join(root.path, name), "", type_of(root), name, turn)


def _is_below(name: str) -> bool:
    """Whether a name is a path as a list of files has it."""
    return os.path.normpath(name) == name and not name.startswith((os.sep, os.pardir + os.sep))


def _is_listed(directory: str, name: str) -> bool:
    """Whether there is a file with something in it, in these very letters: some disks find it in others."""
    at = directory
    try:
        for part in name.split(os.sep):
            if part not in os.listdir(at):
                return False
            at = os.path.join(at, part)
        status = os.stat(at)
    except (OSError, ValueError):
        return False
    return stat.S_ISREG(status.st_mode) and status.st_size > 0


def _folder(shelves: Shelves, need: Need) -> Match:
    """All files of a folder below a root of the type: one model in many parts.

    A node that downloads it may keep it elsewhere than others do.
    """
    own = [root for root in shelves.roots if need.type in (None, type_of(root))]
    others = [root for root in shelves.roots if root not in own] if need.automatic else []
    for root in (*own, *others):
        for name in folder_names(need.name):
            tree = os.path.normpath(os.path.join(root.path, name))
            if tree == root.path or not is_within(tree, root.path):
                continue
            rows = (
                shelves.row_of(row)
                for directory in files.known_directories(shelves.library, tree)
                for row in files.in_directory(shelves.library, directory)
            )
            places = tuple(shelves.place(row, need.type) for row in rows if row.present)
            if places:
                return _answer(need, places)
    return _answer(need, ())


def folder_names(name: str) -> tuple[str, ...]:
    """The folders in which what is called `name` may lie: `owner/NAME` as downloads keep a repository."""
    owner, slash, repository = name.rpartition("/")
    if not slash or not repository:
        return (name,)
    joined = f"{owner.replace('/', '--')}--{repository}"
    return name, repository, joined, f"models--{joined}"


def is_in_other_letters(place: LoaderFile, need: Need) -> bool:
    """Whether this is the place that is meant but for case, slashes, and how accents are composed."""
    own = _name_at(place, need)
    return own is not None and _loose(own) == _loose(need.name)


def _loose(name: str) -> str:
    return fold_name(os.path.normpath(name.replace("\\", "/")))


def _name_at(place: LoaderFile, need: Need) -> str | None:
    """The name by which a loader of the need's type knows a file; None where it does not list it."""
    name = place.loader_name
    if name is None:
        return None
    if need.type is not None and need.type != place.type:
        # One of them may be the folder of a node pack that lies within the other's.
        folder, _, inner = PACK_FOLDERS.get(need.type, need.type).partition("/")
        own_folder, _, own_inner = PACK_FOLDERS.get(place.type or "", "").partition("/")
        if own_inner and own_folder == need.type:
            name = os.path.join(own_inner, name)
        elif inner and folder == place.type and name.startswith(inner + os.sep):
            name = name[len(inner) + 1 :]
        else:
            return None
    return _named(name, stem=need.form == "stem")


def _named(name: str, *, stem: bool) -> str:
    return _stem(name) if stem else name


def _stem(name: str) -> str:
    return os.path.splitext(name)[0]
