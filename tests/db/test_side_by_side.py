"""Two reads at once: of the same moment, whatever others do meanwhile, and what either raises is told."""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from tests.libraries import put_model

from mlib.db import models
from mlib.db.opening import open_library
from mlib.db.side_by_side import side_by_side

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlib.db.library import Library

ONE, TWO = "1" * 64, "2" * 64


@pytest.fixture
def path(tmp_path: Path) -> str:
    with open_library(str(tmp_path / "library.db"), mode="create") as library:
        put_model(library, ONE)
    return str(tmp_path / "library.db")


@pytest.fixture
def library(path: str) -> Iterator[Library]:
    with open_library(path, mode="read") as library:
        yield library


def test_both_run_at_once_in_threads_of_their_own(library: Library) -> None:
    met = threading.Barrier(2, timeout=10)

    def read(which: Library) -> tuple[int, list[str]]:
        met.wait()  # neither ends before the other has begun
        return threading.get_ident(), models.all_ids(which)

    (here, ids), (there, others) = side_by_side(library, read, read)
    assert ids == others == [ONE]
    assert here == threading.get_ident() != there


def test_nobody_writes_between_the_two(library: Library, path: str) -> None:
    tried = threading.Event()

    def write_first(which: Library) -> list[str]:
        other = sqlite3.connect(path, timeout=0, isolation_level=None)
        with closing(other), pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("DELETE FROM models")
        tried.set()
        return models.all_ids(which)

    def read_later(which: Library) -> list[str]:
        tried.wait()
        return models.all_ids(which)

    assert side_by_side(library, write_first, read_later) == ([ONE], [ONE])
    with closing(sqlite3.connect(path, timeout=0, isolation_level=None)) as other:
        other.execute("DELETE FROM models")  # afterwards nobody is kept out


def test_where_a_writer_waits_for_readers_they_come_one_after_the_other(library: Library, path: str) -> None:
    def write() -> None:
        writer = sqlite3.connect(path, timeout=60, isolation_level=None)
        writer.execute("DELETE FROM models")  # waits for this reader, and lets no new one begin
        writer.close()

    waiting = threading.Thread(target=write)
    with library.reading():
        assert models.all_ids(library) == [ONE]
        waiting.start()
        _until_readers_are_kept_out(path)
        threads = side_by_side(
            library,
            lambda _: threading.get_ident(),
            lambda which: (threading.get_ident(), models.all_ids(which)),
        )
    waiting.join(timeout=60)
    assert threads == (threading.get_ident(), (threading.get_ident(), [ONE]))
    assert models.all_ids(library) == []


def test_a_private_copy_is_not_taken_for_the_file_it_was_made_from(library: Library, path: str) -> None:
    with library.snapshot() as copy:
        with open_library(path, mode="write") as writing:
            put_model(writing, TWO)
        assert side_by_side(copy, models.all_ids, models.all_ids) == ([ONE], [ONE])
    assert side_by_side(library, models.all_ids, models.all_ids) == ([ONE, TWO], [ONE, TWO])


def test_a_library_that_was_replaced_is_read_as_it_was(library: Library, path: str, tmp_path: Path) -> None:
    with open_library(str(tmp_path / "another.db"), mode="create") as another:
        put_model(another, TWO)
    (tmp_path / "another.db").replace(path)
    assert side_by_side(library, models.all_ids, models.all_ids) == ([ONE], [ONE])


@pytest.mark.parametrize("second", [False, True])
def test_what_either_raises_is_raised(library: Library, second: bool) -> None:
    def fail(_: Library) -> None:
        raise KeyError("x")

    pair = (models.all_ids, fail) if second else (fail, models.all_ids)
    with pytest.raises(KeyError, match="x"):
        side_by_side(library, *pair)
    with library.reading():  # nothing is left open
        assert models.all_ids(library) == [ONE]


def test_the_second_is_not_waited_for_when_the_first_fails(library: Library, path: str) -> None:
    begun, go_on = threading.Event(), threading.Event()
    ended: list[list[str]] = []

    def wait_long(which: Library) -> None:
        begun.set()
        assert go_on.wait(timeout=60)
        ended.append(models.all_ids(which))

    def fail(_: Library) -> None:
        begun.wait()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        side_by_side(library, fail, wait_long)
    assert ended == []
    go_on.set()  # it still reads the same moment, then closes its connection and keeps nobody out
    with closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as other:
        other.execute("DELETE FROM models")
    assert ended == [[ONE]]


def _until_readers_are_kept_out(path: str) -> None:
    end = time.monotonic() + 30
    while time.monotonic() < end:
        reader = sqlite3.connect(path, timeout=0)
        try:
            reader.execute("SELECT count(*) FROM models").fetchone()
        except sqlite3.OperationalError:
            return
        finally:
            reader.close()
        time.sleep(0.01)
    raise AssertionError("the writer never waited")
