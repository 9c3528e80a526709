"""Find a model's companions, the files beside it that belong to it, by their names alone.

One table of endings serves every caller: the scan that reads sidecars, moves and the trash that take
companions along, and the commands that show them.
"""

from __future__ import annotations

import errno
import os
import re
import stat
from bisect import bisect_left
from itertools import islice
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui.folders import is_model_name

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence


_PICTURES = (".webp", ".png", ".jpeg", ".jpg", ".mp4", ".gif", ".webm", ".avif", ".jxl")


class Writing(NamedTuple):
    """Endings of one kind, and who writes such files: a program with its source file, or a convention.

    An ending follows the model's stem or its whole file name; `#` stands for a number.
    """

    kind: str
    endings: tuple[str, ...]
    source: str


#: Kinds in order of trust; endings of a kind in order of search.
TABLE = (
    Writing("metadata_json", (".metadata.json",), "LoRA Manager: docs/metadata-json-schema.md"),
    Writing(
        "civitai_info",
        (".civitai.info", ".civitai.json"),
        "Civitai Helper: scripts/ch_lib/model.py; ComfyUI loaders of LoRAs write the second",
    ),
    Writing(
        "cm_info", (".cm-info.json",), "Stability Matrix: StabilityMatrix.Core/Models/ConnectedModelInfo.cs"
    ),
    Writing(
        "rgthree_info",
        (".rgthree-info.json",),
        "rgthree-comfy: py/server/utils_info.py, behind the whole name; src_web/typings/rgthree.d.ts",
    ),
    Writing("swarm_json", (".swarm.json",), "SwarmUI: src/Text2Image/T2IModel.cs (ResaveModel)"),
    Writing("civitai_model", (".api_info.json",), "CivitAI Browser+: Civitai's answer for a model"),
    Writing(
        "a1111_json",
        (".json",),
        "AUTOMATIC1111's web UI: modules/ui_extra_networks_user_metadata.py; SD.Next keeps Civitai's answer"
        " for a model there: modules/civitai/download_civitai.py; SwarmUI wrote its own there once",
    ),
    Writing("markdown", (".md",), "ComfyUI-Model-Manager: py/information.py"),
    Writing(
        "text",
        (".description.txt", ".txt"),
        "AUTOMATIC1111's web UI: modules/ui_extra_networks.py; ComfyUI-Custom-Scripts: py/model_info.py",
    ),
    Writing("config", (".yaml", ".yml"), "ComfyUI: the configuration of a checkpoint, folder configs"),
    Writing(
        "checksum",
        (".sha256", ".sha512", ".sha1", ".md5", ".blake3"),
        "ComfyUI-Custom-Scripts: py/model_info.py; sha256sum and similar tools, by convention",
    ),
    Writing("signature", (".asc", ".sig"), "gpg --armor --detach-sign and gpg --detach-sign, by convention"),
    Writing("backup", (".metadata.json.bak",), "LoRA Manager: py/services/model_lifecycle_service.py"),
    Writing(
        "preview",
        (
            *(f".preview{picture}" for picture in _PICTURES),
            *_PICTURES,
            *(f".thumb{picture}" for picture in _PICTURES),
            ".swarmpreview.jpg",
            ".swarmpreview.webp",
            *(f".example.#{picture}" for picture in _PICTURES),
        ),
        "ComfyUI: app/model_manager.py; LoRA Manager: py/utils/constants.py; SD.Next:"
        " modules/ui_extra_networks.py (.thumb); SwarmUI: src/Utils/OutputMetadataTracker.cs (.swarmpreview)",
    ),
)

#: Names of folders that belong to one model beside them, and who creates them.
FOLDERS: Mapping[str, str] = MappingProxyType(
    {
        "{stem}": "ComfyUI-Custom-Scripts: py/better_combos.py (get_examples), example prompts",
        "{name}.civitai": "CiviMeta: meta.json, media/ and thumbnails/",
    }
)

#: The endings of every kind, in the same order.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType({each.kind: each.endings for each in TABLE})

#: The kinds with fields, which `read_sidecar` reads.
SIDECAR_KINDS = (
    "metadata_json", "civitai_info", "cm_info", "rgthree_info", "swarm_json", "civitai_model", "a1111_json",
    "markdown", "text",
)  # fmt: skip

