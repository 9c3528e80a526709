"""From options and ComfyUI's own settings to the directories that hold models.

Within a type the roots stand in the order in which ComfyUI searches them.
"""

from __future__ import annotations

import contextlib
import os
from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.comfyui.extra_paths import UNSEEN, YamlEntry, extra_entries, judge, path_text
from mlib.core.comfyui.folders import (
    BUILT_IN_FOLDERS,
    OUTPUT_FOLDERS,
    SKIPPED_TYPES,
    TYPE_FOLDERS,
    canonical_type,
    is_type_name,
)
from mlib.core.disk.walk import passed_over
from mlib.core.errors import MlibError, NotFound, WrongUsage
from mlib.core.records import Problem, Root

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence


#: What ComfyUI reads beside itself without being told.
EXTRA_PATHS = "extra_model_paths.yaml"


class RootsFound(NamedTuple):
    """Roots in search order, what kept others from being found, and the paths that a drive may bring back."""

    roots: tuple[Root, ...]
    problems: tuple[Problem, ...] = ()
    awaited: frozenset[str] = frozenset()


def comfyui_roots(directory: str) -> RootsFound:
    """Every folder in which the ComfyUI at `directory` keeps models.

    `directory` is a checkout or its models folder. The `extra_model_paths.yaml` of the checkout is read too;
    one that is broken as a whole is a problem. Other folders under models/ are types of their own name.
    Raises NotFound `no_such_directory`, MlibError `not_a_directory`, `unreadable_root` or `no_comfyui`.
    Order as in ComfyUI's main.py: built-in folders, the YAML's, those under output/, those of custom nodes.
    """
    base, models = _checkout_and_models(_absolute(directory))
    names = _folder_names(models)
    respelled = _in_other_letters(models, names)
    names = names.difference(respelled).union(respelled.values())
    origin = f"comfyui:{base}"
    built_in = [
        Root(type=kind, path=os.path.join(models, folder), origin=origin)
        for kind, folders in TYPE_FOLDERS.items()
        for folder in folders
        if folder in names
    ]
    found = _with_extra_paths(built_in, os.path.join(base, EXTRA_PATHS))
    by_type = _by_type(found.roots)
    for folder in OUTPUT_FOLDERS:
        path = os.path.join(base, "output", folder)
        if os.path.isdir(path):
            _add(by_type, Root(type=canonical_type(folder), path=path, origin=origin))
    problems = list(found.problems)
    listed = {root.path for root in _in_order(by_type)}
    for name in sorted(names - BUILT_IN_FOLDERS - SKIPPED_TYPES):
        path = os.path.join(models, name)
        if name.startswith(".") or passed_over(name) or path in listed:
            continue
        if is_type_name(name):
            meant = canonical_type(name)
            if meant != name:
                folder = os.path.join(models, TYPE_FOLDERS[meant][0])
                problems.append(Problem(path, UNSEEN, f"ComfyUI does not look here but in {folder}"))
            _add(by_type, Root(type=name, path=path, origin=origin))
        else:
            problems.append(Problem(path, "bad_type", "the folder's name is not a possible model type"))
    return RootsFound(_in_order(by_type), tuple(problems), found.awaited)


def extra_paths_roots(yaml_path: str, *, after: Sequence[Root] = ()) -> RootsFound:
    """The roots `after`, with those of an `extra_model_paths.yaml` added as ComfyUI adds them.

    Paths need not exist. What would stop ComfyUI in one block or value is one problem here (`bad_block`,
    `bad_key`, `bad_value`). Raises NotFound `no_such_file` or MlibError `bad_yaml` for a fault of the whole
    file.
    Format: utils/extra_config.py of ComfyUI.
    """
    yaml_path = _absolute(yaml_path, code="no_such_file")
    by_type = _by_type(after)
    problems: list[Problem] = []
    entries: list[YamlEntry] = []
    for entry in extra_entries(yaml_path):
        if isinstance(entry, Problem):
            problems.append(entry)
        else:
            entries.append(entry)
            _add(by_type, entry.root, first=entry.first)
    judged = judge(yaml_path, entries)
    return RootsFound(_in_order(by_type), (*problems, *judged.problems), judged.awaited)


def root_option(text: str) -> Root:
    """The root that `--root TYPE=DIR` names.

    Raises WrongUsage `bad_root`, NotFound `no_such_directory`, or MlibError `not_a_directory`,
    `unreadable_root`.
    """
    kind, equals, directory = text.partition("=")
    kind = canonical_type(kind)
    if not equals or not directory or not is_type_name(kind) or "/" in kind or "\\" in kind:
        raise WrongUsage("bad_root", f"{text!r} is not a root", hint="use TYPE=DIR, such as loras=/mnt/loras")
    path = _absolute(directory)
    _folder_names(path)
    return Root(type=kind, path=path, origin="user")


def distinct(roots: Iterable[Root]) -> tuple[Root, ...]:
    """`roots` without those that lead to a directory which an earlier one leads to."""
    seen: dict[str, Root] = {}
    for root in roots:
        seen.setdefault(os.path.realpath(root.path), root)
    return tuple(seen.values())


