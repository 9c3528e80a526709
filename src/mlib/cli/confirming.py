"""Asking before anything is destroyed."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlib.cli import output
from mlib.core.errors import Refused

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
