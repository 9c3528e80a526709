"""`mlib clean-meta` as it is typed."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import OTHER, SHA, dump, put_model, put_pending, snapshot
from tests.tools import mlib

if TYPE_CHECKING:
    from mlib.db.library import Library

DIRTY = '{"preview":"x","keep":1.10}'


@pytest.fixture
def path(library: Library) -> Path:
    put_model(library, SHA, meta_json=DIRTY)
    put_model(library, OTHER, name="two", meta_json='{"keep":1}')
    put_pending(library, sha256=None, meta_json=DIRTY)
    return Path(library.path)


def test_it_says_what_it_did_and_where_the_backup_is(path: Path) -> None:
    done = mlib("clean-meta", library=path)
    assert done.out.startswith("cleaned 2 of 3 entries: 2 payloads, ")
    backup = done.err.removeprefix("backup: ").strip()
    assert Path(backup).exists()
    assert mlib("clean-meta", library=path).out == "cleaned 0 of 3 entries: 0 payloads, 0 B\n"


def test_a_dry_run_tells_the_very_figures_and_writes_nothing(path: Path) -> None:
    before = snapshot(path.parent)
    rehearsed = mlib_here("clean-meta", "-n", "--json", library=path).json
    assert snapshot(path.parent) == before
    done = mlib_here("clean-meta", "--json", library=path).json
    assert (rehearsed.pop("backup"), rehearsed.pop("dry_run")) == (None, True)
    assert (Path(done.pop("backup")).exists(), done.pop("dry_run")) == (True, False)
    assert rehearsed == done


@pytest.mark.parametrize("words", [["pending:1"], ["-"]])
def test_only_these(path: Path, words: list[str]) -> None:
    done = mlib_here("clean-meta", *words, "--json", library=path, stdin=b"pending:1\n").json
    assert (done["examined"], done["cleaned"]) == (1, 1)
    assert mlib_here("show", SHA, "--field", "meta", library=path).out == DIRTY + "\n"


def test_no_ref_on_standard_input_is_none_of_them(path: Path) -> None:
    """An empty list is not everything: `mlib show -q nothing | mlib clean-meta -` must clean nothing."""
    before = dump(path)
    assert mlib_here("clean-meta", "-", "--json", library=path).json["examined"] == 0
    assert dump(path) == before


def test_an_unknown_ref_cleans_nothing(path: Path) -> None:
    before = dump(path)
    mlib_here("clean-meta", SHA, "nothing-like-it", library=path, code=5)
    assert dump(path) == before


def test_without_a_library_it_is_not_found(tmp_path: Path) -> None:
    mlib_here("clean-meta", library=tmp_path / "none.db", code=5)
    assert not (tmp_path / "none.db").exists()


class TestUndo:
    """Image data is not brought back, and nothing else is taken back for it."""

    def test_it_names_the_backup_and_the_command_before(self, path: Path) -> None:
        mlib_here("update", "two", "--notes", "typed", library=path)
        mlib_here("clean-meta", library=path)
        before = dump(path)
        refused = mlib_here("undo", "--json", library=path, code=4)
        assert (refused.out, refused.error["code"]) == ("", "cleaning_is_not_undone")
        assert dump(path) == before
        first, second = refused.error["hint"].split("; ")
        assert second == "`mlib undo 1` takes back what came before: update two --notes typed"
        words = shlex.split(first.removeprefix("`").partition("` brings the whole library back")[0])
        mlib_here(*words[1:], "--yes", library=path)
        assert mlib_here("show", SHA, "--field", "meta", library=path).out == DIRTY + "\n"
        assert mlib_here("undo", library=path).err.startswith("undid 1")

    def test_what_came_before_can_be_taken_back_and_then_undo_goes_on(self, path: Path) -> None:
        mlib_here("update", "two", "--notes", "first", library=path)
        mlib_here("update", "two", "--notes", "typed", library=path)
        mlib_here("clean-meta", library=path)
        mlib_here("undo", "2", library=path)
        mlib_here("undo", library=path)
        assert mlib_here("show", "two", "--field", "notes", library=path).out == "\n"

    def test_a_backup_that_is_gone_is_not_promised(self, path: Path) -> None:
        Path(mlib_here("clean-meta", "--json", library=path).json["backup"]).unlink()
        assert mlib_here("undo", "--json", library=path, code=4).error["hint"] == (
            "the backup made before it is missing"
        )

    @pytest.mark.parametrize("words", [["clean-meta", "-n"], ["clean-meta", OTHER]], ids=str)
    def test_where_nothing_was_cleaned_the_last_command_is_taken_back(
        self, path: Path, words: list[str]
    ) -> None:
        mlib_here("update", "two", "--notes", "typed", library=path)
        mlib_here(*words, library=path)
        mlib_here("undo", library=path)
        assert mlib_here("show", "two", "--field", "notes", library=path).out == "\n"
