"""The subcommands, each imported only when it is run or listed: all at once would cost each of them 15 ms."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import Any

import typer
from typer.core import TyperGroup

from mlib.cli.words import QueryCommand

#: Commands in the order of the help: name to the module in `commands` and, after a colon, the function in it,
#: unless both are called alike.
NAMES = {"scan": "scan", "list": "list_", "show": "show", "update": "update", "tags": "tags_",
         "import": "import_", "pending": "pending_", "export": "export", "inspect": "inspect_",
         "hash": "hash_", "verify": "verify", "duplicates": "duplicates", "unused": "unused",
         "workflow": "workflow", "mv": "mv", "rename": "rename", "trash": "trash", "missing": "missing",
         "prune": "prune", "forget": "forget", "roots": "roots_", "clean-meta": "clean_meta",
         "stats": "stats", "log": "log", "undo": "undo", "backup": "backup", "restore": "restore",
         "doctor": "doctor", "help": "help_"}  # fmt: skip

#: Commands that are groups: verb to function, in the command's module. The command's own function runs before
#: each verb, and does the work where no verb is given.
VERBS = {
    "tags": {"rename": "_rename", "delete": "_delete"},
    "roots": {"add": "_add", "remove": "_remove"},
    "workflow": {"check": "check"},
}

#: Commands whose arguments are the words of a query.
QUERY_COMMANDS = ("list",)

#: Other names of commands; the help lists them once.
ALIASES = {"ls": "list"}


class _Subcommands(Mapping[str, Any]):
    """Commands by name, made when they are asked for."""

    def __getitem__(self, name: str) -> Any:
        command = ALIASES.get(name, name)
        file, _, function = NAMES[command].partition(":")
        module = import_module(f"mlib.cli.commands.{file}")
        run = getattr(module, function or file)
        alone = typer.Typer(add_completion=False, rich_markup_mode=None)
        if command not in VERBS:
            alone.command(name, cls=QueryCommand if command in QUERY_COMMANDS else None)(run)
            return typer.main.get_command(alone)
        alone.callback(invoke_without_command=True)(run)
        for verb, function in VERBS[command].items():
            alone.command(verb)(getattr(module, function))
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
