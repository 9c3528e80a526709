"""Files go to the trash with what belongs to them; what is known of their models stays."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.libraries import dump, snapshot
from tests.services.files_meant import directories_listed, journal, listing, meant
from tests.tools import write_bytes, write_model

from mlib.core.errors import MlibError
from mlib.db import models
from mlib.services.files.trashing import TrashReport, plan_trash, simulate_trash, trash

if TYPE_CHECKING:
    from tests.services.shelf import Shelf


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_DATA_HOME": str(tmp_path / "data")}


@pytest.fixture
def model(shelf: Shelf) -> Path:
    """A model with notes and a preview, and another one."""
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    write_bytes(shelf.loras / "a.png", b"picture")
    write_model(shelf.loras / "other.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="typed", tag=("kept",))
    return path


def run(shelf: Shelf, environ: dict[str, str], *refs: str | Path) -> TrashReport:
    return trash(shelf.library, plan_trash(shelf.library, meant(shelf, *refs)), environ=environ)


def codes(report: TrashReport) -> list[tuple[str, str]]:
    return [(os.path.basename(each.path), each.code) for each in report.failed]


def test_a_model_goes_with_its_companions_and_all_that_was_typed_stays(
    shelf: Shelf, model: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    sha256 = shelf.at(model)
    assert sha256
    typed = shelf.user_data(sha256)
    (done,) = run(shelf, environ, model).removed
    assert listing(tmp_path / "data/Trash/files") == ["a.png", "a.safetensors"]
    assert listing(shelf.loras) == ["other.safetensors"]
    assert shelf.user_data(sha256) == typed
    assert shelf.places(sha256) == {str(model): False}
    assert shelf.told() == {"unchanged": 1}
    assert done.size_bytes == sum(path.stat().st_size for path in (tmp_path / "data/Trash/files").iterdir())


def test_folders_of_pictures_beside_it_stay_and_are_told(
    shelf: Shelf, model: Path, environ: dict[str, str]
) -> None:
    write_bytes(model.with_suffix("") / "prompt.txt", b"theirs")
    planned = plan_trash(shelf.library, meant(shelf, model))
    assert [each.folders for each in simulate_trash(shelf.library, planned, environ=environ).removed] == [
        (str(model.with_suffix("")),)
    ]
    assert [each.folders for each in run(shelf, environ, model).removed] == [(str(model.with_suffix("")),)]
    assert (model.with_suffix("") / "prompt.txt").read_bytes() == b"theirs"


def test_what_is_named_after_the_whole_name_goes_along_and_a_later_model_inherits_nothing(
    shelf: Shelf, model: Path, environ: dict[str, str]
) -> None:
    write_bytes(shelf.loras / "a.safetensors.rgthree-info.json", b'{"userNote": "of the old one"}')
    write_bytes(shelf.loras / "a.safetensors.json", b"{}")
    write_bytes(shelf.loras / "a.sha256", b"00")
    shelf.scan()
    (done,) = run(shelf, environ, model).removed
    assert len(done.companions) == 4
    assert listing(shelf.loras) == ["other.safetensors"]
    sha256 = write_model(model, "a later one")
    shelf.scan()
    held = models.get(shelf.library, sha256)
    assert held is not None
    assert held.notes == ""


def test_what_is_put_back_is_known_again_without_being_read(
    shelf: Shelf, model: Path, environ: dict[str, str]
) -> None:
    sha256 = shelf.at(model)
    (done,) = run(shelf, environ, model).removed
    assert done.target
    Path(done.target).rename(model)
    assert shelf.told() == {"restored": 1, "unchanged": 1}
    assert shelf.at(model) == sha256


@pytest.mark.parametrize("by_name", [True, False])
def test_a_file_that_a_linked_folder_shows_twice_goes_once(
    shelf: Shelf, model: Path, environ: dict[str, str], by_name: bool
) -> None:
    link = shelf.loras.with_name("linked")
    link.symlink_to(shelf.loras)
    shelf.add_root("loras", link)
    sha256 = shelf.at(model)
    assert sha256
    assert shelf.at(link / "a.safetensors") == sha256
    report = run(shelf, environ, "a.safetensors" if by_name else link / "a.safetensors")
    assert (len(report.removed), report.failed) == (1, [])
    assert shelf.places(sha256) == {str(model): False, str(link / "a.safetensors"): False}
    assert shelf.told() == {"unchanged": 1}


def test_of_a_model_all_files_go_and_of_a_path_only_that_one(
    shelf: Shelf, model: Path, environ: dict[str, str]
) -> None:
    write_model(shelf.vae / "copy.safetensors", "a.safetensors")
    shelf.scan()
    sha256 = shelf.at(model)
    assert sha256
    run(shelf, environ, shelf.vae / "copy.safetensors")
    assert model.exists()
    write_model(shelf.vae / "copy.safetensors", "a.safetensors")
    shelf.scan()
    run(shelf, environ, sha256)
    assert (listing(shelf.loras), listing(shelf.vae)) == (["other.safetensors"], [])


def test_a_rehearsal_gives_no_two_files_one_place(shelf: Shelf, environ: dict[str, str]) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors", "a.safetensors")
    write_model(shelf.vae / "a.safetensors", "a.safetensors")
    write_model(shelf.loras / "b.safetensors")
    shelf.scan()
    run(shelf, environ, shelf.loras / "b.safetensors")
    write_model(shelf.loras / "b.safetensors")
    shelf.scan()
    plan = plan_trash(shelf.library, meant(shelf, sha256, shelf.loras / "b.safetensors"))
    foreseen = simulate_trash(shelf.library, plan, environ=environ)
    assert trash(shelf.library, plan, environ=environ) == foreseen
    targets = {os.path.basename(each.target or "") for each in foreseen.removed}
    assert targets == {"a.safetensors", "a.2.safetensors", "b.2.safetensors"}


def test_a_rehearsal_tells_the_same_and_does_nothing(
    shelf: Shelf, model: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    before = snapshot(shelf.loras), dump(shelf.library.path)
    plan = plan_trash(shelf.library, meant(shelf, model))
    foreseen = simulate_trash(shelf.library, plan, environ=environ)
    assert (snapshot(shelf.loras), dump(shelf.library.path)) == before
    assert not (tmp_path / "data").exists()
    assert trash(shelf.library, plan, environ=environ) == foreseen


def test_what_a_sibling_of_the_same_name_needs_stays(
    shelf: Shelf, model: Path, environ: dict[str, str]
) -> None:
    write_model(shelf.loras / "a.ckpt", "sibling")
    shelf.scan()
    (done,) = run(shelf, environ, model).removed
    assert done.shared == (str(shelf.loras / "a.png"),)
    assert (shelf.loras / "a.png").exists()
    run(shelf, environ, shelf.loras / "a.ckpt")
    assert not (shelf.loras / "a.png").exists()


def test_siblings_that_go_together_take_all_along(shelf: Shelf, model: Path, environ: dict[str, str]) -> None:
    write_model(shelf.loras / "a.ckpt", "sibling")
    shelf.scan()
    run(shelf, environ, model, shelf.loras / "a.ckpt")
    assert listing(shelf.loras) == ["other.safetensors"]


def test_if_a_sibling_has_to_stay_so_does_what_it_needs(
    shelf: Shelf, model: Path, environ: dict[str, str]
) -> None:
    write_model(shelf.loras / "a.ckpt", "sibling")
    shelf.scan()
    plan = plan_trash(shelf.library, meant(shelf, model, shelf.loras / "a.ckpt"))
    write_model(model, "written to since")
    report = trash(shelf.library, plan, environ=environ)
    assert codes(report) == [("a.safetensors", "changed")]
    assert listing(shelf.loras) == ["a.png", "a.safetensors", "other.safetensors"]


def test_a_file_that_was_replaced_stays_and_the_others_go(
    shelf: Shelf, model: Path, environ: dict[str, str]
) -> None:
    write_model(model, "new words")
    report = run(shelf, environ, model, shelf.loras / "other.safetensors")
    assert codes(report) == [("a.safetensors", "changed")]
    assert listing(shelf.loras) == ["a.png", "a.safetensors"]
    assert shelf.at(model)


def test_one_of_the_same_size_and_time_that_was_hashed_too_soon_is_read_first(
    shelf: Shelf, environ: dict[str, str]
) -> None:
    path = shelf.loras / "a.safetensors"
    write_model(path, age=-3600)
    shelf.scan()
    status = path.stat()
    write_model(path, "other bytes")
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert codes(run(shelf, environ, path)) == [("a.safetensors", "changed")]
    assert path.exists()


def test_a_link_goes_and_its_target_stays(
    shelf: Shelf, model: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    (shelf.vae / "link.safetensors").symlink_to(model)
    shelf.scan()
    run(shelf, environ, shelf.vae / "link.safetensors")
    assert model.exists()
    assert (tmp_path / "data/Trash/files/link.safetensors").is_symlink()
    assert shelf.told() == {"unchanged": 2}


@pytest.mark.parametrize("inside", [True, False])
def test_a_link_that_is_no_file_of_the_library_means_nothing(
    shelf: Shelf, model: Path, environ: dict[str, str], tmp_path: Path, inside: bool
) -> None:
    """It leads to the model: is it the link that is meant, or its target?"""
    link = (shelf.vae if inside else tmp_path) / "link.safetensors"
    link.symlink_to(model)
    with pytest.raises(MlibError) as caught:
        run(shelf, environ, link)
    assert caught.value.code == "no_file_of_it"
    assert model.exists()


def test_a_model_without_files_is_an_error(shelf: Shelf, model: Path, environ: dict[str, str]) -> None:
    sha256 = shelf.at(model)
    run(shelf, environ, model)
    with pytest.raises(MlibError) as caught:
        run(shelf, environ, str(sha256))
    assert caught.value.code == "no_file"


def test_a_file_that_went_by_a_run_that_was_killed_is_only_marked(
    shelf: Shelf, model: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from mlib.services.files import trashing

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    sha256 = shelf.at(model)
    assert sha256
    with monkeypatch.context() as patch:
        patch.setattr(trashing, "_mark", killed)
        with pytest.raises(KeyboardInterrupt):
            run(shelf, environ, model)
    assert shelf.places(sha256) == {str(model): True}
    (done,) = run(shelf, environ, sha256).removed
    assert (done.target, done.size_bytes) == (None, 0)
    assert shelf.places(sha256) == {str(model): False}


def test_the_journal_tells_what_went_where(
    shelf: Shelf, model: Path, environ: dict[str, str], tmp_path: Path
) -> None:
    run(shelf, environ, model)
    begun, done = journal(shelf)
    assert (begun["command"], begun["state"]) == ("trash", "begun")
    assert done["trashed"] == [
        {"from": str(shelf.loras / name), "to": str(tmp_path / "data/Trash/files" / name)}
        for name in ("a.png", "a.safetensors")
    ]


def test_a_folder_is_listed_once_for_all_that_goes_from_it(
    shelf: Shelf, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of files of one folder would else take hours."""
    paths = [shelf.loras / f"{number}.safetensors" for number in range(5)]
    for path in paths:
        write_model(path)
    shelf.scan()
    asked = meant(shelf, *paths)
    listed = directories_listed(monkeypatch)
    plan = plan_trash(shelf.library, asked)
    assert len(plan.removals) == 5
    assert listed == [str(shelf.loras)]
    assert len(simulate_trash(shelf.library, plan, environ=environ).removed) == 5


def test_a_long_name_is_cut_between_characters(shelf: Shelf, environ: dict[str, str]) -> None:
    """A name that a file manager can show: half a character of UTF-8 is none."""
    name = "é" * 120 + ".safetensors"  # 252 bytes: with .trashinfo behind it too long
    for shift in ("", "a"):
        write_model(shelf.loras / (shift + name))
        shelf.scan()
        (removed,) = run(shelf, environ, shelf.loras / (shift + name)).removed
        assert removed.target is not None
        removed.target.encode()
        assert os.path.basename(removed.target).startswith(shift + "é" * 100)
