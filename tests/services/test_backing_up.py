"""Backups and restoring: what takes the library's place is good, and what was there is kept."""

from __future__ import annotations

import os
import shlex
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import OTHER, SHA, dump, put_model
from tests.tools import hint_of, mlib

from mlib.core.disk.writing import looked_at
from mlib.core.errors import LibraryBusy, MlibError, NotFound, Refused
from mlib.db.library import open_library
from mlib.services.backing_up import back_up, list_backups, plan_restore, restore
from mlib.services.diagnosing import examine

if TYPE_CHECKING:
    from mlib.db.library import Library

#: As root, permissions mean something only without these capabilities.
UNPRIVILEGED = ("setpriv", "--bounding-set=-dac_override,-dac_read_search") if os.geteuid() == 0 else ()


def changed_since_backup(library: Library) -> tuple[str, object]:
    """A backup's path and what it holds; the library holds something else by now."""
    put_model(library, notes="mine")
    before = dump(library.path)
    backup = back_up(library, None)
    put_model(library, OTHER)
    library.close()
    return backup, before


def replaced(library: Library) -> list[Path]:
    return sorted(Path(library.path).parent.glob("*.replaced"))


def test_the_newest_backup_comes_back_and_what_was_there_is_kept(library: Library) -> None:
    backup, before = changed_since_backup(library)
    after = dump(library.path)
    report = restore(library.path, plan_restore(library.path, None).backup)
    assert (report.backup, report.kept) == (backup, str(replaced(library)[0]))
    assert dump(library.path) == before
    assert dump(replaced(library)[0]) == after
    assert os.stat(library.path).st_mode & 0o777 == 0o600
    restore(library.path, str(replaced(library)[0]))
    assert dump(library.path) == after


@pytest.mark.parametrize("content", [b"", b"x" * 5000, b"SQLite format 3\0" + b"\xff" * 5000])
def test_a_library_that_cannot_be_opened_is_restored(library: Library, content: bytes) -> None:
    _, before = changed_since_backup(library)
    Path(library.path).write_bytes(content)
    restore(library.path, plan_restore(library.path, None).backup)
    assert dump(library.path) == before
    assert replaced(library)[0].read_bytes() == content


def test_a_library_that_is_gone_is_restored(library: Library) -> None:
    _, before = changed_since_backup(library)
    os.unlink(library.path)
    assert restore(library.path, plan_restore(library.path, None).backup).kept is None
    assert dump(library.path) == before


@pytest.mark.parametrize("content", [b"", b"unfinished"])
def test_only_a_journal_that_holds_something_is_kept(library: Library, content: bytes) -> None:
    changed_since_backup(library)
    os.unlink(library.path)
    Path(f"{library.path}-journal").write_bytes(content)
    restore(library.path, plan_restore(library.path, None).backup)
    kept = [path.read_bytes() for path in Path(library.path).parent.glob("*.replaced-journal")]
    assert kept == [content][: len(content)]
    assert not os.path.exists(f"{library.path}-journal")


def test_a_directory_in_its_place_is_set_aside(library: Library) -> None:
    backup, _ = changed_since_backup(library)
    os.unlink(library.path)
    os.mkdir(library.path)
    assert plan_restore(library.path, backup).replaces
    assert os.listdir(library.path) == []
    kept = restore(library.path, backup).kept
    assert kept is not None
    assert os.listdir(kept) == []
    assert os.path.isfile(library.path)


@pytest.mark.parametrize("state", ["whole", "damaged", "gone"])
def test_an_unfinished_change_of_the_old_library_never_reaches_the_restored_one(
    library: Library, tmp_path: Path, state: str
) -> None:
    backup, before = changed_since_backup(library)
    leave_unfinished(library.path, tmp_path)
    if state == "damaged":
        Path(library.path).write_bytes(b"\xff" * 60_000)
    if state == "gone":
        os.unlink(library.path)
    assert os.path.getsize(library.path + "-journal") > 0
    restore(library.path, backup)
    assert dump(library.path) == before
    with closing(sqlite3.connect(library.path)) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    if state == "whole":
        with closing(sqlite3.connect(replaced(library)[0])) as db:
            assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
            assert db.execute("SELECT notes FROM models WHERE sha256 = ?", [SHA]).fetchone() == ("mine",)


