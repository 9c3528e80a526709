"""Which models a sidecar beside them tells a trigger word of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlib.db.rows import path_of
from mlib.db.search_texts import Condition, every
from mlib.db.sidecars import Believed

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.query.terms import Value
    from mlib.db.library import Library
    from mlib.db.search_texts import Texts

_WORDS = "EXISTS (SELECT 1 FROM json_each(s.sidecar_json, '$.trigger_words') AS w WHERE {})"


class Sidecars:
    """The sidecars of one library; what was asked once is not looked for again."""

    def __init__(self, library: Library, texts: Texts) -> None:
        self._library = library
        self._texts = texts
        self._believed = Believed(library)
        self._answers: dict[Value, str] = {}

    def saying(self, value: Value) -> str:
        """The SHA-256s of the models with such a trigger word (how has, is or any), as a JSON list."""
        if value not in self._answers:
            self._answers[value] = json.dumps(sorted(set(self._models(value))))
        return self._answers[value]

    def _models(self, value: Value) -> Iterator[str]:
        conditions = [Condition("(instr(s.sidecar_json, '\"trigger_words\"') > 0)")]
        if value.how in ("has", "is"):
            inner = self._texts.compared("w.value", value)
            conditions += self._texts.hints("s.sidecar_json", value)
            conditions.append(Condition(_WORDS.format(inner.sql), inner.parameters))
        condition = every(conditions)
        rows = self._library.all(
            "SELECT s.directory, s.name FROM sidecars AS s"
            f" WHERE s.sidecar_json IS NOT NULL AND {condition.sql} ORDER BY s.directory",
            condition.parameters,
        )
        saying: dict[str, set[str]] = {}
        for directory, name in rows:
            saying.setdefault(path_of(directory), set()).add(path_of(name))
        for directory, names in saying.items():
            yield from self._believed.of(directory, names)
