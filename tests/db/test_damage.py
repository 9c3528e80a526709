"""A damaged or altered library: an error in words, the newest good backup named, and `restore` works."""

from __future__ import annotations

import itertools
import os
import random
import re
import socket
import sqlite3
import subprocess
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import OTHER, SHA, dump, put_model, put_pending
from tests.tools import hint_of, mlib, write_model

from mlib.core.errors import MlibError, Refused
from mlib.db import schema, statistics
from mlib.db.backups import make_backup
from mlib.db.connections import backups
from mlib.db.library import open_library
from mlib.db.restoring import newest_good

if TYPE_CHECKING:
    from mlib.db.library import Library

#: One of every way of reading a library. None of them changes a file of the user.
COMMANDS = (
    "list --json", "list word --json", "list tag:a -q", "show one --json --meta", "show pending:1 --json",
    "show one", "export", "export --format csv", "export --sidecars -n", "scan", "scan -n --json",
    "scan --rehash", "scan --reinspect", "stats --json", "log --json", "tags --json", "roots --json",
    "pending --json", "missing --json", "duplicates --json", "unused flow.json --json", "verify --json",
    "hash --all --json", "update one --tag b", "update two --notes b -n", "undo -n", "import --json",
    "clean-meta --json", "prune --older-than 1d -n", "forget two -n", "rename one x -n", "trash one -n",
    "backup", "doctor --json", "doctor --fix",
)  # fmt: skip


@pytest.fixture
def filled(library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library with something in every table, and a good backup of it."""
    monkeypatch.chdir(tmp_path / "home")
    Path("flow.json").write_text(
        '{"1": {"class_type": "VAELoader", "inputs": {"vae_name": "no.safetensors"}}}'
    )
    tree = tmp_path / "loras"
    for name in ("one", "two", "three"):
        write_model(tree / f"{name}.safetensors")
    library.close()
    path = Path(library.path)
    mlib_here("scan", "--root", f"loras={tree}", library=path)
    for name in ("one", "two"):
        words = ("--name", name, "--tag", "a", "--notes", "word " * 30, "--set", 'k={"a":[1,2]}')
        mlib_here("update", f"{name}.safetensors", *words, library=path)
    write_model(tree / "staged.safetensors")
    mlib_here("scan", "--stage", library=path)
    mlib_here("verify", library=path)
    mlib_here("backup", library=path)
    return path


def rewritten(path: Path, table: str, column: str, value: object) -> None:
    """Put a value into a library that its tables would not take, as damage does."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        rows = db.execute("SELECT name, sql FROM sqlite_master WHERE type IN ('table', 'trigger')").fetchall()
        for name, sql in rows:
            if sql.startswith("CREATE TRIGGER"):
                db.execute(f"DROP TRIGGER {name}")
        (sql,) = (sql for name, sql in rows if name == table)
        set_sql(db, table, sql.replace(" NOT NULL", "").replace(") STRICT, ", ") ").replace(") STRICT", ")"))
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute(f"UPDATE {table} SET {column} = ?", [value])
        set_sql(db, table, sql)
        for _, each in rows:
            if each.startswith("CREATE TRIGGER"):
                db.execute(each)


def set_sql(db: sqlite3.Connection, table: str, sql: str) -> None:
    db.execute("PRAGMA writable_schema = ON")
    db.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", [sql, table])
    (version,) = db.execute("PRAGMA schema_version").fetchone()
    db.execute(f"PRAGMA schema_version = {version + 1}")


def check_every_command(path: Path) -> set[str]:
    """No command calls damage a fault of its own, and `restore` works; the codes of the errors in JSON."""
    damaged = path.read_bytes()
    codes = set()
    for words in COMMANDS:
        path.write_bytes(damaged)
        done = mlib_here(*words.split(), library=path, code=None)
        assert "bug in mlib" not in done.err, (words, done.err)
        assert "library_error" not in done.err, (words, done.err)
        assert "SQLite reported" not in done.err, (words, done.err)
        if "--json" in words and done.code not in (0, 3):
            codes.add(done.error["code"])
        elif "--json" in words:
            assert done.json is not None
    path.write_bytes(damaged)
    mlib_here("restore", "--latest", "--yes", library=path)
    mlib_here("list", library=path)
    return codes


def test_one_bad_byte_in_the_schema_leaves_the_way_back_open(filled: Path) -> None:
    before = dump(filled)
    content = bytearray(filled.read_bytes())
    content[content.rfind(b"CREATE INDEX") + 3] = 0xFF
    filled.write_bytes(content)
    failed = mlib_here("list", "--json", library=filled, code=1)
    assert failed.error["code"] == "library_corrupt"
    (backup,) = backups(str(filled))
    assert f"{backup}: mlib restore --latest --library {filled}" in failed.error["hint"]
    assert check_every_command(filled) - {"no_workflows_given"} == {"library_corrupt"}
    assert dump(filled).keys() == before.keys()


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("models", "name"),
        ("models", "notes"),
        ("models", "edited"),
        ("models", "created_at"),
        ("files", "size_bytes"),
        ("roots", "type"),
        ("tags", "name"),
        ("model_meta", "meta_json"),
        ("contents", "usage_json"),
        ("contents", "evidence"),
        ("pending_import", "name"),
        ("pending_import", "meta_json"),
        ("sidecars", "sidecar_json"),
        ("entries", "command"),
        ("changes", "row_key"),
        ("changes", "after"),
        ("given", "fields"),
        ("headers", "header"),
    ],
)
@pytest.mark.parametrize("value", [None, 2**62], ids=["NULL", "int"])
def test_a_value_that_nobody_wrote_is_damage_and_no_fault(
    filled: Path, table: str, column: str, value: object
) -> None:
    rewritten(filled, table, column, value)
    check_every_command(filled)


