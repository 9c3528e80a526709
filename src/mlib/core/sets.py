"""Models in several files: which files belong together, and which of them are missing.

There are two kinds. `parts`: files of one folder that are numbered (`wan-00001-of-00002.safetensors`), listed
by an index (`*.safetensors.index.json`) or marked as parts in their header (GGUF's `split.*` keys). `folder`:
everything in a folder that is loaded as a whole, as by diffusers and transformers.
Sources: huggingface_hub's split_torch_state_dict_into_shards (names and index of shards), llama.cpp's
gguf-split (`%s-%05d-of-%05d.gguf`, `split.no`, `split.count`), diffusers' DiffusionPipeline
(`model_index.json`), transformers' and diffusers' `config.json`, nunchaku's folders.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core import jsontext
from mlib.core.comfyui.folders import TYPE_FOLDERS, canonical_type, is_model_name
from mlib.core.disk.storage import open_for_reading
from mlib.core.disk.walk import passed_over

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from mlib.core.records import Root

_NUMBERED = re.compile(
    r"(?P<stem>.*?)(?P<dash>[-_.]?)(?P<number>\d{2,6})-of-(?P<total>\d{2,6})(?P<tail>(?:\.[^.]+)+)"
)
_INDEX = re.compile(r".+\.index(?:\.[^.]+)?\.json", re.IGNORECASE)
#: The index of a pipeline, whose components each have their own folder.
_PIPELINE = "model_index.json"
#: The configuration of one model.
_CONFIG = "config.json"
#: Top-level keys of such a configuration, none of which other programs' settings have.
_CONFIG_KEYS = frozenset(
    {"_class_name", "_diffusers_version", "architectures", "auto_map", "model_type", "torch_dtype"}
    | {"transformers_version", "quantization_config", "_name_or_path"}
)
#: The files into which nunchaku splits a model; it loads the folder with both.
_HALVES = frozenset({"transformer_blocks.safetensors", "unquantized_layers.safetensors"})
#: Names of the weights that transformers, diffusers and PEFT look for in a folder.
_FIXED = re.compile(
    r"(?:model|pytorch_model|diffusion_pytorch_model|flax_model|tf_model|adapter_model|consolidated)"
    r"(?:[.-][\w.-]+)?\.(?:safetensors|bin|pt|pth|onnx)"
)
#: ComfyUI's own types whose loaders take whole folders.
_FOLDER_TYPES = frozenset({"diffusers"})

_MOST_PARTS = 10_000
_MOST_FILES = 20_000
_DEEPEST = 12
#: An index has one line per tensor; those of the largest language models take 10 MB.
_LONGEST_JSON = 32 << 20


class FileSet(NamedTuple):
    """A model in several files. All paths are absolute and sorted.

    `name` is the folder, or the parts' name with `*` for the number. `parts` are the model files present;
    `missing` names those that are not, as far as known. `listed_by` are the indexes by which loaders find the
    parts: they move with them.
    """

    kind: Literal["parts", "folder"]
    name: str
    parts: tuple[str, ...]
    missing: tuple[str, ...] = ()
    listed_by: tuple[str, ...] = ()


class Split(NamedTuple):
    """A GGUF header's statement that the file is part `number` (from 1) of `of`."""

    number: int
    of: int


class _Group(NamedTuple):
    """The expected names of a set's parts, relative to their folder, and the indexes that list them."""

    title: str
    names: frozenset[str]
    listed_by: frozenset[str] = frozenset()


class _Folder(NamedTuple):
    """The names in a directory, following links; both empty if it cannot be listed."""

    files: frozenset[str] = frozenset()
    directories: frozenset[str] = frozenset()


