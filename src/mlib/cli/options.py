"""Options that many commands share, and where the library is."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Annotated, NamedTuple

import typer

from mlib.cli import output
from mlib.core.errors import MlibError, NotFound, Refused, WrongUsage
from mlib.services import resolving
from mlib.services.files.selection import Meant, files_meant

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.db.library import Library, Mode
    from mlib.services.resolving import Target


# --- Asking before anything is destroyed.

YesOption = Annotated[bool, typer.Option("-y", "--yes", help="Do it without asking.")]


def confirm(deed: str, *, yes: bool) -> None:
    """Go on only with a person's word; `deed` says what is about to happen ("forget 3 models").

    Asks on a terminal. Raises Refused for any answer but yes, and where there is nobody to ask: a command
    never waits for what cannot come.
    """
    if yes:
        return
    if not (sys.stdin is not None and sys.stdin.isatty() and sys.stderr is not None and sys.stderr.isatty()):
        raise Refused("needs_yes", f"this would {deed}, and there is nobody to ask", hint="add --yes")
    if output.ask(f"{deed}? [y/N] ").casefold() not in ("y", "yes"):
        raise Refused("not_confirmed", "nothing was done")


# --- REFs from the command line and standard input.


def resolved(library: Library, refs: Sequence[str]) -> list[Target]:
    """What the REFs lead to, `-` replaced by the lines of standard input; each target once."""
    return resolving.resolve_all(library, expanded(refs))


def chosen(library: Library, refs: Sequence[str], query: str | None) -> list[Target]:
    """What the REFs lead to, and all that `query` finds; each target once."""
    targets = resolved(library, refs)
    if query is not None:
        from mlib.services.listing import find

        targets = list(dict.fromkeys([*targets, *find(library, query)]))
    return targets


def required(refs: Sequence[str] | None, query: str | None) -> list[str]:
    """The REFs, of which there may be none only where a query is given. Raises WrongUsage (`usage`)."""
    if not refs and query is None:
        raise WrongUsage("usage", "name a model, or find some with --query", hint="see `mlib help query`")
    return list(refs or ())


def expanded(refs: Sequence[str]) -> list[str]:
    """The REFs with `-` replaced by the lines of standard input."""
    if list(refs).count("-") > 1:
        raise WrongUsage("bad_ref", "standard input ('-') can be read once")
    if "-" in refs and sys.stdin is None:
        raise WrongUsage("bad_input", "standard input ('-') is closed")
    result: list[str] = []
    for ref in refs:
        result += resolving.read_refs(sys.stdin.buffer.read()) if ref == "-" else [ref]
    return result


# --- The files that REFs and a query mean.


def files_chosen(
    library: Library,
    refs: Sequence[str],
    query: str | None,
    *,
    is_done: Callable[[Target], bool] = lambda _target: False,
) -> list[Meant]:
    """The present files of each REF's model, or the one at it where it is a path; then those `query` finds.

    A model without files is an error where it was named, unless what is wanted of it `is_done`, and passed
    over where a query found it.
    """
    if not refs and query is None:
        raise WrongUsage("no_models", "name a model, or give --query")
    found = []
    for ref in expanded(refs):
        (target,) = resolving.resolve_all(library, [ref])
        if not is_done(target):
            found.append(files_meant(library, target, ref=ref))
    if query is not None:
        from mlib.services.listing import find

        for target in find(library, query):
            try:
                found.append(files_meant(library, target))
            except (NotFound, WrongUsage):
                continue
    return found


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
    from mlib.db.library import open_library

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