#: What reads every table, cheaply.
READING = (
    "list --json", "show one --json --meta", "export", "export --format csv", "stats --json", "log --json",
    "roots --json", "pending --json", "missing --json", "verify --json", "scan -n --json", "doctor --json",
)  # fmt: skip
TABLES = sorted(set(re.findall(r"CREATE TABLE (\w+)", Path(schema.__file__).read_text())))
#: By what a column holds, what it cannot: no name has a zero byte, no library goes past the year 9999.
WRONG = (None, -1, 2**62, b"\0\xff", "\0", "x" * 70_000)


@pytest.mark.parametrize("table", TABLES)
def test_no_value_of_any_column_is_a_fault(filled: Path, table: str) -> None:
    good = filled.read_bytes()
    with closing(sqlite3.connect(filled)) as db:
        columns = db.execute(f"SELECT name, type FROM pragma_table_info('{table}')").fetchall()
        (rows,) = db.execute(f"SELECT count(*) FROM {table}").fetchone()
    assert columns
    for (column, type_), value in itertools.product(columns, WRONG):
        filled.write_bytes(good)
        try:
            rewritten(filled, table, column, value)
        except sqlite3.IntegrityError:  # a key: all rows cannot have the same one
            continue
        damaged = filled.read_bytes()
        for words in READING:
            filled.write_bytes(damaged)
            done = mlib_here(*words.split(), library=filled, code=None)
            assert done.code in (0, 1, 3, 5), (column, value, words, done.err)
            for said in ("fault of mlib", "library_error", "library answers"):
                assert said not in done.err, (column, value, words, done.err)
        is_number = column in statistics._BOUNDS and isinstance(value, int)
        if rows == 1 and (is_number or (type_ == "ANY" and value != "x" * 70_000)):
            checks = done.json["checks"]
            assert "integrity" in {each["name"] for each in checks if each["state"] == "error"}, (
                column,
                value,
            )