def leave_unfinished(path: str, folder: Path) -> None:
    """The files as a process leaves them that is killed in the middle of a large change."""
    with closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA cache_size = 2")
        db.execute("BEGIN IMMEDIATE")
        db.execute("UPDATE models SET notes = 'half done'")
        for number in range(300):
            db.execute("INSERT INTO db_meta VALUES (?, ?)", [f"k{number}", "x" * 1000])
        for suffix in ("", "-journal"):
            shutil.copy(path + suffix, folder / f"copy{suffix}")
        db.execute("ROLLBACK")
    for suffix in ("", "-journal"):
        shutil.copy(folder / f"copy{suffix}", path + suffix)


def test_where_a_library_was_its_backup_is_named(library: Library) -> None:
    with pytest.raises(NotFound) as caught:
        open_library(f"{library.path}.other", mode="read")
    assert "no library yet" in caught.value.message
    backup, _ = changed_since_backup(library)
    os.truncate(library.path, 0)
    expect_backup_named(library.path, backup)
    os.unlink(library.path)
    expect_backup_named(library.path, backup)


@pytest.mark.parametrize("left", ["nothing", "an empty file"])
@pytest.mark.parametrize(
    "words",
    [["scan"], ["scan", "--root"], ["scan", "-n", "--root"], ["roots", "add"], ["clean-meta", "-n"]],
    ids=" ".join,
)
def test_no_new_library_takes_the_place_of_one_that_is_gone(
    library: Library, tmp_path: Path, words: list[str], left: str
) -> None:
    """Promise 1: a nightly scan would go on with an empty one, and nobody would hear of it."""
    (tmp_path / "loras").mkdir()
    backup, before = changed_since_backup(library)
    path = Path(library.path)
    path.unlink()
    if left == "an empty file":
        path.touch()
    if words[-1] in ("--root", "add"):
        words = [*words, f"loras={tmp_path / 'loras'}"]
    refused = mlib_here(*words, "--json", library=path, code=5)
    assert (refused.out, refused.error["code"]) == ("", "no_library")
    assert "is missing" in refused.error["message"]
    first, anew = refused.error["hint"].split("; ")
    assert f"{backup}: mlib restore --latest" in first
    assert not path.exists() or not path.stat().st_size
    mlib_here(*shlex.split(first.partition(": mlib ")[2]), "--yes")
    assert dump(path) == before
    path.unlink()
    kept = anew.partition("move ")[2].removesuffix(" elsewhere")
    assert [str(each) for each in tmp_path.glob(os.path.relpath(kept, tmp_path))] == [backup]
    Path(backup).rename(tmp_path / "kept.bak")
    mlib_here("scan", "--root", f"loras={tmp_path / 'loras'}", library=path)
    assert path.stat().st_size


def test_bad_backups_tell_of_a_library_too(library: Library) -> None:
    backup, _ = changed_since_backup(library)
    Path(backup).write_bytes(b"nothing")
    os.unlink(library.path)
    for mode in ("read", "create"):
        with pytest.raises(NotFound, match="is missing") as raised:
            open_library(library.path, mode=mode)
        assert hint_of(raised.value).startswith("none of its backups is good; to start a new one")


def test_backups_of_a_longer_name_are_another_librarys(library: Library) -> None:
    other = library.path.removesuffix(".db")
    backup, _ = changed_since_backup(library)
    with open_library(other, mode="create") as opened:
        for _ in range(6):
            opened.backup("test")
        assert {each.reason for each in list_backups(other)} == {"test"}
    assert os.path.exists(backup)


