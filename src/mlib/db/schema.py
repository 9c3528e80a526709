"""The tables and the migrations that made them. A released migration is never edited."""

from __future__ import annotations

import sqlite3
from contextlib import closing, suppress
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from sqlite_utils import Database, Migrations

#: `PRAGMA application_id` of a library: "mlib" in ASCII.
APPLICATION_ID = 0x6D6C6962
MIGRATION_SET = "mlib"

# Paths are columns of type ANY: TEXT where the name is UTF-8, else the bytes as a BLOB. Heavy JSON stands in
# a table of its own or last in its row, so that no listing reads through it.
_TABLES = """
CREATE TABLE db_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT;
CREATE TABLE roots (
    id INTEGER PRIMARY KEY, type TEXT NOT NULL, path ANY NOT NULL UNIQUE, origin TEXT NOT NULL,
    any_file INTEGER NOT NULL DEFAULT 0, position INTEGER NOT NULL, seen_at INTEGER
) STRICT;
CREATE TABLE models (
    sha256 TEXT PRIMARY KEY CHECK (length(sha256) = 64),
    name TEXT NOT NULL, type TEXT NOT NULL, base_model TEXT NOT NULL DEFAULT '', size_bytes INTEGER,
    description TEXT NOT NULL DEFAULT '', notes TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL, updated_at INTEGER NOT NULL, edited TEXT NOT NULL DEFAULT ''
) STRICT, WITHOUT ROWID;
CREATE INDEX models_name ON models (name);
CREATE TABLE files (
    directory ANY NOT NULL, name ANY NOT NULL, sha256 TEXT NOT NULL REFERENCES models (sha256),
    root_id INTEGER REFERENCES roots (id),
    size_bytes INTEGER, mtime_ns INTEGER, device INTEGER, inode INTEGER,
    xxh3 TEXT, hashed_at INTEGER, racy INTEGER NOT NULL DEFAULT 1, missing_since INTEGER,
    PRIMARY KEY (directory, name, sha256)
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX files_present ON files (directory, name) WHERE missing_since IS NULL;
CREATE INDEX files_sha256 ON files (sha256);
CREATE INDEX files_name ON files (name);
CREATE INDEX files_inode ON files (inode, size_bytes);
CREATE INDEX files_root ON files (root_id, missing_since);
CREATE TABLE tags (id INTEGER PRIMARY KEY, name TEXT NOT NULL, folded TEXT NOT NULL UNIQUE) STRICT;
CREATE TABLE model_tags (
    sha256 TEXT NOT NULL REFERENCES models (sha256) ON DELETE CASCADE,
    tag_id INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    PRIMARY KEY (sha256, tag_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX model_tags_tag ON model_tags (tag_id);
CREATE TABLE pending_import (
    id INTEGER PRIMARY KEY AUTOINCREMENT, path ANY NOT NULL, sha256 TEXT CHECK (length(sha256) = 64),
    claimed_hash TEXT, name TEXT NOT NULL, type TEXT NOT NULL, base_model TEXT NOT NULL DEFAULT '',
    size_bytes INTEGER, description TEXT NOT NULL DEFAULT '', notes TEXT NOT NULL DEFAULT '',
    created_at INTEGER NOT NULL, edited TEXT NOT NULL DEFAULT '', source TEXT NOT NULL, meta_json TEXT
) STRICT;
CREATE UNIQUE INDEX pending_import_path ON pending_import (path, coalesce(sha256, ''));
CREATE INDEX pending_import_sha256 ON pending_import (sha256);
CREATE INDEX pending_import_claimed_hash ON pending_import (claimed_hash) WHERE claimed_hash IS NOT NULL;
CREATE TABLE pending_files (
    pending_id INTEGER PRIMARY KEY REFERENCES pending_import (id) ON DELETE CASCADE,
    root_id INTEGER REFERENCES roots (id),
    size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, device INTEGER NOT NULL, inode INTEGER NOT NULL,
    xxh3 TEXT NOT NULL, hashed_at INTEGER NOT NULL, racy INTEGER NOT NULL
) STRICT;
CREATE TABLE pending_model_tags (
    pending_id INTEGER NOT NULL REFERENCES pending_import (id) ON DELETE CASCADE,
    tag_id INTEGER NOT NULL REFERENCES tags (id) ON DELETE CASCADE,
    PRIMARY KEY (pending_id, tag_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX pending_model_tags_tag ON pending_model_tags (tag_id);
CREATE TABLE model_meta (
    sha256 TEXT PRIMARY KEY REFERENCES models (sha256) ON DELETE CASCADE, meta_json TEXT NOT NULL
) STRICT;
"""


