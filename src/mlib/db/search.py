"""A query as a statement: which models and pending imports it finds, in which order."""

from __future__ import annotations

import os
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.query.amounts import interval
from mlib.core.query.fields import FIELDS
from mlib.core.query.matching import folded
from mlib.core.query.terms import Value, mentions
from mlib.db.rows import path_of
from mlib.db.search_sidecars import Sidecars
from mlib.db.search_subjects import FOLDERS, MODELS, PENDING
from mlib.db.search_texts import Condition, Texts, always, any_of, every, is_text, negation, never

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.core.query.terms import Query, Term
    from mlib.db.library import Library
    from mlib.db.search_subjects import Relation, Subject

#: By what a list can be sorted, with the column of a Subject and how its values compare.
SORTS = {
    "name": ("name", "COLLATE NOCASE"),
    "type": ("type", "COLLATE NOCASE"),
    "base": ("base", "COLLATE NOCASE"),
    "size": ("size", ""),
    "added": ("added", ""),
    "updated": ("updated", ""),
    "files": ("files", ""),
    "path": ("path", ""),
}


#: Columns of a Subject, in the order of a Sketch.
_SKETCHED = ("name", "type", "base", "size", "added", "updated")


class Order(NamedTuple):
    """A field of SORTS, and whether the largest comes first; what has none comes last in both cases."""

    field: str
    descending: bool = False


class Found(NamedTuple):
    """A model's SHA-256, or the id of a pending import; the other is None."""

    sha256: str | None
    pending_id: int | None


class Sketch(NamedTuple):
    """What is found, with what a search passes by anyway: to look that up again costs as much once more."""

    sha256: str | None
    pending_id: int | None
    name: str
    type: str
    base_model: str
    size_bytes: int | None
    created_at: int
    updated_at: int


def search(
    library: Library,
    query: Query,
    *,
    now: int,
    order: Sequence[Order] = (),
    limit: int | None = None,
    paths: Mapping[str, str] = MappingProxyType({}),
) -> list[Found]:
    """What a query finds: models, and pending imports if it asks about `pending`.

    In the given order, then by name. Ages count back from `now`, in milliseconds since the epoch. Only the
    tables that the query asks about are read, never the free metadata. `paths` has, by SHA-256, the path
    that models are sorted by: which of several is there is not for a database to know.
    """
    rows = _search(library, query, (), now=now, order=order, limit=limit, paths=paths)
    return [Found(*row) for row in rows]


def sketch(
    library: Library,
    query: Query,
    *,
    now: int,
    order: Sequence[Order] = (),
    limit: int | None = None,
    paths: Mapping[str, str] = MappingProxyType({}),
) -> list[Sketch]:
    """The same with more of each."""
    rows = _search(library, query, _SKETCHED, now=now, order=order, limit=limit, paths=paths)
    return [Sketch._make(row) for row in rows]


def _search(
    library: Library,
    query: Query,
    fields: Sequence[str],
    *,
    now: int,
    order: Sequence[Order],
    limit: int | None,
    paths: Mapping[str, str],
) -> list[tuple[Any, ...]]:
    order = [*order, Order("name")]

    def shown_path(sha256: str | None, waiting: str | bytes | None) -> bytes | None:
        path = paths.get(sha256 or "") if waiting is None else path_of(waiting)
        return None if path is None else os.fsencode(path).lower()

    library.teach("shown_path", shown_path, arguments=2)
    texts = Texts(library)
    subjects = (MODELS, PENDING) if mentions(query, "pending") else (MODELS,)
    keys = ", ".join(
        f"k{at} {SORTS[each.field][1]} {'DESC' if each.descending else 'ASC'} NULLS LAST"
        for at, each in enumerate(order)
    )
    selects: list[str] = []
    parameters: list[Any] = []
    for subject in subjects:
        condition = _Compiler(subject, texts, Sidecars(library, texts), now).query(query)
        columns = [f"{getattr(subject, SORTS[each.field][0])} AS k{at}" for at, each in enumerate(order)]
        columns += [f"{getattr(subject, field)} AS f{at}" for at, field in enumerate(fields)]
        selects.append(
            f"SELECT {subject.identity}, {', '.join(columns)} FROM {subject.table} WHERE {condition.sql}"
        )
        parameters += condition.parameters
    found = " UNION ALL ".join(selects)
    wanted = ", ".join(["sha", "id", *(f"f{at}" for at in range(len(fields)))])
    return library.all(
        f"WITH {FOLDERS} SELECT {wanted} FROM ({found}) ORDER BY {keys}, sha, id LIMIT ?",
        [*parameters, -1 if limit is None else limit],
    )


