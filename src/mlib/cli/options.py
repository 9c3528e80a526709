"""Options that many commands share, and where the library is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mlib.core.errors import MlibError, WrongUsage

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.db.library import Library
    from mlib.db.opening import Mode

#: The largest number that SQLite takes.
MOST = 2**63 - 1
_opened: list[str] = []

LibraryOption = Annotated[
    str | None,
    typer.Option(
        "--library", metavar="FILE", help="The library file [env: MLIB_LIBRARY].", show_default=False
    ),
]
JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
QuietOption = Annotated[bool, typer.Option("-q", "--quiet", help="Print only identifiers, a line each.")]
DryRunOption = Annotated[
    bool, typer.Option("-n", "--dry-run", help="Say what would be done, and do nothing.")
]
QueryOption = Annotated[
    str | None,
    typer.Option(
        "--query", metavar="QUERY", help="Also all models that QUERY finds (see `mlib help query`)."
    ),
]


class Settings(NamedTuple):
    """What was given before the subcommand."""

    library: str | None = None


def hand_on(ctx: typer.Context, *, library: str | None, as_json: bool, quiet: bool) -> None:
    """Let what stands before the verb of a group hold for the verb: `mlib tags --library FILE rename A B`.

    Raises WrongUsage (`bad_options`) for --quiet, which no verb knows.
    """
    verb = ctx.invoked_subcommand
    if quiet:
        raise WrongUsage(
            "bad_options", f"-q has no meaning for {verb}", hint=f"see `mlib {ctx.info_name} -h`"
        )
    if library is not None:
        ctx.obj = Settings(library=library)
    if as_json:
        ctx.default_map = {str(verb): {"as_json": True}}


def open_for(ctx: typer.Context, library: str | None, *, mode: Mode) -> Library:
    """The library that the options, MLIB_LIBRARY or the platform point to, opened."""
    from mlib.db.opening import open_library

    path = library_path(ctx, library)
    _opened.append(path)
    return open_library(path, mode=mode)


def last_opened() -> str | None:
    """The library that this command opened; asked once, when it is over."""
    path = _opened[-1] if _opened else None
    _opened.clear()
    return path


def open_or_create(ctx: typer.Context, library: str | None, *, check: Callable[[Library], object]) -> Library:
    """The library, made if there is none yet. Before that, `check` must pass on an empty one in memory, so
    that a command line that is wrong leaves nothing behind."""
    if not os.path.lexists(library_path(ctx, library)):
        with open_for(ctx, library, mode="rehearse") as empty:
            check(empty)
    return open_for(ctx, library, mode="create")


def library_path(ctx: typer.Context, library: str | None) -> str:
    """Where the library is: the option, MLIB_LIBRARY, or the platform's data directory."""
    return located(library if library is not None else ctx.obj.library)


def located(given: str | None) -> str:
    """The library file for what `--library` was given, if it was."""
    if given is None:
        given = os.environ.get("MLIB_LIBRARY") or None
    if given is None:
        return _default_path()
    if not given:
        raise WrongUsage("bad_library", "--library wants a file name")
    return given


def _default_path() -> str:
    from platformdirs import user_data_dir

    try:
        directory = user_data_dir("mlib", appauthor=False)
    except RuntimeError:  # newer versions raise where older ones leave a `~` in the path
        directory = ""
    if not os.path.isabs(directory):
        # A relative XDG_DATA_HOME is to be ignored (XDG base directory specification).
        directory = os.path.expanduser("~/.local/share/mlib")
    if not os.path.isabs(directory):
        raise MlibError(
            "no_home",
            "there is no home directory to keep the library in",
            hint="say where with --library FILE or MLIB_LIBRARY",
        )
    return os.path.join(directory, "library.db")
