"""Undo a command: restore user data that has not changed since, and the facts that hang on it.

User data is restored row by row in one transaction; anything edited meanwhile raises ChangedSince. Facts are
restored as far as no scan has looked at the files since. Moves and metadata cleaning are not in the history,
so undo refuses with the command that reverts them.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import times
from mlib.core.disk.journal import journal_path, last_file_action
from mlib.core.disk.walk import is_within
from mlib.core.errors import Hint, NotFound, Refused
from mlib.core.records import TAGS, TEXT_FIELDS
from mlib.core.tag_spelling import fold_tag
from mlib.core.text import library_option, quoted
from mlib.db import files, history, models, pending, roots, rows, tags
from mlib.db.rows import fields_of, path_of, stored_fields
from mlib.db.schema import FOUND, KEPT
from mlib.services.history.log_entries import DescribedEntry, FieldChange, describe_entry

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.core.disk.journal import FileAction
    from mlib.db.history import Change, Cleaning, LogEntry
    from mlib.db.library import Library
    from mlib.db.rows import Values


# --- The state of a row before a command (pure)
#
# User data is what a person typed: the fields that `edited` names, and free metadata. All else are facts:
# where
# they are not what the command left, somebody looked at the files since, and the later facts win.


class ChangedSince(Exception):
    """User data is no longer what the command left; the message names it."""


def restored(now: Values, before: Values, after: Values, *, keeps_tags: bool) -> Values:
    """The columns to write so that a row that a command changed is as before.

    With `keeps_tags` the tags go on being a person's: a later command touched them. Raises ChangedSince.
    """
    typed_now = fields_of(now["edited"])
    typed_before = fields_of(before["edited"] if "edited" in before else now["edited"])
    typed_after = fields_of(after["edited"] if "edited" in after else now["edited"])
    toggled = typed_before ^ typed_after
    if stray := (typed_now ^ typed_after) & toggled:
        raise ChangedSince(", ".join(sorted(stray)))
    result: Values = {}
    for name, left in after.items():
        if name == "edited":
            continue
        if now[name] == left:
            result[name] = before[name]
        elif name == "meta_json" or (name in TEXT_FIELDS and name in typed_now):
            raise ChangedSince(name.removesuffix("_json"))
        elif name in toggled & typed_before:  # it was cleared, and a fact took its place
            result[name] = before[name]
    if toggled:
        kept = {TAGS} if keeps_tags and TAGS in typed_now else set()
        result["edited"] = stored_fields((typed_now - toggled) | (typed_before & toggled) | kept)
    return {name: value for name, value in result.items() if value != now[name]}


def check_unchanged(now: Values, left: Values) -> None:
    """Whether a row that a command made holds what it was given by that. Raises ChangedSince."""
    typed = fields_of(now["edited"])
    if stray := typed ^ fields_of(left["edited"]):
        raise ChangedSince(", ".join(sorted(stray)))
    names = [name for name in TEXT_FIELDS if name in typed] + (["meta_json"] if "meta_json" in left else [])
    for name in names:
        if now[name] != left[name]:
            raise ChangedSince(name.removesuffix("_json"))


def revived(now: Values, before: Values) -> Values:
    """The columns to write where a model that was forgotten was found again before it is brought back.

    Facts are those of now. Raises ChangedSince if somebody has said anything about it already.
    """
    if stray := fields_of(now["edited"]):
        raise ChangedSince(", ".join(sorted(stray)))
    names = [name for name in TEXT_FIELDS if name in fields_of(before["edited"])]
    kept = {name: before[name] for name in [*names, "edited", "created_at", "updated_at"]}
    return {name: value for name, value in kept.items() if value != now[name]}


# --- Restoring facts


class FactsUndo:
    """One undo's view of facts. Roots that came back may have got another id."""

    def __init__(self, library: Library) -> None:
        self.tables = rows.tables(library)
        self._library = library
        self._root_ids: dict[int, int] = {}

    def ordered(self, changes: Sequence[Change]) -> list[Change]:
        """Those about facts, in an order in which no path ever holds two present files."""
        return sorted((each for each in changes if each.table in FOUND), key=_rank)

    def restore(self, change: Change) -> None:
        """Make a row what it was, if it is still what the command left."""
        table = self.tables[change.table]
        now = rows.get(self._library, table, change.key)
        if change.before is None:
            if now is not None and change.after is not None and _holds(now, change.after):
                rows.remove(self._library, table, change.key)
        elif change.after is None:
            if now is None and self._has_home(change):
                rows.add(self._library, table, self._fitted(change, change.before))
        elif now is not None and _holds(now, change.after):
            rows.put(self._library, table, change.key, self._fitted(change, {**now, **change.before}))

    def bring_root_back(self, change: Change) -> None:
        """Remember a root again, before any file that belongs to it."""
        table = self.tables["roots"]
        now = rows.get(self._library, table, change.key)
        if change.before is None:
            return
        if change.after is None:
            self._bring_back(change.before, taken=now is not None)
        elif now is not None and _holds(now, change.after):
            rows.put(self._library, table, change.key, change.before)

    def forget_root(self, change: Change) -> None:
        """Forget a root that the command added. Raises ChangedSince where files were found in it since."""
        table = self.tables["roots"]
        now = rows.get(self._library, table, change.key)
        if change.before is not None or change.after is None or now is None:
            return
        if roots.has_files(self._library, change.key[0]):
            raise ChangedSince("files were found in it")
        if now["path"] == change.after["path"]:
            rows.remove(self._library, table, change.key)

    def _bring_back(self, root: Values, *, taken: bool) -> None:
        here = roots.id_at(self._library, path_of(root["path"]))
        if here is not None:
            self._root_ids[root["id"]] = here
            return
        values = {name: value for name, value in root.items() if name != "id" or not taken}
        self._root_ids[root["id"]] = rows.add(self._library, self.tables["roots"], values)

    def _has_home(self, change: Change) -> bool:
        kept = KEPT[change.table]
        home = kept.home
        if home is None or kept.subject is None or change.before is None:
            return True
        subject = change.before[kept.subject]
        return rows.get(self._library, self.tables[home], (subject,)) is not None

    def _fitted(self, change: Change, values: Values) -> Values:
        """A row of a file fits in where its root is known, and where no other file is at its path now."""
        if "root_id" not in values:
            return values
        root_id = self._root_ids.get(values["root_id"], values["root_id"])
        if rows.get(self._library, self.tables["roots"], (root_id,)) is None:
            root_id = None
        values = {**values, "root_id": root_id}
        if change.table == "files" and values["missing_since"] is None:
            directory, name, sha256 = change.key
            here = files.at_path(self._library, os.path.join(path_of(directory), path_of(name)))
            if any(row.missing_since is None and row.sha256 != sha256 for row in here):
                values["missing_since"] = times.now()
        return values


