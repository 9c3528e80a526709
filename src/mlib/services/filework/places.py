"""Where a file is to go: the directory as the library spells it, and the root it lies in."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui import MODEL_EXTENSIONS
from mlib.core.errors import NotFound, WrongUsage
from mlib.core.passed_over import is_passed_over
from mlib.core.walk import is_within

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.models import Root


class Place(NamedTuple):
    """A path that a file is to have; `root` is None outside of all of them."""

    directory: str
    name: str
    root: Root | None

    @property
    def path(self) -> str:
        return os.path.join(self.directory, self.name)


def place_of(dest: str, name: str, roots: Sequence[Root]) -> Place:
    """What `mv` means by DEST for a file called `name`: a directory that is there, or a new path.

    Raises NotFound (`no_such_directory`), WrongUsage (`bad_name`, `passed_over`).
    """
    if not dest or "\0" in dest:
        raise WrongUsage("bad_name", "a file name cannot be empty or hold a zero byte")
    path = os.path.abspath(dest)
    if os.path.isdir(path):
        return _placed(path, name, roots)
    extension = os.path.splitext(name)[1]
    directory, new_name = os.path.split(path)
    if dest.endswith(os.sep) or not os.path.isdir(directory) or not _is_kept(new_name, extension):
        missing = directory if not os.path.isdir(directory) else path
        hint = f"`mkdir -p` makes it; a new name for the file would end in {extension}"
        raise NotFound("no_such_directory", f"there is no such directory: {missing}", hint=hint)
    return _placed(directory, new_name, roots)


def renamed_place(directory: str, name: str, new_name: str, roots: Sequence[Root]) -> Place:
    """The same directory with another file name; the extension of `name` is added where none is given.

    Raises WrongUsage (`bad_name`).
    """
    if "\0" in new_name or os.sep in new_name or not new_name.strip():
        raise WrongUsage(
            "bad_name", "a file name holds no slash and is not empty", hint="`mlib mv` moves to other folders"
        )
    if new_name.startswith("."):
        raise WrongUsage("bad_name", "scans pass over files whose name begins with a dot")
    extension = os.path.splitext(name)[1]
    if not _is_kept(new_name, extension):
        new_name += extension
    return _placed(directory, new_name, roots)


def _is_kept(new_name: str, extension: str) -> bool:
    """Whether a scan takes `new_name` for a model where it took the extension it has for one."""
    stem, new_extension = os.path.splitext(new_name)
    return (
        bool(stem)
        and not new_name.startswith(".")
        and (new_extension.lower() == extension.lower() or new_extension.lower() in MODEL_EXTENSIONS)
    )


def _placed(directory: str, name: str, roots: Sequence[Root]) -> Place:
    real = os.path.realpath(directory)
    lexical = [root for root in roots if is_within(directory, root.path)]
    by_length = sorted(roots, key=lambda root: (root in lexical, len(root.path)), reverse=True)
    for root in by_length:
        real_root = os.path.realpath(root.path)
        if is_within(real, real_root) and not _has_deeper(real, real_root, roots):
            spelled = os.path.normpath(os.path.join(root.path, os.path.relpath(real, real_root)))
            return _visited(Place(spelled, name, root))
    if lexical:  # by a link that leads out of the root, which a scan follows
        return _visited(Place(directory, name, max(lexical, key=lambda root: len(root.path))))
    return Place(directory, name, None)


def _has_deeper(real: str, real_root: str, roots: Sequence[Root]) -> bool:
    """Whether another root lies between: its files are its own."""
    others = (os.path.realpath(root.path) for root in roots)
    return any(len(other) > len(real_root) and is_within(real, other) for other in others)


def _visited(place: Place) -> Place:
    assert place.root is not None
    if is_passed_over(place.directory, place.root.path):
        raise WrongUsage("passed_over", f"scans pass over this folder: {place.directory}")
    return place
