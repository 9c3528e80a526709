"""What commands say where no library is: a dry run no less than the command itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here

if TYPE_CHECKING:
    from pathlib import Path

NEEDING_ONE = [
    ("prune", "--missing-for", "1d"),
    ("clean-meta",),
    ("import",),
    ("import", "--sidecars"),
    ("duplicates", "--trash", "--keep", "newest"),
    ("duplicates", "--hardlink", "--keep", "newest"),
    ("mv", "a", "b"),
    ("rename", "a", "b"),
    ("trash", "a"),
    ("forget", "a"),
    ("update", "a", "--notes", "x"),
    ("undo",),
    ("tags", "rename", "a", "b"),
    ("tags", "delete", "a"),
    ("roots", "remove", "a"),
    ("export", "--sidecars"),
    ("verify",),
    ("hash", "--all"),
]


@pytest.mark.parametrize("words", NEEDING_ONE, ids=" ".join)
def test_a_dry_run_finds_no_library(tmp_path: Path, words: tuple[str, ...]) -> None:
    path = tmp_path / "none" / "library.db"
    failed = mlib_here(*words, "-n", "--json", library=path, code=5)
    assert failed.error["code"] == "no_library"
    assert not path.parent.exists()


def test_a_dry_run_of_what_would_make_it_does_without(tmp_path: Path) -> None:
    path = tmp_path / "none" / "library.db"
    (tmp_path / "loras").mkdir()
    mlib_here("scan", "-n", "--root", f"loras={tmp_path}/loras", library=path)
    mlib_here("roots", "add", "-n", f"loras={tmp_path}/loras", library=path)
    assert not path.parent.exists()
