"""Find the directories that contain models, from options and ComfyUI's own settings.

Within a type the roots are in ComfyUI's search order.
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


#: The file that ComfyUI reads from its own directory by default.
EXTRA_PATHS = "extra_model_paths.yaml"


class RootsFound(NamedTuple):
    """Roots in search order, problems that hid other roots, and paths that may be on an offline drive."""

    roots: tuple[Root, ...]
    problems: tuple[Problem, ...] = ()
    awaited: frozenset[str] = frozenset()


def comfyui_roots(directory: str) -> RootsFound:
    """Find every folder in which the ComfyUI at `directory` keeps models.

    `directory` is a checkout or its models folder. The checkout's `extra_model_paths.yaml` is read too; if it
    is bad as a whole, that is a problem. Other folders under models/ are types named after the folder. Raises
    NotFound `no_such_directory`, MlibError `not_a_directory`, `unreadable_root` or `no_comfyui`. The order is
    that of ComfyUI's main.py: built-in folders, the YAML's, those under output/, those of custom nodes.
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
    """Add the roots of an `extra_model_paths.yaml` to the roots `after`, as ComfyUI does.

    Paths need not exist. An error in one block or value that would stop ComfyUI is one problem here
    (`bad_block`, `bad_key`, `bad_value`). Raises NotFound `no_such_file` or MlibError `bad_yaml` if the file
    as a whole is bad. Format: utils/extra_config.py of ComfyUI.
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
    """Parse `--root TYPE=DIR`.

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
    """`roots` without those that resolve to the same directory as an earlier one."""
    seen: dict[str, Root] = {}
    for root in roots:
        seen.setdefault(os.path.realpath(root.path), root)
    return tuple(seen.values())


def find_comfyui(*, start: str, environ: Mapping[str, str]) -> str | None:
    """Find ComfyUI if none was named: MLIB_COMFYUI, one at or above `start`, or comfy-cli's workspace."""
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
    # A broken link counts too: its error is more useful than "no ComfyUI".
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
    """Built-in folders that a case-insensitive disk lists in another case, by the name listed.

    ComfyUI opens them by their own names, which such a disk accepts.
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
    # A broken link may point to an offline drive; reporting that is up to the scan.
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
    """Like ComfyUI's `add_model_folder_path`: a known path keeps its entry and can only move to the front."""
    roots = by_type.setdefault(root.type, [])
    at = next((index for index, other in enumerate(roots) if other.path == root.path), None)
    if at is None:
        roots.insert(0 if first else len(roots), root)
    elif first:
        roots.insert(0, roots.pop(at))


def _absolute(path: str, *, code: str = "no_such_directory") -> str:
    """`path` with `~` expanded, absolute and normalised, without resolving links."""
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
    # Settings before a syntax error still count.
    with contextlib.suppress(configparser.Error, OSError, ValueError):
        settings.read(path, encoding="utf-8-sig")
    for key in ("default_workspace", "recent_workspace"):
        workspace = settings.defaults().get(key, "")
        if os.path.isabs(workspace) and os.path.isdir(workspace):
            return workspace
    return None
