"""Reading a YAML file that somebody wrote by hand: within bounds, and with errors that name the line.

Loads PyYAML, so it is imported only where a YAML file is there to be read.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, TypeAlias

import yaml

from mlib.core.errors import MlibError, NotFound

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Lines, counted from 1, by the keys that lead there: (block,) and (block, key).
Lines: TypeAlias = "dict[tuple[str, ...], int]"

MAX_BYTES = 1_000_000
#: Keys that `<<` may copy. An alias only points, but a merge copies: twenty lines can ask for all memory.
MAX_MERGED_KEYS = 10_000
_MERGE = "tag:yaml.org,2002:merge"


def read_mapping(path: str) -> tuple[dict[object, object], Lines]:
    """The mapping at the top of a YAML file as plain values, and where its keys stand; empty for no document.

    Raises NotFound `no_such_file`, or MlibError `bad_yaml` for a file that cannot be read, is larger than
    MAX_BYTES, is no UTF-8, no YAML or no mapping.
    """
    text = _read_text(path)
    try:
        loader = _BoundedLoader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise _bad(path, line, f"{error.reason}: #x{error.character:04x}") from error
    try:
        node = loader.get_single_node()
        value = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise _bad(path, _line(error, loader), _problem(error)) from error
    except RecursionError as error:
        raise _bad(path, loader.line_reached, "it is nested too deeply") from error
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        # PyYAML lets out whatever its constructors raise, for instance on the date 2001-99-99.
        raise _bad(path, loader.line_reached, "a value cannot be understood") from error
    if node is None or value is None:
        return {}, {}
    if not isinstance(value, dict):
        raise _bad(path, node.start_mark.line + 1, "this is no mapping of names to settings")
    return value, dict(_lines(node, 2))


def _lines(node: yaml.Node, depth: int) -> Iterator[tuple[tuple[str, ...], int]]:
    """The path of keys to every value down to this depth, and the line of the value, counted from 1.

    Text that begins with `|` or `>` has its first line below that mark.
    """
    if not isinstance(node, yaml.MappingNode) or not depth:
        return
    for key, value in node.value:
        if isinstance(key, yaml.ScalarNode):
            is_block = isinstance(value, yaml.ScalarNode) and value.style in ("|", ">")
            mark = key if isinstance(value, yaml.MappingNode) else value
            yield (key.value,), mark.start_mark.line + (2 if is_block else 1)
            yield from (((key.value, *below), line) for below, line in _lines(value, depth - 1))


class _BoundedLoader(yaml.SafeLoader):
    """PyYAML's safe loader, which knows the line it works on and how much it has merged."""

    _node_line: int | None = None
    _merged = 0

    @property
    def line_reached(self) -> int:
        """Counted from 1; of the value being built, or of the text being read before any is."""
        return (self.line if self._node_line is None else self._node_line) + 1

    def construct_object(self, node: yaml.Node, deep: bool = False) -> object:
        self._node_line = node.start_mark.line
        value: object = super().construct_object(node, deep=deep)
        return value

    def flatten_mapping(self, node: yaml.MappingNode) -> None:
        for key, value in node.value:
            if key.tag != _MERGE:
                continue
            for part in value.value if isinstance(value, yaml.SequenceNode) else [value]:
                if isinstance(part, yaml.MappingNode):
                    self.flatten_mapping(part)
                    self._merged += len(part.value)
                    if self._merged > MAX_MERGED_KEYS:
                        raise yaml.constructor.ConstructorError(
                            None, None, "it merges too many keys", node.start_mark
                        )
        super().flatten_mapping(node)


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
        raise _bad(path, data.count(b"\n", 0, error.start) + 1, "this is not UTF-8 text") from error


def _bad(path: str, line: int | None, what: str) -> MlibError:
    where = path if line is None else f"{path}: line {line}"
    return MlibError("bad_yaml", f"{where}: {what}")


def _line(error: yaml.YAMLError, loader: _BoundedLoader) -> int:
    mark = getattr(error, "problem_mark", None) or getattr(error, "context_mark", None)
    return loader.line_reached if mark is None else int(mark.line) + 1


def _problem(error: yaml.YAMLError) -> str:
    """What PyYAML objects to, on one short line."""
    what = getattr(error, "problem", None) or "this is no YAML"
    return " ".join(str(what).split())[:200]