class Sets:
    """Finds sets among the files on disk, reading each folder only once.

    `split_of` returns the Split in the header of the GGUF file at a path, if known.
    """

    def __init__(self, split_of: Callable[[str], Split | None] = lambda _path: None) -> None:
        self._split_of = split_of
        self._listed: dict[str, _Folder] = {}
        self._parted: dict[str, tuple[FileSet, ...]] = {}
        self._by_part: dict[str, dict[str, FileSet]] = {}
        self._whole: dict[tuple[str, str | None], FileSet | None] = {}

    def of(self, path: str, root: Root | None) -> FileSet | None:
        """The set that the file at `path` belongs to; None for a model in one file.

        `root` is the root that it is in. A root itself is never one model, whatever it contains.
        """
        directory = os.path.dirname(path)
        whole = self._folder_model(directory, root)
        while whole is None:
            if directory not in self._by_part:
                self._by_part[directory] = {
                    part: each for each in self.parted(directory) for part in each.parts
                }
            whole = self._by_part[directory].get(path)
            if root is None or not _lies_below(directory, root.path):
                break
            directory = os.path.dirname(directory)  # its index may list parts in subfolders
        return whole

    def parted(self, directory: str) -> tuple[FileSet, ...]:
        """The sets of numbered or indexed parts whose index or parts are in `directory`."""
        if directory not in self._parted:
            self._parted[directory] = tuple(self._parts_in(directory))
        return self._parted[directory]

    def _parts_in(self, directory: str) -> Iterator[FileSet]:
        here = self._list(directory).files
        groups = _numbered(here)
        for name in sorted(here):
            if _INDEX.fullmatch(name):
                listed = _listed_in(os.path.join(directory, name))
                if len(listed) > 1 and any(self._is_there(directory, each, here) for each in listed):
                    groups = _with_index(groups, name, listed)
        for group in groups:
            there = {name for name in group.names if self._is_there(directory, name, here)}
            yield FileSet(
                "parts",
                os.path.join(directory, group.title),
                tuple(os.path.join(directory, name) for name in sorted(there)),
                tuple(os.path.join(directory, name) for name in sorted(group.names - there)),
                tuple(os.path.join(directory, name) for name in sorted(group.listed_by)),
            )
        taken = frozenset[str]().union(*(group.names for group in groups))
        yield from self._split_by_header(directory, [name for name in sorted(here) if name not in taken])

    def _is_there(self, directory: str, name: str, here: frozenset[str]) -> bool:
        return name in here if os.sep not in name else os.path.isfile(os.path.join(directory, name))

    def _split_by_header(self, directory: str, names: Sequence[str]) -> Iterator[FileSet]:
        """GGUF parts that were renamed, so that their loader finds only the one it is given."""
        groups: dict[int, dict[str, int]] = {}
        for name in names:
            if name.lower().endswith(".gguf"):
                path = os.path.join(directory, name)
                split = self._split_of(path)
                if split is not None and 1 < split.of <= _MOST_PARTS:
                    groups.setdefault(split.of, {})[path] = split.number
        for of, parts in groups.items():
            gone = sorted(set(range(1, of + 1)) - set(parts.values()))
            missing = tuple(f"part {number} of {of}" for number in gone)
            yield FileSet("parts", min(parts), tuple(sorted(parts)), missing)

    def _folder_model(self, directory: str, root: Root | None) -> FileSet | None:
        """The outermost folder containing `directory` that is one model, with all components."""
        key = directory, root.path if root else None
        if key in self._whole:
            return self._whole[key]
        parent = os.path.dirname(directory)
        found = None
        if parent != directory and (root is None or _lies_below(directory, root.path)):
            if root is not None:
                found = self._folder_model(parent, root)
            if found is None and self._is_model(directory, root):
                found = self._all_in(directory, any_file=root is not None and root.any_file)
        self._whole[key] = found
        return found

    def _is_model(self, directory: str, root: Root | None) -> bool:
        here = self._list(directory)
        if _PIPELINE in here.files:
            return True
        weights = [name for name in here.files if is_model_name(name, any_file=False)]
        if _CONFIG not in here.files or not weights:
            return False
        several = set(weights) >= _HALVES or bool(self.parted(directory))
        if root is not None and _takes_files(root.type):
            # To a VAELoader `vae/SDXL/diffusion_pytorch_model.safetensors` is a file like any other.
            return several
        if not several and len(weights) > 1 and not any(map(_FIXED.fullmatch, weights)):
            return False
        said = _json(os.path.join(directory, _CONFIG))
        return several or (isinstance(said, dict) and not _CONFIG_KEYS.isdisjoint(said))

    def _all_in(self, directory: str, *, any_file: bool) -> FileSet:
        parts: list[str] = []
        missing: list[str] = []
        waiting = [(directory, 0)]
        seen: set[str] = set()
        while waiting and len(parts) < _MOST_FILES:
            at, depth = waiting.pop()
            if os.path.realpath(at) in seen:
                continue
            seen.add(os.path.realpath(at))
            here = self._list(at)
            parts += [os.path.join(at, name) for name in here.files if is_model_name(name, any_file=any_file)]
            missing += [path for each in self.parted(at) for path in each.missing]
            if depth < _DEEPEST:
                waiting += [
                    (os.path.join(at, name), depth + 1) for name in here.directories if not passed_over(name)
                ]
        return FileSet("folder", directory, tuple(sorted(parts)), tuple(sorted(missing)))

    def _list(self, directory: str) -> _Folder:
        if directory not in self._listed:
            entries: list[os.DirEntry[str]] = []
            with suppress(OSError), os.scandir(directory) as listing:
                entries = list(listing)
            self._listed[directory] = _Folder(
                frozenset(entry.name for entry in entries if _is(entry.is_file)),
                frozenset(entry.name for entry in entries if _is(entry.is_dir)),
            )
        return self._listed[directory]


