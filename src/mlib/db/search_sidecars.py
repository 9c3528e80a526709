"""Which models a sidecar beside them tells a trigger word of."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from mlib.core.models import OtherHashes
from mlib.core.sidecars.companions import by_stem, stem_of
from mlib.db import hashes
from mlib.db.rows import path_of
from mlib.db.search_texts import Condition, every

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.query.terms import Value
    from mlib.db.library import Library
    from mlib.db.rows import StoredPath
    from mlib.db.search_texts import Texts

_WORDS = "EXISTS (SELECT 1 FROM json_each(s.sidecar_json, '$.trigger_words') AS w WHERE {})"


class Sidecars:
    """The sidecars of one library; what was asked once is not looked for again."""

    def __init__(self, library: Library, texts: Texts) -> None:
        self._library = library
        self._texts = texts
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
            "SELECT s.directory, s.name, s.sidecar_json FROM sidecars AS s"
            f" WHERE s.sidecar_json IS NOT NULL AND {condition.sql} ORDER BY s.directory",
            condition.parameters,
        )
        beside: dict[StoredPath, list[tuple[str, str]]] = {}
        for directory, name, text in rows:
            beside.setdefault(directory, []).append((path_of(name), text))
        for directory, said in beside.items():
            yield from self._believers(directory, dict(said))

    def _believers(self, directory: StoredPath, said: dict[str, str]) -> Iterator[str]:
        """The models of one directory that one of these sidecars belongs to and is not about another file."""
        from mlib.core.sidecars.filling import Named, mismatch
        from mlib.core.sidecars.kept import unpacked

        files = self._library.all(
            "SELECT name, sha256 FROM files WHERE directory = ? AND missing_since IS NULL", [directory]
        )
        names = [*said, *(path_of(name) for name, _ in files)]
        beside = by_stem(names)
        for stored, sha256 in files:
            for companion in beside.get(stem_of(path_of(stored)), ()):
                if companion.name in said:
                    named = Named(companion.name, unpacked(said[companion.name]))
                    if mismatch(named, sha256, hashes.get(self._library, sha256) or OtherHashes()) is None:
                        yield sha256
