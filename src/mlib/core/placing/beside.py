"""Which files go where a model goes: its companions, unless another model of the same stem needs them."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import is_model_name
from mlib.core.sidecars.companions import companions, stem_of

if TYPE_CHECKING:
    from collections.abc import Collection


class Beside(NamedTuple):
    """Paths of the companions that go along, and of those that stay with another model."""

    own: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()


def companions_of(path: str, *, leaving: Collection[str] = (), models: Collection[str] = ()) -> Beside:
    """What belongs to the model file at `path` as its directory is now; only files and links.

    `leaving` are paths that go too, so that nothing stays for their sake. `models` are names of files of this
    directory that are models whatever their extension. Raises OSError where it cannot be listed.
    """
    directory, name = os.path.split(path)
    names = os.listdir(directory)
    found = [
        os.path.join(directory, each.name)
        for each in companions(name, names)
        if each.name not in models and _is_file(os.path.join(directory, each.name))
    ]
    stem = stem_of(name)
    sharing = [
        other
        for other in names
        if other != name
        and stem_of(other) == stem
        and (is_model_name(other, any_file=False) or other in models)
        and os.path.join(directory, other) not in leaving
    ]
    own = tuple(each for each in found if each not in leaving)
    return Beside(shared=own) if sharing else Beside(own=own)


def renamed(companion: str, *, model: str, to: str) -> str:
    """The name of a companion of the model file `model` when that is called `to` (names, not paths)."""
    # By length: how a letter is lowered may depend on what follows it, how long it gets does not.
    wanted = len(stem_of(model))
    length = next(at for at in range(len(companion) + 1) if len(companion[:at].lower()) >= wanted)
    return os.path.splitext(to)[0] + companion[length:]


def _is_file(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