_RANKS = {
    ending: (rank, kind)
    for rank, (ending, kind) in enumerate(
        (ending, kind) for kind, endings in KINDS.items() for ending in endings
    )
}
#: Endings by their last extension, shortest first, since that leaves the longest stem.
_BY_EXTENSION = {
    extension: tuple(sorted((e for e in _RANKS if e[e.rindex(".") :] == extension), key=len))
    for extension in {ending[ending.rindex(".") :] for ending in _RANKS}
}
_SIDECAR_ENDINGS = (".civitai.info", ".json", ".md", ".txt")
_NUMBERED = r"\.example\.[0-9]{1,4}(?=\.[^.]+$)"


class Companion(NamedTuple):
    """A file that belongs to a model in the same directory; `kind` is one of KINDS.

    If it is named after a model's whole file name, it belongs to that model alone, and `of` is this name in
    lower case. Otherwise it belongs to all models of its stem, and `of` is "".
    """

    name: str
    kind: str
    of: str = ""

    def is_of(self, model_name: str) -> bool:
        """Whether it belongs to the model file of this name, which has its stem."""
        return self.of in ("", model_name.lower())


def is_sidecar_name(name: str) -> bool:
    """Whether a file called `name` may be one of SIDECAR_KINDS, with or without a model beside it."""
    return name.lower().endswith(_SIDECAR_ENDINGS)


def stem_of(name: str) -> str:
    """The name without the extension in lower case, which a model file shares with its companions."""
    return os.path.splitext(name.lower())[0]


def is_folder_of(folder: str, model: str) -> bool:
    """Whether a folder of this name is one of FOLDERS for the model file of this name beside it."""
    name, stem = model.lower(), stem_of(model)
    return any(folder.lower() == each.format(name=name, stem=stem) for each in FOLDERS)


def companions(name: str, names: Collection[str]) -> tuple[Companion, ...]:
    """Those of a directory's `names` that belong to the model file `name`, most trusted kind first.

    A companion that matches two models belongs to the longer stem: `a.preview.png` to `a.preview.ckpt`, not
    to `a.ckpt`. Models of one stem share companions named after it. For many models of one directory use
    `by_stem`.
    """
    stem = stem_of(name)
    near = [other for other in names if other != name and other.lower().startswith(stem)]
    found = _by_stem(near, {stem}, {name.lower()}).get(stem, ())
    return tuple(each for each in found if each.is_of(name))


def by_stem(names: Iterable[str], *, models: Iterable[str] = ()) -> Mapping[str, tuple[Companion, ...]]:
    """The companions of all models of a directory in one pass, by `stem_of` their names.

    Models are recognised by the extensions that ComfyUI loads; `models` are names that are models whatever
    their extension. `Companion.is_of` tells models of one stem apart. A stem without companions has no entry.
    """
    whole = {name.lower() for name in models}
    return _by_stem(list(names), {os.path.splitext(name)[0] for name in whole}, whole)


def _by_stem(names: Collection[str], stems: set[str], whole: set[str]) -> dict[str, tuple[Companion, ...]]:
    others = []
    for name in names:
        if is_model_name(name, any_file=False):
            lowered = name.lower()
            whole.add(lowered)
            stems.add(os.path.splitext(lowered)[0])
        else:
            others.append(name)
    found: dict[str, list[tuple[int, str, Companion]]] = {}
    for name in others:
        for base, rank, kind in _readings(name.lower()):
            if base in stems:
                found.setdefault(base, []).append((rank, name, Companion(name, kind)))
                break
            if base in whole:
                stem = os.path.splitext(base)[0]
                found.setdefault(stem, []).append((rank, name, Companion(name, kind, base)))
                break
    return {
        stem: tuple(companion for *_, companion in sorted(ranked, key=_rank))
        for stem, ranked in found.items()
    }


def _rank(entry: tuple[int, str, Companion]) -> tuple[int, str]:
    return entry[:2]


def _readings(name: str) -> Iterator[tuple[str, int, str]]:
    """The possible parts before an ending of a lower-case name, longest first, with rank and kind."""
    endings = _BY_EXTENSION.get(name[name.rfind(".") :]) if "." in name else None
    for ending in endings or ():
        if "#" not in ending:
            if name.endswith(ending) and len(name) > len(ending):
                yield name[: -len(ending)], *_RANKS[ending]
        elif (numbered := re.search(_NUMBERED, name)) and numbered.start() > 0:
            yield name[: numbered.start()], *_RANKS[ending]


# --- Companions that move with a model, unless a model that stays needs them

#: Files of a folder to check before it counts as a folder of pictures.
_MOST_LOOKED_AT = 10_000


class Companions(NamedTuple):
    """Paths of the companions that move along, and of those that stay with another model of the stem.

    `folders` also belong to the model, with pictures or examples. They stay: nothing else needs them to move,
    and other programs may write into them.
    """

    own: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


