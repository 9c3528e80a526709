"""Opening another program's database: broken, in use or huge, it is not changed and gives one clear error."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import sqlite3
import sys
import tempfile
import time
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import lacking

from mlib.core.errors import MlibError
from mlib.db.untrusted import open_untrusted

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

NOBODY = 65534


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with nothing in it but what the test puts there."""
    made = tmp_path / "folder"
    made.mkdir()
    return made


def simple(path: Path, *, rows: int = 3, journal_mode: str = "delete") -> str:
    with closing(sqlite3.connect(path)) as db:
        db.execute(f"PRAGMA journal_mode={journal_mode}")
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(rows)])
        db.commit()
    return str(path)


def live_wal(folder: Path) -> str:
    """A database whose rows are all in the -wal: the writer has gone without a checkpoint."""
    made = folder / "made"
    made.mkdir()
    left = folder / "left"
    left.mkdir()
    with closing(sqlite3.connect(made / "live.db")) as db:
        db.execute("PRAGMA journal_mode=wal")
        db.execute("PRAGMA wal_autocheckpoint=0")
        db.execute("CREATE TABLE t (x)")
        db.executemany("INSERT INTO t VALUES (?)", [(n,) for n in range(3)])
        db.commit()
        shutil.copy(made / "live.db", left)
        shutil.copy(made / "live.db-wal", left)
    return str(left / "live.db")


def hot_journal(folder: Path) -> str:
    """A database caught in the middle of a transaction that had already written to it."""
    made = folder / "made"
    made.mkdir()
    left = folder / "left"
    left.mkdir()
    simple(made / "hot.db", rows=5000)
    with closing(sqlite3.connect(made / "hot.db", isolation_level=None)) as db:
        db.execute("PRAGMA cache_size=2")
        db.execute("BEGIN")
        db.execute("UPDATE t SET x = x + 1000000")
        shutil.copy(made / "hot.db", left)
        shutil.copy(made / "hot.db-journal", left)
        db.execute("ROLLBACK")
    return str(left / "hot.db")


def numbers(path: str) -> list[int]:
    with open_untrusted(path, deadline=time.monotonic() + 30) as db:
        return [n for (n,) in db.execute("SELECT x FROM t ORDER BY x")]


def refusal(path: str, *, use: Callable[[sqlite3.Connection], object] | None = None) -> MlibError:
    with pytest.raises(MlibError) as caught, open_untrusted(path, deadline=time.monotonic() + 30) as db:
        (use or (lambda db: db.execute("SELECT * FROM sqlite_master").fetchall()))(db)
    return caught.value


def listing(folder: str | Path) -> dict[str, tuple[bytes, int]]:
    return {path.name: (path.read_bytes(), path.stat().st_mtime_ns) for path in Path(folder).iterdir()}


@contextmanager
def read_only(folder: str) -> Iterator[None]:
    """Make a folder unwritable for us; root has to step down for that to mean anything."""
    os.chmod(folder, 0o555)
    root = os.geteuid() == 0
    if root:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        if root:
            os.seteuid(0)
        os.chmod(folder, 0o755)


@contextmanager
def alarm(seconds: float, error: type[BaseException]) -> Iterator[None]:
    """Raise `error` in whatever is running after so many seconds, as a signal does."""

    def handler(_number: int, _frame: FrameType | None) -> None:
        raise error

    previous = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


