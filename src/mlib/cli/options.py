"""What commands share: options, confirmation, REFs, and opening the library.

The command line is also stored in the history, without the options that only change the output.
"""

from __future__ import annotations

import os
import shlex
import sys
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from mlib.cli import output
from mlib.core.errors import Refused, WrongUsage
from mlib.core.events import Emit, silent
from mlib.core.text import displayable
from mlib.session import Session, default_path

if TYPE_CHECKING:
    from collections.abc import Sequence


# --- Confirmation

YesOption = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask for confirmation.")]


def confirm(action: str, *, yes: bool) -> None:
    """Ask the user to confirm `action` ("forget 3 models"); with `yes`, do not ask.

    Raises Refused (`not_confirmed`) for any answer but yes, and (`needs_yes`) without a terminal, where a
    command must never wait for an answer.
    """
    if yes:
        return
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()):
        raise Refused("needs_yes", f"this would {action}; refusing without confirmation", hint="add --yes")
    if output.ask(f"{action}? [y/N] ").casefold() not in ("y", "yes"):
        raise Refused("not_confirmed", "nothing was done")


# --- REFs


def required(refs: Sequence[str] | None, query: str | None) -> list[str]:
    """The REFs given. Raises WrongUsage (`usage`) if there is neither a REF nor a query."""
    if not refs and query is None:
        raise WrongUsage("usage", "name a model, or find some with --query", hint="see `mlib help query`")
    return list(refs or ())


def expanded_or_all(refs: Sequence[str] | None) -> list[str] | None:
    """Like `expanded`, but None (everything) if no REF was given at all."""
    return expanded(refs) if refs else None


def expanded(refs: Sequence[str] | None) -> list[str]:
    """The REFs with `-` replaced by the lines of standard input."""
    refs = list(refs or ())
    if refs.count("-") > 1:
        raise WrongUsage("bad_ref", "standard input ('-') can be read only once")
    if "-" in refs and sys.stdin is None:
        raise WrongUsage("bad_input", "standard input ('-') is closed")
    result: list[str] = []
    for ref in refs:
        result += read_refs(sys.stdin.buffer.read()) if ref == "-" else [ref]
    return result


def read_refs(raw: bytes) -> list[str]:
    """Parse REFs, one per line, skipping empty lines. Raises WrongUsage (`bad_input`) if not UTF-8."""
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise WrongUsage("bad_input", f"standard input is not UTF-8 (byte {error.start})") from None
    return [line.removesuffix("\r") for line in text.split("\n") if line.strip()]


# --- Options and the library

#: The largest integer of SQLite.
MOST = 2**63 - 1
_opened: list[str] = []

LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library", metavar="FILE", help="The library file [env: MLIB_LIBRARY].", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print only identifiers, one per line.")]
DryRunOption = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Show what would be done without doing it.")
]
QueryOption = Annotated[
    str | None,
    typer.Option(
        "--query", metavar="QUERY", help="Also every model that matches QUERY (see `mlib help query`)."
    ),
]


class Settings(NamedTuple):
    """The options given before the subcommand."""

    library: str | None = None


def hand_on(ctx: typer.Context, *, library: str | None, as_json: bool, quiet: bool) -> None:
    """Pass options given before the verb of a group on to the verb: `mlib tags --library FILE rename A B`.

    Raises WrongUsage (`bad_options`) for --quiet, which no verb supports.
    """
    verb = ctx.invoked_subcommand
    if quiet:
        raise WrongUsage("bad_options", f"{verb} does not support -q", hint=f"see `mlib {ctx.info_name} -h`")
    if library is not None:
        ctx.obj = Settings(library=library)
    if as_json:
        ctx.default_map = {str(verb): {"as_json": True}}


def open_session(ctx: typer.Context, library: str | None, *, emit: Emit = silent) -> Session:
    """A session with the library given by the options, MLIB_LIBRARY or the platform's default."""
    path = library_path(ctx, library)
    _opened.append(path)
    return Session(path, command=words(ctx), emit=emit)


def last_opened() -> str | None:
    """Return the path of the library this command opened last, and forget it."""
    path = _opened[-1] if _opened else None
    _opened.clear()
    return path


def library_path(ctx: typer.Context, library: str | None) -> str:
    """The path of the library: the option, MLIB_LIBRARY, or the platform's data directory."""
    return located(library if library is not None else ctx.obj.library)


def located(given: str | None) -> str:
    """The library file for a value of `--library`, or the default. Raises WrongUsage (`bad_library`)."""
    if given is None:
        return default_path(os.environ)
    if not given:
        raise WrongUsage("bad_library", "--library needs a file name")
    return given


# --- The command line in the history

#: Options that change the output of a command, not what it does.
_MANNERS = frozenset({"library", "as_json", "quiet", "yes", "dry_run"})
#: Maximum length in characters.
_LONGEST = 200


def words(ctx: typer.Context) -> str:
    """The command line as `mlib log` shows it: `update watercolor --tag review`.

    Paths are reduced to their last part, so that the history reveals nothing about this machine.
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
