"""The remembered roots: how each stands, adding some, forgetting one without losing a word."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.model_files import safetensors
from tests.tools import write_bytes, write_model

from mlib.core.errors import MlibError, NotFound
from mlib.db import roots
from mlib.services.root_registry import add_roots, list_roots, remove_root

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

    from mlib.db.library import Library


def test_a_root_is_told_with_what_it_holds(shelf: Shelf) -> None:
    write_model(shelf.loras / "a.safetensors", "same")
    (shelf.loras / "hard.safetensors").hardlink_to(shelf.loras / "a.safetensors")
    write_model(shelf.loras / "sub" / "b.safetensors", "same")
    write_model(shelf.loras / "c.safetensors")
    shelf.scan()
    (shelf.loras / "c.safetensors").unlink()
    shelf.scan()
    loras, vae = list_roots(shelf.library)
    size = (shelf.loras / "a.safetensors").stat().st_size
    assert (loras.root.type, loras.standing) == ("loras", "present")
    assert loras.holding[:4] == (3, 1, 2 * size, 1)
    assert loras.holding.seen_at is not None
    assert (vae.standing, vae.holding[:4]) == ("empty", (0, 0, 0, 0))
    shelf.vae.rmdir()
    assert list_roots(shelf.library)[1].standing == "absent"


def test_roots_are_added_behind_the_known_ones(shelf: Shelf, tmp_path: Path) -> None:
    folder = tmp_path / "more"
    folder.mkdir()
    report = add_roots(shelf.library, [f"unet={folder}", f"vae={shelf.vae}"])
    assert [(root.type, root.path) for root in report.added] == [("diffusion_models", str(folder))]
    assert [root.path for root in report.known] == [str(shelf.vae)]
    assert [root.type for root in roots.all_roots(shelf.library)] == ["loras", "vae", "diffusion_models"]
    write_model(folder / "x.safetensors")
    assert shelf.told()["added"] == 1


def test_what_lies_wrong_is_judged_anew_with_another_type(shelf: Shelf) -> None:
    """And in the root around it when an inner one is removed."""
    lora = safetensors({"x.lora_down.weight": 8, "x.lora_up.weight": 8})
    sha256 = write_bytes(shelf.vae / "inner" / "a.safetensors", lora)
    shelf.scan()
    codes = "SELECT code FROM findings WHERE sha256 = ? AND name != ''"
    assert shelf.library.all(codes, [sha256]) == [("misplaced",)]
    add_roots(shelf.library, [f"loras={shelf.vae}"])
    assert shelf.library.all(codes, [sha256]) == []
    add_roots(shelf.library, [f"vae={shelf.vae}"])
    assert shelf.library.all(codes, [sha256]) == [("misplaced",)]
    shelf.add_root("loras", shelf.vae / "inner")
    assert shelf.library.all(codes, [sha256]) == []
    remove_root(shelf.library, str(shelf.vae / "inner"))
    assert shelf.library.all(codes, [sha256]) == [("misplaced",)]


def test_a_whole_comfyui_is_added_by_its_folder(library: Library, tmp_path: Path) -> None:
    (tmp_path / "ComfyUI" / "models" / "loras").mkdir(parents=True)
    report = add_roots(library, [str(tmp_path / "ComfyUI")])
    assert "loras" in {root.type for root in report.added}


def test_what_is_no_folder_is_refused(library: Library, tmp_path: Path) -> None:
    for text in (f"loras={tmp_path}/none", str(tmp_path / "none"), "loras="):
        with pytest.raises(MlibError):
            add_roots(library, [text])
    assert roots.all_roots(library) == []


def test_a_removed_root_takes_no_model_with_it(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="mine")
    with shelf.library.rehearsal():
        assert remove_root(shelf.library, str(shelf.loras)).missing == 1
    assert remove_root(shelf.library, str(shelf.loras)).missing == 1
    assert shelf.user_data(sha256)[0] == {"notes": "mine"}
    assert shelf.places(sha256) == {str(shelf.loras / "a.safetensors"): False}
    shelf.add_root("loras", shelf.loras)
    assert shelf.places(sha256) == {str(shelf.loras / "a.safetensors"): True}
    assert shelf.user_data(sha256)[0] == {"notes": "mine"}


def test_files_of_an_inner_root_belong_to_the_outer_one_then(shelf: Shelf) -> None:
    inner = shelf.loras / "inner"
    sha256 = write_model(inner / "a.safetensors")
    shelf.add_root("vae", inner)
    report = remove_root(shelf.library, str(inner))
    assert (report.missing, report.elsewhere) == (0, 1)
    assert shelf.name_and_type(sha256) == ("a.safetensors", "loras")
    assert shelf.told() == {"unchanged": 1}
    assert shelf.places(sha256) == {str(inner / "a.safetensors"): True}


def test_a_root_is_named_by_its_id_or_any_way_to_it(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(shelf.vae)
    assert remove_root(shelf.library, "1").root.type == "loras"
    assert remove_root(shelf.library, str(tmp_path / "link")).root.type == "vae"
    with pytest.raises(NotFound) as raised:
        remove_root(shelf.library, "1")
    assert raised.value.code == "root_not_found"


def test_a_root_is_named_in_either_form_of_unicode(shelf: Shelf, tmp_path: Path) -> None:
    for number, form in enumerate(("cafe\u0301", "caf\u00e9")):
        (tmp_path / f"{number}-{form}").mkdir()
        shelf.add_root("vae", tmp_path / f"{number}-{form}")
    assert remove_root(shelf.library, str(tmp_path / "0-caf\u00e9")).root.path.endswith("cafe\u0301")
    assert remove_root(shelf.library, str(tmp_path / "1-cafe\u0301")).root.path.endswith("caf\u00e9")


@pytest.mark.parametrize("turned", [False, True])
def test_of_two_ways_to_one_folder_the_one_that_is_named_goes(
    shelf: Shelf, tmp_path: Path, *, turned: bool
) -> None:
    shelf.add_root("vae", tmp_path / "other")
    link, real = (shelf.vae, tmp_path / "other") if turned else (tmp_path / "other", shelf.vae)
    link.rmdir()
    link.symlink_to(real)
    assert remove_root(shelf.library, str(link)).root.path == str(link)
    assert {each.root.path for each in list_roots(shelf.library)} == {str(shelf.loras), str(real)}