@pytest.fixture
def open_folder() -> Iterator[str]:
    """A folder that every user can reach, unlike those of pytest."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        yield folder


def test_it_reads_text_as_bytes_and_refuses_writing(folder: Path) -> None:
    path = simple(folder / "a.db")
    with open_untrusted(path, deadline=time.monotonic() + 30) as db:
        assert db.execute("SELECT 'é'").fetchone() == ("é".encode(),)
        with pytest.raises(sqlite3.OperationalError):
            db.execute("INSERT INTO t VALUES (9)")
        assert db.execute("PRAGMA trusted_schema").fetchone() == (0,)
        assert db.execute("PRAGMA cell_size_check").fetchone() == (1,)


@pytest.mark.parametrize(
    "name",
    [
        "what?.db",
        "a#b.db",
        "50%25.db",
        'it\'s "quoted".db',
        "a b&mode=rwc.db",
        "ü🎨.db",
        "new\nline.db",
        "%00.db",
    ],
)
def test_any_name_of_a_file_is_taken_literally(folder: Path, name: str) -> None:
    path = simple(folder / "x.db")
    os.rename(path, folder / name)
    assert numbers(str(folder / name)) == [0, 1, 2]
    assert os.listdir(folder) == [name]


def test_a_name_that_is_not_utf8_is_taken_literally(folder: Path) -> None:
    name = os.fsencode(folder) + b"/\xff\xfe.db"
    os.rename(simple(folder / "x.db"), name)
    assert numbers(os.fsdecode(name)) == [0, 1, 2]


def test_a_relative_name_and_a_symbolic_link_work(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    simple(folder / "x.db")
    os.symlink("x.db", folder / "link.db")
    monkeypatch.chdir(folder)
    assert numbers("x.db") == numbers("link.db") == [0, 1, 2]


@pytest.mark.parametrize("name", ["gone.db", "x.db/below", "", "nul\0.db"])
def test_a_file_that_is_not_there_is_named(folder: Path, name: str) -> None:
    simple(folder / "x.db")
    assert refusal(f"{folder}/{name}" if name else "").code == "no_such_file"
    assert os.listdir(folder) == ["x.db"]


def test_directories_fifos_sockets_and_devices_are_refused_at_once(folder: Path) -> None:
    os.mkfifo(folder / "fifo")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(folder / "socket"))
    os.symlink("/dev/zero", folder / "zero")
    with alarm(10, TimeoutError):
        for name in (".", "fifo", "socket", "zero"):
            assert refusal(str(folder / name)).code == "not_a_file"


def test_a_file_we_may_not_read_is_reported(open_folder: str) -> None:
    path = simple(Path(open_folder, "x.db"))
    os.chmod(path, 0)
    with read_only(open_folder):
        assert refusal(path).code == "unreadable_file"


def test_an_overlong_name_is_reported(folder: Path) -> None:
    assert refusal(str(folder / ("x" * 300))).code == "unreadable_file"


@pytest.mark.parametrize("size", [2, 99, 100, 511, 512, 5000, 100_000])
def test_random_bytes_are_no_database(folder: Path, size: int) -> None:
    (folder / "x.db").write_bytes(bytes((n * 167 + 13) % 251 for n in range(size)))
    assert refusal(str(folder / "x.db")).code == "not_a_database"


@pytest.mark.parametrize("journal_mode", ["delete", "wal"])
def test_reading_changes_neither_file_nor_folder(folder: Path, journal_mode: str) -> None:
    path = simple(folder / "x.db", journal_mode=journal_mode)
    before = listing(folder)
    assert set(before) == {"x.db"}
    assert numbers(path) == [0, 1, 2]
    assert listing(folder) == before


def test_a_wal_database_opens_in_a_folder_we_may_not_write(open_folder: str) -> None:
    path = simple(Path(open_folder, "x.db"), journal_mode="wal")
    assert Path(path).read_bytes()[18:20] == b"\2\2"  # its header says WAL
    with read_only(open_folder):
        with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db, pytest.raises(sqlite3.Error):
            db.execute("SELECT * FROM t")  # the trap: this is not enough
        assert numbers(path) == [0, 1, 2]
    assert os.listdir(open_folder) == ["x.db"]


def test_rows_that_are_only_in_the_wal_are_read(folder: Path) -> None:
    path = live_wal(folder)
    before = listing(folder / "left")
    assert set(before) == {"live.db", "live.db-wal"}
    assert numbers(path) == [0, 1, 2]
    assert listing(folder / "left") == before


def test_a_live_wal_is_read_through_a_link_and_from_a_folder_we_may_not_write(
    folder: Path, open_folder: str
) -> None:
    path = live_wal(folder)
    for name in os.listdir(folder / "left"):
        shutil.copy(folder / "left" / name, open_folder)
    os.symlink(os.path.basename(path), os.path.join(open_folder, "link"))
    before = listing(open_folder)
    with read_only(open_folder):
        assert numbers(os.path.join(open_folder, "link")) == [0, 1, 2]
    assert listing(open_folder) == before


def test_an_unfinished_transaction_is_rolled_back_in_the_copy_only(folder: Path) -> None:
    path = hot_journal(folder)
    before = listing(folder / "left")
    with closing(sqlite3.connect(f"file:{path}?immutable=1", uri=True)) as db:
        torn = db.execute("SELECT count(*) FROM t WHERE x >= 1000000").fetchone()
    assert torn > (0,)  # the half-done change is really in the file
    assert numbers(path) == list(range(5000))
    assert listing(folder / "left") == before


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_what_is_beside_the_database_but_holds_nothing_is_ignored(folder: Path, suffix: str) -> None:
    for name, make in (("a", os.mkfifo), ("b", os.mkdir), ("c", lambda path: Path(path).touch())):
        path = simple(folder / name)
        make(path + suffix)
        assert numbers(path) == [0, 1, 2]


def test_rubbish_beside_the_database_does_no_harm(folder: Path) -> None:
    path = simple(folder / "x.db")
    Path(path + "-wal").write_bytes(b"rubbish" * 1000)
    Path(path + "-journal").write_bytes(b"rubbish" * 1000)
    before = listing(folder)
    assert numbers(path) == [0, 1, 2]
    assert listing(folder) == before


def test_a_temporary_copy_leaves_nothing_behind(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = live_wal(folder)
    (folder / "tmp").mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
    with open_untrusted(path, deadline=time.monotonic() + 30):
        (copy,) = os.listdir(folder / "tmp")
        assert os.stat(folder / "tmp" / copy).st_mode & 0o777 == 0o700
    assert os.listdir(folder / "tmp") == []


def test_no_room_for_a_temporary_copy_is_reported(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = live_wal(folder)
    monkeypatch.setattr(tempfile, "tempdir", str(folder / "gone"))
    assert refusal(path).code == "temporary_copy_failed"


def test_a_database_too_big_for_the_temporary_folder_is_not_copied(folder: Path) -> None:
    path = live_wal(folder)
    os.truncate(path, 2**42)
    started = time.monotonic()
    assert refusal(path).code == "temporary_copy_failed"
    assert time.monotonic() - started < 5


def test_a_copy_that_takes_too_long_ends_at_the_deadline(folder: Path) -> None:
    path = live_wal(folder)
    with pytest.raises(MlibError) as caught, open_untrusted(path, deadline=time.monotonic() - 1):
        pass
    assert caught.value.code == "database_too_slow"


def test_a_giant_value_is_never_built(folder: Path) -> None:
    path = simple(folder / "x.db")
    assert refusal(path, use=lambda db: db.execute("SELECT zeroblob(900000000)").fetchall()).code == (
        "database_too_big"
    )


def test_a_database_written_while_it_is_read_is_reported(folder: Path) -> None:
    path = simple(folder / "x.db")

    def write_meanwhile(_reading: sqlite3.Connection) -> None:
        with closing(sqlite3.connect(path)) as db:
            db.execute("INSERT INTO t VALUES (4)")
            db.commit()

    assert refusal(path, use=write_meanwhile).code == "database_in_use"


def test_table_definitions_that_are_not_text_are_reported(folder: Path) -> None:
    path = folder / "x.db"
    simple(path)
    path.write_bytes(path.read_bytes().replace(b"CREATE TABLE t (x)", b"CREATE TA\xff\xfe t (x)"))
    assert refusal(str(path)).code == "corrupt_database"


def test_no_connection_or_descriptor_stays_open(folder: Path) -> None:
    if not sys.platform.startswith("linux"):
        lacking("counts descriptors in /proc")
    good, live = simple(folder / "x.db"), live_wal(folder)
    (folder / "bad.db").write_bytes(b"no database at all" * 100)
    count = len(os.listdir("/proc/self/fd"))
    numbers(good)
    numbers(live)
    refusal(str(folder / "bad.db"))
    refusal(str(folder))
    assert len(os.listdir("/proc/self/fd")) == count
