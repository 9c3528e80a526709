"""What the history looks like: as JSON and as rows."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlib.cli import format as fmt
from mlib.core import jsontext, times

if TYPE_CHECKING:
    from mlib.core.jsontext import Json
    from mlib.services.history import FieldChange, Told


def as_json(told: Told) -> dict[str, Any]:
    """An entry of `log --json`."""
    entry = told.entry
    return {
        "id": entry.id,
        "at": times.iso(entry.at),
        "command": entry.command,
        "undone": entry.undone,
        "undoes": entry.undoes,
        "models": told.models,
        "pending": told.pending,
        "changes": [change_as_json(change) for change in told.changes],
    }


def change_as_json(change: FieldChange) -> dict[str, Any]:
    """One changed field; `sha256` or `pending_id` says of what, neither of something else."""
    about = (
        {"sha256": change.sha256}
        if change.sha256 is not None
        else {"pending_id": change.pending_id}
        if change.pending_id is not None
        else {}
    )
    return {
        **about,
        "name": change.name,
        "field": change.field,
        "before": change.before,
        "after": change.after,
    }


def change_row(change: FieldChange) -> tuple[str, str, str, str]:
    """One changed field: of what, how it is called, which field, and what became of it."""
    about = "-"
    if change.sha256 is not None:
        about = change.sha256[:10]
    elif change.pending_id is not None:
        about = f"pending:{change.pending_id}"
    return about, change.name, change.field, _became(change)


def entry_row(told: Told) -> tuple[str, str, str, str, str]:
    """One entry: its id, when, what it is about, what became of it, the command."""
    entry = told.entry
    parts = [fmt.plural(told.models, "model")] if told.models else []
    parts += [fmt.plural(told.pending, "pending import")] if told.pending else []
    state = "undone" if entry.undone else ""
    return str(entry.id), fmt.moment(entry.at), ", ".join(parts), state, entry.command


def _became(change: FieldChange) -> str:
    if change.before is None:
        return f"+{_text(change.after)}"
    if change.after is None:
        return f"-{_text(change.before)}"
    return f"{_text(change.before)} -> {_text(change.after)}"


def _text(value: Json) -> str:
    return value or "''" if isinstance(value, str) else jsontext.dump(value)