def m001_tables(db: Database) -> None:
    """The first tables."""
    for statement in _TABLES.split(";"):
        if statement.strip():
            db.execute(statement)
    db.execute(f"PRAGMA application_id = {APPLICATION_ID}")


def m002_strip_image_payloads(db: Database) -> None:
    """Free libraries made before of the image payloads in their metadata."""
    from mlib.core.payloads import strip_images

    for table, key in (("model_meta", "sha256"), ("pending_import", "id")):
        keys = [
            row[0] for row in db.execute(f"SELECT {key} FROM {table} WHERE meta_json IS NOT NULL").fetchall()
        ]
        for value in keys:
            text = db.execute(f"SELECT meta_json FROM {table} WHERE {key} = ?", [value]).fetchone()[0]
            stripped = strip_images(text)
            if stripped.removed or stripped.text != text:
                db.table(table).update(value, {"meta_json": stripped.text})


# What files say of themselves, by content: of staged content too, so nothing here refers to `models`.
# Findings about content have an empty directory and name; those of a place have its. The columns of a key
# come first and in its order: else SQLite 3.40 calls a sound table damaged (quick_check).
_CONTENTS = """
CREATE TABLE contents (
    sha256 TEXT PRIMARY KEY, format TEXT NOT NULL, kind TEXT NOT NULL, base_model TEXT NOT NULL,
    evidence TEXT NOT NULL, usage_json TEXT NOT NULL
) STRICT, WITHOUT ROWID;
CREATE TABLE hashes (
    sha256 TEXT PRIMARY KEY, autov1 TEXT, autov3 TEXT, crc32 TEXT, blake3 TEXT
) STRICT, WITHOUT ROWID;
CREATE INDEX hashes_autov1 ON hashes (autov1) WHERE autov1 IS NOT NULL;
CREATE INDEX hashes_autov3 ON hashes (autov3) WHERE autov3 IS NOT NULL;
CREATE INDEX hashes_crc32 ON hashes (crc32) WHERE crc32 IS NOT NULL;
CREATE INDEX hashes_blake3 ON hashes (blake3) WHERE blake3 IS NOT NULL;
CREATE TABLE findings (
    sha256 TEXT NOT NULL, directory ANY NOT NULL, name ANY NOT NULL, code TEXT NOT NULL,
    message TEXT NOT NULL, serious INTEGER NOT NULL,
    PRIMARY KEY (sha256, directory, name, code, message)
) STRICT, WITHOUT ROWID;
CREATE INDEX findings_code ON findings (code);
CREATE TABLE sidecars (
    directory ANY NOT NULL, name ANY NOT NULL, kind TEXT NOT NULL,
    size_bytes INTEGER NOT NULL, mtime_ns INTEGER NOT NULL, inode INTEGER NOT NULL, sidecar_json TEXT,
    PRIMARY KEY (directory, name)
) STRICT, WITHOUT ROWID;
CREATE TABLE given (
    directory ANY NOT NULL, name ANY NOT NULL, sha256 TEXT NOT NULL, known_hashes INTEGER NOT NULL,
    fields TEXT NOT NULL, PRIMARY KEY (directory, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX given_sha256 ON given (sha256);
CREATE TABLE headers (sha256 TEXT PRIMARY KEY, header BLOB NOT NULL) STRICT;
"""


def m003_contents(db: Database) -> None:
    """Room for what files say of themselves."""
    for statement in _CONTENTS.split(";"):
        if statement.strip():
            db.execute(statement)


