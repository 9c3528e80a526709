"""Taking back what a command did to user data, if nobody changed the same since."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import NotFound, Refused
from mlib.db import gone, history, tags
from mlib.services.history.facts import Facts
from mlib.services.history.filework import expect_nothing_later
from mlib.services.history.recount import FieldChange, Told, told
from mlib.services.history.restoring import ChangedSince
from mlib.services.history.typed import UserData

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.db.history import Change, Entry
    from mlib.db.library import Library

#: The tables of what may have facts.
_RECORDS = ("models", "pending_import")


class UndoReport(NamedTuple):
    """What was taken back: the entry, and what that changed now (`before` is what the entry had left)."""

    told: Told
    changes: tuple[FieldChange, ...]
    dry_run: bool


def undo(library: Library, entry_id: int | None = None, *, dry_run: bool = False) -> UndoReport:
    """Take back one entry, by default the newest that is neither undone nor an undo; itself recorded.

    Taking back an undo does again what it undid. One transaction. Raises NotFound (`no_such_entry`,
    `nothing_to_undo`), Refused (`already_undone`, `changed_since`, `files_are_not_undone`,
    `cleaning_is_not_undone`).
    """
    chosen = _chosen(library, entry_id)
    with (
        history.recording(library, f"undo {chosen.id}", dry_run=dry_run, undoes=chosen.id),
        library.transaction(rehearsal=dry_run),
    ):
        entry = _chosen(library, chosen.id)  # another program may have been faster
        recounted = told(library, entry)
        library.execute("PRAGMA defer_foreign_keys = ON")
        _take_back(library, entry)
        if not dry_run:
            history.note(library)
    changes = [each._replace(before=each.after, after=each.before) for each in reversed(recounted.changes)]
    return UndoReport(recounted, tuple(changes), dry_run)


def _chosen(library: Library, entry_id: int | None) -> Entry:
    if entry_id is None:
        newest = next(history.entries(library), None)
        standing = (each for each in history.entries(library) if each.undoes is None and not each.undone)
        meant = next(standing, None)
        expect_nothing_later(library, newest, meant)
        if meant is None:
            raise NotFound(
                "nothing_to_undo", "there is nothing to undo", hint="`mlib log` shows what was done"
            )
        return meant
    found = history.entry(library, entry_id)
    if found is None:
        raise NotFound("no_such_entry", f"there is no entry {entry_id}", hint="`mlib log` lists them")
    if found.undone:
        by = history.undone_by(library, entry_id)
        raise Refused(
            "already_undone", f"entry {entry_id} is undone already", hint=f"`mlib undo {by}` does it again"
        )
    return found


def _take_back(library: Library, entry: Entry) -> None:
    changes = history.changes(library, entry.id)
    facts = Facts(library)
    typed = UserData(library, entry.id, changes, facts)

    def each(step: Callable[[Change], None], *tables: str) -> None:
        for change in changes:
            if change.table in tables:
                _checked(library, entry, step, change)

    each(typed.unmake, *_RECORDS)
    each(facts.bring_root_back, "roots")
    each(typed.record, *_RECORDS)
    each(typed.meta, "model_meta")
    each(typed.bearer, "model_tags", "pending_model_tags")
    each(typed.spelling, "tags")
    for change in facts.ordered(changes):
        facts.restore(change)
    each(facts.forget_root, "roots")
    for sha256 in _contents(changes):
        gone.forget_facts(library, sha256)
    tags.forget_unused(library)


def _contents(changes: Sequence[Change]) -> set[str]:
    """The SHA-256s of what was a model, or waited, before the command or after it."""
    sides = (side for each in changes if each.table in _RECORDS for side in (each.before, each.after))
    return {side["sha256"] for side in sides if side and side.get("sha256")}


def _checked(library: Library, entry: Entry, step: Callable[[Change], None], change: Change) -> None:
    try:
        step(change)
    except ChangedSince as error:
        table = change.table if change.subject is None else None
        later = history.later(library, entry.id, change.subject, table=table)
        about = change.subject or change.key[-1]
        raise Refused(
            "changed_since",
            f"{about} was changed since entry {entry.id} ({error})",
            hint=f"`mlib undo {later}` first"
            if later is not None
            else "by a scan or clean-meta, which the history does not hold: `mlib log` shows what it was",
        ) from None
