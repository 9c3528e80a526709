"""`mlib help`."""

from __future__ import annotations

from typing import Annotated

import typer

from mlib.cli import output
from mlib.core.errors import NotFound

_QUERY = """\
The query language

  mlib list anime               in the name, path, tags, notes or trigger words
  mlib list anime type:loras    every word and field must match
  mlib list 'size:>2GB' tag:none
                                quote what the shell would interpret
  mlib update --query 'type:loras base:sdxl -tag:keep' --tag review

A word matches every model with that text in its name, its path below the root,
a tag, its notes or a trigger word, in any case. The query may be given as
several arguments or as one string.

Fields
  name: path: base: root: notes: trigger:
                            part of the text (path: of the full path)
  type: tag: kind: format: finding:
                            the exact value; type:unet and type:clip work too
  sha:2cde6                 the first digits of the sha256
  missing:yes               has no file on disk           (missing:no: has one)
  pending:yes               pending imports instead of models
  files:>1                  number of files on disk
  size:>2GB                 kB MB GB TB (by 1000) or KiB MiB GiB TiB (by 1024)
  added: updated:           2026, 2026-01, 2026-01-31, 2026-01-31T18:00 (UTC),
                            or an age: 12h 30d 2w 6m 1y (months of 30 days)

Amounts
  size:1GB..2GB             from .. to, inclusive; either end can be omitted
  files:2  files:>=2  size:<1GB  updated:<2026-01-01
  added:30d..               younger than 30 days; so are added:30d, added:<30d
  added:..30d  added:>30d   older
  added:2026-01             in that month

More
  -tag:keep  -anime         not
  type:loras,vae            any of these
  anime , type:vae          a comma between terms means or
  tag:none  base:none       is empty; tag:* is not
  base:="SDXL 1.0"          the exact value, not just a part of it
  tag:"soft, wet"           quotes ('...' too) keep spaces and commas
  "type:x"  \\-1             quotes or a backslash make it a plain word

In a shell, quote the quotes: mlib list 'base:"SDXL 1.0"'."""


def help_(
    ctx: typer.Context,
    topic: Annotated[
        list[str] | None, typer.Argument(metavar="[COMMAND|query]", help="A command or topic.")
    ] = None,
) -> None:
    """Show help for a command, or for the query language."""
    if topic == ["query"]:
        output.write_lines(_QUERY.split("\n"))
        return
    parent = ctx.parent
    assert parent is not None
    for name in topic or []:
        commands = getattr(parent.command, "commands", {})
        if commands.get(name) is None:
            known = ", ".join([*commands, *(["query"] if parent is ctx.parent else [])])
            raise NotFound("no_such_topic", f"no help for '{name}'", hint=f"topics: {known}")
        parent = typer.Context(commands[name], parent=parent, info_name=name)
    output.write_lines(parent.get_help().split("\n"))
