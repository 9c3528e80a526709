"""The `mlib` program: runs a subcommand and turns errors into messages and exit codes."""

from __future__ import annotations

import gc
import os
import sys
from itertools import takewhile
from typing import Annotated, NoReturn

import typer

from mlib import __version__
from mlib.cli import output, signals
from mlib.cli.options import LibraryOption, Settings, last_opened
from mlib.cli.subcommands import Subcommands
from mlib.core.errors import INTERRUPTED, TERMINATED, MlibError, Terminated, WrongUsage

#: Argument by which a shell asks for completions; the line up to the cursor follows it.
COMPLETE = "--complete-line"
_KEPT = "interrupted; finished work is kept"

app = typer.Typer(
    name="mlib",
    cls=Subcommands,
    help="A model library for people who run ComfyUI and like the command line.",
    pretty_exceptions_enable=False,
    add_completion=False,  # ours is never evaluated by a shell as code
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        output.write_lines([f"mlib {__version__}"])
        raise typer.Exit


def _show(shell: str | None) -> None:
    if shell is not None:
        from mlib.cli.completion import script

        output.write_values(script(shell).split("\n"))
        raise typer.Exit


def _install(shell: str | None) -> None:
    if shell is not None:
        from mlib.cli.completion import install

        output.note(install(shell))
        raise typer.Exit


@app.callback(invoke_without_command=True)
def settings(
    ctx: typer.Context,
    library: LibraryOption = None,
    version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_version, is_eager=True)
    ] = False,
    show_completion: Annotated[
        str | None,
        typer.Option(
            metavar="SHELL",
            help="Print the completion script for bash, zsh or fish.",
            callback=_show,
            is_eager=True,
        ),
    ] = None,
    install_completion: Annotated[
        str | None,
        typer.Option(
            metavar="SHELL", help="Install the completion script for SHELL.", callback=_install, is_eager=True
        ),
    ] = None,
) -> None:
    """A model library for people who run ComfyUI and like the command line.

    A model is its content: notes and tags follow a file wherever it is moved or copied.
    """
    del version, show_completion, install_completion
    ctx.obj = Settings(library=library)
    if ctx.invoked_subcommand is None:
        output.write_lines(ctx.get_help().split("\n"))


def main() -> NoReturn:
    """Run the command line and exit with its exit code."""
    code = run(sys.argv[1:])
    signals.listen_no_more()
    output.finish()
    # Skip the garbage collection at exit, which would take 10 ms and find nothing.
    gc.freeze()
    sys.exit(code)


def run(arguments: list[str]) -> int:
    """Run one command line and return its exit code."""
    if arguments[:1] == [COMPLETE]:
        from mlib.cli.completion import complete

        complete(typer.main.get_command(app), arguments[1:])
        return 0
    as_json = "--json" in takewhile(lambda argument: argument != "--", arguments)
    output.prepare()
    signals.listen()
    last_opened()
    try:
        code = app(args=arguments, prog_name="mlib", standalone_mode=False)
        output.flush()
        if code in (INTERRUPTED, TERMINATED):
            output.note(_KEPT)
        return code if isinstance(code, int) else 0
    except MlibError as error:
        return _failed(error, as_json=as_json)
    except SystemExit:  # Typer exits like this when the reader of its help closes the pipe
        output.abandon()
        return 0
    except (KeyboardInterrupt, Terminated) as interruption:
        output.note(_KEPT)
        return INTERRUPTED if isinstance(interruption, KeyboardInterrupt) else TERMINATED
    except Exception as error:  # noqa: BLE001 - a user gets a line, never a traceback
        return _ended(error, as_json=as_json)


def _ended(error: Exception, *, as_json: bool) -> int:
    """The exit code after an unexpected error, or after an interruption that Python turned into one.

    Python does so for an interruption in `__set_name__` or in a function called from C.
    """
    interrupted = signals.exit_code()
    if interrupted is not None:
        output.note(_KEPT)
        return interrupted
    path = last_opened()
    if path is not None:
        from mlib.db.faults import damage_behind

        # A value read from a damaged library can fail much later, where it is used.
        damaged = damage_behind(error, path)
        if damaged is not None:
            damaged.__cause__ = error
            return _failed(damaged, as_json=as_json)
    return _failed(_explained(error), as_json=as_json)


def _failed(error: MlibError, *, as_json: bool) -> int:
    if os.environ.get("MLIB_DEBUG"):
        import traceback

        traceback.print_exception(error)
    output.fail(error, as_json=as_json)
    return error.exit_code


def _explained(error: Exception) -> MlibError:
    """Turn a usage error of Typer, an error writing the output or a bug into an MlibError."""
    message = getattr(error, "format_message", None)
    if callable(message):
        context = getattr(error, "ctx", None)
        command = context.command_path if context is not None else "mlib"
        usage = WrongUsage("usage", str(message()).strip().rstrip("."), hint=f"see `{command} --help`")
        usage.__cause__ = error
        return usage
    if isinstance(error, FileNotFoundError) and error.filename is None:
        return MlibError("no_directory", "the current directory no longer exists")
    if isinstance(error, OSError) and error.filename is None:
        return MlibError("output_failed", f"cannot write the output: {error.strerror}")
    text = " ".join(str(error).split())
    fault = MlibError(
        "internal_error",
        f"this is a bug in mlib: {type(error).__name__}: {text}",
        hint="MLIB_DEBUG=1 prints a traceback; the unfinished step was rolled back",
    )
    fault.__cause__ = error
    return fault
