"""Which files of a directory belong to a model: told from their names alone.

Sources: the file names that Civitai Helper, LoRA Manager, Stability Matrix, AUTOMATIC1111's and Forge's web
UI, ComfyUI-Model-Manager and SD.Next write.
"""

from __future__ import annotations

import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import is_model_name

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping

_PICTURES = (".webp", ".png", ".jpeg", ".jpg", ".mp4", ".gif", ".webm", ".avif", ".jxl")

#: Every kind with what its names end in behind the model's stem; `#` stands for a number. The kinds are in
#: the order in which their word is taken, and the endings of each in the order in which one is looked for.
KINDS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "metadata_json": (".metadata.json",),
        "civitai_info": (".civitai.info", ".civitai.json"),
        "cm_info": (".cm-info.json",),
        "a1111_json": (".json",),
        "markdown": (".md",),
        "text": (".description.txt", ".txt"),
        "config": (".yaml", ".yml"),
        "preview": (
            *(f".preview{picture}" for picture in _PICTURES),
            *_PICTURES,
            *(f".thumb{picture}" for picture in _PICTURES),
            *(f".example.#{picture}" for picture in _PICTURES),
        ),
    }
)

#: The kinds that say something in words, which `read_sidecar` reads.
SIDECAR_KINDS = ("metadata_json", "civitai_info", "cm_info", "a1111_json", "markdown", "text")

_RANKS = {
    ending: (rank, kind)
    for rank, (ending, kind) in enumerate(
        (ending, kind) for kind, endings in KINDS.items() for ending in endings
    )
}
#: By the last extension: the endings that have it, the shortest first, for it leaves the longest stem.
_BY_EXTENSION = {
    extension: tuple(sorted((e for e in _RANKS if e[e.rindex(".") :] == extension), key=len))
    for extension in {ending[ending.rindex(".") :] for ending in _RANKS}
}
_SIDECAR_ENDINGS = (".civitai.info", ".json", ".md", ".txt")
_NUMBERED = r"\.example\.[0-9]{1,4}(?=\.[^.]+$)"


class Companion(NamedTuple):
    """A file that belongs to a model of the same directory; `kind` is one of KINDS."""

    name: str
    kind: str


def is_sidecar_name(name: str) -> bool:
    """Whether a file called `name` may be one of SIDECAR_KINDS, of a model beside it or of none."""
    return name.lower().endswith(_SIDECAR_ENDINGS)


def stem_of(name: str) -> str:
    """What a model file shares with its companions: its name without the extension, in lower case."""
    return os.path.splitext(name.lower())[0]


def companions(name: str, names: Collection[str]) -> tuple[Companion, ...]:
    """Those of a directory's `names` that belong to the model file `name`, the most trusted kind first.

    One that fits two models belongs to the longer stem: `a.preview.png` to `a.preview.ckpt`, not to `a.ckpt`.
    Models of one stem share theirs. For many models of one directory use `by_stem`.
    """
    stem = stem_of(name)
    near = [other for other in names if other != name and other.lower().startswith(stem)]
    return _by_stem(near, {stem}).get(stem, ())


def by_stem(names: Iterable[str]) -> Mapping[str, tuple[Companion, ...]]:
    """The companions of all models of a directory in one pass, by `stem_of` their names.

    Models are told by the extensions that ComfyUI loads. A stem without companions has no entry.
    """
    return _by_stem(list(names), set())


def _by_stem(names: Collection[str], stems: set[str]) -> dict[str, tuple[Companion, ...]]:
    others = []
    for name in names:
        if is_model_name(name, any_file=False):
            stems.add(stem_of(name))
        else:
            others.append(name)
    found: dict[str, list[tuple[int, str, Companion]]] = {}
    for name in others:
        for stem, rank, kind in _readings(name.lower()):
            if stem in stems:
                found.setdefault(stem, []).append((rank, name, Companion(name, kind)))
                break
    return {
        stem: tuple(companion for *_, companion in sorted(ranked, key=_rank))
        for stem, ranked in found.items()
    }


def _rank(entry: tuple[int, str, Companion]) -> tuple[int, str]:
    return entry[:2]


def _readings(name: str) -> Iterator[tuple[str, int, str]]:
    """The stems that a name in lower case may have, the longest first, each with rank and kind."""
    endings = _BY_EXTENSION.get(name[name.rfind(".") :]) if "." in name else None
    for ending in endings or ():
        if "#" not in ending:
            if name.endswith(ending) and len(name) > len(ending):
                yield name[: -len(ending)], *_RANKS[ending]
        elif (numbered := re.search(_NUMBERED, name)) and numbered.start() > 0:
            yield name[: numbered.start()], *_RANKS[ending]
