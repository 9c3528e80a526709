"""How a library file is: read as far as it can be, whatever state it is in, and without mending anything."""

from __future__ import annotations

import sqlite3
from contextlib import closing, contextmanager, suppress
from typing import TYPE_CHECKING, NamedTuple

from mlib.db.connections import connect
from mlib.db.faults import explained
from mlib.db.library import Library
from mlib.db.rows import path_of
from mlib.db.schema import APPLICATION_ID, MIGRATION_SET, STEP_NAMES

if TYPE_CHECKING:
    from collections.abc import Iterator

#: The version of SQLite that brought STRICT tables.
OLDEST_SQLITE = (3, 37, 0)
#: Of what is wrong no more is told than this.
_MOST = 20
#: Tables of facts about content, which lead nowhere once that is no model and waits no more.
_FACTS = ("contents", "hashes", "headers", "findings", "given")
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
    try:
        connection = connect(path, "rw")
    except sqlite3.Error as error:
        raise explained(error, path) from error
    with closing(connection):
        yield Library(connection, path)


def identity(library: Library) -> Identity:
    """Whether it is a library of ours, and how old or new."""
    is_ours = library.one("PRAGMA application_id") == (APPLICATION_ID,)
    applied = set(_applied(library))
    return Identity(
        is_ours,
        tuple(name for name in STEP_NAMES if name not in applied),
        tuple(sorted(applied - set(STEP_NAMES))),
    )


def _applied(library: Library) -> set[str]:
    if library.one("SELECT 1 FROM sqlite_master WHERE name = '_sqlite_migrations'") is None:
        return set()
    names = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {name for (name,) in library.all(names, [MIGRATION_SET])}


def damage(library: Library) -> list[str]:
    """What SQLite finds wrong with the file; empty for a sound one."""
    found = [text for (text,) in library.all(f"PRAGMA integrity_check({_MOST})")]
    return [] if found == ["ok"] else found


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


def findings(library: Library) -> list[tuple[str, int, bool]]:
    """What is wrong with models that are present: code, how many, whether serious; the commonest first."""
    rows = library.all(
        "SELECT code, count(DISTINCT w.sha256) AS many, max(serious) FROM findings AS w"
        " WHERE EXISTS (SELECT 1 FROM files AS f WHERE f.sha256 = w.sha256 AND f.missing_since IS NULL"
        " AND (w.name = '' OR (f.directory = w.directory AND f.name = w.name)))"
        " GROUP BY code ORDER BY many DESC, code"
    )
    return [(code, many, bool(serious)) for code, many, serious in rows]


def free_share(library: Library) -> float:
    """How much of the file is free pages, from 0 to 1."""
    ((free,),), ((total,),) = library.all("PRAGMA freelist_count"), library.all("PRAGMA page_count")
    return free / total if total else 0.0


def compact(library: Library) -> None:
    """Rewrite the file without its free pages."""
    library.all("VACUUM")


def _orphans() -> Iterator[tuple[str, str]]:
    for table in _FACTS:
        yield table, _NOBODYS
    yield "findings", _NO_FILE


def _count(library: Library, what: str) -> int:
    return int(library.all(f"SELECT count(*) FROM {what}")[0][0])