def _numbered(names: Iterable[str]) -> list[_Group]:
    """The sets that numbered parts among `names` imply, with all the parts they should have."""
    numbers: dict[tuple[str, ...], set[int]] = {}
    for name in names:
        found = _NUMBERED.fullmatch(name)
        if found and is_model_name(name, any_file=False) and 1 < int(found["total"]) <= _MOST_PARTS:
            width = str(len(found["number"]))
            key = (found["stem"], found["dash"], width, found["total"], found["tail"])
            numbers.setdefault(key, set()).add(int(found["number"]))
    groups = []
    for (stem, dash, width, total, tail), there in sorted(numbers.items()):
        first = 0 if 0 in there else 1
        every = there | set(range(first, first + int(total)))
        expected = frozenset(f"{stem}{dash}{number:0{width}}-of-{total}{tail}" for number in every)
        groups.append(_Group(f"{stem}{dash}*-of-{total}{tail}", expected))
    return groups


def _with_index(groups: Sequence[_Group], index: str, listed: frozenset[str]) -> list[_Group]:
    """Merge the groups of which the index lists a part."""
    apart = [group for group in groups if group.names.isdisjoint(listed)]
    same = [group for group in groups if not group.names.isdisjoint(listed)]
    title = same[0].title if same else index
    names = listed.union(*(group.names for group in same))
    return [*apart, _Group(title, names, frozenset({index}).union(*(group.listed_by for group in same)))]


def _listed_in(path: str) -> frozenset[str]:
    """The files that an index lists, relative to its folder; none if it is not an index or points outside."""
    said = _json(path)
    weights = said.get("weight_map") if isinstance(said, dict) else None
    if not isinstance(weights, dict):
        return frozenset()
    names = {name for name in weights.values() if isinstance(name, str)}
    if len(names) > _MOST_PARTS:
        return frozenset()
    return frozenset(os.path.normpath(name) for name in names if _is_inside(name))


def _is(asked: Callable[[], bool]) -> bool:
    with suppress(OSError):  # a link loop
        return asked()
    return False


def _is_inside(name: str) -> bool:
    return bool(name) and "\0" not in name and not os.path.isabs(name) and ".." not in name.split(os.sep)


def _json(path: str) -> jsontext.Json:
    """Parse a JSON file; None if it cannot be read or is too long."""
    try:
        with open_for_reading(path) as file:
            text = file.read(_LONGEST_JSON + 1) or b""
        return None if len(text) > _LONGEST_JSON else jsontext.parse(text.decode("utf-8-sig"))
    except (OSError, ValueError):
        return None


def _takes_files(kind: str) -> bool:
    """Whether the loaders of a type take single files, whatever is beside them."""
    return (canonical := canonical_type(kind)) in TYPE_FOLDERS and canonical not in _FOLDER_TYPES


def _lies_below(path: str, directory: str) -> bool:
    return path != directory and path.startswith(directory.rstrip(os.sep) + os.sep)
