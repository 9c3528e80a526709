"""What undo says right after files were moved, or metadata was cleaned: the history holds neither."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.errors import Refused
from mlib.core.placing.journal import journal_path, last_deed
from mlib.core.shell import library_option, quoted
from mlib.core.walk import is_within
from mlib.db import cleaned, files, models, roots

if TYPE_CHECKING:
    from mlib.core.placing.journal import Deed
    from mlib.db.cleaned import Cleaning
    from mlib.db.history import Entry
    from mlib.db.library import Library


def expect_nothing_later(library: Library, newest: Entry | None, meant: Entry | None) -> None:
    """Raise Refused where something else was done after the newest entry of all.

    `files_are_not_undone` where files were moved, `cleaning_is_not_undone` where image data was taken out of
    metadata. A person who asks for the last command means that one; `meant` is the entry that would be taken
    back.
    """
    since = 0 if newest is None else newest.at
    deed, cleaning = last_deed(library.path), cleaned.last(library)
    if deed is not None and deed.at >= since and (cleaning is None or deed.at > cleaning.at):
        code, way = "files_are_not_undone", _way_back(library, deed)
        message = f"the last command was `{deed.command}`, and undo brings back words, not files"
    elif cleaning is not None and cleaning.at >= since:
        code, way = "cleaning_is_not_undone", _way_before(library, cleaning)
        message = "the last command was `clean-meta`, and undo does not bring back image data"
    else:
        return
    ways = [way]
    if meant is not None:
        ways.append(f"`mlib undo {meant.id}` takes back what came before: {meant.command}")
    raise Refused(code, message, hint="; ".join(ways))


def _way_back(library: Library, deed: Deed) -> str:
    present = {row.path for row in files.of_model(library, deed.sha256) if row.missing_since is None}
    if deed.command.endswith("--hardlink"):
        return "its files are one file with several names now, and lost nothing"
    source, target = next((move for move in deed.moves if move[1] in present), deed.moves[-1])
    if target in present:
        command = f"mlib mv {quoted(target)} {quoted(source)} {library_option(library.path)}"
        return f"`{command}` moves it back{_others(library, deed)}"
    if deed.command in ("mv", "rename"):
        command = f"mlib scan {library_option(library.path)}"
        return f"it went to {quoted(target)} and is not known there now: `{command}` looks where it is"
    there = quoted(target) if os.path.isabs(target) else "it"  # a run that was cut off knows no more
    return (
        f"take {there} out of the trash, back to {quoted(source)}{_others(library, deed)},"
        f" and run `mlib scan {_folder(library, deed.sha256, source)}{library_option(library.path)}`"
    )


def _folder(library: Library, sha256: str, path: str) -> str:
    """What a scan must be told to come by a path: nothing where it lies in a folder that is known."""
    if any(is_within(path, root.path) for root in roots.all_roots(library)):
        return ""
    model = models.get(library, sha256)
    kind = "TYPE" if model is None or not model.type else model.type
    return f"--root {quoted(f'{kind}={os.path.dirname(path)}')} "


def _others(library: Library, deed: Deed) -> str:
    if not deed.others:
        return ""
    others = "the model" if deed.others == 1 else f"the {deed.others} models"
    return f" (and likewise {others} before it, which {quoted(journal_path(library.path))} lists)"


def _way_before(library: Library, cleaning: Cleaning) -> str:
    if not os.path.exists(cleaning.backup):
        return "the backup that was made before it is gone"
    command = f"mlib restore {quoted(os.path.basename(cleaning.backup))} {library_option(library.path)}"
    return f"`{command}` brings the whole library back as it was before it"
