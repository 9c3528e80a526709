"""The lines of an extra_model_paths.yaml, read as ComfyUI reads them (its utils/extra_config.py)."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.comfyui import SKIPPED_TYPES, TYPE_ALIASES, TYPE_FOLDERS, is_type_name
from mlib.core.errors import MlibError
from mlib.core.models import Problem, Root

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Blocks, keys and lines a file may have, counted as often as aliases repeat them.
MAX_LINES = 5_000
_LONGEST_PATH = 4096
_KINDS = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
)


def extra_entries(yaml_path: str) -> Iterator[tuple[Root, bool] | Problem]:
    """Each line of the file as a root and whether it goes to the front of its type, or what is wrong with it.

    Raises NotFound `no_such_file` or MlibError `bad_yaml` for a fault of the whole file.
    """
    from mlib.core.bounded_yaml import read_mapping

    folder = os.path.dirname(yaml_path)
    lines = 0
    # A list, because a block may be an alias of the whole and is changed below.
    for name, block in list(read_mapping(yaml_path).items()):
        lines += 1
        if block is None:
            continue
        where = f"block {_shown(name)}"
        if not isinstance(block, dict):
            yield Problem(
                yaml_path, "bad_block", f"{where} is {_kind(block)}, not a mapping of types to folders"
            )
            continue
        base = folder
        # Removed, not just read: ComfyUI does so, and a second block that is an alias of this one shows it.
        if "base_path" in block:
            try:
                given = path_text(block.pop("base_path"))
            except ValueError as error:
                yield Problem(yaml_path, "bad_value", f"{where}: base_path {error}; the block is left out")
                continue
            base = os.path.join(folder, os.path.expandvars(os.path.expanduser(given)))
        first = bool(block.pop("is_default", False))
        for key, value in block.items():
            lines += 1 + (value.count("\n") if isinstance(value, str) else 0)
            if lines > MAX_LINES:
                raise MlibError("bad_yaml", f"{yaml_path}: {where}: more than {MAX_LINES} folders are listed")
            for entry in _value_entries(key, value, base, yaml_path):
                if isinstance(entry, Root):
                    yield entry, first
                else:
                    yield Problem(yaml_path, entry[0], f"{where}: {_shown(key)} {entry[1]}")


def _value_entries(key: object, value: object, base: str, yaml_path: str) -> Iterator[Root | tuple[str, str]]:
    """The roots one key lists; what is wrong comes as a code and the end of a sentence about the key."""
    if not isinstance(key, str) or not is_type_name(key):
        yield "bad_key", "cannot be a type of models"
    elif key in SKIPPED_TYPES:
        return
    elif not isinstance(value, str):
        yield "bad_value", f"is {_kind(value)}, where folders are wanted, a line each"
    else:
        kind = TYPE_ALIASES.get(key, key)
        for line in filter(None, value.split("\n")):
            try:
                path = os.path.normpath(os.path.join(base, path_text(line)))
            except ValueError as error:
                yield "bad_value", str(error)
            else:
                yield Root(
                    type=kind, path=path, origin=f"extra:{yaml_path}", any_file=kind not in TYPE_FOLDERS
                )


def path_text(value: object) -> str:
    """`value` if a path can be made of it; a ValueError says why not."""
    if not isinstance(value, str):
        raise ValueError(f"is {_kind(value)}, where a path is wanted")
    if len(value) > _LONGEST_PATH:
        raise ValueError("is longer than any path can be")
    try:
        encoded = os.fsencode(value)
    except UnicodeEncodeError as error:
        raise ValueError("holds a character that no path can hold") from error
    if b"\0" in encoded:
        raise ValueError("holds a character that no path can hold")
    return value


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "no text")


def _shown(name: object) -> str:
    """A key for a message: short, and never the digits of a number too long to print."""
    return repr(name[:60]) if isinstance(name, str) else f"({_kind(name)})"
