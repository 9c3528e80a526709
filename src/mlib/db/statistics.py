"""Count models and files, and report the state of the library file.

Counting uses the indexes `models_kind` and `files_root`, and `file_counts`; all files of a model have its
size. The file is read as far as possible, whatever its state, and only repaired where a function says so.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, suppress
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from mlib.core import jsontext
from mlib.db.connections import connect
from mlib.db.faults import FAILURES, expect_nothing_strange, to_error
from mlib.db.library import Library
from mlib.db.rows import FINDING_HOLDS, path_of
from mlib.db.schema import APPLICATION_ID, BY_CONTENT, STEP_NAMES, applied_steps, differences

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.db.schema import SchemaDifference


# --- The state of the library file

#: The version of SQLite that brought STRICT tables.
OLDEST_SQLITE = (3, 37, 0)
#: Of what is wrong no more is told than this.
_MOST = 20
#: Columns of JSON.
_JSON = {
    "model_meta": {"meta_json"},
    "pending_import": {"meta_json"},
    "contents": {"usage_json"},
    "sidecars": {"sidecar_json"},
    "changes": {"row_key", "before", "after"},
}
#: What a number must be between: milliseconds up to the year 9999, yes or no, a count.
_MOMENT, _FLAG, _NUMBER = (0, 253_402_300_799_999), (0, 1), (0, 1 << 60)
_BOUNDS = {
    **dict.fromkeys(("size_bytes", "known", "present", "inodes"), _NUMBER),
    **dict.fromkeys(("racy", "serious", "any_file"), _FLAG),
    **dict.fromkeys(("at", "created_at", "updated_at", "hashed_at", "verified_at"), _MOMENT),
    **dict.fromkeys(("missing_since", "seen_at"), _MOMENT),
}
#: Sizes whose sum may be beyond what SQLite can count to.
_NO_SIZE = f"size_bytes NOT BETWEEN 0 AND {1 << 60}"
#: Stands for text that is not UTF-8, which it is not itself.
_NOT_TEXT = "\udcff"
#: Facts about content lead nowhere once that is no model and waits no more.
_NOBODYS = (
    "sha256 NOT IN (SELECT sha256 FROM models)"
    " AND sha256 NOT IN (SELECT sha256 FROM pending_import WHERE sha256 IS NOT NULL)"
)
#: Findings of a place where no file of that content is known any more. What sidecars gave there stays with
#: the model: it tells its facts from what was typed.
_NO_FILE = (
    "name != '' AND NOT EXISTS (SELECT 1 FROM files AS f WHERE f.directory = findings.directory"
    " AND f.name = findings.name AND f.sha256 = findings.sha256)"
    " AND NOT EXISTS (SELECT 1 FROM pending_import AS p WHERE p.sha256 = findings.sha256)"
)


class Identity(NamedTuple):
    """Whose file it is, and which steps it has not seen, or has seen that are unknown here."""

    is_ours: bool
    lacking: tuple[str, ...]
    unknown: tuple[str, ...]


def sqlite_version() -> tuple[int, ...]:
    """The version of the SQLite in use."""
    return tuple(sqlite3.sqlite_version_info)


def is_marked(path: str) -> bool:
    """Whether the head of a file says that it is a library of ours; nothing else of it is read."""
    with suppress(OSError), open(path, "rb") as file:
        return file.read(72)[68:] == APPLICATION_ID.to_bytes(4)  # https://sqlite.org/fileformat.html, 1.3
    return False


@contextmanager
def opened(path: str) -> Iterator[Library]:
    """The file as it is: no step is applied, no setting changed. Raises MlibError where it cannot be."""
    expect_nothing_strange(path)
    try:
        connection = connect(path, "rw")
    except FAILURES as error:
        raise to_error(error, path) from error
    with closing(connection):
        yield Library(connection, path)


def identity(library: Library) -> Identity:
    """Whether it is a library of ours, and how old or new."""
    is_ours = library.one("PRAGMA application_id") == (APPLICATION_ID,)
    applied = library.applied_steps()
    return Identity(
        is_ours,
        tuple(name for name in STEP_NAMES if name not in applied),
        tuple(sorted(applied - set(STEP_NAMES))),
    )


def damage(path: str) -> list[str]:
    """What is wrong with the file, page by page and value by value; empty for a sound one.

    Reads all of it. Raises MlibError where that cannot be done for another reason than damage.
    """
    found: list[str] = []
    try:
        with closing(connect(path, "rw")) as connection:
            connection.text_factory = _text
            checked = connection.execute(f"PRAGMA integrity_check({_MOST})").fetchall()
            found += [str(text) for (text,) in checked if text != "ok"]
            found += islice(_bad_values(connection), _MOST)
    except FAILURES as error:
        why = to_error(error, path)
        if why.code != "library_corrupt" and not found:
            raise why from error
        found.append(" ".join(str(error).split()))
    return found


def first_damage(path: str) -> str | None:
    """The first thing wrong with the file: damage, or rows that lead nowhere. Raises as `damage`."""
    for found in damage(path):
        return found
    with opened(path) as library:
        for table in broken_links(library):
            return f"rows of {table} lead nowhere"
        if _count(library, f"files WHERE (size_bytes IS NULL) != (mtime_ns IS NULL) OR {_NO_SIZE}"):
            return "files.size_bytes is not a size"
    return None


def altered(path: str) -> list[SchemaDifference]:
    """How the tables, indexes, triggers and views of a library differ from those that its steps make.

    Raises MlibError where they cannot be read.
    """
    try:
        with closing(connect(path, "rw")) as connection:
            return differences(connection, applied_steps(connection))
    except FAILURES as error:
        raise to_error(error, path) from error


def remove(library: Library, differences: Iterable[SchemaDifference]) -> None:
    """Drop indexes, triggers and views that mlib did not make."""
    with library.transaction():
        for each in differences:
            name = each.name.replace('"', '""')
            library.execute(f'DROP {each.type} IF EXISTS "{name}"')


def _bad_values(connection: sqlite3.Connection) -> Iterator[str]:
    """Values that nobody can have written: text that is not UTF-8, JSON that is not JSON, and their like."""
    tables = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql LIKE 'CREATE TABLE %'"
    for (table,) in connection.execute(tables).fetchall():
        if not table.isidentifier():
            continue  # none of ours
        rows = connection.execute(f"SELECT * FROM {table}")
        names = [name for name, *_ in rows.description]
        for row in rows:
            if _NOT_TEXT in row:
                yield f"{table}.{names[row.index(_NOT_TEXT)]} is not text"
        for name, type_ in connection.execute(
            f"SELECT name, type FROM pragma_table_info('{table}')"
        ).fetchall():
            for what, wrong in _wrong(name, type_):
                if connection.execute(f"SELECT 1 FROM {table} WHERE {wrong} LIMIT 1").fetchone():
                    yield f"{table}.{name} is not {what}"
        for name in set(names) & _JSON.get(table, set()):
            # SQLite's JSON knows no NaN and no Infinity, which ours does.
            is_json = f"json_valid({name}) AND substr({name}, 1, 1) IN ('{{', '[')"
            doubtful = f"SELECT {name} FROM {table} WHERE {name} IS NOT NULL AND NOT ({is_json})"
            for (text,) in connection.execute(doubtful):
                with suppress(jsontext.NotJson):
                    if isinstance(jsontext.parse(str(text)), (dict, list)):
                        continue
                yield f"{table}.{name} is not JSON"


def _wrong(column: str, type_: str) -> Iterator[tuple[str, str]]:
    """What a value of a column has to be, and the condition for one that is not so."""
    if type_ == "ANY":  # a name, or a path of the file system
        yield "a path", f"typeof({column}) NOT IN ('text', 'blob') OR instr(CAST({column} AS BLOB), x'00')"
    if column in _BOUNDS:
        low, high = _BOUNDS[column]
        yield "a number that can be right", f"{column} NOT BETWEEN {low} AND {high}"
    if column == "table_name":
        yield "a table", f"{column} NOT IN (SELECT name FROM sqlite_master)"


def _text(stored: bytes) -> str:
    try:
        return stored.decode()
    except UnicodeDecodeError:
        return _NOT_TEXT


def broken_links(library: Library) -> dict[str, int]:
    """How many rows of which table lead nowhere."""
    counts: dict[str, int] = {}
    for table, *_ in library.all("PRAGMA foreign_key_check"):
        counts[table] = counts.get(table, 0) + 1
    return counts


def racy_files(library: Library) -> int:
    """How many present files were hashed so soon after a change that the next scan reads them again."""
    return _count(library, "files WHERE missing_since IS NULL AND racy = 1")


def models_without_files(library: Library) -> int:
    """How many models are known at no path at all, not even at one where they are missing."""
    return _count(library, "file_counts WHERE known = 0")


def orphaned_facts(library: Library) -> int:
    """How many rows of facts are about content or places that nothing else knows."""
    return sum(_count(library, f"{table} WHERE {where}") for table, where in _orphans())


def remove_orphaned_facts(library: Library) -> int:
    """Drop those rows; part of a transaction."""
    return sum(library.execute(f"DELETE FROM {table} WHERE {where}") for table, where in _orphans())


def orphaned_sidecars(library: Library) -> int:
    """How many sidecars lie in the folders that belong to no model."""
    return _count(library, "sidecars WHERE kind = 'orphan'")


def directories(library: Library) -> list[str]:
    """Every directory in which a file lies, or lay."""
    return [path_of(at) for (at,) in library.all("SELECT DISTINCT directory FROM files ORDER BY directory")]


def free_share(library: Library) -> float:
    """How much of the file is free pages, from 0 to 1."""
    ((free,),), ((total,),) = library.all("PRAGMA freelist_count"), library.all("PRAGMA page_count")
    return free / total if total else 0.0


def compact(library: Library) -> None:
    """Rewrite the file without its free pages."""
    library.all("VACUUM")


def _orphans() -> Iterator[tuple[str, str]]:
    for table in BY_CONTENT:
        yield table, _NOBODYS
    yield "findings", _NO_FILE


def _count(library: Library, what: str) -> int:
    return int(library.all(f"SELECT count(*) FROM {what}")[0][0])


class Totals(NamedTuple):
    """Counts and bytes. `unique_bytes` counts a file once however many hard links it has; `freeable_bytes`
    is what copies of the same content take beyond one; `missing` are models without a present file, and
    `findings` those with which something is wrong."""

    models: int = 0
    files: int = 0
    size_bytes: int = 0
    unique_bytes: int = 0
    duplicates: int = 0
    freeable_bytes: int = 0
    missing: int = 0
    findings: int = 0

    def plus(self, other: Totals) -> Totals:
        """Both together."""
        return Totals(*map(sum, zip(self, other, strict=True)))


class RootTotals(NamedTuple):
    """The present files of a root, and how many of it are missing; no id and path for files of no root."""

    id: int | None
    type: str
    path: str | None
    files: int
    size_bytes: int
    missing: int


#: Whether a file is present that a finding `w` is about, or one with the content that it is about.
_FINDING_AT_FILE = (
    "EXISTS (SELECT 1 FROM files AS f WHERE f.sha256 = w.sha256 AND f.missing_since IS NULL"
    " AND (w.name = '' OR (f.directory = w.directory AND f.name = w.name)))"
)
#: The models with which something is wrong that holds now.
_TROUBLED = f"(SELECT DISTINCT w.sha256 FROM findings AS w WHERE {FINDING_HOLDS})"


def by_kind(library: Library) -> dict[tuple[str, str], Totals]:
    """The figures of each type and base model.

    Every model is counted as one file first; then what is different with those that are not.
    """
    found = {
        (kind, base): Totals(models, models, int(size), int(size))
        for kind, base, models, size in library.all(
            "SELECT type, base_model, count(*), total(size_bytes) FROM models INDEXED BY models_kind"
            " GROUP BY type, base_model"
        )
    }
    for kind, base, *values in library.all(
        "SELECT m.type, m.base_model, sum(c.present - 1), total((c.present - 1) * m.size_bytes),"
        " total((c.inodes - 1) * m.size_bytes), sum(max(c.inodes - 1, 0)),"
        " total(max(c.inodes - 1, 0) * m.size_bytes), sum(c.present = 0)"
        " FROM file_counts AS c CROSS JOIN models AS m ON m.sha256 = c.sha256 GROUP BY m.type, m.base_model"
    ):
        found[kind, base] = found[kind, base].plus(Totals(0, *map(int, values)))
    for kind, base, models in library.all(
        f"SELECT m.type, m.base_model, count(*) FROM {_TROUBLED} AS e CROSS JOIN models AS m"
        " ON m.sha256 = e.sha256 GROUP BY m.type, m.base_model"
    ):
        found[kind, base] = found[kind, base].plus(Totals(findings=models))
    return found


def by_root(library: Library) -> list[RootTotals]:
    """The figures of each remembered root, and last of the files of none."""
    present = {
        root_id: (files, int(size))
        for root_id, files, size in library.all(
            "SELECT root_id, count(*), total(size_bytes) FROM files INDEXED BY files_root"
            " WHERE missing_since IS NULL GROUP BY root_id"
        )
    }
    ids = "(SELECT id FROM roots)"
    missing = dict(
        library.all(
            "SELECT root_id, count(*) FROM files INDEXED BY files_root"
            f" WHERE root_id IN {ids} AND missing_since > 0 GROUP BY root_id"
            " UNION ALL SELECT NULL, count(*) FROM files INDEXED BY files_root"
            " WHERE root_id IS NULL AND missing_since > 0"
        )
    )
    found = [
        RootTotals(root_id, kind, path_of(path), *present.get(root_id, (0, 0)), missing.get(root_id, 0))
        for root_id, kind, path in library.all("SELECT id, type, path FROM roots ORDER BY position, id")
    ]
    if None in present or missing.get(None):
        found.append(RootTotals(None, "", None, *present.get(None, (0, 0)), missing.get(None, 0)))
    return found


def in_full_by_root(library: Library) -> dict[int | None, Totals]:
    """The figures of each root, by its id: of the models with a present file in it.

    Copies are those within the root, and `missing` are files. Looks at every file of models with several.
    """
    found = {
        root.id: Totals(root.files, root.files, root.size_bytes, root.size_bytes, missing=root.missing)
        for root in by_root(library)
    }
    for root_id, more_files, linked, *copies in library.all(
        "SELECT root_id, sum(files - 1), total((files - inodes) * size), sum(inodes - 1),"
        " total((inodes - 1) * size) FROM (SELECT f.root_id, count(*) AS files,"
        " count(DISTINCT f.device || ':' || f.inode) AS inodes, coalesce(m.size_bytes, 0) AS size"
        " FROM file_counts AS c CROSS JOIN files AS f INDEXED BY files_sha256"
        " ON f.sha256 = c.sha256 AND f.missing_since IS NULL CROSS JOIN models AS m ON m.sha256 = c.sha256"
        " WHERE c.present > 1 GROUP BY c.sha256, f.root_id HAVING count(*) > 1) GROUP BY root_id"
    ):
        found[root_id] = found[root_id].plus(Totals(-more_files, 0, 0, -int(linked), *map(int, copies)))
    for root_id, models in library.all(
        "SELECT f.root_id, count(DISTINCT w.sha256) FROM findings AS w CROSS JOIN files AS f"
        " ON f.sha256 = w.sha256 AND f.missing_since IS NULL"
        " AND (w.name = '' OR (f.directory = w.directory AND f.name = w.name)) GROUP BY f.root_id"
    ):
        found[root_id] = found[root_id].plus(Totals(findings=models))
    return found


def by_tag(library: Library) -> list[tuple[str, int]]:
    """How many models bear each tag, the commonest first."""
    rows = library.all(
        "SELECT t.name, count(*) AS models FROM model_tags AS mt JOIN tags AS t ON t.id = mt.tag_id"
        " GROUP BY mt.tag_id ORDER BY models DESC, t.folded"
    )
    return [(name, models) for name, models in rows]


def in_full_by_tag(library: Library) -> dict[str, Totals]:
    """The figures of each tag. Looks at every model that bears one."""
    rows = library.all(
        "SELECT name, count(*), sum(present), total(present * size), total(inodes * size),"
        " sum(max(inodes - 1, 0)), total(max(inodes - 1, 0) * size), sum(present = 0), sum(wrong) FROM"
        " (SELECT t.id, t.name, t.folded, coalesce(m.size_bytes, 0) AS size,"
        " coalesce(c.present, 1) AS present, coalesce(c.inodes, 1) AS inodes, e.sha256 IS NOT NULL AS wrong"
        " FROM tags AS t JOIN model_tags AS mt ON mt.tag_id = t.id JOIN models AS m ON m.sha256 = mt.sha256"
        f" LEFT JOIN file_counts AS c ON c.sha256 = m.sha256 LEFT JOIN {_TROUBLED} AS e"
        " ON e.sha256 = m.sha256) GROUP BY id ORDER BY count(*) DESC, folded"
    )
    return {name: Totals(*map(int, values)) for name, *values in rows}


def by_finding(library: Library) -> list[tuple[str, int, bool]]:
    """How many models have each finding, and whether it is serious; the commonest first.

    Of what is wrong with places only those at which a file is present.
    """
    return _by_finding(library, FINDING_HOLDS)


def by_finding_of_present(library: Library) -> list[tuple[str, int, bool]]:
    """The same of models with a present file alone: nothing can be done about the others."""
    return _by_finding(library, _FINDING_AT_FILE)


def _by_finding(library: Library, holds: str) -> list[tuple[str, int, bool]]:
    rows = library.all(
        "SELECT w.code, count(DISTINCT w.sha256) AS models, max(w.serious) FROM findings AS w"
        f" WHERE {holds} GROUP BY w.code ORDER BY models DESC, w.code"
    )
    return [(code, models, bool(serious)) for code, models, serious in rows]


def waiting(library: Library) -> int:
    """How many pending imports there are."""
    return int(library.all("SELECT count(*) FROM pending_import")[0][0])
