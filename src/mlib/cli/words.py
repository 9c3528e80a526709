"""Command lines on which a word may begin with a dash: `mlib list type:loras -tag:keep`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typer.core import TyperCommand

if TYPE_CHECKING:
    from collections.abc import Iterator


class QueryCommand(TyperCommand):
    """A command whose arguments are words of a query; a dash negates one, unless it is an option's."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Put the options first, then `--`, then the words in their order."""
        options, words, is_whole = self._parted(iter(args))
        return super().parse_args(ctx, [*options, "--", *words] if is_whole else options)

    def _parted(self, args: Iterator[str]) -> tuple[list[str], list[str], bool]:
        """The options and the words, and whether every option has its value: the last may lack it."""
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
