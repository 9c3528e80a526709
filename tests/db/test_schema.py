"""The tables are exactly those that are written down, and each step of their history leads to them."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, put_model, put_pending

from mlib.core.errors import MlibError
from mlib.db import schema

if TYPE_CHECKING:
    from mlib.db.library import Library

#: What sqlite-utils keeps to know which steps were applied.
FOREIGN = "_sqlite_migrations"
TABLES = {
    "changes",
    "contents",
    "db_meta",
    "entries",
    "file_counts",
    "files",
    "findings",
    "given",
    "hashes",
    "headers",
    "model_meta",
    "model_tags",
    "models",
    "pending_files",
    "pending_import",
    "pending_model_tags",
    "roots",
    "sidecars",
    "tags",
    "trigger_words",
    "verified",
}
INDEXES = {
    "changes_entry",
    "changes_subject",
    "entries_undoes",
    "files_inode",
    "files_name",
    "files_present",
    "files_root",
    "files_sha256",
    "findings_code",
    "given_sha256",
    "hashes_autov1",
    "hashes_autov3",
    "hashes_blake3",
    "hashes_crc32",
    "model_tags_tag",
    "models_kind",
    "models_name",
    "pending_import_claimed_hash",
    "pending_import_path",
    "pending_import_sha256",
    "pending_model_tags_tag",
}


def names(library: Library, kind: str) -> set[str]:
    rows = library.all(
        "SELECT name FROM sqlite_master WHERE type = ? AND name NOT LIKE 'sqlite_%' AND tbl_name <> ?",
        [kind, FOREIGN],
    )
    return {name for (name,) in rows}


def test_there_are_these_tables_and_indexes_and_nothing_else(library: Library) -> None:
    assert names(library, "table") == TABLES
    assert names(library, "index") == INDEXES
    assert names(library, "view") == set()
    events = ("insert", "update", "delete")
    assert names(library, "trigger") == {
        *(f"trigger_words_{event}" for event in events),
        *(f"file_counts_{event}" for event in (*events, "model", "no_model")),
    }


def test_every_statement_is_in_force_as_it_is_written(library: Library) -> None:
    """A migration that rewrote a table would leave other words than those that declare it."""
    first = re.sub("CREATE INDEX files_(root|sha256) .*", "", schema._TABLES)  # made anew by a later step
    counting = re.sub("DROP INDEX .*", "", schema._COUNTING)
    statements = (first + schema._CONTENTS + schema._HISTORY + schema._VERIFIED + counting).split(";")
    written = {
        " ".join(statement.split())
        for statement in [*statements, *schema._TRIGGER_WORDS, *schema._FILE_COUNTS]
        if statement.strip()
    }
    stored = {
        " ".join(sql.split())
        for (sql,) in library.all(
            "SELECT sql FROM sqlite_master WHERE sql IS NOT NULL AND tbl_name NOT IN (?, 'sqlite_sequence')",
            [FOREIGN],
        )
    }
    assert stored == written


def test_every_table_of_ours_is_strict(library: Library) -> None:
    lax = {
        name
        for name, kind, strict in library.all("SELECT name, type, strict FROM pragma_table_list")
        if kind == "table" and not strict and not name.startswith("sqlite_")
    }
    assert lax == {FOREIGN}


def test_a_library_says_what_it_is_and_what_it_has_seen(library: Library) -> None:
    assert library.one("PRAGMA application_id") == (schema.APPLICATION_ID,)
    assert schema.applied_steps(library._connection) == set(schema.STEP_NAMES)


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO models (sha256, name, type, created_at, updated_at) VALUES ('short', '', '', 0, 0)",
        "INSERT INTO models (sha256, name, type, created_at, updated_at) VALUES (NULL, '', '', 0, 0)",
        f"INSERT INTO files (directory, name, sha256) VALUES ('/m', 'a', '{OTHER}')",
        f"INSERT INTO model_meta (sha256, meta_json) VALUES ('{OTHER}', '{{}}')",
        f"INSERT INTO model_tags (sha256, tag_id) VALUES ('{SHA}', 99)",
        f"INSERT INTO files (directory, name, sha256, size_bytes) VALUES ('/m', 'a', '{SHA}', 'many')",
        "INSERT INTO tags (name, folded) VALUES ('other', 'one')",
    ],
)
def test_rows_that_make_no_sense_are_refused(library: Library, sql: str) -> None:
    put_model(library, tags_=["one"])
    with pytest.raises(MlibError, match=r"constraint failed|cannot store"), library.transaction():
        library.execute(sql)


def test_one_path_holds_one_present_file(library: Library) -> None:
    put_model(library, SHA)
    put_model(library, OTHER)
    row = "INSERT INTO files (directory, name, sha256, missing_since) VALUES ('/m', 'a', ?, ?)"
    with library.transaction():
        library.execute(row, [SHA, None])
    with pytest.raises(MlibError, match="UNIQUE"), library.transaction():
        library.execute(row, [OTHER, None])
    with library.transaction():
        library.execute(row, [OTHER, 1])


def test_what_hangs_on_a_row_goes_with_it(library: Library) -> None:
    put_model(library, tags_=["kept"], meta_json="{}")
    put_pending(library, seen=True, tags_=["kept"])
    with library.transaction():
        library.execute("DELETE FROM models")
        library.execute("DELETE FROM pending_import")
    for table in ("model_tags", "model_meta", "pending_model_tags", "pending_files"):
        assert library.all(f"SELECT * FROM {table}") == []
    assert library.all("SELECT name FROM tags") == [("kept",)]


def test_a_file_without_tables_has_seen_no_step() -> None:
    with closing(sqlite3.connect(":memory:")) as db:
        assert schema.applied_steps(db) == set()


def test_no_listing_of_models_looks_through_anything_heavy(library: Library) -> None:
    """The queries behind a REF are searches of an index, never scans of a table."""
    queries = {
        "SELECT sha256 FROM models WHERE sha256 >= 'ab' AND sha256 < 'abg' ORDER BY sha256 LIMIT 9",
        "SELECT sha256 FROM models WHERE name = 'x' ORDER BY sha256 LIMIT 9",
        "SELECT * FROM files WHERE directory = '/m'",
        "SELECT * FROM files WHERE directory = '/m' AND name = 'a'",
        "SELECT * FROM files WHERE sha256 = 'x'",
        "SELECT * FROM files WHERE inode = 1 AND size_bytes = 2 AND device = 3 AND mtime_ns = 4",
        "SELECT * FROM pending_import WHERE path = '/m/a'",
        "SELECT * FROM pending_import WHERE sha256 = 'x'",
        "SELECT id FROM pending_import WHERE claimed_hash IN ('a', 'b')",
        "SELECT id FROM tags WHERE folded = 'x'",
    }
    for query in queries:
        plan = " ".join(str(row[3]) for row in library.all(f"EXPLAIN QUERY PLAN {query}"))
        assert "SEARCH" in plan, (query, plan)
        assert "SCAN" not in plan, (query, plan)


#: The history itself, and notes of the program.
OF_THE_PROGRAM = {"entries", "changes", "db_meta"}


def test_every_table_is_declared_once(library: Library) -> None:
    """Whoever adds a table says what it keeps: history, undo, export and forgetting go by that."""
    declared = [*schema.KEPT, *schema.KEEP_THEMSELVES, *OF_THE_PROGRAM]
    tables = library.all("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE '%sqlite%'")
    assert sorted(declared) == sorted(name for (name,) in tables)


def test_what_refers_to_models_and_pending_imports_says_so(library: Library) -> None:
    for table, kept in schema.KEPT.items():
        columns = {name for (_, name, *_) in library.all(f"PRAGMA table_info({table})")}
        assert kept.subject in {*columns, None}
        assert kept.subject is not None or columns.isdisjoint({"sha256", "pending_id"})
        homes = {home for _, _, home, *_ in library.all(f"PRAGMA foreign_key_list({table})")}
        assert homes & {"models", "pending_import"} == ({kept.home} if kept.home else set())


def test_facts_about_content_are_of_no_model_alone() -> None:
    assert set(schema.BY_CONTENT) == {"contents", "hashes", "headers", "findings", "given"}
    assert set(schema.FOUND) - set(schema.BY_CONTENT) == {"files", "pending_files", "sidecars"}