def _holds(now: Values, left: Values) -> bool:
    return all(now[name] == value for name, value in left.items())


def _rank(change: Change) -> int:
    """Removing first, then marking as missing, then all that may take a path."""
    if change.before is None:
        return 0
    return 1 if change.before.get("missing_since") is not None else 2


# --- Refusing to undo past moves and metadata cleaning


def expect_nothing_later(library: Library, newest: LogEntry | None, meant: LogEntry | None) -> None:
    """Raise Refused where something else was done after the newest entry of all.

    `files_are_not_undone` where files were moved, `cleaning_is_not_undone` where image data was taken out of
    metadata. A person who asks for the last command means that one; `meant` is the entry that would be taken
    back.
    """
    since = 0 if newest is None else newest.at
    action, cleaning = last_file_action(library.path), history.last(library)
    if action is not None and action.at >= since and (cleaning is None or action.at > cleaning.at):
        code, way = "files_are_not_undone", _way_back(library, action)
        message = f"the last command was `{action.command}`, and undo restores what you typed, not files"
    elif cleaning is not None and cleaning.at >= since:
        code, way = "cleaning_is_not_undone", _way_before(library, cleaning)
        message = "the last command was `clean-meta`, and undo does not restore image data"
    else:
        return
    ways: list[str | Hint] = [way]
    if meant is not None:
        before = Hint("{} takes back what came before: {}", ("undo", str(meant.id)), meant.command)
        ways.append(before)
    raise Refused(code, message, hint=Hint("; ".join(["{}"] * len(ways)), *ways))


