"""The subcommands, their groups in the help, and the parsing of queries.

A command's module is imported only when the command is run or listed: importing all would cost 15 ms.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import typer
from typer.core import TyperCommand, TyperGroup

if TYPE_CHECKING:
    from collections.abc import Iterator


# --- Query arguments that begin with a dash: `mlib list type:loras -tag:keep`


class QueryCommand(TyperCommand):
    """A command whose arguments are query terms; a dash negates a term unless it begins an option."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the options first, then `--`, then the words in their order."""
        options, words, is_whole = self._parted(iter(args))
        return super().parse_args(ctx, [*options, "--", *words] if is_whole else options)

    def _parted(self, args: Iterator[str]) -> tuple[list[str], list[str], bool]:
        """The options, the query words, and whether the last option has its value."""
        names: dict[str, Any] = {
            name: option for option in self.params for name in option.opts if name[:1] == "-"
        }
        names |= dict.fromkeys(("-h", "--help"))
        options: list[str] = []
        words: list[str] = []
        is_whole = True
        for arg in args:
            if arg == "--":
                words += args
            elif arg in names:
                options.append(arg)
                if not getattr(names[arg], "is_flag", True):
                    value = next(args, None)
                    is_whole = value is not None
                    options += [] if value is None else [value]
            elif arg.startswith("--") or self._is_cluster(arg, names):
                options.append(arg)
            else:
                words.append(arg)
        return options, words, is_whole

    @staticmethod
    def _is_cluster(arg: str, names: dict[str, Any]) -> bool:
        """Whether this is several flags of one letter in one word: `-q0`, but not `-hq`, which is a word."""
        letters = arg[1:]
        return (
            len(arg) > 2
            and arg[0] == "-"
            and "h" not in letters
            and all(f"-{letter}" in names for letter in letters)
        )


# --- The subcommands

#: Help groups: command name to its module in `commands` and, after a colon, its function if named otherwise.
GROUPS = {
    "Library": {
        "scan": "scan",
        "roots": "roots_",
        "missing": "forget:missing",
        "forget": "forget",
        "prune": "forget:prune",
    },
    "Find": {"list": "list_", "show": "show", "inspect": "inspect_", "hash": "hash_", "stats": "stats"},
    "User data": {"update": "update", "tags": "tags_", "log": "log", "undo": "log:undo"},
    "Files": {
        "mv": "mv",
        "rename": "mv:rename",
        "trash": "mv:trash",
        "duplicates": "duplicates",
        "verify": "verify",
    },
    "Workflows": {"workflow": "workflow", "unused": "workflow:unused"},
    "Imports and exports": {"import": "import_", "pending": "import_:pending_", "export": "export"},
    "Care": {
        "backup": "maintenance:backup",
        "restore": "maintenance:restore",
        "doctor": "maintenance:doctor",
        "clean-meta": "maintenance:clean_meta",
        "help": "help_",
    },
}
NAMES = {name: place for group in GROUPS.values() for name, place in group.items()}

#: Commands with verbs: verb to function in the command's module. The command's own function runs before each
#: verb, and does the work if no verb is given.
VERBS = {
    "tags": {"rename": "_rename", "delete": "_delete"},
    "roots": {"add": "_add", "remove": "_remove"},
    "workflow": {"check": "check"},
}

#: Commands whose arguments are a query.
QUERY_COMMANDS = ("list",)

#: Aliases of commands, not listed in the help.
ALIASES = {"ls": "list"}


class _Subcommands(Mapping[str, Any]):
    """Commands by name, created on access."""

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

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002 - as Typer calls it
        """List the commands by group, each with the first line of its help."""
        room = max(map(len, NAMES))
        for title, group in GROUPS.items():
            with formatter.section(title):
                limit = formatter.width - room - 6
                formatter.write_dl(
                    [(name.ljust(room), self.commands[name].get_short_help_str(limit)) for name in group]
                )
