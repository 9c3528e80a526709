"""What becomes of user data when two say something about one model. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING

from mlib.core import jsontext, meta

if TYPE_CHECKING:
    from collections.abc import Mapping


#: What is left in metadata of the images that were stripped from it: nothing that anybody typed.
COUNT = "images_count"


class ConflictStrategy(StrEnum):
    """What to do with a pending import whose model is known with other user data."""

    REPORT = "report"
    OVERRIDE = "override"
    MERGE = "merge"
    IGNORE = "ignore"
    DELETE = "delete"


@dataclass(frozen=True, slots=True)
class UserData:
    """What a person typed: non-empty text by field, tags as shown by their folded form, free metadata."""

    text: Mapping[str, str] = field(default_factory=dict)
    tags: Mapping[str, str] = field(default_factory=dict)
    meta: Mapping[str, jsontext.Json] = field(default_factory=dict)

    def __bool__(self) -> bool:
        typed = {key: value for key, value in self.meta.items() if key != COUNT}
        return bool(self.text or self.tags) or not meta.is_empty(typed)


def differences(existing: UserData, incoming: UserData) -> tuple[str, ...]:
    """Names of the non-empty things in `incoming` that `existing` does not hold equally."""
    names = [name for name, value in incoming.text.items() if existing.text.get(name) != value]
    if incoming.tags.keys() - existing.tags.keys():
        names.append("tags")
    keys = meta.differing(dict(existing.meta), dict(incoming.meta))
    names += [f"meta.{key}" for key in keys if key.rpartition(".")[2] != COUNT]
    return tuple(names)


def merged(existing: UserData, incoming: UserData) -> UserData:
    """`incoming` fills what is empty in `existing`; tags are united, the spelling there already wins."""
    return UserData(
        text={**incoming.text, **existing.text},
        tags={**incoming.tags, **existing.tags},
        meta=meta.fill(dict(existing.meta), dict(incoming.meta)),
    )


def overridden(existing: UserData, incoming: UserData) -> UserData:
    """What is non-empty in `incoming` wins, the rest of `existing` stays."""
    return UserData(
        text={**existing.text, **incoming.text},
        tags=incoming.tags or existing.tags,
        meta=meta.override(dict(existing.meta), dict(incoming.meta)),
    )


def resolved(existing: UserData, incoming: UserData, strategy: ConflictStrategy) -> UserData | None:
    """The user data a model gets, or None where there is a conflict that `strategy` leaves standing."""
    if not differences(existing, incoming):
        return existing
    if strategy is ConflictStrategy.IGNORE:
        return None
    if not existing or strategy is ConflictStrategy.MERGE:
        return merged(existing, incoming)
    if strategy is ConflictStrategy.OVERRIDE:
        return overridden(existing, incoming)
    return None