def find_comfyui(*, start: str, environ: Mapping[str, str]) -> str | None:
    """A ComfyUI nobody named: MLIB_COMFYUI, one at or around `start`, or comfy-cli's workspace."""
    told = environ.get("MLIB_COMFYUI")
    if told:
        return told
    start = _absolute(start)
    for place in (*_upwards(start), os.path.join(start, "ComfyUI")):
        if _is_comfyui(place):
            return place
    return _comfy_cli_workspace()


def _checkout_and_models(directory: str) -> tuple[str, str]:
    parent, name = os.path.split(directory)
    if name == "models" and any(
        os.path.isdir(os.path.join(directory, folder)) for folder in BUILT_IN_FOLDERS
    ):
        return parent, directory
    models = os.path.join(directory, "models")
    # A link counts even if it leads nowhere now: that error is worth more than "no ComfyUI".
    if os.path.isdir(models) or os.path.islink(models):
        return directory, models
    names = _folder_names(directory)
    if "models" in names:
        return directory, models
    if name == "models" or not names.isdisjoint(BUILT_IN_FOLDERS):
        return parent, directory
    raise MlibError(
        "no_comfyui",
        f"{directory}: no ComfyUI found",
        hint="name the directory that contains models/, or the models folder itself",
    )


def _folder_names(directory: str) -> frozenset[str]:
    try:
        with os.scandir(directory) as entries:
            return frozenset(entry.name for entry in entries if _is_folder(entry))
    except FileNotFoundError as error:
        raise NotFound("no_such_directory", f"{directory}: no such directory") from error
    except NotADirectoryError as error:
        raise MlibError("not_a_directory", f"{directory}: not a directory") from error
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise MlibError("unreadable_root", f"{directory}: cannot be listed: {reason}") from error


def _in_other_letters(models: str, names: Collection[str]) -> dict[str, str]:
    """Built-in folders that a disk without regard to case shows in other letters, by the name shown.

    ComfyUI asks for them by their own names, and such a disk answers.
    """
    lowered = {name: name.lower() for name in names if name.lower() in BUILT_IN_FOLDERS}
    return {
        name: folder
        for name, folder in lowered.items()
        if folder not in names and os.path.isdir(os.path.join(models, folder))
    }


def _is_folder(entry: os.DirEntry[str]) -> bool:
    with contextlib.suppress(OSError):
        if entry.is_dir():
            return True
    # A link that leads nowhere now may lead to a drive that is off; saying so is the scan's business.
    return entry.name in BUILT_IN_FOLDERS and entry.is_symlink() and not os.path.exists(entry.path)


def _with_extra_paths(roots: Sequence[Root], yaml_path: str) -> RootsFound:
    if not os.path.isfile(yaml_path):
        return RootsFound(tuple(roots))
    try:
        return extra_paths_roots(yaml_path, after=roots)
    except MlibError as error:
        return RootsFound(tuple(roots), (Problem(yaml_path, error.code, error.message),))


def _by_type(roots: Iterable[Root]) -> dict[str, list[Root]]:
    by_type: dict[str, list[Root]] = {}
    for root in roots:
        _add(by_type, root)
    return by_type


def _in_order(by_type: Mapping[str, Sequence[Root]]) -> tuple[Root, ...]:
    return tuple(chain.from_iterable(by_type.values()))


def _add(by_type: dict[str, list[Root]], root: Root, *, first: bool = False) -> None:
    """ComfyUI's `add_model_folder_path`: a path listed before keeps its entry and only moves to the front."""
    roots = by_type.setdefault(root.type, [])
    at = next((index for index, other in enumerate(roots) if other.path == root.path), None)
    if at is None:
        roots.insert(0 if first else len(roots), root)
    elif first:
        roots.insert(0, roots.pop(at))


def _absolute(path: str, *, code: str = "no_such_directory") -> str:
    """`path` with its `~` resolved, absolute and normalised, never followed through links."""
    if not path:
        raise NotFound(code, "the path is empty")
    try:
        return os.path.abspath(os.path.expanduser(path_text(path)))
    except ValueError as error:
        raise NotFound(code, f"the path {path[:60]!r} {error}") from error
    except FileNotFoundError as error:
        raise NotFound(code, f"{path}: the current directory no longer exists") from error


def _upwards(directory: str) -> Iterator[str]:
    yield directory
    while (parent := os.path.dirname(directory)) != directory:
        directory = parent
        yield directory


def _is_comfyui(directory: str) -> bool:
    def has(name: str) -> bool:
        return os.path.exists(os.path.join(directory, name))

    return os.path.isdir(os.path.join(directory, "models")) and (
        has("folder_paths.py") or (has("main.py") and os.path.isdir(os.path.join(directory, "comfy")))
    )


def _comfy_cli_workspace() -> str | None:
    """The workspace in the settings of comfy-cli, if that directory exists."""
    import configparser

    import platformdirs

    path = os.path.join(platformdirs.user_config_dir("comfy-cli", appauthor=False), "config.ini")
    settings = configparser.ConfigParser(interpolation=None, strict=False)
    # What was read before a fault still counts.
    with contextlib.suppress(configparser.Error, OSError, ValueError):
        settings.read(path, encoding="utf-8-sig")
    for key in ("default_workspace", "recent_workspace"):
        workspace = settings.defaults().get(key, "")
        if os.path.isabs(workspace) and os.path.isdir(workspace):
            return workspace
    return None
