"""The subcommands, each imported only when it is run or listed: all at once would cost each of them 15 ms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

#: How a command is called, in the order of the help, and its module and function. A module with `VERBS` (name
#: to function) is a group: its function is run before a verb too, and does the work where none is given.
#: One with `COMMAND` (a class) reads its command line in its own way.
NAMES = {"scan": "scan", "list": "list_", "show": "show", "update": "update", "tags": "tags_",
         "import": "import_", "pending": "pending_", "export": "export", "inspect": "inspect_",
         "hash": "hash_", "verify": "verify", "duplicates": "duplicates", "unused": "unused",
         "workflow": "workflow", "mv": "mv", "rename": "rename", "trash": "trash", "missing": "missing",
         "prune": "prune", "forget": "forget", "roots": "roots_", "clean-meta": "clean_meta",
         "stats": "stats", "log": "log", "undo": "undo", "backup": "backup", "restore": "restore",
         "doctor": "doctor", "help": "help_"}  # fmt: skip

#: Other names of commands; the help lists them once.
ALIASES = {"ls": "list"}


class _Subcommands(Mapping[str, Any]):
    """Commands by name, made when they are asked for."""

    def __getitem__(self, name: str) -> Any:
        function = NAMES[ALIASES.get(name, name)]
        module = import_module(f"mlib.cli.commands.{function}")
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        verbs = getattr(module, "VERBS", {})
        if not verbs:
            alone.command(name, cls=getattr(module, "COMMAND", None))(getattr(module, function))
            return typer.main.get_command(alone)
        alone.callback(invoke_without_command=True)(getattr(module, function))
        for verb, deed in verbs.items():
            alone.command(verb)(deed)
        return typer.main.get_command(alone)

    def __iter__(self) -> Iterator[str]:
        return iter(NAMES)

    def __len__(self) -> int:
        return len(NAMES)


class Subcommands(TyperGroup):
    """A Typer group of these subcommands."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        commands: Any = _Subcommands()  # Typer only reads it
        self.commands = commands