def test_meta_that_is_not_json_is_never_handed_out(filled: Path) -> None:
    rewritten(filled, "model_meta", "meta_json", '{gar"bage')
    assert mlib_here("show", "one", "--json", library=filled, code=1).error["code"] == "library_corrupt"
    checks = mlib_here("doctor", "--json", library=filled, code=3).json["checks"]
    assert [each["message"] for each in checks if each["name"] == "integrity"] == [
        "damaged: model_meta.meta_json is not JSON"
    ]


@pytest.mark.parametrize("seed", range(12))
def test_random_damage_is_said_in_words(filled: Path, seed: int) -> None:
    """Bytes, pages and many bytes at once; the first four where the tables are defined."""
    dice = random.Random(seed)
    content = bytearray(filled.read_bytes())
    if seed < 4:
        content[dice.randrange(100, 32_768)] = dice.choice([0, 255])
    elif seed < 8:
        start = dice.randrange(len(content) // 4096) * 4096
        content[start : start + 4096] = dice.randbytes(4096) if seed % 2 else bytes(4096)
    else:
        for _ in range(100):
            content[dice.randrange(100, len(content))] = dice.randrange(256)
    filled.write_bytes(content)
    check_every_command(filled)


#: A trigger of ours that does something else.
_TAMPERED = """
    DROP TRIGGER trigger_words_delete;
    CREATE TRIGGER trigger_words_delete AFTER DELETE ON contents BEGIN DELETE FROM models; END
"""
#: What mlib makes none of.
STRANGE = {
    "trigger": "CREATE TRIGGER evil AFTER UPDATE ON models BEGIN DELETE FROM model_tags; END",
    "view": "CREATE VIEW evil AS SELECT * FROM models",
    "index": "CREATE INDEX evil ON models (notes)",
    "table": "CREATE TABLE evil (a)",
}


class TestAltered:
    """What a library consists of is compared with what the steps make."""

    def test_the_digest_is_that_of_what_the_steps_make(self, library: Library) -> None:
        """A step that was added changes it: opening would make all tables in memory to compare with."""
        assert schema.digest(schema.schema_of(library._connection)) == schema.SCHEMA_DIGEST

    @pytest.mark.parametrize("kind", STRANGE)
    @pytest.mark.parametrize("mode", ["read", "write"])
    def test_what_mlib_did_not_make_is_refused_and_named(
        self, library: Library, kind: str, mode: str
    ) -> None:
        put_model(library, tags_=["kept"])
        execute(library.path, STRANGE[kind])
        before = dump(library.path)
        with pytest.raises(Refused) as caught:
            open_library(library.path, mode="read" if mode == "read" else "write")
        assert (caught.value.code, caught.value.exit_code) == ("library_altered", 4)
        assert f"the {kind} evil" in caught.value.message
        assert dump(library.path) == before

    @pytest.mark.parametrize(
        ("sql", "said"),
        [
            ("DROP TRIGGER file_counts_insert", "the trigger file_counts_insert on files is missing"),
            (
                _TAMPERED,
                "the trigger trigger_words_delete on contents is not as mlib makes it",
            ),
            ("ALTER TABLE models ADD COLUMN more TEXT", "the table models is not as mlib makes it"),
        ],
    )
    def test_what_mlib_made_must_be_as_it_made_it(self, library: Library, sql: str, said: str) -> None:
        execute(library.path, sql)
        with pytest.raises(Refused) as caught:
            open_library(library.path, mode="read")
        assert caught.value.message == f"{said}: {library.path}"

    def test_statistics_of_sqlite_are_no_stranger(self, library: Library) -> None:
        put_model(library)
        execute(library.path, "ANALYZE")
        open_library(library.path, mode="read").close()

    @pytest.mark.parametrize("kind", ["trigger", "view", "index"])
    def test_doctor_names_and_removes_it(self, library: Library, kind: str) -> None:
        put_model(library, tags_=["kept"])
        before = dump(library.path)
        library.close()
        execute(library.path, STRANGE[kind])
        path = Path(library.path)
        told = mlib_here("doctor", "--json", library=path, code=3).json["checks"]
        (check,) = (each for each in told if each["name"] == "schema")
        assert check["state"] == "error"
        assert f"the {kind} evil" in check["message"]
        assert check["mend"] == f"mlib doctor --fix --library {path}"
        mlib_here("doctor", "--fix", library=path)
        mlib_here("list", library=path)
        assert dump(path) == before

    @pytest.mark.parametrize("kind", STRANGE)
    def test_no_such_backup_is_restored(self, library: Library, kind: str) -> None:
        put_model(library)
        good, bad = make_backup(library.path, "good"), make_backup(library.path, "bad")
        execute(bad, STRANGE[kind])
        assert newest_good(library.path) == good
        library.close()
        refused = mlib_here("restore", bad, "--yes", "--json", library=Path(library.path), code=1)
        assert refused.error["code"] == "bad_backup"
        assert f"the {kind} evil" in refused.error["message"]

    def test_a_library_that_is_brought_up_to_date_is_compared_too(self, library: Library) -> None:
        from tests.libraries import make_older

        library.close()
        make_older(library.path, last="m005_trigger_words")
        execute(library.path, STRANGE["trigger"])
        before = dump(library.path)
        with pytest.raises(Refused, match="the trigger evil"):
            open_library(library.path, mode="write")
        assert dump(library.path) == before


def execute(path: str, sql: str) -> None:
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)


