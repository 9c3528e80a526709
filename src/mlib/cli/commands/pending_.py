"""`mlib pending`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import typer  # noqa: TC002 - Typer reads the annotations

from mlib.cli import output
from mlib.cli.options import JsonOption, LibraryOption, QuietOption, open_for
from mlib.cli.tables import Column, write_table
from mlib.core import times

if TYPE_CHECKING:
    from mlib.services.importing import Wait

_COLUMNS = [
    Column("ID", right=True),
    Column("NAME", shrinks=True),
    Column("TYPE"),
    Column("WHY"),
    Column("PATH", shrinks=True),
    Column("SOURCE", shrinks=True),
]
_WORDS = {
    "path_not_found": "no such file",
    "unhashed": "not scanned yet",
    "bad_meta": "metadata is no JSON",
    "ready": "ready",
}


def pending_(
    ctx: typer.Context,
    as_json: JsonOption = False,
    quiet: QuietOption = False,
    library: LibraryOption = None,
) -> None:
    """List what waits for import, and why.

    A conflict names what the pending import and its model disagree on; `mlib import ID --on-conflict …`
    settles it. What is ready becomes a model with `mlib import`.
    """
    from mlib.services.importing import waiting

    with open_for(ctx, library, mode="read") as opened:
        found = waiting(opened)
    if as_json:
        output.write_json([_as_json(wait) for wait in found])
    elif quiet:
        output.write_lines(f"pending:{wait.entry.id}" for wait in found)
    else:
        write_table(_COLUMNS, [_row(wait) for wait in found])


def _row(wait: Wait) -> tuple[str, ...]:
    entry = wait.entry
    why = _WORDS.get(wait.reason) or f"conflict: {', '.join(wait.differs)}"
    return str(entry.id), entry.name, entry.type, why, entry.path, entry.source


def _as_json(wait: Wait) -> dict[str, Any]:
    entry = wait.entry
    return {
        "id": entry.id,
        "path": entry.path,
        "name": entry.name,
        "type": entry.type,
        "source": entry.source,
        "sha256": entry.sha256,
        "size_bytes": entry.size_bytes,
        "created_at": times.iso(entry.created_at),
        "reason": str(wait.reason),
        "model": wait.model,
        "differs": list(wait.differs),
    }
