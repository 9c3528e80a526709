"""What undo says right after files were moved: that is in the journal, and not taken back."""

from __future__ import annotations

import os
import shlex
from typing import TYPE_CHECKING

from mlib.core.errors import Refused
from mlib.core.placing.journal import last_deed
from mlib.db import files

if TYPE_CHECKING:
    from mlib.core.placing.journal import Deed
    from mlib.db.history import Entry
    from mlib.db.library import Library


def expect_no_later_move(library: Library, newest: Entry | None, meant: Entry | None) -> None:
    """Raise Refused (`files_are_not_undone`) where files were moved after the newest entry of all.

    A person who asks for the last command means that one; `meant` is the entry that would be taken back.
    """
    deed = last_deed(library.path)
    if deed is None or (newest is not None and deed.at < newest.at):
        return
    ways = [_way_back(library, deed)]
    if meant is not None:
        ways.append(f"`mlib undo {meant.id}` takes back what came before: {meant.command}")
    raise Refused(
        "files_are_not_undone",
        f"the last command was `{deed.command}`, and undo brings back words, not files",
        hint="; ".join(ways),
    )


def _way_back(library: Library, deed: Deed) -> str:
    present = {row.path for row in files.of_model(library, deed.sha256) if row.missing_since is None}
    if deed.command.endswith("--hardlink"):
        return "its files are one file with several names now, and lost nothing"
    source, target = next((move for move in deed.moves if move[1] in present), deed.moves[-1])
    if target in present:
        return f"`mlib mv {shlex.quote(target)} {shlex.quote(source)}` moves it back"
    there = shlex.quote(target) if os.path.isabs(target) else "it"  # a run that was cut off knows no more
    return f"take {there} out of the trash, back to {shlex.quote(source)}, and run `mlib scan`"
