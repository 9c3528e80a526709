"""Compile a query to SQL: which models and pending imports it finds, in which order."""

from __future__ import annotations

import json
import os
import re
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.query import FIELDS, Value, common, fold_text, interval, mentions
from mlib.db.rows import FINDING_HOLDS, path_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

    from mlib.core.query import Query, Term
    from mlib.db.library import Library


# --- SQL conditions and text comparison
#
# What folds to ASCII is compared by SQLite itself; the rest by a function of ours that folds both sides.

#: SQLite's LIKE takes no longer patterns (50,000 bytes unless it was built otherwise).
_LONG = 10_000


class SqlCondition(NamedTuple):
    """An expression that is 0 or 1, never NULL, and the values for its question marks, in order."""

    sql: str
    parameters: tuple[Any, ...] = ()


def always() -> SqlCondition:
    """What everything meets."""
    return SqlCondition("1")


def never() -> SqlCondition:
    """What nothing meets."""
    return SqlCondition("0")


def every(conditions: Iterable[SqlCondition]) -> SqlCondition:
    """All of them. What says nothing is left out: SQLite would no longer see that an index serves."""
    return _joined(" AND ", [each for each in conditions if each != always()]) or always()


def any_of(conditions: Iterable[SqlCondition]) -> SqlCondition:
    """At least one of them."""
    return _joined(" OR ", [each for each in conditions if each != never()]) or never()


def negation(condition: SqlCondition) -> SqlCondition:
    """The contrary."""
    return SqlCondition(f"NOT ({condition.sql})", condition.parameters)