class Folder(NamedTuple):
    """The names in a directory, each with its lower-case form and sorted by it."""

    lowered: Sequence[str]
    names: Sequence[str]

    def beginning_with(self, stem: str) -> list[str]:
        """The names that begin with `stem`, which is in lower case, ignoring case."""
        found = []
        for at in range(bisect_left(self.lowered, stem), len(self.names)):
            if not self.lowered[at].startswith(stem):
                break
            found.append(self.names[at])
        return found


def listed(directory: str) -> Folder:
    """List a directory. Raises OSError if it cannot be listed."""
    pairs = sorted((name.lower(), name) for name in os.listdir(directory))
    return Folder([lowered for lowered, _ in pairs], [name for _, name in pairs])


def companions_of(
    path: str, *, leaving: Collection[str] = (), models: Collection[str] = (), folder: Folder | None = None
) -> Companions:
    """Find the current companions of the model file at `path`; only files and links.

    `leaving` are paths that also move, so nothing stays for their sake. `models` are names in this directory
    that are models whatever their extension. `folder` is an earlier listing of the directory. Raises OSError
    if it cannot be listed.
    """
    directory, name = os.path.split(path)
    stem = stem_of(name)
    names = (folder or listed(directory)).beginning_with(stem)
    staying = [
        other
        for other in names
        if other != name
        and stem_of(other) == stem
        and (is_model_name(other, any_file=False) or other in models)
        and os.path.join(directory, other) not in leaving
    ]
    own: list[str] = []
    shared: list[str] = []
    for each in companions(name, names):
        path = os.path.join(directory, each.name)
        if each.name not in models and path not in leaving and _is_regular(path):
            (shared if any(map(each.is_of, staying)) else own).append(path)
    folders = [
        os.path.join(directory, other)
        for other in names
        if is_folder_of(other, name) and not any(is_folder_of(other, model) for model in staying)
    ]
    return Companions(tuple(own), tuple(shared), tuple(filter(_holds_no_model, folders)))


def renamed(companion: str, *, model: str, to: str) -> str:
    """The name of a companion after the model file `model` is renamed to `to` (names, not paths)."""
    before, after = model.lower(), to
    if not companion.lower().startswith(f"{before}."):  # named after the stem alone
        before, after = stem_of(model), os.path.splitext(to)[0]
        model = os.path.splitext(model)[0]
    if after == model:  # the name stays; keep the companion's own case
        return companion
    # Compare by length: how a letter is lowered may depend on what follows, but not the length of the result.
    wanted = len(before)
    length = next(at for at in range(len(companion) + 1) if len(companion[:at].lower()) >= wanted)
    return after + companion[length:]


def _holds_no_model(folder: str) -> bool:
    """Whether a folder has files but no model among them; otherwise it is a folder for models."""
    below = (name for _, _, names in os.walk(folder) for name in names)
    found = [is_model_name(name, any_file=False) for name in islice(below, _MOST_LOOKED_AT)]
    return bool(found) and not any(found)


def _is_regular(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)


# --- Companions on disk


class Neighbours(NamedTuple):
    """The names of a directory's models, and their companions, by stem."""

    models: Mapping[str, tuple[str, ...]]
    companions: Mapping[str, tuple[Companion, ...]]


def beside(path: str, *, listed: Callable[[str], Neighbours] | None = None) -> tuple[Companion, ...]:
    """The companions of the model file at `path`; none if its directory cannot be listed.

    Directories, pipes and broken links are skipped. For many files pass `listed`, a cached `neighbours`.
    """
    directory, name = os.path.split(path)
    if listed is not None and is_model_name(name, any_file=False):
        of_stem = listed(directory).companions.get(stem_of(name), ())
        found = tuple(each for each in of_stem if each.is_of(name))
    else:
        found = companions(name, _names(directory))
    return tuple(each for each in found if _is_file(os.path.join(directory, each.name)))


def neighbours(directory: str) -> Neighbours:
    """The models and companions of a directory; models by the extensions that ComfyUI loads."""
    names = _names(directory)
    models: dict[str, tuple[str, ...]] = {}
    for name in names:
        if is_model_name(name, any_file=False):
            models[stem_of(name)] = (*models.get(stem_of(name), ()), name)
    return Neighbours(models, by_stem(names))


def _is_file(path: str) -> bool:
    """Whether it may be a regular file; if stat fails, the reader will report why."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno != errno.ELOOP


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (OSError, ValueError):  # ValueError: a null byte in the name
        return []
