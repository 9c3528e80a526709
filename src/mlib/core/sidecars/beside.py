"""What lies beside a model file, as the disk is now."""

from __future__ import annotations

import errno
import os
import stat
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

    What is called so and is no file (a directory, a pipe, a link that leads nowhere) is passed over. Who asks
    for many files gives `listed`, which remembers what `neighbours` says of each directory.
    """
    directory, name = os.path.split(path)
    if listed is not None and is_model_name(name, any_file=False):
        of_stem = listed(directory).companions.get(stem_of(name), ())
        found = tuple(each for each in of_stem if each.is_of(name))
    else:
        found = companions(name, _names(directory))
    return tuple(each for each in found if _is_file(os.path.join(directory, each.name)))


def neighbours(directory: str) -> Neighbours:
    """The same for all models of a directory at once, told by the extensions that ComfyUI loads."""
    names = _names(directory)
    models: dict[str, tuple[str, ...]] = {}
    for name in names:
        if is_model_name(name, any_file=False):
            models[stem_of(name)] = (*models.get(stem_of(name), ()), name)
    return Neighbours(models, by_stem(names))


def _is_file(path: str) -> bool:
    """Whether it may be one: what cannot be looked at is left to whoever reads it, who says why."""
    try:
        return stat.S_ISREG(os.stat(path).st_mode)
    except FileNotFoundError:
        return False
    except OSError as error:
        return error.errno != errno.ELOOP


def _names(directory: str) -> list[str]:
    try:
        return os.listdir(directory)
    except (OSError, ValueError):  # no directory can have a name with a zero byte
        return []