def expect_backup_named(path: str, backup: str) -> None:
    with pytest.raises(NotFound) as opening:
        open_library(path, mode="write")
    with pytest.raises(NotFound) as examining:
        examine(path)
    for error in (opening.value, examining.value):
        assert (error.code, "library is missing" in error.message) == ("no_library", True)
        assert f"{backup}: mlib restore --latest" in hint_of(error)


@pytest.mark.faults
def test_a_library_that_one_may_not_open_is_restored(library: Library) -> None:
    _, before = changed_since_backup(library)
    os.chmod(library.path, 0)
    mlib("restore", "--latest", "--yes", library=Path(library.path), prefix=UNPRIVILEGED)
    assert dump(library.path) == before


def test_a_bad_backup_is_refused_and_the_newest_good_one_is_found(library: Library, tmp_path: Path) -> None:
    good, _ = changed_since_backup(library)
    with open_library(library.path, mode="write") as opened:
        newer = back_up(opened, None)
    content = bytearray(Path(newer).read_bytes())
    content[5000:9000] = b"\xff" * 4000
    Path(newer).write_bytes(content)
    assert plan_restore(library.path, None).backup == good
    held = dump(library.path)
    stranger = tmp_path / "stranger.db"
    with closing(sqlite3.connect(stranger)) as db:
        db.execute("CREATE TABLE t (x)")
    (tmp_path / "text").write_text("hello")
    for path in (newer, str(stranger), str(tmp_path / "text")):
        with pytest.raises(MlibError) as caught:
            restore(library.path, path)
        assert caught.value.code == "bad_backup"
    with pytest.raises(NotFound):
        plan_restore(library.path, "no such")
    with pytest.raises(Refused):
        restore(library.path, library.path)
    assert dump(library.path) == held
    assert replaced(library) == []
    assert plan_restore(library.path, os.path.basename(good)).backup == good


def test_a_backup_of_a_newer_mlib_is_refused(library: Library) -> None:
    backup, _ = changed_since_backup(library)
    with closing(sqlite3.connect(backup)) as db:
        db.execute(
            "INSERT INTO _sqlite_migrations (migration_set, name, applied_at) VALUES ('mlib', 'm999', '')"
        )
        db.commit()
    with pytest.raises(Refused) as caught:
        restore(library.path, backup)
    assert caught.value.code == "library_too_new"


def test_nothing_is_replaced_while_another_program_writes(
    library: Library, monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlib.db import connections

    monkeypatch.setattr(connections, "BUSY_SECONDS", 0.1)
    backup, _ = changed_since_backup(library)
    held = dump(library.path)
    with closing(sqlite3.connect(library.path, isolation_level=None)) as writer:
        writer.execute("BEGIN IMMEDIATE")
        with pytest.raises(LibraryBusy):
            restore(library.path, backup)
        writer.execute("ROLLBACK")
    assert dump(library.path) == held


def test_a_backup_of_ones_own_is_whole_and_replaces_nothing_unasked(library: Library, tmp_path: Path) -> None:
    put_model(library, notes="mine")
    to = tmp_path / "mine.db"
    assert back_up(library, str(to)) == str(to)
    assert dump(to) == dump(library.path)
    with pytest.raises(Refused):
        back_up(library, str(to))
    put_model(library, OTHER)
    back_up(library, str(to), replaces=looked_at(str(to)))
    assert dump(to) == dump(library.path)
    assert os.listdir(tmp_path / "library") == ["library.db"] or list_backups(library.path) == []
    with pytest.raises(Refused):
        back_up(library, library.path, replaces=looked_at(library.path))


def test_what_mlib_backs_up_by_itself_never_pushes_out_what_was_made_on_purpose(library: Library) -> None:
    put_model(library, notes="mine")
    mine = [back_up(library, None) for _ in range(7)][-5:]
    own = [library.backup("before-prune") for _ in range(7)][-5:]
    assert [each.path for each in reversed(list_backups(library.path))] == [*mine, *own]
    newer = back_up(library, None)
    assert [each.path for each in reversed(list_backups(library.path))] == [*mine[1:], *own, newer]
