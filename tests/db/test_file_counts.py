"""What is counted of the files of each model counts itself, whoever writes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.libraries import OTHER, SHA, counts_are_true, known_file, make_older, put_files, put_model

from mlib.core.records import Stat
from mlib.db import files, models
from mlib.db.library import open_library

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library

shas = st.sampled_from([SHA, OTHER])
names = st.sampled_from(["/m/a", "/m/b", "/n/c"])
stats = st.one_of(st.none(), st.builds(Stat, st.just(9), st.just(1), st.integers(1, 2), st.integers(1, 2)))
steps = st.one_of(
    st.tuples(st.just("put"), names, shas, stats, st.sampled_from([None, 5])),
    st.tuples(st.just("missing"), names, shas),
    st.tuples(st.just("remove"), names, shas),
    st.tuples(st.just("other content"), names, shas),
    st.tuples(st.just("other inode"), names, shas),
    st.tuples(st.just("forget"), shas),
    st.tuples(st.just("model"), shas),
)


def counted(library: Library) -> list[tuple[Any, ...]]:
    return library.all("SELECT * FROM file_counts ORDER BY sha256")


def take(library: Library, step: tuple[Any, ...]) -> None:
    """Do what the step says, as far as it is possible."""
    what, *given_ = step
    if what == "model":
        put_model(library, *given_)
    elif what == "forget":
        with library.transaction():
            models.delete(library, *given_)
    elif what == "put":
        path, sha256, stat, missing_since = given_
        taken = any(row.missing_since is None for row in files.at_path(library, path))
        known = library.one("SELECT 1 FROM models WHERE sha256 = ?", [sha256])
        if known is not None and not (missing_since is None and taken):
            put_files(library, known_file(path, sha256, stat=stat, missing_since=missing_since))
    else:
        _change(library, what, *given_)
    counts_are_true(library._connection)


def _change(library: Library, what: str, path: str, sha256: str) -> None:
    rows = [row for row in files.at_path(library, path) if row.sha256 == sha256]
    if not rows:
        return
    sql = {
        "other content": f"UPDATE OR IGNORE files SET sha256 = '{SHA if sha256 == OTHER else OTHER}'",
        "other inode": "UPDATE files SET inode = inode + 1",
    }
    with library.transaction():
        if what == "missing":
            files.mark_missing(library, rows, 7)
        elif what == "remove":
            files.remove(library, rows[0])
        elif len(library.all("SELECT 1 FROM models")) == 2:
            key = [rows[0].directory, rows[0].name, sha256]
            library.execute(f"{sql[what]} WHERE directory = ? AND name = ? AND sha256 = ?", key)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(steps, min_size=4, max_size=25))
def test_whatever_is_written_the_counts_are_true(tmp_path: Path, taken: list[tuple[Any, ...]]) -> None:
    path = tmp_path / "library.db"
    with open_library(str(path), mode="create") as library:
        with library.transaction():
            for sha256 in (SHA, OTHER):
                models.delete(library, sha256)
        for step in [("model", SHA), ("model", OTHER), *taken]:
            take(library, step)
        before = counted(library)
    make_older(path, last="m007_counting")
    with open_library(str(path), mode="write") as library:
        assert counted(library) == before


def test_a_model_at_one_path_takes_no_room(library: Library) -> None:
    put_model(library, SHA)
    assert counted(library) == [(SHA, 0, 0, 0)]
    put_files(library, known_file("/m/a"))
    assert counted(library) == []


def test_paths_are_counted_and_files_once(library: Library) -> None:
    put_model(library, SHA)
    linked = Stat(1000, 1, 7, 12)
    put_files(
        library,
        known_file("/m/a", stat=linked),
        known_file("/m/b", stat=linked),
        known_file("/m/c"),
        known_file("/m/d", missing_since=5),
    )
    assert counted(library) == [(SHA, 4, 3, 2)]


def test_a_file_that_nobody_has_seen_is_one(library: Library) -> None:
    """Where only somebody's word tells of it, it has no inode."""
    put_model(library, SHA)
    put_files(library, known_file("/m/a", stat=None), known_file("/m/b", stat=None))
    assert counted(library) == [(SHA, 2, 2, 1)]


def test_what_is_taken_back_is_not_counted(library: Library) -> None:
    put_model(library, SHA)
    put_files(library, known_file("/m/a"))
    with library.rehearsal(), library.transaction():
        put_files(library, known_file("/m/b"))
        assert counted(library) == [(SHA, 2, 2, 1)]
    assert counted(library) == []
