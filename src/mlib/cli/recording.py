"""Writing down what a command does, under the words it was typed with."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING, Any

from mlib.core.text import displayable

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    import typer

    from mlib.db.library import Library

#: Options that change how a command speaks, not what it does.
_MANNERS = frozenset({"library", "as_json", "quiet", "yes", "dry_run"})
#: More words than fit here nobody reads.
_LONGEST = 200


def recorded(ctx: typer.Context, library: Library, *, dry_run: bool) -> AbstractContextManager[None]:
    """Record as one entry of the history what is done to the library inside; nothing in a dry run."""
    from mlib.db.history import recording

    return recording(library, words(ctx), dry_run=dry_run)


def words(ctx: typer.Context) -> str:
    """The command line as its user would know it again: `update watercolor --tag review`.

    Of a path only the last part: where things lie on this machine is nobody's business.
    """
    said = [ctx.command_path.partition(" ")[2]]
    options: list[str] = []
    for parameter in ctx.command.params:
        value = ctx.params.get(parameter.name or "")
        if parameter.name in _MANNERS or value is None or value == parameter.default or value in ([], ()):
            continue
        values = [_word(each) for each in (value if isinstance(value, (list, tuple)) else [value])]
        flag = max(parameter.opts, key=len)
        if not flag.startswith("-"):
            said += values
        elif value is True:
            options.append(flag)
        else:
            options += [part for each in values for part in (flag, each)]
    text = " ".join([*said, *options])
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _word(value: Any) -> str:
    key, equals, text = displayable(str(value)).rpartition("=")
    if text.startswith(("/", "./", "../", "~")):
        text = os.path.basename(text.rstrip("/"))
    return shlex.quote(f"{key}{equals}{text}")