def is_text(value: str) -> bool:
    """Whether SQLite can be given this: the stray bytes of a path that is no UTF-8 it cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Texts:
    """Comparisons of columns with texts in one library; texts that need our function are numbered here.

    A path must be made text (`'' || path`) before it comes here: LIKE may pass over bytes.
    """

    def __init__(self, library: Library) -> None:
        self._wanted: list[str] = []
        library.create_function("query_has", self._has, arguments=2)
        library.create_function("query_is", self._is, arguments=2)

    def compared(self, column: str, value: Value) -> SqlCondition:
        """Whether a column of text holds what a value of how has, is, none or any wants."""
        if value.how == "none":
            return SqlCondition(f"({column} = '')")
        if value.how == "any":
            return SqlCondition(f"({column} != '')")
        wanted = fold_text(value.text)
        if wanted.isascii() and len(wanted) < _LONG:
            # LIKE folds ASCII, and is four times as fast as comparing with lower().
            pattern = re.sub(r"([\\%_])", r"\\\1", wanted)
            return SqlCondition(
                f"({column} LIKE ? ESCAPE '\\')", (pattern if value.how == "is" else f"%{pattern}%",)
            )
        self._wanted.append(wanted)
        name = "query_is" if value.how == "is" else "query_has"
        call = f"{name}(CAST({column} AS BLOB), ?)"
        if is_text(wanted):
            # Only what is not ASCII itself needs to be looked at: its bytes are more than its characters.
            call = f"(length(CAST({column} AS BLOB)) > length({column}) AND {call})"
        return SqlCondition(call, (len(self._wanted) - 1,))

    def hints(self, column: str, value: Value) -> Iterator[SqlCondition]:
        """What a column of JSON text must hold if a text in it is to be found: cheaper than reading it."""
        wanted = fold_text(value.text)
        if not wanted.isascii():
            yield SqlCondition(f"(instr({column}, '\\u') > 0)")
        elif json.dumps(wanted) == f'"{wanted}"':
            yield self.compared(column, Value("has", wanted))

    def _has(self, stored: bytes | None, number: int) -> bool:
        wanted = self._wanted[number]
        return wanted in common(_text(stored), wanted)

    def _is(self, stored: bytes | None, number: int) -> bool:
        wanted = self._wanted[number]
        return wanted == common(_text(stored), wanted)


def _text(stored: bytes | None) -> str:
    return (stored or b"").decode("utf-8", "surrogateescape")


def _joined(word: str, parts: list[SqlCondition]) -> SqlCondition | None:
    """All in one, as a tree: SQLite reads `a OR b OR c` as nested, and allows a depth of 1,000."""
    if len(parts) < 2:
        return parts[0] if parts else None
    half = len(parts) // 2
    left, right = _joined(word, parts[:half]), _joined(word, parts[half:])
    assert left is not None
    assert right is not None
    return SqlCondition(f"({left.sql}{word}{right.sql})", left.parameters + right.parameters)


# --- Trigger words from sidecars; whether one applies to a model, the caller decides

_WORDS = "EXISTS (SELECT 1 FROM json_each(s.sidecar_json, '$.trigger_words') AS w WHERE {})"


def sidecars_telling(library: Library, value: Value) -> dict[str, set[str]]:
    """The names, by directory, of the sidecars with such a trigger word (how has, is or any)."""
    texts = Texts(library)
    conditions = [SqlCondition("(instr(s.sidecar_json, '\"trigger_words\"') > 0)")]
    if value.how in ("has", "is"):
        inner = texts.compared("w.value", value)
        conditions += texts.hints("s.sidecar_json", value)
        conditions.append(SqlCondition(_WORDS.format(inner.sql), inner.parameters))
    condition = every(conditions)
    rows = library.all(
        "SELECT s.directory, s.name FROM sidecars AS s"
        f" WHERE s.sidecar_json IS NOT NULL AND {condition.sql} ORDER BY s.directory",
        condition.parameters,
    )
    found: dict[str, set[str]] = {}
    for directory, name in rows:
        found.setdefault(path_of(directory), set()).add(path_of(name))
    return found


# --- Searchable subjects and relations


class Relation(NamedTuple):
    """Rows that belong to a subject: those of `select`, by a column that equals `key`.

    `value` is what is compared. Where a word without a slash matches it, it matches `hint`, which costs less.
    """

    key: str
    select: str
    value: str
    hint: str = ""


class Subject(NamedTuple):
    """A table `m` with the expressions for what a query asks about.

    `named` are to be asked together instead of the loader name where a word has no slash: the folders and the
    names of files alone, which cost less.
    """

    is_pending: bool
    table: str
    identity: str
    key: str
    sha: str
    name: str
    type: str
    base: str
    notes: str
    size: str
    added: str
    updated: str
    files: str
    path: str
    missing: str
    at_least: str
    relations: Mapping[str, Relation]
    named: tuple[Relation, ...]


_PATH = "rtrim(f.directory, '/') || '/' || f.name"
_FILES = "SELECT f.sha256 FROM files AS f LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
#: Every folder with a file, as the table `folders`: from one to the next, past all files of each.
FOLDERS = (
    "RECURSIVE folders (directory) AS (SELECT min(directory) FROM files UNION ALL"
    " SELECT (SELECT min(f.directory) FROM files AS f WHERE f.directory > d.directory)"
    " FROM folders AS d WHERE d.directory IS NOT NULL)"
)
_IN_FOLDERS = (
    "SELECT f.sha256 FROM folders AS d CROSS JOIN files AS f ON f.directory = d.directory"
    " LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
)
_WAITING = (
    "SELECT p.id FROM pending_import AS p LEFT JOIN pending_files AS f ON f.pending_id = p.id"
    " LEFT JOIN roots AS r ON r.id = f.root_id WHERE 1"
)
_FINDINGS = f"SELECT w.sha256 FROM findings AS w WHERE {FINDING_HOLDS}"


def _below_root(path: str) -> str:
    """What a loader calls the file, as `name_below` does; where no root is known the whole path."""
    return f"coalesce(substr({path}, length(rtrim(r.path, '/')) + 2), {path})"


def _by_content(key: str) -> dict[str, Relation]:
    """What is known by content, of models and pending imports alike."""
    return {
        "format": Relation(key, "SELECT c.sha256 FROM contents AS c WHERE c.format != ''", "c.format"),
        "kind": Relation(
            key, "SELECT c.sha256 FROM contents AS c WHERE c.kind NOT IN ('', 'unknown')", "c.kind"
        ),
        "finding": Relation(key, _FINDINGS, "w.code"),
        "trigger": Relation(key, "SELECT w.sha256 FROM trigger_words AS w WHERE 1", "w.word"),
    }


MODELS = Subject(
    is_pending=False,
    table="models AS m",
    identity="m.sha256 AS sha, NULL AS id",
    key="m.sha256",
    sha="m.sha256",
    name="m.name",
    type="m.type",
    base="m.base_model",
    notes="m.notes",
    size="m.size_bytes",
    added="m.created_at",
    updated="m.updated_at",
    files="coalesce((SELECT c.present FROM file_counts AS c WHERE c.sha256 = m.sha256), 1)",
    path="shown_path(m.sha256, NULL)",
    missing="(m.sha256 IN (SELECT c.sha256 FROM file_counts AS c WHERE c.present = 0))",
    at_least="m.sha256 IN (SELECT c.sha256 FROM file_counts AS c WHERE c.present >= ?)",
    relations=MappingProxyType(
        {
            **_by_content("m.sha256"),
            "tag": Relation(
                "m.sha256",
                "SELECT t.sha256 FROM tags CROSS JOIN model_tags AS t ON t.tag_id = tags.id WHERE 1",
                "tags.folded",
            ),
            "path": Relation("m.sha256", _FILES, _PATH),
            "loader_name": Relation("m.sha256", _FILES, _below_root(_PATH)),
            "root": Relation("m.sha256", f"{_FILES} AND r.path IS NOT NULL", "'' || r.path"),
        }
    ),
    named=(
        # Texts stand before blobs in the index; to make a text of every name would cost as much as comparing.
        Relation("m.sha256", "SELECT f.sha256 FROM files AS f WHERE f.name < x''", "f.name"),
        Relation("m.sha256", "SELECT f.sha256 FROM files AS f WHERE f.name >= x''", "'' || f.name"),
        Relation("m.sha256", _IN_FOLDERS, _below_root("'' || f.directory"), "'' || d.directory"),
    ),
)

PENDING = Subject(
    is_pending=True,
    table="pending_import AS m",
    identity="NULL AS sha, m.id AS id",
    key="m.id",
    sha="coalesce(m.sha256, m.claimed_hash, '')",
    name="m.name",
    type="m.type",
    base="m.base_model",
    notes="m.notes",
    size="m.size_bytes",
    added="m.created_at",
    updated="m.created_at",
    files="(SELECT count(*) FROM pending_files AS f WHERE f.pending_id = m.id)",
    path="shown_path(NULL, m.path)",
    missing="(m.id NOT IN (SELECT f.pending_id FROM pending_files AS f))",
    at_least="1 >= ?",
    relations=MappingProxyType(
        {
            **_by_content("coalesce(m.sha256, '')"),
            "tag": Relation(
                "m.id",
                "SELECT t.pending_id FROM tags CROSS JOIN pending_model_tags AS t"
                " ON t.tag_id = tags.id WHERE 1",
                "tags.folded",
            ),
            "path": Relation("m.id", _WAITING, "'' || p.path"),
            "loader_name": Relation("m.id", _WAITING, _below_root("'' || p.path")),
            "root": Relation("m.id", f"{_WAITING} AND r.path IS NOT NULL", "'' || r.path"),
        }
    ),
    named=(),
)


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


class Asked(NamedTuple):
    """What a search must be told beside the query. The result is in this order, then by name.

    Ages count back from `now`, in milliseconds since the epoch. `beside` are the SHA-256s of the models of
    which a sidecar tells a trigger word, for each of `words_beside`. `paths` has, by SHA-256, the path that
    models are sorted by: which of several is there now is not for a database to know.
    """

    now: int
    order: Sequence[Order] = ()
    limit: int | None = None
    beside: Mapping[Value, Collection[str]] = MappingProxyType({})
    paths: Mapping[str, str] = MappingProxyType({})


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


def search(library: Library, query: Query, asked: Asked) -> list[Found]:
    """What a query finds: models, and pending imports if it asks about `pending`.

    Only the tables that the query asks about are read, never the free metadata.
    """
    return [Found(*row) for row in _search(library, query, (), asked)]


def sketch(library: Library, query: Query, asked: Asked) -> list[Sketch]:
    """The same with more of each."""
    return [Sketch._make(row) for row in _search(library, query, _SKETCHED, asked)]


def words_beside(query: Query) -> set[Value]:
    """The trigger words that `Asked.beside` has to know for a query: bare words count as such."""
    values = (
        value
        for group in query.groups
        for term in group
        if term.field in ("", "trigger")
        for value in term.values
    )
    return {Value("any") if value.how == "none" else value for value in values}


def _search(library: Library, query: Query, fields: Sequence[str], asked: Asked) -> list[tuple[Any, ...]]:
    order = [*asked.order, Order("name")]

    def shown_path(sha256: str | None, waiting: str | bytes | None) -> bytes | None:
        path = asked.paths.get(sha256 or "") if waiting is None else path_of(waiting)
        return None if path is None else os.fsencode(path).lower()

    library.create_function("shown_path", shown_path, arguments=2)
    texts = Texts(library)
    subjects = (MODELS, PENDING) if mentions(query, "pending") else (MODELS,)
    keys = ", ".join(
        f"k{at} {SORTS[each.field][1]} {'DESC' if each.descending else 'ASC'} NULLS LAST"
        for at, each in enumerate(order)
    )
    selects: list[str] = []
    parameters: list[Any] = []
    for subject in subjects:
        condition = _Compiler(subject, texts, asked).query(query)
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
        [*parameters, -1 if asked.limit is None else asked.limit],
    )


class _Compiler:
    """Terms to conditions about one subject; no condition is ever NULL, so that each can be negated."""

    def __init__(self, subject: Subject, texts: Texts, asked: Asked) -> None:
        self._subject = subject
        self._texts = texts
        self._asked = asked

    def query(self, query: Query) -> SqlCondition:
        groups = [every(map(self._term, group)) for group in query.groups]
        return any_of(groups) if groups else always()

    def _term(self, term: Term) -> SqlCondition:
        found = any_of(self._value(term.field, value) for value in term.values)
        return negation(found) if term.negated else found

    def _value(self, field: str, value: Value) -> SqlCondition:
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

    def _pending(self, value: Value) -> SqlCondition:
        return always() if (value.how == "yes") == self._subject.is_pending else never()

    def _missing(self, value: Value) -> SqlCondition:
        missing = SqlCondition(self._subject.missing)
        return missing if value.how == "yes" else negation(missing)

    def _sha(self, value: Value) -> SqlCondition:
        sha = self._subject.sha
        return SqlCondition(f"({sha} >= ? AND {sha} < ?)", (value.text, value.text + "g"))

    def _trigger(self, value: Value) -> SqlCondition:
        if value.how == "none":
            return negation(self._trigger(Value("any")))
        return any_of([self._related("trigger", value), self._beside(value)])

    def _word(self, value: Value) -> SqlCondition:
        """One set of all that has the word somewhere: with four, each model would be looked up in each."""
        subject = self._subject
        noted = every([SqlCondition(f"({subject.notes} != '')"), self._texts.compared(subject.notes, value)])
        columns = any_of([self._texts.compared(subject.name, value), noted])
        selects = [
            SqlCondition(f"SELECT {subject.key} FROM {subject.table} WHERE {columns.sql}", columns.parameters)
        ]
        relations = [subject.relations["tag"], subject.relations["trigger"]]
        relations += (
            subject.named if subject.named and "/" not in value.text else [subject.relations["loader_name"]]
        )
        selects += [self._bearers(relation, self._matching(relation, value)) for relation in relations]
        parameters = tuple(parameter for select in selects for parameter in select.parameters)
        union = " UNION ALL ".join(select.sql for select in selects)
        return any_of([SqlCondition(f"({subject.key} IN ({union}))", parameters), self._beside(value)])

    def _related(self, name: str, value: Value) -> SqlCondition:
        """Whether something of this relation matches; with none, whether there is nothing of it."""
        relation = self._subject.relations[name]
        inner = always() if value.how in ("none", "any") else self._matching(relation, value)
        found = SqlCondition(f"({relation.key} IN ({relation.select} AND {inner.sql}))", inner.parameters)
        return negation(found) if value.how == "none" else found

    def _bearers(self, relation: Relation, inner: SqlCondition) -> SqlCondition:
        """The keys of the subjects to which something of this relation belongs that meets a condition."""
        subject, sql = self._subject, f"{relation.select} AND {inner.sql}"
        if relation.key != subject.key:
            sql = f"SELECT {subject.key} FROM {subject.table} WHERE {relation.key} IN ({sql})"
        return SqlCondition(sql, inner.parameters)

    def _matching(self, relation: Relation, value: Value) -> SqlCondition:
        """Whether one row of a relation matches."""
        if relation is self._subject.relations["tag"]:
            return _tag(value)
        inner = self._texts.compared(relation.value, value)
        return every([self._texts.compared(relation.hint, value), inner]) if relation.hint else inner

    def _beside(self, value: Value) -> SqlCondition:
        """The trigger words that sidecars tell; of which models, who asked has said."""
        shas = sorted(self._asked.beside.get(value, ()))
        if self._subject.is_pending or not shas:
            return never()
        return SqlCondition("m.sha256 IN (SELECT value FROM json_each(?))", (json.dumps(shas),))

    def _amount(self, field: str, value: Value) -> SqlCondition:
        column = self._subject.files if field == "files" else getattr(self._subject, field)
        if value.how == "none":
            return SqlCondition(f"({column} IS NULL)")
        low, high = interval(field, value, self._asked.now)
        ends = [SqlCondition(f"coalesce({column} >= ?, 0)", (low,))] if low is not None else []
        if field == "files" and low is not None and low > 1:  # few have several
            ends.insert(0, SqlCondition(f"({self._subject.at_least})", (low,)))
        ends += [SqlCondition(f"coalesce({column} < ?, 0)", (high,))] if high is not None else []
        return every(ends)


def _tag(value: Value) -> SqlCondition:
    """Tags are kept folded, so that every spelling of one is found without folding any."""
    wanted = fold_text(" ".join(value.text.split()) if value.how == "is" else value.text)
    if not is_text(wanted):
        return never()
    return SqlCondition("tags.folded = ?" if value.how == "is" else "instr(tags.folded, ?) > 0", (wanted,))
