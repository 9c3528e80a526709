"""Which files go where a model goes: its companions, unless a model that stays needs them."""

from __future__ import annotations

import os
import stat
from bisect import bisect_left
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import is_model_name
from mlib.core.sidecars.companions import companions, is_folder_of, stem_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

#: Files of a folder that are looked at before it is taken for one of pictures.
_MOST_LOOKED_AT = 10_000


class Beside(NamedTuple):
    """Paths of the companions that go along, and of those that stay with another model of the stem.

    `folders` are the model's too, of pictures or examples: they stay, for nobody else looks for them, and it
    cannot be told who else writes into them.
    """

    own: tuple[str, ...] = ()
    shared: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()


class Folder(NamedTuple):
    """The names in a directory, in the order of their lower case, which stands beside each."""

    lowered: Sequence[str]
    names: Sequence[str]

    def beginning_with(self, stem: str) -> list[str]:
        """The names that begin so, in any case; `stem` is in lower case."""
        found = []
        for at in range(bisect_left(self.lowered, stem), len(self.names)):
            if not self.lowered[at].startswith(stem):
                break
            found.append(self.names[at])
        return found


def listed(directory: str) -> Folder:
    """A directory as it is now. Raises OSError where it cannot be listed."""
    pairs = sorted((name.lower(), name) for name in os.listdir(directory))
    return Folder([lowered for lowered, _ in pairs], [name for _, name in pairs])


def companions_of(
    path: str, *, leaving: Collection[str] = (), models: Collection[str] = (), folder: Folder | None = None
) -> Beside:
    """What belongs to the model file at `path` as its directory is now; only files and links.

    `leaving` are paths that go too, so that nothing stays for their sake. `models` are names of files of this
    directory that are models whatever their extension. `folder` is the directory as it was listed before.
    Raises OSError where it cannot be listed.
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
        if each.name not in models and path not in leaving and _is_file(path):
            (shared if any(map(each.is_of, staying)) else own).append(path)
    folders = [
        os.path.join(directory, other)
        for other in names
        if is_folder_of(other, name) and not any(is_folder_of(other, model) for model in staying)
    ]
    return Beside(tuple(own), tuple(shared), tuple(filter(_holds_no_model, folders)))


def renamed(companion: str, *, model: str, to: str) -> str:
    """The name of a companion of the model file `model` when that is called `to` (names, not paths)."""
    before, after = model.lower(), to
    if not companion.lower().startswith(f"{before}."):  # it is named after the stem alone
        before, after = stem_of(model), os.path.splitext(to)[0]
        model = os.path.splitext(model)[0]
    if after == model:  # it only moves, however its own letters are written
        return companion
    # By length: how a letter is lowered may depend on what follows it, how long it gets does not.
    wanted = len(before)
    length = next(at for at in range(len(companion) + 1) if len(companion[:at].lower()) >= wanted)
    return after + companion[length:]


def _holds_no_model(folder: str) -> bool:
    """Whether it is a folder with files of which no model is one: else it is a place for models."""
    below = (name for _, _, names in os.walk(folder) for name in names)
    found = [is_model_name(name, any_file=False) for name in islice(below, _MOST_LOOKED_AT)]
    return bool(found) and not any(found)


def _is_file(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) or stat.S_ISLNK(mode)
