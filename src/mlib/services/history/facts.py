"""Putting back what a command did to facts, as far as nobody has looked at the files since."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core import times
from mlib.db import recorded
from mlib.db.writing import insert
from mlib.services.history.restoring import ChangedSince

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.history import Change
    from mlib.db.library import Library
    from mlib.db.recorded import Values

#: Tables of facts, and the table that a row must have its subject in; contents are known without a model.
_HOMES = {
    "files": "models",
    "pending_files": "pending_import",
    "given": None,
    "contents": None,
    "hashes": None,
    "findings": None,
    "sidecars": None,
    "headers": None,
}


class Facts:
    """One undo's view of facts. Roots that came back may have got another id."""

    def __init__(self, library: Library) -> None:
        self.tables = recorded.tables(library)
        self._library = library
        self._root_ids: dict[int, int] = {}

    def ordered(self, changes: Sequence[Change]) -> list[Change]:
        """Those about facts, in an order in which no path ever holds two present files."""
        return sorted((each for each in changes if each.table in _HOMES), key=_rank)

    def restore(self, change: Change) -> None:
        """Make a row what it was, if it is still what the command left."""
        table = self.tables[change.table]
        now = recorded.get(self._library, table, change.key)
        if change.before is None:
            if now is not None and change.after is not None and _holds(now, change.after):
                recorded.remove(self._library, table, change.key)
        elif change.after is None:
            if now is None and self._has_home(change):
                insert(self._library, change.table, self._fitted(change, change.before))
        elif now is not None and _holds(now, change.after):
            recorded.put(self._library, table, change.key, self._fitted(change, {**now, **change.before}))

    def bring_root_back(self, change: Change) -> None:
        """Remember a root again, before any file that belongs to it."""
        table = self.tables["roots"]
        now = recorded.get(self._library, table, change.key)
        if change.before is None:
            return
        if change.after is None:
            self._bring_back(change.before, taken=now is not None)
        elif now is not None and _holds(now, change.after):
            recorded.put(self._library, table, change.key, change.before)

    def forget_root(self, change: Change) -> None:
        """Forget a root that the command added. Raises ChangedSince where files were found in it since."""
        table = self.tables["roots"]
        now = recorded.get(self._library, table, change.key)
        if change.before is not None or change.after is None or now is None:
            return
        used = "SELECT 1 FROM files WHERE root_id = ?1 UNION SELECT 1 FROM pending_files WHERE root_id = ?1"
        if self._library.one(used, change.key):
            raise ChangedSince("files were found in it")
        if now["path"] == change.after["path"]:
            recorded.remove(self._library, table, change.key)

    def _bring_back(self, root: Values, *, taken: bool) -> None:
        here = self._library.one("SELECT id FROM roots WHERE path = ?", [root["path"]])
        if here is not None:
            self._root_ids[root["id"]] = here[0]
            return
        values = {name: value for name, value in root.items() if name != "id" or not taken}
        self._root_ids[root["id"]] = insert(self._library, "roots", values)

    def _has_home(self, change: Change) -> bool:
        home = _HOMES[change.table]
        if home is None or change.before is None:
            return True
        subject = change.before[recorded.SUBJECTS[change.table] or ""]
        return recorded.get(self._library, self.tables[home], (subject,)) is not None

    def _fitted(self, change: Change, values: Values) -> Values:
        """A row of a file fits in where its root is known, and where no other file is at its path now."""
        if "root_id" not in values:
            return values
        root_id = self._root_ids.get(values["root_id"], values["root_id"])
        if recorded.get(self._library, self.tables["roots"], (root_id,)) is None:
            root_id = None
        values = {**values, "root_id": root_id}
        if change.table == "files" and values["missing_since"] is None:
            other = self._library.one(
                "SELECT 1 FROM files WHERE directory = ? AND name = ? AND sha256 <> ?"
                " AND missing_since IS NULL",
                change.key,
            )
            if other is not None:
                values["missing_since"] = times.now()
        return values


def _holds(now: Values, left: Values) -> bool:
    return all(now[name] == value for name, value in left.items())


def _rank(change: Change) -> int:
    """Removing first, then marking as missing, then all that may take a path."""
    if change.before is None:
        return 0
    return 1 if change.before.get("missing_since") is not None else 2
