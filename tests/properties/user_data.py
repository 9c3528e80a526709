"""What a person expects of what they typed: a plain model of user data, by content."""

from __future__ import annotations

import json
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from mlib.core.records import TEXT_FIELDS, Model, Pending
from mlib.db import models, tags

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.db.library import Library


@dataclass(frozen=True)
class Typed:
    """All that was typed about one thing; nothing in here is empty. Tags in lower case, metadata as JSON."""

    text: dict[str, str] = field(default_factory=dict)
    tags: frozenset[str] = frozenset()
    meta: dict[str, str] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.text or self.tags or self.meta)

    def says_all_of(self, other: Typed) -> bool:
        return (
            other.text.items() <= self.text.items()
            and other.tags <= self.tags
            and other.meta.items() <= self.meta.items()
        )

    def contradicts(self, other: Typed) -> bool:
        """Whether they say different things of one field or key; tags never do."""
        return not self.filled_from(other).says_all_of(other)

    def filled_from(self, other: Typed) -> Typed:
        return Typed({**other.text, **self.text}, self.tags | other.tags, {**other.meta, **self.meta})

    def replaced_by(self, other: Typed) -> Typed:
        return Typed({**self.text, **other.text}, other.tags or self.tags, {**self.meta, **other.meta})


@dataclass(frozen=True)
class Waiting:
    """A pending import: `sha256` is None until its content is known, `claim` the beginning of a hash."""

    path: str
    sha256: str | None
    typed: Typed
    claim: str | None = None


@dataclass
class Expected:
    """Every model by content, and every pending import by its id."""

    models: dict[str, Typed] = field(default_factory=dict)
    pending: dict[int, Waiting] = field(default_factory=dict)

    def import_pending(self, strategy: str) -> None:
        """All pending imports whose content is known, in their order."""
        for number, entry in sorted(self.pending.items()):
            if entry.sha256 is not None and self._import(entry.sha256, entry.typed, strategy):
                del self.pending[number]

    def _import(self, sha256: str, incoming: Typed, strategy: str) -> bool:
        """Whether this settles it, so that nothing is pending any more."""
        is_known = sha256 in self.models
        existing = self.models.setdefault(sha256, Typed())
        if existing.says_all_of(incoming):
            return True
        if is_known and strategy == "ignore":
            return False
        if not existing or strategy == "merge":
            self.models[sha256] = existing.filled_from(incoming)
        elif strategy == "override":
            self.models[sha256] = existing.replaced_by(incoming)
        return not existing or strategy in ("merge", "override", "delete")

    def settle(self, sha256: str, incoming: list[Typed], found: Typed) -> None:
        """A scan made these pending imports part of a model, in whatever order, and found this."""
        existing = self.models.setdefault(sha256, Typed())
        possible = [existing] if existing else incoming or [existing]
        assert found in [data for data in possible if all(map(data.says_all_of, incoming))]
        self.models[sha256] = found


def edited(typed: Typed, text: dict[str, str], tag: Iterable[str], untag: Iterable[str],
           put: dict[str, str], drop: Iterable[str]) -> Typed:  # fmt: skip
    """What is typed after an edit: '' clears a field, what is both untagged and tagged is there."""
    texts = {name: value for name, value in {**typed.text, **text}.items() if value}
    labels = (typed.tags - {label.lower() for label in untag}) | {label.lower() for label in tag}
    kept = {key: value for key, value in typed.meta.items() if key not in set(drop)}
    return Typed(texts, labels, {**kept, **put})


def typed_of(record: Model | Pending, labels: Iterable[str], meta_json: str | None) -> Typed:
    text = {name: getattr(record, name) for name in TEXT_FIELDS if name in record.edited}
    free = {key: json.dumps(value) for key, value in json.loads(meta_json or "{}").items()}
    return Typed(text, frozenset(map(str.lower, labels)), free)


def stored_models(library: Library) -> dict[str, Typed]:
    """What the library holds of what was typed about every model."""
    found = {}
    for (sha256,) in library.all("SELECT sha256 FROM models"):
        model = models.get(library, sha256)
        assert model is not None
        found[sha256] = typed_of(model, tags.of_model(library, sha256), models.meta(library, sha256))
    return found


def with_content(entry: Waiting, sha256: str | None) -> Waiting:
    return replace(entry, sha256=sha256)
