"""How a half-typed command line may go on."""

from __future__ import annotations

import shlex
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from mlib.cli import output
from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlib.db.library import Library

_TYPES, _TAGS = frozenset({"--type"}), frozenset({"--tag", "--untag"})


def complete(program: Any, line: Sequence[str]) -> None:
    """Print what the last word of a line may become, a candidate a line; nothing where only files fit."""
    words = _words(line[0] if line else "")
    found = [each for each in _candidates(program, words[1:-1], words[-1]) if each.isprintable()]
    output.write_lines(dict.fromkeys(found))


def _words(line: str) -> list[str]:
    """The words of a line as its shell would read them; behind a space begins an empty one."""
    for closing in ("", '"', "'", "\\"):
        with suppress(ValueError):
            words = shlex.split(line + closing)
            return words if len(words) > 1 and (closing or not line[-1:].isspace()) else [*words, ""]
    return ["mlib", ""]


def _candidates(program: Any, words: Sequence[str], begun: str) -> Iterable[str]:
    command, library, waiting = _walk(program, words)
    if command is None:
        return []
    if waiting is not None:
        return _values(waiting, library, begun)
    metavar = " ".join(str(param.metavar) for param in command.params if param.param_type_name == "argument")
    if begun.startswith("-") and "--" not in words and ("QUERY" not in metavar or begun.startswith("--")):
        return _options(command, library, begun)
    verbs = [name for name in getattr(command, "commands", {}) if name.startswith(begun)]
    return [*verbs, *_arguments(metavar, library, begun, with_refs="--sidecars" in words)]


def _options(command: Any, library: str | None, begun: str) -> Iterable[str]:
    """Options, or the values of one that is written as --OPTION=VALUE."""
    name, equals, value = begun.partition("=")
    if equals:
        option = next((param for param in command.params if name in param.opts), None)
        values = [] if option is None else _values(option, library, value)
        return [f"{name}={each}" for each in values]
    options = [name for param in command.params for name in param.opts if name.startswith("--")]
    return [name for name in [*options, "--help"] if name.startswith(begun)]


def _arguments(metavar: str, library: str | None, begun: str, *, with_refs: bool) -> Iterable[str]:
    if "QUERY" in metavar:
        return _query(library, begun)
    if "REF" in metavar or with_refs:
        return _asked(library, "refs", begun)
    if "TAG" in metavar:
        return _asked(library, "tag_names", begun)
    return _folders(metavar, library, begun)


def _walk(program: Any, words: Sequence[str]) -> tuple[Any, str | None, Any]:
    """The command that the words have come to, the library they name, and the option that wants a value."""
    command, library, waiting = program, None, None
    for word in words:
        if waiting is not None:
            library = word if "--library" in waiting.opts else library
            waiting = None
            continue
        option = next((param for param in command.params if word in param.opts), None)
        if option is not None and not getattr(option, "is_flag", True):
            waiting = option
        elif not word.startswith("-"):
            commands = getattr(command, "commands", None)
            if commands is not None:
                command = commands.get(word)
            if command is None:
                break
    return command, library, waiting


def _values(option: Any, library: str | None, begun: str) -> Iterable[str]:
    names = set(option.opts)
    if names & _TYPES:
        return _asked(library, "types", begun)
    if names & _TAGS:
        return _asked(library, "tag_names", begun)
    if "--query" in names:
        return _query(library, begun)
    if folders := _folders(str(option.metavar), library, begun):
        return folders
    return [choice for choice in map(str, getattr(option.type, "choices", ())) if choice.startswith(begun)]


def _folders(metavar: str, library: str | None, begun: str) -> list[str]:
    """What stands before the path where a folder is named with its type."""
    return [f"{name}=" for name in _asked(library, "types", begun)] if "TYPE=DIR" in metavar else []


def _query(library: str | None, begun: str) -> list[str]:
    from mlib.core.query.fields import FIELDS
    from mlib.core.query.matching import folded

    head, colon, last = begun.rpartition(":")
    field = head.lstrip("-")
    if not colon:
        return [f"{name}:" for name in FIELDS if name.startswith(begun)]
    before, comma, other = last.rpartition(",")
    if comma and before.count('"') % 2 == 0:  # one of several; else a comma within quotes
        head, last = f"{head}:{before}", other
        colon = comma
    last = last.removeprefix('"')
    found = {
        "type": lambda: _asked(library, "types", last),
        "tag": lambda: [_quoted(name) for name in _asked(library, "tag_names", last)],
        "missing": lambda: ["yes", "no"],
        "pending": lambda: ["yes", "no"],
    }.get(field, list)()
    return [f"{head}{colon}{value}" for value in found if folded(value.strip('"')).startswith(folded(last))]


def _quoted(value: str) -> str:
    return (
        value
        if value.replace("-", "").isalnum()
        else '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    )


def _asked(library: str | None, what: str, begun: str) -> list[str]:
    """What the library has; nothing where it cannot be asked: a shell is no place to complain."""
    import os

    from mlib.cli.options import located
    from mlib.services import completing

    ask: Callable[[Library, str], list[str]] = getattr(completing, what)
    with suppress(MlibError, OSError, ValueError):
        from mlib.db.opening import open_library

        path = located(library)
        if os.path.lexists(path):
            with open_library(path, mode="read") as opened:
                return ask(opened, begun)
    return []
