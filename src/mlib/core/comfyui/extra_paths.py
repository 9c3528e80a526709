"""Read extra_model_paths.yaml as ComfyUI does (its utils/extra_config.py), and find mistakes in it."""

from __future__ import annotations

import difflib
import os
import re
import stat
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from mlib.core.comfyui.folders import LEGACY_TYPES, SKIPPED_TYPES, TYPE_FOLDERS, canonical_type, is_type_name
from mlib.core.disk.system import IS_WINDOWS
from mlib.core.disk.walk import is_within, topmost_missing
from mlib.core.errors import MlibError, NotFound
from mlib.core.records import Problem, Root

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping, Sequence

    import yaml


# --- Reading hand-written YAML, within limits and with errors that name the line
#
# PyYAML is imported only when there is a YAML file to read.

#: Line numbers from 1 by path of keys: (block,) and (block, key).
Lines: TypeAlias = "dict[tuple[str, ...], int]"

MAX_BYTES = 1_000_000


def read_mapping(path: str) -> tuple[dict[object, object], Lines]:
    """Read the top-level mapping of a YAML file as plain values, and the lines of its keys; empty if blank.

    Raises NotFound `no_such_file`, or MlibError `bad_yaml` for a file that cannot be read, is larger than
    MAX_BYTES, not UTF-8, not YAML or not a mapping.
    """
    import yaml

    reached: int | None = None

    class Loader(yaml.SafeLoader):
        """Keeps the line of the value being built, which the errors of PyYAML's constructors do not have."""

        def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
            nonlocal reached
            reached = node.start_mark.line + 1
            value: object = super().construct_object(node, deep=deep)
            return value

    text = _read_text(path)
    try:
        loader = Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _bad(path, line, f"{error.reason}: #x{error.character:04x}") from error
    try:
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        what = " ".join(str(error.problem or "not YAML").split())[:200]
        raise _bad(path, (mark or loader).line + 1, what) from error
    except RecursionError as error:
        raise _bad(path, reached or loader.line + 1, "nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML passes on whatever its constructors raise, such as for the date 2001-99-99.
        raise _bad(path, reached or loader.line + 1, "invalid value") from error
    if node is None or value is None:
        return {}, {}
    if not isinstance(value, dict):
        raise _bad(path, node.start_mark.line + 1, "not a mapping of names to settings")
    return value, dict(_lines(node, 2))


def _lines(node: yaml.Node, depth: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """The path of keys to every value down to this depth, and the value's line, counted from 1.

    The first line of a block scalar is the one below its `|` or `>`.
    """
    import yaml

    if not isinstance(node, yaml.MappingNode) or not depth:
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            is_block = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
            mark = key if isinstance(value, yaml.MappingNode) else value
            yield (key.value,), mark.start_mark.line + (2 if is_block else 1)
            yield from (((key.value, *below), line) for below, line in _lines(value, depth - 1))


def _read_text(path: str) -> str:
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise _bad(path, None, "not a regular file")
        with open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except FileNotFoundError as error:
        raise NotFound("no_such_file", f"{path}: no such file") from error
    except OSError as error:
        raise _bad(path, None, f"cannot be read: {(error.strerror or str(error)).lower()}") from error
    if len(data) > MAX_BYTES:
        raise _bad(path, None, f"larger than {MAX_BYTES} bytes")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise _bad(path, data.count(b"\n", 0, error.start) + 1, "not UTF-8 text") from error


def _bad(path: str, line: int | None, what: str) -> MlibError:
    where = path if line is None else f"{path}: line {line}"
    return MlibError("bad_yaml", f"{where}: {what}")


# --- Entries of the file, and its mistakes

#: The most blocks, keys and lines of a file, counting repetitions by aliases.
MAX_LINES = 5_000
_LONGEST_PATH = 4096
#: The problem code of a folder that no ComfyUI loader reads.
UNSEEN = "unseen_folder"
_WINDOWS_PATH = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_DIGITS = re.compile(r"[0-9]+")
_KINDS = (
    (bool, "true or false"),
    ((int, float), "a number"),
    (str, "text"),
    (list, "a list"),
    (dict, "a mapping"),
)


class YamlEntry(NamedTuple):
    """A folder listed in the file, its line, and whether it goes to the front of its type.

    `base` is the directory that the line is relative to.
    """

    root: Root
    first: bool
    line: int
    base: str


def extra_entries(yaml_path: str) -> Iterator[YamlEntry | Problem]:
    """Yield each folder listed in the file, or the problem with a line.

    Raises NotFound `no_such_file` or MlibError `bad_yaml` if the file as a whole is bad.
    """

    folder = os.path.dirname(yaml_path)
    lines = 0
    mapping, at = read_mapping(yaml_path)
    # A list, because a block may be an alias of the whole mapping and is changed below.
    for name, block in list(mapping.items()):
        lines += 1
        if block is None:
            continue
        where = _Place(yaml_path, name, at)
        if not isinstance(block, dict):
            yield where.problem("bad_block", f"is {_kind(block)}, not a mapping of types to folders")
            continue
        base = folder
        # Remove it, as ComfyUI does: this affects a second block that is an alias of this one.
        if "base_path" in block:
            try:
                given = path_text(block.pop("base_path"))
            except ValueError as error:
                message = f"base_path {error}; ignoring the block"
                yield where.problem("bad_value", message, key="base_path", shown="")
                continue
            base = os.path.join(folder, os.path.expandvars(os.path.expanduser(given)))
            if _is_foreign(given, base):
                message = f"base_path '{given[:80]}' is a Windows path; ignoring the block"
                yield where.problem("foreign_path", message, key="base_path", shown="")
                continue
        first = bool(block.pop("is_default", False))
        for key, value in block.items():
            lines += 1 + (value.count("\n") if isinstance(value, str) else 0)
            if lines > MAX_LINES:
                raise MlibError(
                    "bad_yaml", f"{yaml_path}: block {_shown(name)}: lists more than {MAX_LINES} folders"
                )
            yield from _value_entries(key, value, base, first, where)


class _Place(NamedTuple):
    """A block of the file, to locate problems."""

    yaml_path: str
    name: object
    lines: Mapping[tuple[str, ...], int]

    def line(self, key: object = None) -> int:
        """The line of a key of the block, or of the block itself; 1 if unknown."""
        keys = [part for part in (self.name, key) if isinstance(part, str)]
        return self.lines.get(tuple(keys)) or self.lines.get((str(self.name),)) or 1

    def problem(
        self, code: str, message: str, *, key: object = None, shown: str | None = None, below: int = 0
    ) -> Problem:
        """A problem with the block, or with one of its keys, displayed as `shown`."""
        named = "" if key is None else f" {_shown(key)}" if shown is None else shown
        colon = ":" if key is not None else ""
        where = f"line {self.line(key) + below}: block {_shown(self.name)}{colon}"
        return Problem(self.yaml_path, code, f"{where}{named} {message}")


def _value_entries(
    key: object, value: object, base: str, first: bool, where: _Place
) -> Iterator[YamlEntry | Problem]:
    """Yield the folders listed under one key, one per line."""
    if not isinstance(key, str) or not is_type_name(key):
        yield where.problem("bad_key", "is not a possible model type", key=key)
    elif key in SKIPPED_TYPES:
        return
    elif not isinstance(value, str):
        yield where.problem("bad_value", f"is {_kind(value)}, expected folders, one per line", key=key)
    else:
        kind = _type_of(key)
        for number, line in enumerate(value.split("\n")):
            if not line:
                continue
            try:
                path = os.path.normpath(os.path.join(base, path_text(line)))
            except ValueError as error:
                yield where.problem("bad_value", str(error), key=key, below=number)
                continue
            if _is_foreign(line, path):
                message = f"'{line[:80]}' is a Windows path; ignored"
                yield where.problem("foreign_path", message, key=key, below=number)
                continue
            origin = f"extra:{where.yaml_path}"
            root = Root(type=kind, path=path, origin=origin, any_file=kind not in TYPE_FOLDERS)
            yield YamlEntry(root, first, where.line(key) + number, base)


def _type_of(key: str) -> str:
    """ComfyUI's type for a key of the file: the key as written, except for two old names."""
    return LEGACY_TYPES.get(key, key)


def _is_foreign(text: str, path: str) -> bool:
    """Whether this is a Windows path that does not exist here, on a system that has none."""
    return not IS_WINDOWS and _WINDOWS_PATH.match(text) is not None and not os.path.lexists(path)


class JudgedLines(NamedTuple):
    """The paths of folders that may be on an offline drive, and the problems with lines of the file."""

    awaited: frozenset[str]
    problems: tuple[Problem, ...]


def judge(yaml_path: str, entries: Sequence[YamlEntry]) -> JudgedLines:
    """Distinguish missing folders that may be on an offline drive from unused types and from typing errors.

    If some folders below a base exist, the missing ones are unused types. If none exists, all are awaited:
    the base may be on an offline drive. A missing folder whose name almost matches one beside it is a typing
    error; so is a key that ComfyUI treats as a type of its own, such as LORAS for loras.
    """
    problems: list[Problem] = []
    groups: dict[str, list[YamlEntry]] = {}
    for entry in entries:
        path = entry.root.path
        groups.setdefault(entry.base if is_within(path, entry.base) else os.path.dirname(path), []).append(
            entry
        )
        meant = canonical_type(entry.root.type)
        if meant != entry.root.type:
            message = f"line {entry.line}: ComfyUI's loaders use {meant}, not {entry.root.type}"
            problems.append(Problem(path, UNSEEN, message))
    absent = {
        entry.root.path: any(os.path.isdir(other.root.path) for other in group)
        for group in groups.values()
        for entry in group
        if not os.path.isdir(entry.root.path)
    }
    listed = {entry.root.path for entry in entries}
    said: set[str] = set()
    for entry in (each for each in entries if each.root.path in absent):
        slip = _slip(entry.root.path, listed)
        if slip is not None and slip[0] not in said:
            said.add(slip[0])
            message = f"line {entry.line}: {slip[0]} does not exist; did you mean {slip[1]}?"
            problems.append(Problem(yaml_path, "no_such_directory", message))
    return JudgedLines(
        frozenset(path for path, has_neighbours in absent.items() if not has_neighbours), tuple(problems)
    )


def _slip(path: str, listed: Collection[str]) -> tuple[str, str] | None:
    """The missing part of a path and an existing close match; not if only numbers differ."""
    missing = topmost_missing(path)
    if missing is None:
        return None
    directory, name = os.path.split(missing)
    try:
        with os.scandir(directory) as found:
            folders = [entry.name for entry in found if entry.is_dir()]
    except OSError:
        return None
    plain = _DIGITS.sub("", name.casefold())
    near = {folder.casefold(): folder for folder in folders if _DIGITS.sub("", folder.casefold()) != plain}
    near |= {folder.casefold(): folder for folder in folders if folder.casefold() == name.casefold()}
    for close in difflib.get_close_matches(name.casefold(), near, n=3, cutoff=0.8):
        other = os.path.join(directory, near[close])
        if not any(is_within(each, other) for each in listed):
            return missing, other
    return None


def path_text(value: object) -> str:
    """`value` if it can be a path; else raises ValueError with the reason."""
    if not isinstance(value, str):
        raise ValueError(f"is {_kind(value)}, expected a path")
    if len(value) > _LONGEST_PATH:
        raise ValueError("is too long for a path")
    try:
        encoded = os.fsencode(value)
    except UnicodeEncodeError as error:
        raise ValueError("contains a character that no path can have") from error
    if b"\0" in encoded:
        raise ValueError("contains a character that no path can have")
    return value


def _kind(value: object) -> str:
    if value is None:
        return "empty"
    return next((words for kind, words in _KINDS if isinstance(value, kind)), "not text")


def _shown(name: object) -> str:
    """A key for a message: shortened, and safe for numbers too long to print."""
    return repr(name[:60]) if isinstance(name, str) else f"({_kind(name)})"