class _Compiler:
    """Terms to conditions about one subject; no condition is ever NULL, so that each can be negated."""

    def __init__(self, subject: Subject, texts: Texts, sidecars: Sidecars, now: int) -> None:
        self._subject = subject
        self._texts = texts
        self._sidecars = sidecars
        self._now = now

    def query(self, query: Query) -> Condition:
        groups = [every(map(self._term, group)) for group in query.groups]
        return any_of(groups) if groups else always()

    def _term(self, term: Term) -> Condition:
        found = any_of(self._value(term.field, value) for value in term.values)
        return negation(found) if term.negated else found

    def _value(self, field: str, value: Value) -> Condition:
        special = {
            "": self._word,
            "pending": self._pending,
            "missing": self._missing,
            "sha": self._sha,
            "trigger": self._trigger,
        }.get(field)
        if special is not None:
            return special(value)
        if FIELDS[field] in ("size", "moment", "count"):
            return self._amount(field, value)
        if field in self._subject.relations:
            return self._related(field, value)
        return self._texts.compared(getattr(self._subject, field), value)

    def _pending(self, value: Value) -> Condition:
        return always() if (value.how == "yes") == self._subject.is_pending else never()

    def _missing(self, value: Value) -> Condition:
        missing = Condition(self._subject.missing)
        return missing if value.how == "yes" else negation(missing)

    def _sha(self, value: Value) -> Condition:
        sha = self._subject.sha
        return Condition(f"({sha} >= ? AND {sha} < ?)", (value.text, value.text + "g"))

    def _trigger(self, value: Value) -> Condition:
        if value.how == "none":
            return negation(self._trigger(Value("any")))
        return any_of([self._related("trigger", value), self._beside(value)])

    def _word(self, value: Value) -> Condition:
        """One set of all that has the word somewhere: with four, each model would be looked up in each."""
        subject = self._subject
        noted = every([Condition(f"({subject.notes} != '')"), self._texts.compared(subject.notes, value)])
        columns = any_of([self._texts.compared(subject.name, value), noted])
        selects = [
            Condition(f"SELECT {subject.key} FROM {subject.table} WHERE {columns.sql}", columns.parameters)
        ]
        relations = [subject.relations["tag"], subject.relations["trigger"]]
        relations += (
            subject.named if subject.named and "/" not in value.text else [subject.relations["loader_name"]]
        )
        selects += [self._bearers(relation, self._matching(relation, value)) for relation in relations]
        parameters = tuple(parameter for select in selects for parameter in select.parameters)
        union = " UNION ALL ".join(select.sql for select in selects)
        return any_of([Condition(f"({subject.key} IN ({union}))", parameters), self._beside(value)])

    def _related(self, name: str, value: Value) -> Condition:
        """Whether something of this relation matches; with none, whether there is nothing of it."""
        relation = self._subject.relations[name]
        inner = always() if value.how in ("none", "any") else self._matching(relation, value)
        found = Condition(f"({relation.key} IN ({relation.select} AND {inner.sql}))", inner.parameters)
        return negation(found) if value.how == "none" else found

    def _bearers(self, relation: Relation, inner: Condition) -> Condition:
        """The keys of the subjects to which something of this relation belongs that meets a condition."""
        subject, sql = self._subject, f"{relation.select} AND {inner.sql}"
        if relation.key != subject.key:
            sql = f"SELECT {subject.key} FROM {subject.table} WHERE {relation.key} IN ({sql})"
        return Condition(sql, inner.parameters)

    def _matching(self, relation: Relation, value: Value) -> Condition:
        """Whether one row of a relation matches."""
        if relation is self._subject.relations["tag"]:
            return _tag(value)
        inner = self._texts.compared(relation.value, value)
        return every([self._texts.compared(relation.hint, value), inner]) if relation.hint else inner

    def _beside(self, value: Value) -> Condition:
        """The trigger words that sidecars tell, as `show` takes them: from those that are believed."""
        if self._subject.is_pending:
            return never()
        shas = self._sidecars.saying(value)
        return Condition("m.sha256 IN (SELECT value FROM json_each(?))", (shas,)) if shas != "[]" else never()

    def _amount(self, field: str, value: Value) -> Condition:
        column = self._subject.files if field == "files" else getattr(self._subject, field)
        if value.how == "none":
            return Condition(f"({column} IS NULL)")
        low, high = interval(field, value, self._now)
        ends = [Condition(f"coalesce({column} >= ?, 0)", (low,))] if low is not None else []
        if field == "files" and low is not None and low > 1:  # few have several
            ends.insert(0, Condition(f"({self._subject.at_least})", (low,)))
        ends += [Condition(f"coalesce({column} < ?, 0)", (high,))] if high is not None else []
        return every(ends)


def _tag(value: Value) -> Condition:
    """Tags are kept folded, so that every spelling of one is found without folding any."""
    wanted = folded(" ".join(value.text.split()) if value.how == "is" else value.text)
    if not is_text(wanted):
        return never()
    return Condition("tags.folded = ?" if value.how == "is" else "instr(tags.folded, ?) > 0", (wanted,))
