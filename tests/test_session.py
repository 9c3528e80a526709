"""The library from Python: the same verbs, records and ways back as on the command line."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from tests.libraries import dump
from tests.tools import write_model

import mlib
from mlib.core.errors import MlibError, NotFound

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.session import Session

#: What `undo` never brings back: the history itself, and what scans have found.
HISTORY = {"entries", "changes"}


@pytest.fixture
def loras(tmp_path: Path) -> Path:
    folder = tmp_path / "loras"
    folder.mkdir()
    for name in ("ink", "water"):
        write_model(folder / f"{name}.safetensors")
    return folder


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "library.db"


def scan(session: Session, folder: Path) -> None:
    assert session.scan(roots=[f"loras={folder}"]).counts["added"] == 2


def user_data(path: Path) -> object:
    return {name: rows for name, rows in dump(path).items() if name not in HISTORY}


def test_all_that_is_done_from_python_is_undone_from_python(path: Path, loras: Path) -> None:
    with mlib.open(path) as library:
        scan(library, loras)
        before = user_data(path)
        library.update(["ink.safetensors"], text={"notes": "mine"}, tag=["sketch"], set=["rating=4"])
        library.update([], "type:loras", tag=["all"])
        library.rename_tag("all", "every")
        library.delete_tag("sketch")
        library.remove_root(str(loras))
        water = library.choose(["water.safetensors"])
        library.forget(water)
        assert [row.name for row in library.find()] == ["ink.safetensors"]
        done = library.log()
        assert [told.entry.command for told in done] == [
            "forget", "roots remove", "tags delete", "tags rename", "update", "update",
        ]  # fmt: skip
        for _ in done:
            library.undo()
        assert [row.name for row in library.find()] == ["ink.safetensors", "water.safetensors"]
    after = user_data(path)
    assert after["models"] == before["models"]  # type: ignore[index]
    assert after == before


def test_what_could_be_lost_is_backed_up_first(path: Path, loras: Path) -> None:
    with mlib.open(path) as library:
        scan(library, loras)
        library.update([], "type:*", tag=["t"])
        assert library.backups() == []
        made = [library.delete_tag("t").backup, library.forget(library.choose([], "ink")).backup]
        assert [each.path for each in reversed(library.backups())] == made


@pytest.mark.parametrize(
    "verb", ["update", "rename_tag", "delete_tag", "forget", "prune", "undo", "remove_root"]
)
def test_a_dry_run_says_the_same_and_leaves_everything(path: Path, loras: Path, verb: str) -> None:
    with mlib.open(path) as library:
        scan(library, loras)
        library.update([], "type:*", tag=["t"], text={"notes": "n"})
        (loras / "ink.safetensors").unlink()
        library.scan()
        ink = library.choose(["ink.safetensors"])
        arguments: dict[str, tuple[object, ...]] = {
            "update": (["ink.safetensors"],),
            "rename_tag": ("t", "u"),
            "delete_tag": ("t",),
            "forget": (ink,),
            "prune": (0,),
            "undo": (),
            "remove_root": (str(loras),),
        }
        more = {"text": {"name": "other"}} if verb == "update" else {"force": True} if verb == "prune" else {}
        before, kept = dump(path), library.backups()
        foretold = getattr(library, verb)(*arguments[verb], **more, dry_run=True)
        assert (dump(path), library.backups()) == (before, kept)
        done = getattr(library, verb)(*arguments[verb], **more)
        assert dump(path) != before
        if hasattr(done, "backup"):
            assert (foretold.backup, done._replace(backup=None)) == (None, foretold)
        else:
            assert done == foretold


def test_a_session_for_a_library_that_is_not_there(path: Path) -> None:
    with mlib.open(path) as library:
        assert not library.exists
        with pytest.raises(NotFound, match=str(path)) as raised:
            library.find()
        assert raised.value.code == "no_library"
        assert library.scan(roots=[f"loras={path.parent}"], dry_run=True).scanned == 0
        with pytest.raises(NotFound):
            library.find()
        with pytest.raises(mlib.MlibError):
            library.scan(roots=["loras=/no/such/folder"])
    assert not path.exists()


def test_a_dry_run_of_the_first_scan_is_followed_by_a_real_one(path: Path, loras: Path) -> None:
    with mlib.open(path) as library:
        roots = [f"loras={loras}"]
        assert library.scan(roots=roots, dry_run=True).counts["added"] == 2
        assert not path.exists()
        assert library.scan(roots=roots).counts["added"] == 2
        assert len(library.find()) == 2


def test_without_a_path_it_is_the_library_of_the_command_line(
    path: Path, loras: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLIB_LIBRARY", os.fspath(path))
    with mlib.open() as library:
        assert library.path == str(path)
        scan(library, loras)
    assert path.exists()


def test_files_are_moved_trashed_and_verified(
    path: Path, loras: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    with mlib.open(path) as library:
        scan(library, loras)
        (tmp_path / "loras" / "deep").mkdir()
        library.move(["ink.safetensors"], str(loras / "deep"), dry_run=True)
        assert (loras / "ink.safetensors").exists()
        library.move(["ink.safetensors"], str(loras / "deep"))
        assert (loras / "deep" / "ink.safetensors").exists()
        assert library.verify(deep=True).ok == 2
        plan, _ = library.plan_trash(["water.safetensors"])
        library.trash(plan, dry_run=True)
        assert (loras / "water.safetensors").exists()
        library.trash(plan)
        assert not (loras / "water.safetensors").exists()
        assert library.show("water.safetensors").present is False


def test_a_strategy_that_there_is_not_is_wrong_usage_and_makes_no_library(
    tmp_path: Path, loras: Path
) -> None:
    with mlib.open(str(tmp_path / "first.db")) as library:
        library.scan(roots=[f"loras={loras}"])
        for run in (library.import_pending, library.import_sidecars):
            with pytest.raises(MlibError) as caught:
                run(on_conflict="mrege")
            assert caught.value.code == "bad_options"
    other = mlib.open(str(tmp_path / "other.db"))
    with pytest.raises(MlibError) as caught:
        other.import_from(str(tmp_path / "first.db"), on_conflict="mrege")
    assert caught.value.code == "bad_options"
    assert not other.exists
