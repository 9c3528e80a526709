"""Putting back what a person typed, row by row; every step raises ChangedSince where it is typed anew."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.models import TAGS
from mlib.core.tags import folded
from mlib.db import history, models, recorded, tags
from mlib.db.rows import fields_of
from mlib.db.writing import insert
from mlib.services.history.restoring import ChangedSince, check_unchanged, restored, revived

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.db.history import Change
    from mlib.db.library import Library
    from mlib.db.recorded import Values
    from mlib.services.history.facts import Facts


class UserData:
    """One undo's view of models, pending imports, their metadata and tags."""

    def __init__(self, library: Library, entry_id: int, changes: Sequence[Change], facts: Facts) -> None:
        self._library = library
        self._entry_id = entry_id
        self._about: dict[str | None, list[Change]] = {}
        for change in changes:
            self._about.setdefault(change.subject, []).append(change)
        self._facts = facts
        self._tables = facts.tables
        #: What the command had made and is gone now, and what it had removed and was there again.
        self._unmade: set[str | None] = set()
        self._found_again: set[str | None] = set()

    def unmake(self, change: Change) -> None:
        """Remove a model or pending import that the command made, with all that hangs on it."""
        if change.before is not None or change.after is None:
            return
        table = self._tables[change.table]
        now = recorded.get(self._library, table, change.key)
        if now is None:
            raise ChangedSince("it is gone")
        check_unchanged(now, change.after)
        self._check_nothing_was_added(change, now)
        if change.table == "models":
            self._library.execute("DELETE FROM files WHERE sha256 = ?", change.key)
        recorded.remove(self._library, table, change.key)
        self._unmade.add(change.subject)

    def record(self, change: Change) -> None:
        """Put back what was typed into a model or pending import, or the whole of it."""
        if change.subject in self._unmade or change.before is None:
            return
        table = self._tables[change.table]
        now = recorded.get(self._library, table, change.key)
        if change.after is not None:
            if now is None:
                raise ChangedSince("it is gone")
            keeps = change.table == "models" and self._is_tagged_later(change)
            recorded.put(
                self._library, table, change.key, restored(now, change.before, change.after, keeps_tags=keeps)
            )
        elif now is not None:
            recorded.put(self._library, table, change.key, revived(now, change.before))
            self._found_again.add(change.subject)
        else:
            if change.table == "pending_import":
                self._make_room(change.before)
            insert(self._library, change.table, change.before)

    def meta(self, change: Change) -> None:
        """Put back the free metadata of a model."""
        if change.subject in self._unmade or change.subject is None:
            return
        left, wanted = _meta(change.after), _meta(change.before)
        if models.meta(self._library, change.subject) != left:
            raise ChangedSince("meta")
        if models.get(self._library, change.subject) is None:
            raise ChangedSince("it is gone")
        models.put_meta(self._library, change.subject, wanted)

    def bearer(self, change: Change) -> None:
        """Give a tag back to what bore it, or take it away again."""
        if change.subject in self._unmade or (change.before is None) == (change.after is None):
            return
        owner, key = change.key
        bears = tags.bears(self._library, change.table, owner, key)
        if change.before is None:
            if not bears:
                raise ChangedSince(TAGS)
            tags.take(self._library, change.table, owner, key)
        elif not bears:
            record = "models" if change.table == "model_tags" else "pending_import"
            if recorded.get(self._library, self._tables[record], (owner,)) is None:
                raise ChangedSince("it is gone")
            tags.give(self._library, change.table, owner, change.before["tag"])
        elif change.subject not in self._found_again:
            raise ChangedSince(TAGS)

    def spelling(self, change: Change) -> None:
        """Spell a tag as before; whether there is one at all its bearers say."""
        if change.before is None or change.after is None:
            return
        now = self._library.one("SELECT name FROM tags WHERE folded = ?", change.key)
        if now is not None and now[0] not in (change.after["name"], change.before["name"]):
            raise ChangedSince("its spelling")
        tags.respell(self._library, change.before["name"])

    def _check_nothing_was_added(self, change: Change, now: Values) -> None:
        """Tags and metadata of what the command made are those it gave."""
        about = self._about[change.subject]
        given = {each.key[1] for each in about if each.table in recorded.BEARERS and each.after is not None}
        if change.table == "pending_import":
            here = tags.of_pending(self._library, change.key[0])
        else:
            here = tags.of_model(self._library, change.key[0])
            metas = [each for each in about if each.table == "model_meta"]
            left = _meta(metas[0].after) if metas else None
            if models.meta(self._library, change.key[0]) != left:
                raise ChangedSince("meta")
            if TAGS not in fields_of(now["edited"]):
                return  # these are a sidecar's
        if {folded(name) for name in here} != given:
            raise ChangedSince(TAGS)

    def _make_room(self, before: Values) -> None:
        """Let a pending import come back to its path; a scan may have staged the same content there anew."""
        found = self._library.all(
            "SELECT id, edited, meta_json FROM pending_import WHERE path = ? AND coalesce(sha256, '') = ?",
            [before["path"], before["sha256"] or ""],
        )
        for pending_id, edited, meta_json in found:
            if edited or meta_json or tags.of_pending(self._library, pending_id):
                raise ChangedSince(f"pending:{pending_id} is at its path")
            recorded.remove(self._library, self._tables["pending_import"], (pending_id,))

    def _is_tagged_later(self, change: Change) -> bool:
        later = history.later(self._library, self._entry_id, change.subject, table="model_tags")
        return later is not None


def _meta(values: Values | None) -> str | None:
    return None if values is None else values["meta_json"]
