"""The library file: how it comes to be, what is refused, and what one write promises."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import stat
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, dump, put_model, put_pending, snapshot
from tests.tools import hint_of

from mlib.core.disk.entries import temporary_name
from mlib.core.errors import LibraryBusy, MlibError, NotFound, Refused
from mlib.db import models, pending, schema
from mlib.db.backups import BACKUPS_KEPT, make_backup
from mlib.db.connections import backups
from mlib.db.library import Library, Mode, open_library

if TYPE_CHECKING:
    from collections.abc import Iterator

#: As root, permissions mean something only without these capabilities.
UNPRIVILEGED = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"] if os.geteuid() == 0 else []
every_mode = pytest.mark.parametrize("mode", ["read", "write", "create", "dry_run"])
IMAGE = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 20


@contextmanager
def opened(path: Path | str, mode: Mode = "write") -> Iterator[Library]:
    with open_library(os.fspath(path), mode=mode) as library:
        yield library


def refusal(path: Path | str, mode: Mode = "write") -> MlibError:
    with pytest.raises(MlibError) as caught, opened(path, mode):
        pass
    return caught.value


def sqlite_file(path: Path, sql: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(path)) as db:
        db.executescript(sql)
    return path


class TestFirstRun:
    @pytest.mark.parametrize("mask", [0o022, 0o000, 0o077])
    def test_nobody_else_may_read_it(self, library_path: Path, mask: int) -> None:
        """Fault 72: notes are private, whatever the umask."""
        before = os.umask(mask)
        try:
            with opened(library_path, "create") as library:
                put_model(library)
                backup = make_backup(library.path, "test")
        finally:
            os.umask(before)
        modes = [stat.S_IMODE(os.stat(path).st_mode) for path in (library_path, backup)]
        assert modes == [0o600, 0o600]
        folders = [os.path.dirname(library_path), os.path.dirname(backup)]
        assert [stat.S_IMODE(os.stat(path).st_mode) for path in folders] == [0o700, 0o700]

    @pytest.mark.parametrize("mode", ["read", "write"])
    def test_only_create_makes_one(self, library_path: Path, mode: Mode) -> None:
        error = refusal(library_path, mode)
        assert isinstance(error, NotFound)
        assert error.code == "no_library"
        assert not library_path.parent.exists()

    def test_a_rehearsal_works_on_nothing_and_leaves_nothing(self, library_path: Path) -> None:
        with opened(library_path, "dry_run") as library:
            put_model(library)
            assert models.get(library, SHA) is not None
        assert not library_path.parent.exists()

    def test_creating_twice_keeps_what_is_there(self, library_path: Path) -> None:
        with opened(library_path, "create") as library:
            put_model(library)
        before = library_path.read_bytes()
        with opened(library_path, "create"):
            pass
        assert library_path.read_bytes() == before

    def test_the_journal_is_the_safe_one(self, library: Library) -> None:
        """Promise 11: no acknowledged change is lost in a power cut with these, measured."""
        assert library.one("PRAGMA journal_mode") == ("truncate",)
        assert library.one("PRAGMA synchronous") == (2,)
        assert library.one("PRAGMA foreign_keys") == (1,)

    @pytest.mark.parametrize("name", ["a b.db", "50%.db", "what?.db", "a#b.db", "角色.db", "\udcff.db"])
    def test_any_name_will_do(self, tmp_path: Path, name: str) -> None:
        with opened(f"{tmp_path}/{name}", "create") as library:
            put_model(library)
        assert name in os.listdir(tmp_path)
        with opened(f"{tmp_path}/{name}", "read") as library:
            assert models.get(library, SHA) is not None

    def test_two_that_start_at_once_make_one(self, library_path: Path) -> None:
        """Promise 10, in threads with connections of their own; processes are tried elsewhere."""
        failures: list[BaseException] = []

        def start() -> None:
            try:
                with opened(library_path, "create"):
                    pass
            except MlibError as error:
                failures.append(error)

        threads = [threading.Thread(target=start) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert failures == []
        with opened(library_path, "read") as library:
            assert schema.applied_steps(library._connection) == set(schema.STEP_NAMES)


class TestRefused:
    """Faults 67, 68, 70: what is no library of ours is named and not touched."""

    @every_mode
    @pytest.mark.parametrize(
        "sql",
        [
            "CREATE TABLE models (id); INSERT INTO models VALUES (1)",
            "PRAGMA application_id = 252006674",
            "PRAGMA journal_mode = WAL; CREATE TABLE t (a); INSERT INTO t VALUES (1)",
        ],
        ids=["tables", "application", "wal"],
    )
    def test_a_database_of_another_program(self, tmp_path: Path, mode: Mode, sql: str) -> None:
        path = sqlite_file(tmp_path / "other/other.db", sql)
        before = snapshot(path.parent)
        assert refusal(path, mode).code == "not_a_library"
        assert snapshot(path.parent) == before

    @every_mode
    @pytest.mark.parametrize("sidecar", ["-wal", "-journal"])
    def test_what_another_program_left_unfinished_stays_so(
        self, tmp_path: Path, mode: Mode, sidecar: str
    ) -> None:
        """Opening a database finishes or undoes what lies beside it: not ours to do with a stranger's."""
        path = sqlite_file(tmp_path / "live/other.db", "CREATE TABLE t (a)")
        with closing(sqlite3.connect(path, isolation_level=None)) as db:
            db.execute(f"PRAGMA journal_mode = {'WAL' if sidecar == '-wal' else 'TRUNCATE'}")
            spill(db, "t", commit=sidecar == "-wal")
            copy = copied(path, tmp_path / "copy")
        assert os.path.getsize(f"{copy}{sidecar}") > 0
        before = snapshot(copy.parent)
        assert refusal(copy, mode).code == "not_a_library"
        assert snapshot(copy.parent) == before

    @every_mode
    def test_a_newer_library(self, library: Library, mode: Mode) -> None:
        put_model(library)
        with library.transaction():
            library.database.table("_sqlite_migrations").insert(
                {"migration_set": "mlib", "name": "m999_future", "applied_at": "2030-01-01"}
            )
        library.close()
        folder = os.path.dirname(library.path)
        before = snapshot(folder)
        error = refusal(library.path, mode)
        assert isinstance(error, Refused)
        assert (error.exit_code, error.code) == (4, "library_too_new")
        assert "m999_future" in error.message
        assert snapshot(folder) == before

    @every_mode
    @pytest.mark.parametrize("content", [b"not a database at all" * 100, b"\xff" * 5000, b"xy"])
    def test_bytes_that_are_no_database(self, tmp_path: Path, mode: Mode, content: bytes) -> None:
        path = tmp_path / "library.db"
        path.write_bytes(content)
        assert refusal(path, mode).code in ("library_corrupt", "not_a_library")
        assert path.read_bytes() == content
        assert os.listdir(tmp_path / "home") == []

    @every_mode
    @pytest.mark.parametrize("kept", [100, 1000, 4096, 9000])
    def test_a_truncated_library(self, library: Library, tmp_path: Path, mode: Mode, kept: int) -> None:
        put_model(library)
        library.close()
        path = tmp_path / "cut/library.db"
        path.parent.mkdir()
        path.write_bytes(Path(library.path).read_bytes()[:kept])
        before = snapshot(path.parent)
        assert refusal(path, mode).code == "library_corrupt"
        assert snapshot(path.parent) == before

    @every_mode
    @pytest.mark.parametrize("kind", ["directory", "fifo", "device"])
    def test_what_is_no_file_is_never_opened(self, tmp_path: Path, mode: Mode, kind: str) -> None:
        path = tmp_path / "library.db"
        if kind == "directory":
            path.mkdir()
        elif kind == "fifo":
            os.mkfifo(path)
        else:
            path = Path("/dev/null")
        assert refusal(path, mode).code == "not_a_library"

    @pytest.mark.parametrize("mode", ["read", "write", "dry_run"])
    def test_an_empty_file_is_no_library_yet(self, library_path: Path, mode: Mode) -> None:
        """Only what may create a library makes one of an empty file."""
        library_path.parent.mkdir()
        library_path.touch()
        if mode == "dry_run":
            with opened(library_path, mode) as library:
                assert library.one("SELECT count(*) FROM models") == (0,)
        else:
            assert refusal(library_path, mode).code == "no_library"
        assert library_path.read_bytes() == b""

    def test_an_empty_file_becomes_one(self, library_path: Path) -> None:
        library_path.parent.mkdir()
        library_path.touch()
        with opened(library_path, "create") as library:
            put_model(library)

    def test_a_link_to_nowhere_is_no_library(self, tmp_path: Path) -> None:
        (tmp_path / "library.db").symlink_to(tmp_path / "nowhere")
        assert refusal(tmp_path / "library.db").code == "no_library"

    def test_a_folder_that_cannot_be(self, tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        assert refusal(tmp_path / "file/library.db", "create").exit_code == 1


class TestUpgrade:
    DIRTY = f'{{"big":12345678901234567890123,"images":["{IMAGE}"],"f":1.10}}'
    CLEAN = '{"big":12345678901234567890123,"images_count":1,"f":1.10}'

    @pytest.fixture
    def old(self, library_path: Path) -> Path:
        """A library of the first release: only the first step applied, metadata with images in it."""
        from sqlite_utils import Database, Migrations

        library_path.parent.mkdir(mode=0o700)
        with closing(sqlite3.connect(library_path, isolation_level=None)) as connection:
            connection.execute("PRAGMA journal_mode = TRUNCATE")
            first = Migrations(schema.MIGRATION_SET)
            first()(schema.m001_tables)
            first.apply(Database(connection, execute_plugins=False))
            library = Library(connection, str(library_path))
            put_model(library, SHA, notes="mine", tags_=["kept"], meta_json=self.DIRTY)
            put_model(library, OTHER, meta_json='{"clean":1}')
            put_pending(library, sha256=None, meta_json=self.DIRTY)
        return library_path

    @every_mode
    def test_any_command_brings_it_up_to_date(self, old: Path, mode: Mode) -> None:
        with opened(old, mode) as library:
            assert models.meta(library, SHA) == self.CLEAN
            assert models.meta(library, OTHER) == '{"clean":1}'
            entry = pending.get(library, 1)
            assert entry is not None
            assert entry.meta_json == self.CLEAN
            assert schema.applied_steps(library._connection) == set(schema.STEP_NAMES)

    def test_what_was_typed_is_untouched(self, old: Path) -> None:
        """Promise 1."""
        changed = {"_sqlite_migrations", "model_meta", "pending_import"}
        before = {table: rows for table, rows in dump(old).items() if table not in changed}
        with opened(old):
            pass
        after = dump(old)
        assert {table: after[table] for table in before} == before
        counted = {"file_counts"}  # and dump has proved it
        assert not any(after[table] for table in after.keys() - before.keys() - changed - counted), (
            "new tables are empty"
        )

    def test_a_backup_of_the_old_one_is_made_first(self, old: Path) -> None:
        before = dump(old)
        with opened(old):
            pass
        (backup,) = backups(str(old))
        assert "before-upgrade" in backup
        assert dump(backup) == before

    def test_it_happens_once(self, old: Path) -> None:
        for _ in range(2):
            with opened(old):
                pass
        assert len(backups(str(old))) == 1

    def test_a_failing_step_leaves_the_old_one(self, old: Path) -> None:
        """Promise 11, fault 5."""
        with closing(sqlite3.connect(old)) as db, db:
            db.execute(
                "CREATE TRIGGER no_update BEFORE UPDATE ON pending_import"
                " BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        before = dump(old)
        assert "no room" in refusal(old).message
        assert dump(old) == before

    def test_several_at_once_do_it_once(self, old: Path) -> None:
        threads = [threading.Thread(target=lambda: opened(old).__enter__().close()) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(backups(str(old))) == 1


class TestTransaction:
    def test_an_error_undoes_all_of_it(self, library: Library) -> None:
        before = dump(library.path)
        with pytest.raises(ZeroDivisionError):
            fail_within(library, ZeroDivisionError())
        assert dump(library.path) == before
        put_model(library)

    def test_ctrl_c_undoes_all_of_it(self, library: Library) -> None:
        with pytest.raises(KeyboardInterrupt):
            fail_within(library, KeyboardInterrupt())
        assert models.get(library, SHA) is None

    def test_a_rehearsal_sees_its_changes_and_undoes_them(self, library: Library) -> None:
        before = dump(library.path)
        with library.rehearsal():
            put_model(library)
            assert models.get(library, SHA) is not None
            assert library.backup("test") is None
        assert models.get(library, SHA) is None
        assert dump(library.path) == before
        assert not backups(library.path)

    def test_a_rehearsal_undoes_several_steps_and_ends(self, library: Library) -> None:
        with library.rehearsal():
            put_model(library)
            put_model(library, OTHER)
        assert models.get(library, SHA) is None
        put_model(library)
        assert models.get(library, SHA) is not None
        assert library.backup("test") is not None

    def test_a_write_outside_of_one_is_a_fault(self, library: Library) -> None:
        with pytest.raises(RuntimeError, match="outside of a transaction"):
            library.execute("DELETE FROM models")

    def test_a_reader_cannot_write(self, library: Library) -> None:
        put_model(library)
        with opened(library.path, "read") as reader, pytest.raises(MlibError) as caught:
            put_model(reader, OTHER)
        assert caught.value.code == "library_read_only"

    def test_reading_sees_one_moment(self, library: Library) -> None:
        with (
            opened(library.path, "read") as reader,
            closing(sqlite3.connect(library.path, timeout=0)) as other,
        ):
            with reader.reading():
                before = reader.one("SELECT count(*) FROM models")
                with pytest.raises(sqlite3.OperationalError, match="locked"), other:
                    other.execute("DELETE FROM models")
                assert reader.one("SELECT count(*) FROM models") == before
            with other:
                other.execute("DELETE FROM models")

    def test_a_replaced_file_is_noticed_before_the_next_write(self, library: Library) -> None:
        """Fault 20: nothing is written to a file that is not the library any more."""
        put_model(library)
        shutil.copy(library.path, f"{library.path}.new")
        os.replace(f"{library.path}.new", library.path)
        before = dump(library.path)
        with pytest.raises(MlibError) as caught:
            put_model(library, OTHER)
        assert caught.value.code == "library_replaced"
        assert dump(library.path) == before

    def test_a_removed_file_is_not_made_again(self, library: Library) -> None:
        os.unlink(library.path)
        with pytest.raises(MlibError, match="moved or replaced"):
            put_model(library)
        assert not os.path.exists(library.path)


class TestBackup:
    def test_it_holds_everything(self, library: Library) -> None:
        put_model(library, notes="mine", tags_=["t"], meta_json="{}")
        assert dump(make_backup(library.path, "test")) == dump(library.path)

    def test_the_newest_few_are_kept(self, library: Library) -> None:
        made = [make_backup(library.path, f"number-{n}") for n in range(BACKUPS_KEPT + 3)]
        assert BACKUPS_KEPT == 5
        assert backups(library.path) == made[-BACKUPS_KEPT:]
        assert sorted(os.listdir(os.path.dirname(made[0]))) == [os.path.basename(path) for path in made[-5:]]

    def test_those_of_another_library_beside_it_are_not_counted(self, tmp_path: Path) -> None:
        others = []
        for name in ("a.db", "b.db"):
            with opened(tmp_path / name, "create") as library:
                others.append([make_backup(library.path, "test") for _ in range(BACKUPS_KEPT)])
        assert backups(str(tmp_path / "a.db")) == others[0]

    def test_one_within_a_transaction_holds_what_was_before_it(self, library: Library) -> None:
        put_model(library)
        before = dump(library.path)
        with library.transaction():
            backup = make_backup(library.path, "test")
            put_model(library, OTHER)
        assert dump(backup) == before
        assert models.get(library, OTHER) is not None

    def test_it_can_be_opened_as_a_library(self, library: Library) -> None:
        put_model(library, notes="mine")
        backup = make_backup(library.path, "test")
        with opened(backup, "read") as copy:
            assert models.named(copy, "file.safetensors", limit=2) == [SHA]

    def test_a_damaged_library_is_not_backed_up(self, library: Library) -> None:
        damage(library)
        with pytest.raises(MlibError) as caught:
            make_backup(library.path, "test")
        assert caught.value.code == "library_corrupt"
        assert os.listdir(os.path.join(os.path.dirname(library.path), "backups")) == []

    def test_without_a_place_for_it_nothing_goes_on(self, library: Library) -> None:
        (Path(library.path).parent / "backups").touch()
        with pytest.raises(MlibError) as caught:
            make_backup(library.path, "test")
        assert caught.value.code == "backup_failed"


class TestFaults:
    def test_a_crash_is_played_back_by_the_next_reader(self, library: Library, tmp_path: Path) -> None:
        """Promise 11: half of a change is on the disk, and its journal too."""
        put_model(library, notes="mine")
        before = dump(library.path)
        with closing(sqlite3.connect(library.path, isolation_level=None)) as db:
            db.execute("PRAGMA journal_mode = TRUNCATE")
            spill(db, "db_meta (key, value)", commit=False)
            copy = copied(Path(library.path), tmp_path / "crashed")
        assert copy.read_bytes()[:4096] != Path(library.path).read_bytes()[:4096] or (
            os.path.getsize(copy) > os.path.getsize(library.path)
        )
        with opened(copy, "read") as played:
            assert models.get(played, SHA) is not None
        assert dump(copy) == before

    def test_a_lock_held_too_long_is_busy(self, library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
        """Promise 10: the wait is real and bounded, its end is exit code 6; readers go on."""
        monkeypatch.setattr("mlib.db.connections.BUSY_SECONDS", 0.1)
        with library.transaction():
            put_model(library)
            with opened(library.path) as other, pytest.raises(LibraryBusy) as caught:
                put_model(other, OTHER)
            with opened(library.path, "read") as reader:
                assert models.get(reader, SHA) is None
        assert (caught.value.exit_code, caught.value.code) == (6, "library_busy")

    def test_damage_is_told_with_a_way_back_that_works(self, library: Library) -> None:
        """Fault 70: the hint, given to a shell, brings everything back and keeps the damaged file."""
        put_model(library, notes="mine", tags_=["kept"])
        before = dump(library.path)
        make_backup(library.path, "test")
        library.close()
        content = Path(library.path).read_bytes()
        damaged = content[:100] + b"\xff" * 4000 + content[4100:]
        Path(library.path).write_bytes(damaged)
        error = refusal(library.path)
        assert error.code == "library_corrupt"
        command = hint_of(error).partition(": ")[2]
        assert command.startswith("mlib restore ")
        run = f'mlib() {{ "{sys.executable}" -m mlib "$@"; }}; {command} --yes'
        subprocess.run(["sh", "-c", run], check=True)
        assert dump(library.path) == before
        [kept] = Path(library.path).parent.glob("library.db.*.replaced")
        assert kept.read_bytes() == damaged
        with opened(library.path) as restored:
            put_model(restored, OTHER)

    def test_damage_deep_inside_is_told_too(self, library: Library) -> None:
        damage(library)
        with pytest.raises(MlibError) as caught:
            library.all("SELECT * FROM models")
        assert caught.value.code == "library_corrupt"

    @pytest.mark.parametrize("what", ["file", "directory"])
    def test_what_may_not_be_written_can_be_read(self, library: Library, what: str) -> None:
        """Fault 71."""
        put_model(library)
        library.close()
        folder = os.path.dirname(library.path)
        os.chmod(library.path, 0o400)
        if what == "directory":
            os.chmod(folder, 0o500)
        before = snapshot(folder)
        assert run_unprivileged(library.path, "read") == "file.safetensors"
        assert run_unprivileged(library.path, "write") == "library_read_only 1"
        assert snapshot(folder) == before
        os.chmod(folder, 0o700)

    def test_what_may_not_be_read_is_told(self, library: Library) -> None:
        library.close()
        os.chmod(library.path, 0)
        assert run_unprivileged(library.path, "read") == "library_unreadable 1"


def fail_within(library: Library, error: BaseException) -> None:
    """Write in a transaction within a transaction, then fail before the end of the outer one."""
    with library.transaction():
        put_model(library)
        raise error


def spill(db: sqlite3.Connection, into: str, *, commit: bool) -> None:
    """Write so much in one transaction that SQLite moves pages to the disk before its end."""
    values = "" if "(" not in into else " 'k' || value,"
    db.execute("PRAGMA cache_size = 2")
    db.execute("BEGIN IMMEDIATE")
    db.execute(
        f"WITH RECURSIVE n(value) AS (SELECT 1 UNION ALL SELECT value + 1 FROM n WHERE value < 200)"
        f" INSERT INTO {into} SELECT{values} hex(randomblob(500)) FROM n"
    )
    if commit:
        db.execute("COMMIT")


def copied(path: Path, folder: Path) -> Path:
    """The database with all that lies beside it, as a crash would leave them now."""
    folder.mkdir()
    for name in os.listdir(path.parent):
        if name.startswith(path.name) and not name.endswith("-shm"):
            shutil.copy(path.parent / name, folder / name)
    return folder / path.name


def damage(library: Library) -> None:
    """Spoil the pages that hold models and their indexes, and leave the first."""
    with library.transaction():
        for n in range(300):
            put_model(library, f"{n:064x}", notes="x" * 200)
    pages = {
        root
        for (root,) in library.all(
            "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'models' AND type != 'trigger'"
        )
    }
    with open(library.path, "r+b") as file:
        for page in pages:
            file.seek((page - 1) * 4096)
            file.write(b"\xff" * 4096)
    library.all("PRAGMA shrink_memory")
    with closing(sqlite3.connect(library.path)) as other, other:
        other.execute("PRAGMA user_version = 1")  # so that nobody believes what was cached


def run_unprivileged(path: str, mode: Mode) -> str:
    """The first model's name, after an attempt to write it again; or the error's code and exit code."""
    script = f"""
from mlib.core.errors import MlibError
from mlib.db.library import open_library
try:
    with open_library({path!r}, mode={mode!r}) as library:
        name = library.one("SELECT name FROM models")[0]
        if {mode!r} == "write":
            with library.transaction():
                library.execute("DELETE FROM models")
        print(name)
except MlibError as error:
    print(error.code, error.exit_code)
"""
    command = [*UNPRIVILEGED, sys.executable, "-c", script]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def test_a_backup_that_was_killed_midway_is_cleared_away_a_day_later(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = Path(make_backup(library.path, "first")).parent
    final = "library.db.20260101T000000.000000Z.by-hand.bak"
    half = folder / temporary_name("partial", final)
    former = folder / f"{final}.partial"  # of mlib 0.1
    other = folder / f"other.db{final.removeprefix('library.db')}.partial"
    for partial in (half, former, other):
        partial.write_bytes(b"half")
    make_backup(library.path, "second")
    assert [each.exists() for each in (half, former, other)] == [True, True, True]
    two_days_on = time.time() + 2 * 86_400  # nothing can make a file's last change an old one
    monkeypatch.setattr(time, "time", lambda: two_days_on)
    with half.open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)  # as whoever is making one does
        make_backup(library.path, "third")
        assert [each.exists() for each in (half, former, other)] == [True, False, True]
    make_backup(library.path, "fourth")
    assert [each.exists() for each in (half, other)] == [False, True]