def _way_back(library: Library, action: FileAction) -> str | Hint:
    present = {row.path for row in files.of_model(library, action.sha256) if row.missing_since is None}
    if action.command.endswith("--hardlink"):
        return "its files are one file with several names now, and lost nothing"
    source, target = next((move for move in action.moves if move[1] in present), action.moves[-1])
    if target in present:
        command = ("mv", target, source, *library_option(library.path))
        return Hint("{} moves it back{}", command, _others(library, action))
    if action.command in ("mv", "rename"):
        told = "it went to {} and is not known there now: {} looks where it is"
        return Hint(told, quoted(target), ("scan", *library_option(library.path)))
    there = quoted(target) if os.path.isabs(target) else "it"  # a run that was cut off knows no more
    return Hint(
        "take {} out of the trash, back to {}{}, and run {}",
        there,
        quoted(source),
        _others(library, action),
        ("scan", *_folder(library, action.sha256, source), *library_option(library.path)),
    )


def _folder(library: Library, sha256: str, path: str) -> tuple[str, ...]:
    """What a scan must be told to come by a path: nothing where it lies in a folder that is known."""
    if any(is_within(path, root.path) for root in roots.all_roots(library)):
        return ()
    model = models.get(library, sha256)
    kind = "TYPE" if model is None or not model.type else model.type
    return "--root", f"{kind}={os.path.dirname(path)}"


def _others(library: Library, action: FileAction) -> str:
    if not action.others:
        return ""
    others = "the model" if action.others == 1 else f"the {action.others} models"
    return f" (and likewise {others} before it, which {quoted(journal_path(library.path))} lists)"


def _way_before(library: Library, cleaning: Cleaning) -> str | Hint:
    if not os.path.exists(cleaning.backup):
        return "the backup made before it is missing"
    command = ("restore", os.path.basename(cleaning.backup), *library_option(library.path))
    return Hint("{} brings the whole library back as it was before it", command)


# --- Restoring user data


class UserDataUndo:
    """One undo's view of models, pending imports, their metadata and tags."""

    def __init__(self, library: Library, entry_id: int, changes: Sequence[Change], facts: FactsUndo) -> None:
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
        now = rows.get(self._library, table, change.key)
        if now is None:
            raise ChangedSince("it is gone")
        check_unchanged(now, change.after)
        self._check_nothing_was_added(change, now)
        if change.table == "models":
            files.remove_all_of(self._library, change.key[0])
        rows.remove(self._library, table, change.key)
        self._unmade.add(change.subject)

    def record(self, change: Change) -> None:
        """Put back what was typed into a model or pending import, or the whole of it."""
        if change.subject in self._unmade or change.before is None:
            return
        table = self._tables[change.table]
        now = rows.get(self._library, table, change.key)
        if change.after is not None:
            if now is None:
                raise ChangedSince("it is gone")
            keeps = change.table == "models" and self._is_tagged_later(change)
            rows.put(
                self._library, table, change.key, restored(now, change.before, change.after, keeps_tags=keeps)
            )
        elif now is not None:
            rows.put(self._library, table, change.key, revived(now, change.before))
            self._found_again.add(change.subject)
        else:
            if change.table == "pending_import":
                self._make_room(change.before)
            rows.add(self._library, table, change.before)

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
            if rows.get(self._library, self._tables[record], (owner,)) is None:
                raise ChangedSince("it is gone")
            tags.give(self._library, change.table, owner, change.before["tag"])
        elif change.subject not in self._found_again:
            raise ChangedSince(TAGS)

    def spelling(self, change: Change) -> None:
        """Spell a tag as before; whether there is one at all its bearers say."""
        if change.before is None or change.after is None:
            return
        now = tags.spelling(self._library, change.key[0])
        if now is not None and now not in (change.after["name"], change.before["name"]):
            raise ChangedSince("its spelling")
        tags.respell(self._library, change.before["name"])

    def _check_nothing_was_added(self, change: Change, now: Values) -> None:
        """Tags and metadata of what the command made are those it gave."""
        about = self._about[change.subject]
        given = {each.key[1] for each in about if each.table in rows.BEARERS and each.after is not None}
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
        if {fold_tag(name) for name in here} != given:
            raise ChangedSince(TAGS)

    def _make_room(self, before: Values) -> None:
        """Let a pending import come back to its path; a scan may have staged the same content there anew."""
        for entry in pending.at_path(self._library, path_of(before["path"])):
            if entry.id is None or (entry.sha256 or "") != (before["sha256"] or ""):
                continue
            if entry.edited or entry.meta_json or entry.tags:
                raise ChangedSince(f"pending:{entry.id} is at its path")
            pending.remove(self._library, entry.id)

    def _is_tagged_later(self, change: Change) -> bool:
        later = history.later(self._library, self._entry_id, change.subject, table="model_tags")
        return later is not None


