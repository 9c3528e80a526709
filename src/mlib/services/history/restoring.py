"""What a record was before a command, if nobody changed it since. Pure.

User data is what a person typed: the fields that `edited` names, and free metadata. All else are facts: where
they are not what the command left, somebody looked at the files since, and the later facts win.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.models import TAGS, TEXT_FIELDS
from mlib.db.rows import fields_of, stored_fields

if TYPE_CHECKING:
    from mlib.db.recorded import Values


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
