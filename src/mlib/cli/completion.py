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
    if begun.startswith("--") or (begun.startswith("-") and "QUERY" not in metavar):
        options = [name for param in command.params for name in param.opts if name.startswith("--")]
        return [name for name in [*options, "--help"] if name.startswith(begun)]
    verbs = [name for name in getattr(command, "commands", {}) if name.startswith(begun)]
    if "QUERY" in metavar:
        return [*verbs, *_query(library, begun)]
    if "REF" in metavar:
        return [*verbs, *_asked(library, "refs", begun)]
    return verbs


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
    return [choice for choice in map(str, getattr(option.type, "choices", ())) if choice.startswith(begun)]


def _query(library: str | None, begun: str) -> list[str]:
    from mlib.core.query.fields import FIELDS

    head, colon, last = begun.rpartition(":")
    field = head.lstrip("-")
    if not colon:
        return [f"{name}:" for name in FIELDS if name.startswith(begun)]
    found = {
        "type": lambda: _asked(library, "types", last),
        "tag": lambda: [_quoted(name) for name in _asked(library, "tag_names", last)],
        "missing": lambda: ["yes", "no"],
        "pending": lambda: ["yes", "no"],
    }.get(field, list)()
    return [f"{head}:{value}" for value in found if value.strip('"').casefold().startswith(last.casefold())]


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
