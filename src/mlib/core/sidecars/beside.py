"""What lies beside a model file, as the disk is now."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import is_model_name
from mlib.core.sidecars.companions import by_stem, companions, stem_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from mlib.core.sidecars.companions import Companion


class Neighbours(NamedTuple):
    """The names of a directory's models and their companions, by stem."""

    models: Mapping[str, tuple[str, ...]]
    companions: Mapping[str, tuple[Companion, ...]]


def beside(path: str, *, listed: Callable[[str], Neighbours] | None = None) -> tuple[Companion, ...]:
    """The companions of the model file at `path`; none where its directory cannot be listed.

    Who asks for many files gives `listed`, which remembers what `neighbours` says of each directory.
    """
    directory, name = os.path.split(path)
    if listed is not None and is_model_name(name, any_file=False):
        return listed(directory).companions.get(stem_of(name), ())
    return companions(name, _names(directory))


def neighbours(directory: str) -> Neighbours:
    """The same for all models of a directory at once, told by the extensions that ComfyUI loads."""
    names = _names(directory)
    models: dict[str, tuple[str, ...]] = {}
    for name in names:
        if is_model_name(name, any_file=False):
            models[stem_of(name)] = (*models.get(stem_of(name), ()), name)
    return Neighbours(models, by_stem(names))


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (OSError, ValueError):  # no directory can have a name with a zero byte
        return []