class TestTarget:
    """Where a copy cannot be written the library is sound: it is never told to be left behind."""

    @pytest.mark.parametrize(
        "name", ["SQLITE_IOERR_FSYNC", "SQLITE_READONLY", "SQLITE_CANTOPEN", "SQLITE_CORRUPT"]
    )
    def test_an_error_of_the_target_is_not_the_librarys(
        self, library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        put_model(library)
        error = sqlite3.OperationalError("trouble")
        error.sqlite_errorname = name
        monkeypatch.setattr("mlib.db.backups._copy", raising(error))
        from mlib.db.backups import copy_to, make_backup

        to = str(tmp_path / "copy.bak")
        with pytest.raises(MlibError) as caught:
            copy_to(library.path, to, replaces=None)
        assert (caught.value.code, hint_of(caught.value)) == ("cannot_write", "")
        assert caught.value.message == f"cannot write {to}: trouble"
        with pytest.raises(MlibError) as caught:
            make_backup(library.path, "test")
        assert "backups" in caught.value.message
        assert "restore" not in hint_of(caught.value)
        assert "new library" not in hint_of(caught.value)

    def test_a_full_disk_is_the_targets(self, library: Library) -> None:
        put_model(library)
        library.close()
        done = mlib_here("backup", "/dev/full/x", library=Path(library.path), code=1)
        assert library.path not in done.err

    def test_only_a_library_that_does_not_open_may_be_left_behind(self, library: Library) -> None:
        put_model(library, notes="x" * 20_000)
        put_model(library, OTHER)
        library.close()
        path = Path(library.path)
        content = bytearray(path.read_bytes())
        at = content.find(b"x" * 100)
        content[at - at % 4096 : at - at % 4096 + 4] = b"\xff" * 4
        path.write_bytes(content)
        failed = mlib_here("backup", "--json", library=path, code=1)
        assert failed.error["code"] == "library_corrupt"
        assert failed.error["hint"].startswith("no good backup of it is known; `sqlite3 FILE .recover`")
        assert "new library" not in failed.error["hint"]
        path.write_bytes(b"\xff" * 9000)
        hint = mlib_here("list", "--json", library=path, code=1)
        assert hint.error["hint"].endswith("with the file moved elsewhere, `mlib scan` starts a new library")


def test_backups_are_read_where_an_error_is_shown_and_not_where_it_is_made(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_model(library)
    backup = make_backup(library.path, "test")
    library.close()
    Path(library.path).write_bytes(b"\xff" * 9000)
    with monkeypatch.context() as patch:
        patch.setattr("mlib.db.restoring.newest_good", raising(AssertionError("a backup was read")))
        with pytest.raises(MlibError) as caught:
            open_library(library.path, mode="read")
    assert (caught.value.code, caught.value.damaged) == ("library_corrupt", library.path)
    assert backup in str(hint_of(caught.value))


def raising(error: Exception) -> object:
    def fail(*_: object) -> None:
        raise error

    return fail


#: What may lie at the library's path, or beside it, that no library of ours left there.
STATES = (
    "zero bytes", "text", "a stranger's", "a loop", "a dangling link", "unreadable",
    "a stale journal", "a journal of garbage", "a wal of garbage", "a journal that is a folder",
    "a wal that is a folder", "a journal that is a pipe", "a folder", "a pipe", "a socket",
    "another's change", "another's log", "another's cut off journal",
)  # fmt: skip


@pytest.mark.parametrize("state", STATES)
def test_whatever_lies_there_is_said_in_words_and_restore_works(library: Library, state: str) -> None:
    put_model(library, name="mine")
    put_pending(library)
    make_backup(library.path, "by-hand")
    library.close()
    path = Path(library.path)
    before = dump(path)
    make(path, state)
    for words in ("list", "scan -n", "doctor", "export", "update mine --tag x -n", "backup -n"):
        done = mlib(*words.split(), library=path, code=None, timeout=60)
        assert "fault" not in done.err, (words, done.err)
    done = mlib("restore", "--latest", "--yes", library=path, timeout=60)
    assert done.code == 0
    assert dump(path.resolve()) == before
    assert mlib("show", SHA, "--field", "name", library=path).out == "mine\n"


def make(path: Path, state: str) -> None:
    """Bring a library into a state."""
    if state.startswith("another's"):
        make_stale(path, state)
    elif "journal" in state or "wal" in state:
        make_beside(Path(f"{path}-{'wal' if 'wal' in state else 'journal'}"), state)
    if state == "zero bytes":
        path.write_bytes(b"")
    elif state == "text":
        path.write_text("dear diary\n" * 1000)
    elif state == "a stranger's":
        path.unlink()
        execute(str(path), "CREATE TABLE bookmarks (a); INSERT INTO bookmarks VALUES (1)")
    elif state == "a loop":
        path.unlink()
        path.symlink_to(path)
    elif state == "a dangling link":
        path.unlink()
        path.symlink_to(path.with_name("elsewhere.db"))
    elif state == "unreadable":
        path.chmod(0)
    elif state in ("a folder", "a pipe", "a socket"):
        path.unlink()
        make_no_file(path, state)


def make_no_file(path: Path, state: str) -> None:
    """Put something that is not a file, and not empty if it is a folder, at a path."""
    if state == "a folder":
        path.mkdir()
        path.joinpath("precious").write_text("mine")
    elif state == "a pipe":
        os.mkfifo(path)
    else:
        with closing(socket.socket(socket.AF_UNIX)) as end:
            os.chdir(path.parent)  # the name of a socket is short
            end.bind(path.name)


def make_stale(path: Path, state: str) -> None:
    """Leave what a crash left of the library as it was later, beside an older one."""
    old = path.read_bytes()
    for n in range(3):
        execute(str(path), f"UPDATE models SET notes = '{n}'")
    if state == "another's log":
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = WAL")
            db.execute("UPDATE models SET notes = 'theirs', name = 'theirs'")
            left = Path(f"{path}-wal").read_bytes()
        path.with_name(path.name + "-wal").write_bytes(left)
    else:
        _, left = in_the_midst(path)
        cut = len(left) if state == "another's change" else 512 + 4104 + 100
        path.with_name(path.name + "-journal").write_bytes(left[:cut])
    path.write_bytes(old)


def in_the_midst(
    path: Path, sql: str = "UPDATE models SET notes = hex(randomblob(2000))"
) -> tuple[bytes, bytes]:
    """The bytes of a library and of its journal in the midst of a change, which does not happen."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute(sql)
        for _ in range(40):  # more than the cache holds
            db.execute("INSERT INTO db_meta VALUES (hex(randomblob(8)), hex(randomblob(3000)))")
        both = path.read_bytes(), Path(f"{path}-journal").read_bytes()
        db.execute("ROLLBACK")
    return both


@pytest.mark.parametrize("state", ["a folder", "a pipe", "a socket"])
def test_what_is_no_file_is_set_aside_with_all_that_is_in_it(library: Library, state: str) -> None:
    put_model(library, name="mine")
    backup = make_backup(library.path, "by-hand")
    library.close()
    path = Path(library.path)
    make(path, state)
    failed = mlib_here("list", "--json", library=path, code=1)
    assert (failed.error["code"], failed.error["message"]) == ("not_a_library", f"not a file: {path}")
    assert f"{backup}: mlib restore --latest" in failed.error["hint"]
    (check, *_) = mlib_here("doctor", "--json", library=path, code=3).json["checks"]
    assert (check["name"], check["state"]) == ("permissions", "error")
    assert check["mend"] == f"mlib restore --latest --library {path}"
    assert mlib_here("restore", "--latest", library=path, code=4).err.startswith("error: ")
    planned = mlib_here("restore", "--latest", "-n", "--json", library=path).json
    assert (planned["kept"], path.is_file()) == (None, False)
    kept = Path(mlib_here("restore", "--latest", "--yes", "--json", library=path).json["kept"])
    assert not kept.is_file()
    assert kept.name.endswith(".replaced")
    if state == "a folder":
        assert kept.joinpath("precious").read_text() == "mine"
    told = mlib_here("doctor", "--json", library=path).json["checks"]
    (check,) = (each for each in told if each["name"] == "replaced")
    assert check["mend"] == f"{'rm -r' if state == 'a folder' else 'rm'} {kept}"
    subprocess.run(check["mend"], shell=True, check=True)
    assert not os.path.lexists(kept)


def test_a_backup_within_a_folder_at_the_librarys_place_is_restored(library: Library) -> None:
    put_model(library, name="mine")
    backup = Path(make_backup(library.path, "by-hand"))
    library.close()
    path = Path(library.path)
    before = dump(path)
    path.unlink()
    path.mkdir()
    backup = backup.rename(path / "mine.bak")
    mlib_here("restore", backup, "--yes", library=path)
    assert dump(path) == before


def test_a_device_at_the_librarys_place_stays(library: Library) -> None:
    backup = make_backup(library.path, "by-hand")
    done = mlib_here("restore", backup, "--yes", "--json", library=Path("/dev/null"), code=4)
    assert done.error == {
        "code": "not_a_file",
        "message": "this is a device: /dev/null",
        "hint": "name the library with --library FILE",
    }
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize("state", ["another's change", "another's log", "another's cut off journal"])
def test_what_another_database_left_is_never_played_into_the_library(library: Library, state: str) -> None:
    """As where a person copies a backup into the place of a library that a crash left in the midst."""
    put_model(library, name="mine")
    library.close()
    path = Path(library.path)
    before = dump(path)
    make_stale(path, state)
    old = path.read_bytes()
    beside = Path(f"{path}-{'wal' if 'log' in state else 'journal'}")
    left = beside.read_bytes()
    for words in (["list"], ["update", "mine", "--tag", "x"], ["backup"], ["scan"]):
        failed = mlib_here(*words, "--json", library=path, code=1)
        assert failed.error["code"] == "library_unreadable"
        assert f"which belongs to another database, is beside it: {beside}" in failed.error["message"]
    checks = mlib_here("doctor", "--json", library=path, code=3).json["checks"]
    (check,) = (each for each in checks if each["name"] == "journal")
    assert (path.read_bytes(), beside.read_bytes()) == (old, left)
    assert failed.error["hint"] == f"move it elsewhere: {check['mend']}"
    subprocess.run(check["mend"], shell=True, check=True)
    mlib_here("list", library=path)
    assert dump(path) == before


def test_what_was_left_when_a_library_was_made_is_taken_back(library: Library) -> None:
    """All of it is new, so no page is in the journal; beside an older library it would empty that."""
    put_model(library)
    put_pending(library)
    library.close()
    path = Path(library.path)
    made = path.with_name("made.db")
    with closing(sqlite3.connect(made, isolation_level=None)) as db:
        db.execute("PRAGMA journal_mode = TRUNCATE")
        db.execute("PRAGMA cache_size = 1")
        db.execute("BEGIN")
        db.execute(f"PRAGMA application_id = {schema.APPLICATION_ID}")
        db.execute("CREATE TABLE db_meta (key TEXT, value TEXT)")
        for _ in range(40):  # more than the cache holds
            db.execute("INSERT INTO db_meta VALUES (hex(randomblob(8)), hex(randomblob(3000)))")
        content, left = made.read_bytes(), Path(f"{made}-journal").read_bytes()
        db.execute("ROLLBACK")
    old = path.read_bytes()
    Path(f"{path}-journal").write_bytes(left)
    assert mlib_here("list", "--json", library=path, code=1).error["code"] == "library_unreadable"
    assert path.read_bytes() == old
    path.write_bytes(content)
    assert "belongs to another" not in mlib_here("list", library=path, code=None).err


def test_what_the_library_itself_left_is_played_back(library: Library) -> None:
    for n in range(60):
        put_model(library, f"{n:064x}", notes="word " * 300)
    library.close()
    path = Path(library.path)
    before = dump(path)
    while_changed, left = in_the_midst(path)
    assert while_changed != path.read_bytes()
    path.write_bytes(while_changed)
    Path(f"{path}-journal").write_bytes(left)
    mlib_here("list", library=path)
    assert dump(path) == before


def make_beside(path: Path, state: str) -> None:
    """Put something where SQLite keeps what is unfinished."""
    path.unlink(missing_ok=True)
    if state == "a stale journal":
        path.write_bytes(bytes.fromhex("d9d505f920a163d7") + os.urandom(5000))
    elif state == "a wal of garbage":
        path.write_bytes(bytes.fromhex("377f0682") + os.urandom(5000))
    elif state.endswith("garbage"):
        path.write_bytes(os.urandom(5000))
    elif state.endswith("folder"):
        path.mkdir()
    else:
        os.mkfifo(path)


@pytest.mark.parametrize("state", ["a folder", "a pipe", "lines of others"])
def test_doctor_tells_of_a_journal_of_files_that_is_not_ours(library: Library, state: str) -> None:
    put_model(library)
    library.close()
    path = Path(library.path)
    journal = Path(f"{path}.files.jsonl")
    if state == "lines of others":
        journal.write_text('{"id": "1-1", "state": "done"}\n{"more": 1}\nword\n')
        expected = (
            "warning",
            f"not written by this mlib, skipped: {journal}, line 2 and 1 more",
            f"sed -n 2p {journal}",
        )
    else:
        make_no_file(journal, state)
        expected = ("error", f"not a file: {journal}", f"mv -n {journal} {journal}.old")
    told = mlib_here("doctor", "--json", library=path, code=None).json["checks"]
    (check,) = (each for each in told if each["name"] == "files_journal")
    assert (check["state"], check["message"], check["mend"]) == expected
    subprocess.run(check["mend"], shell=True, check=True)
    if state != "lines of others":
        told = mlib_here("doctor", "--json", library=path, code=None).json["checks"]
        assert [each["state"] for each in told if each["name"] == "files_journal"] == ["ok"]