# A row of `changes` says what became of one row: `before` is NULL where it was made, `after` where it went
# away. Both are JSON objects; where the row stayed, of the columns that changed. `subject` is the sha256 of
# the model, or pending:ID, that the row is about.
_HISTORY = """
CREATE TABLE entries (
    id INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, command TEXT NOT NULL, undoes INTEGER
) STRICT;
CREATE INDEX entries_undoes ON entries (undoes) WHERE undoes IS NOT NULL;
CREATE TABLE changes (
    id INTEGER PRIMARY KEY, entry_id INTEGER NOT NULL REFERENCES entries (id) ON DELETE CASCADE,
    subject TEXT, table_name TEXT NOT NULL, row_key TEXT NOT NULL, before TEXT, after TEXT
) STRICT;
CREATE INDEX changes_entry ON changes (entry_id);
CREATE INDEX changes_subject ON changes (subject, entry_id) WHERE subject IS NOT NULL;
"""


def m004_history(db: Database) -> None:
    """Room for what every command did."""
    for statement in _HISTORY.split(";"):
        if statement.strip():
            db.execute(statement)


# The trigger words of `contents`, for searching: they stand in the midst of long JSON there. The table keeps
# itself, whoever writes a content.
_WORDS_OF = (
    "INSERT INTO trigger_words (sha256, word) SELECT DISTINCT {0}.sha256, w.value"
    " FROM {1}json_each({0}.usage_json, '$.trigger_words') AS w WHERE w.type = 'text'"
)
_FORGET_WORDS = "DELETE FROM trigger_words WHERE sha256 = old.sha256"
_TRIGGER_WORDS = (
    """CREATE TABLE trigger_words (
        sha256 TEXT NOT NULL, word TEXT NOT NULL, PRIMARY KEY (sha256, word)
    ) STRICT, WITHOUT ROWID""",
    f"CREATE TRIGGER trigger_words_insert AFTER INSERT ON contents BEGIN {_WORDS_OF.format('new', '')}; END",
    f"""CREATE TRIGGER trigger_words_update AFTER UPDATE OF usage_json ON contents
        BEGIN {_FORGET_WORDS}; {_WORDS_OF.format("new", "")}; END""",
    f"CREATE TRIGGER trigger_words_delete AFTER DELETE ON contents BEGIN {_FORGET_WORDS}; END",
)


def m005_trigger_words(db: Database) -> None:
    """Room for the words that contents are found by."""
    for statement in _TRIGGER_WORDS:
        db.execute(statement)
    db.execute(_WORDS_OF.format("c", "contents AS c, "))


# When all bytes of a file were last read again and found to be the model's. It is about that row of `files`.
_VERIFIED = """
CREATE TABLE verified (
    directory ANY NOT NULL, name ANY NOT NULL, sha256 TEXT NOT NULL, verified_at INTEGER NOT NULL,
    PRIMARY KEY (directory, name, sha256),
    FOREIGN KEY (directory, name, sha256) REFERENCES files (directory, name, sha256) ON DELETE CASCADE
) STRICT, WITHOUT ROWID;
"""


def m006_verified(db: Database) -> None:
    """Room for when files were verified."""
    db.execute(_VERIFIED)


# All that is counted, in indexes: a table of notes is wide, and `mlib stats` would read through all of it.
_COUNTING = """
CREATE INDEX models_kind ON models (type, base_model, size_bytes);
DROP INDEX files_sha256;
CREATE INDEX files_sha256 ON files (sha256, missing_since, root_id, device, inode);
DROP INDEX files_root;
CREATE INDEX files_root ON files (root_id, missing_since, size_bytes);
"""


def m007_counting(db: Database) -> None:
    """Let counting read indexes only."""
    for statement in _COUNTING.split(";"):
        if statement.strip():
            db.execute(statement)


# Most models are known at one path, and their file is there. Of all others it is counted here at how many
# paths they are known, at how many of these a file is, and how many files that makes, hard links being one.
# The table keeps itself, whoever writes: else to count would be to look at every path of every model.
_COUNTED = (
    "INSERT INTO file_counts (sha256, known, present, inodes)"
    " SELECT sha256, known, present, max(inodes, present > 0) FROM"
    " (SELECT m.sha256 AS sha256, count(f.sha256) AS known,"
    " count(CASE WHEN f.missing_since IS NULL THEN f.sha256 END) AS present,"
    " count(DISTINCT CASE WHEN f.missing_since IS NULL THEN f.device || ':' || f.inode END) AS inodes"
    " FROM models AS m LEFT JOIN files AS f ON f.sha256 = m.sha256 {0} GROUP BY m.sha256)"
    " WHERE known != 1 OR present != 1"
)
_UNCOUNTED = "DELETE FROM file_counts WHERE sha256 {0}"


