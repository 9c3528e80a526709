"""What lies around the files that a command takes away: a folder is looked up once for all of its files."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.placing.beside import Beside, companions_of, listed
from mlib.db import files

if TYPE_CHECKING:
    from collections.abc import Collection

    from mlib.core.models import KnownFile
    from mlib.core.placing.beside import Folder
    from mlib.db.library import Library


class Around:
    """The folders of a library's files as they were when one was first asked about."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._known: dict[str, tuple[Folder, frozenset[str]]] = {}

    def companions(self, row: KnownFile, *, leaving: Collection[str] = ()) -> Beside:
        """What goes where the file of a row goes; `leaving` are paths that go too, or went meanwhile.

        Raises OSError where its folder cannot be listed.
        """
        if row.directory not in self._known:
            rows = files.in_directory(self._library, row.directory)
            present = frozenset(each.name for each in rows if each.missing_since is None)
            self._known[row.directory] = listed(row.directory), present
        folder, models = self._known[row.directory]
        return companions_of(row.path, leaving=leaving, models=models, folder=folder)