def _meta(values: Values | None) -> str | None:
    return None if values is None else values["meta_json"]


#: The tables of what may have facts.
_RECORDS = ("models", "pending_import")


class UndoReport(NamedTuple):
    """What was taken back: the entry, and what that changed now (`before` is what the entry had left)."""

    told: DescribedEntry
    changes: tuple[FieldChange, ...]


def undo(library: Library, entry_id: int | None = None) -> UndoReport:
    """Take back one entry, by default the newest that is neither undone nor an undo; itself recorded.

    Taking back an undo does again what it undid. One transaction. Raises NotFound (`no_such_entry`,
    `nothing_to_undo`), Refused (`already_undone`, `changed_since`, `files_are_not_undone`,
    `cleaning_is_not_undone`).
    """
    chosen = _chosen(library, entry_id)
    with (
        history.recording(library, f"undo {chosen.id}", undoes=chosen.id),
        library.transaction(),
    ):
        entry = _chosen(library, chosen.id)  # another program may have been faster
        recounted = describe_entry(library, entry)
        library.check_links_at_commit()
        _take_back(library, entry)
        history.note(library)
    changes = [each._replace(before=each.after, after=each.before) for each in reversed(recounted.changes)]
    return UndoReport(recounted, tuple(changes))


def _chosen(library: Library, entry_id: int | None) -> LogEntry:
    if entry_id is None:
        newest = next(history.entries(library), None)
        standing = (each for each in history.entries(library) if each.undoes is None and not each.undone)
        meant = next(standing, None)
        expect_nothing_later(library, newest, meant)
        if meant is None:
            raise NotFound(
                "nothing_to_undo", "there is nothing to undo", hint=Hint("{} shows what was done", ("log",))
            )
        return meant
    found = history.entry(library, entry_id)
    if found is None:
        raise NotFound("no_such_entry", f"no such entry: {entry_id}", hint=Hint("{} lists them", ("log",)))
    if found.undone:
        by = history.undone_by(library, entry_id)
        raise Refused(
            "already_undone",
            f"entry {entry_id} is undone already",
            hint=Hint("{} does it again", ("undo", str(by))),
        )
    return found


def _take_back(library: Library, entry: LogEntry) -> None:
    changes = history.changes(library, entry.id)
    facts = FactsUndo(library)
    typed = UserDataUndo(library, entry.id, changes, facts)

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
        models.delete_facts(library, sha256)
    tags.forget_unused(library)


def _contents(changes: Sequence[Change]) -> set[str]:
    """The SHA-256s of what was a model, or waited, before the command or after it."""
    sides = (side for each in changes if each.table in _RECORDS for side in (each.before, each.after))
    return {side["sha256"] for side in sides if side and side.get("sha256")}


def _checked(library: Library, entry: LogEntry, step: Callable[[Change], None], change: Change) -> None:
    try:
        step(change)
    except ChangedSince as error:
        table = change.table if change.subject is None else None
        later = history.later(library, entry.id, change.subject, table=table)
        about = change.subject or change.key[-1]
        raise Refused(
            "changed_since",
            f"{about} was changed since entry {entry.id} ({error})",
            hint=Hint("{} first", ("undo", str(later)))
            if later is not None
            else Hint(
                "by a scan or clean-meta, which the history does not hold: {} shows what it was", ("log",)
            ),
        ) from None