def _counted_anew(which: str) -> str:
    return f"BEGIN {_UNCOUNTED.format(which)}; {_COUNTED.format('WHERE m.sha256 ' + which)}; END"


_FILE_COUNTS = (
    """CREATE TABLE file_counts (
        sha256 TEXT PRIMARY KEY, known INTEGER NOT NULL, present INTEGER NOT NULL, inodes INTEGER NOT NULL
    ) STRICT, WITHOUT ROWID""",
    f"CREATE TRIGGER file_counts_model AFTER INSERT ON models {_counted_anew('= new.sha256')}",
    f"""CREATE TRIGGER file_counts_no_model AFTER DELETE ON models
        BEGIN {_UNCOUNTED.format("= old.sha256")}; END""",
    f"CREATE TRIGGER file_counts_insert AFTER INSERT ON files {_counted_anew('= new.sha256')}",
    f"CREATE TRIGGER file_counts_delete AFTER DELETE ON files {_counted_anew('= old.sha256')}",
    f"""CREATE TRIGGER file_counts_update AFTER UPDATE ON files
        WHEN (old.sha256, old.missing_since, old.device, old.inode)
        IS NOT (new.sha256, new.missing_since, new.device, new.inode)
        {_counted_anew("IN (old.sha256, new.sha256)")}""",
)


def m008_file_counts(db: Database) -> None:
    """Room for which models lie elsewhere than at one path."""
    for statement in _FILE_COUNTS:
        db.execute(statement)
    db.execute(_COUNTED.format(""))


#: Every step, oldest first.
STEPS = (
    m001_tables,
    m002_strip_image_payloads,
    m003_contents,
    m004_history,
    m005_trigger_words,
    m006_verified,
    m007_counting,
    m008_file_counts,
)
#: What a library must have applied, and all that this version understands.
STEP_NAMES = tuple(step.__name__ for step in STEPS)
#: The digest of the schema that all steps make (`digest`), so that opening a library makes none to compare
#: with. Where it is wrong everything works, slowly; a test says what it must be.
SCHEMA_DIGEST = "fc79132d253ce81754a21588d7c08adc582b557c53e3e7e21c2ccbc25996c47a"
#: What sqlite-utils makes to remember the steps, and SQLite for AUTOINCREMENT and ANALYZE: their wording is
#: not ours.
_NOT_OURS = {
    "_sqlite_migrations": "CREATE TABLE ",
    "idx__sqlite_migrations_migration_set_name": "CREATE UNIQUE INDEX ",
    "sqlite_sequence": "CREATE TABLE ",
    "sqlite_stat1": "CREATE TABLE ",
    "sqlite_stat4": "CREATE TABLE ",
}


class Kept(NamedTuple):
    """What a table keeps, for all who go through several: history, undo, export, forgetting, examining.

    `subject` is the column that says which model or pending import a row is about, None where rows are about
    neither; `home` the table that such a row needs one in, None where content is known without. What was
    `said` is user data and what frames it, what was `found` are facts. What can be `found_again` in the file
    itself is not exported, and recorded only where it is lost.
    """

    subject: str | None
    holds: Literal["said", "found"]
    home: str | None = None
    found_again: bool = False


#: Every table of models and pending imports, but for the history and what keeps itself.
KEPT: Mapping[str, Kept] = MappingProxyType(
    {
        "roots": Kept(None, "said"),
        "models": Kept("sha256", "said"),
        "model_meta": Kept("sha256", "said", home="models"),
        "tags": Kept(None, "said"),
        "model_tags": Kept("sha256", "said", home="models"),
        "pending_import": Kept("id", "said"),
        "pending_model_tags": Kept("pending_id", "said", home="pending_import"),
        "pending_files": Kept("pending_id", "found", home="pending_import"),
        "files": Kept("sha256", "found", home="models"),
        "given": Kept("sha256", "found"),
        "contents": Kept("sha256", "found"),
        "hashes": Kept("sha256", "found"),
        "findings": Kept("sha256", "found"),
        "sidecars": Kept(None, "found"),
        "headers": Kept("sha256", "found", found_again=True),
    }
)
#: What was said, and what was found.
SAID = tuple(name for name, table in KEPT.items() if table.holds == "said")
FOUND = tuple(name for name, table in KEPT.items() if table.holds == "found")
#: Facts about content, by its SHA-256: known of what waits too, and dropped once nothing has that content.
BY_CONTENT = tuple(name for name in FOUND if KEPT[name].subject == "sha256" and KEPT[name].home is None)
#: Tables that triggers or foreign keys keep in step with those.
KEEP_THEMSELVES = ("trigger_words", "file_counts", "verified")


class SchemaDifference(NamedTuple):
    """A table, index, trigger or view that is not as the steps make it; `is_extra` where they make none."""

    type: str
    name: str
    table: str
    what: str
    is_extra: bool

    def __str__(self) -> str:
        on = f" on {self.table}" if self.table != self.name else ""
        return f"the {self.type} {self.name}{on} {self.what}"


def migrations() -> Migrations:
    """The steps as sqlite-utils applies them."""
    from sqlite_utils import Migrations

    migration_set = Migrations(MIGRATION_SET)
    for step in STEPS:
        migration_set()(step)
    return migration_set


def applied_steps(connection: sqlite3.Connection) -> set[str]:
    """Names of the steps this library has seen; empty for a file without tables."""
    table = "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = '_sqlite_migrations'"
    if connection.execute(table).fetchone() is None:
        return set()
    names = "SELECT name FROM _sqlite_migrations WHERE migration_set = ?"
    return {name for (name,) in connection.execute(names, [MIGRATION_SET]).fetchall()}


def schema_of(connection: sqlite3.Connection) -> dict[tuple[str, str], tuple[str, str]]:
    """What a library consists of: (type, name) to (table, SQL). Raises sqlite3.Error and UnicodeError."""
    rows = connection.execute("SELECT type, name, tbl_name, coalesce(sql, '') FROM sqlite_master").fetchall()
    return {
        (kind, name): (table, " ".join(sql.split()))
        for kind, name, table, sql in rows
        if not (name in _NOT_OURS and sql.startswith(_NOT_OURS[name]))
        and not (kind == "index" and not sql)  # of a UNIQUE or PRIMARY KEY: the table's SQL says so
    }


def digest(schema: dict[tuple[str, str], tuple[str, str]]) -> str:
    """The SHA-256 of a schema, in hex digits."""
    lines = sorted("\0".join((*key, *value)) for key, value in schema.items())
    return str(_sha256()("\n".join(lines).encode("utf-8", "surrogateescape")).hexdigest())


def differences(connection: sqlite3.Connection, applied: Iterable[str]) -> list[SchemaDifference]:
    """How a library that has seen the steps `applied` differs from what they make; empty if it does not.

    Cheap where all were applied and nothing differs. Raises as `schema_of` does.
    """
    found = schema_of(connection)
    applied = set(applied)
    if applied.issuperset(STEP_NAMES) and digest(found) == SCHEMA_DIGEST:
        return []
    expected = _made_by(applied)
    wrong = [
        SchemaDifference(
            *key, found[key][0], "was not made by mlib" if extra else "is not as mlib makes it", extra
        )
        for key in sorted(found)
        if (extra := key not in expected) or found[key] != expected[key]
    ]
    return wrong + [
        SchemaDifference(*key, expected[key][0], "is missing", False)
        for key in sorted(expected.keys() - found)
    ]


def _made_by(applied: set[str]) -> dict[tuple[str, str], tuple[str, str]]:
    from sqlite_utils import Database

    with closing(sqlite3.connect(":memory:", isolation_level=None)) as connection:
        database = Database(connection, execute_plugins=False)
        for step in STEPS:
            if step.__name__ in applied:
                step(database)
        return schema_of(connection)


def _sha256() -> Any:
    # `hashlib` loads OpenSSL, 2 ms for each command: as in CPython's random.py, the lean module first.
    for name in ("_sha2", "_sha256"):
        with suppress(ImportError):
            return import_module(name).sha256
    return import_module("hashlib").sha256
