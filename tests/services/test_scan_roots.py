"""Which folders a scan walks: those given, those remembered, and what their ComfyUI lists today."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.libraries import dump
from tests.services.shelf import Shelf, codes, told
from tests.tools import write_bytes, write_model

from mlib.core.errors import MlibError, WrongUsage
from mlib.db import roots
from mlib.services.root_registry import remove_root

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library


@pytest.fixture
def comfyui(tmp_path: Path) -> Path:
    """A ComfyUI with one checkpoint."""
    folder = tmp_path / "ComfyUI"
    write_model(folder / "models" / "checkpoints" / "base.safetensors")
    return folder


@pytest.fixture
def bare(library: Library, tmp_path: Path) -> Shelf:
    """A library that remembers nothing yet."""
    return Shelf(library, tmp_path / "loras", tmp_path / "vae")


def remembered(shelf: Shelf) -> dict[str, str]:
    """The folders that are remembered, with their types."""
    return {root.path: root.type for root in roots.all_roots(shelf.library)}


def write_yaml(path: Path, **folders: Path | str) -> Path:
    lines = "".join(f"    {kind}: {folder}\n" for kind, folder in folders.items())
    path.write_text(f"mine:\n{lines}")
    return path


# --- remembering --------------------------------------------------------------------------------------------


def test_a_folder_that_was_named_once_is_scanned_from_then_on(bare: Shelf) -> None:
    write_model(bare.loras / "a.pt")
    assert bare.told(roots=[f"loras={bare.loras}"])["added"] == 1
    write_model(bare.loras / "b.pt")
    assert bare.told() == {"added": 1, "unchanged": 1, "read": 1}


def test_folders_that_are_named_are_scanned_and_others_are_left_as_they_are(bare: Shelf) -> None:
    write_model(bare.loras / "a.pt")
    write_model(bare.vae / "b.pt")
    bare.scan(roots=[f"loras={bare.loras}"])
    assert bare.told(roots=[f"vae={bare.vae}"]) == {"added": 1, "read": 1}
    assert remembered(bare) == {str(bare.loras): "loras", str(bare.vae): "vae"}
    assert bare.told() == {"unchanged": 2}


def test_a_folder_named_again_with_another_type_has_that_one_from_then_on(bare: Shelf) -> None:
    sha256 = write_model(bare.loras / "a.pt")
    typed = write_model(bare.loras / "b.pt")
    both = write_model(bare.loras / "c.pt")
    write_model(bare.vae / "d.pt", "c.pt")
    bare.scan(roots=[f"loras={bare.loras}", f"loras={bare.vae}"])
    bare.edit(typed, type="loras")
    assert bare.told(roots=[f"vae={bare.loras}"]) == {"unchanged": 3}
    assert remembered(bare) == {str(bare.loras): "vae", str(bare.vae): "loras"}
    assert [bare.name_and_type(each)[1] for each in (sha256, typed, both)] == ["vae", "loras", "loras"]


def test_a_folder_that_was_forgotten_and_comes_back_with_another_type_has_that_one(bare: Shelf) -> None:
    sha256 = write_model(bare.loras / "a.pt")
    bare.scan(roots=[f"vae={bare.loras}"])
    remove_root(bare.library, str(bare.loras))
    assert bare.told(roots=[f"loras={bare.loras}"]) == {"restored": 1}
    assert bare.name_and_type(sha256) == ("a.pt", "loras")


def test_one_folder_named_twice_is_one_root(bare: Shelf, tmp_path: Path) -> None:
    sha256 = write_model(bare.loras / "a.pt")
    (tmp_path / "link").symlink_to(bare.loras)
    assert bare.told(roots=[f"loras={bare.loras}", f"vae={bare.loras}/", f"vae={tmp_path / 'link'}"]) == {
        "added": 1,
        "read": 1,
    }
    assert remembered(bare) == {str(bare.loras): "loras"}
    assert len(bare.places(sha256)) == 1


def test_files_below_an_inner_root_are_that_roots_and_count_once(bare: Shelf) -> None:
    write_model(bare.loras / "a.pt")
    inner = write_model(bare.loras / "vae" / "b.pt")
    both = [f"loras={bare.loras}", f"vae={bare.loras / 'vae'}"]
    assert bare.told(roots=both) == {"added": 2, "read": 2}
    assert bare.name_and_type(inner) == ("b.pt", "vae")
    assert bare.told(roots=both[:1]) == {"unchanged": 1}
    assert bare.told() == {"unchanged": 2}


def test_a_known_folder_that_becomes_a_root_of_its_own_is_not_read_again(bare: Shelf) -> None:
    write_model(bare.loras / "a.pt")
    inner = write_model(bare.loras / "inner" / "b.pt")
    bare.scan(roots=[f"loras={bare.loras}"])
    assert bare.told(roots=[f"vae={bare.loras / 'inner'}"]) == {"unchanged": 1}
    assert bare.name_and_type(inner) == ("b.pt", "vae")
    assert bare.told() == {"unchanged": 2}


@pytest.mark.parametrize("name", ["new\nline", "\x1b[31mred", "[bold]", "l\udce9ras"], ids=ascii)
def test_a_root_of_any_name_is_remembered_exactly(bare: Shelf, tmp_path: Path, name: str) -> None:
    write_model(tmp_path / name / "a.pt")
    assert bare.told(roots=[f"loras={tmp_path / name}"])["added"] == 1
    assert remembered(bare) == {str(tmp_path / name): "loras"}
    assert bare.told() == {"unchanged": 1}


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"roots": ["loras=/not/there"]}, "no_such_directory"),
        ({"roots": ["loras=/etc/hostname"]}, "not_a_directory"),
        ({"roots": ["loras"]}, "bad_root"),
        ({"comfyui": ["/not/there"]}, "no_such_directory"),
        ({"extra_paths": ["/not/there.yaml"]}, "no_such_file"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_wrong_root_is_refused_and_nothing_is_written(
    bare: Shelf, wrong: dict[str, Any], code: str
) -> None:
    write_model(bare.loras / "a.pt")
    before = dump(bare.library.path)
    good = [f"loras={bare.loras}"]
    with pytest.raises((MlibError, WrongUsage)) as caught:
        bare.scan(**(wrong | {"roots": [*good, *wrong.get("roots", [])]}))
    assert caught.value.code == code
    assert dump(bare.library.path) == before


# --- a ComfyUI ----------------------------------------------------------------------------------------------


def test_all_folders_of_a_comfyui_are_roots_of_their_types(bare: Shelf, comfyui: Path) -> None:
    shas = {
        kind: write_model(comfyui / "models" / folder / f"{kind}.pt")
        for folder, kind in (("unet", "diffusion_models"), ("clip", "text_encoders"), ("my_own", "my_own"))
    }
    assert bare.told(comfyui=[str(comfyui)])["added"] == 4
    assert {kind: bare.name_and_type(sha256)[1] for kind, sha256 in shas.items()} == {k: k for k in shas}


def test_a_comfyui_that_is_found_is_scanned_where_nothing_is_remembered(bare: Shelf, comfyui: Path) -> None:
    assert bare.told(find_comfyui=lambda: str(comfyui)) == {"added": 1, "read": 1}
    assert bare.told() == {"unchanged": 1}


def test_a_folder_of_a_new_type_in_a_remembered_comfyui_is_found(bare: Shelf, comfyui: Path) -> None:
    bare.scan(comfyui=[str(comfyui)])
    sha256 = write_model(comfyui / "models" / "ipadapter" / "face.pt")
    assert bare.told() == {"added": 1, "unchanged": 1, "read": 1}
    assert bare.name_and_type(sha256) == ("face.pt", "ipadapter")
    assert remembered(bare)[str(comfyui / "models" / "ipadapter")] == "ipadapter"


def test_a_yaml_that_a_remembered_comfyui_gets_is_read(bare: Shelf, comfyui: Path) -> None:
    bare.scan(comfyui=[str(comfyui)])
    write_model(bare.loras / "a.pt")
    write_yaml(comfyui / "extra_model_paths.yaml", loras=bare.loras)
    assert bare.told() == {"added": 1, "unchanged": 1, "read": 1}


@pytest.mark.parametrize("first", ["true", "false"])
def test_what_is_wrong_in_the_yaml_of_a_remembered_comfyui_is_told_once(
    bare: Shelf, comfyui: Path, first: str
) -> None:
    """Whichever of the two comes first among the roots."""
    yaml = write_yaml(comfyui / "extra_model_paths.yaml", is_default=first, checkpoints=bare.loras)
    yaml.write_text(f"{yaml.read_text()}broken: 7\n")
    write_model(bare.loras / "a.pt")
    for _ in range(2):
        report = bare.scan(comfyui=[str(comfyui)] if not remembered(bare) else ())
        assert codes(report) == [("extra_model_paths.yaml", "bad_block")]


def test_a_rescan_keeps_the_order_in_which_comfyui_searches(bare: Shelf, comfyui: Path) -> None:
    """One block goes before ComfyUI's own folders, another behind them."""
    (comfyui / "models" / "vae").mkdir()
    for folder in (bare.loras, bare.vae):
        folder.mkdir()
    (comfyui / "extra_model_paths.yaml").write_text(
        f"a:\n    is_default: true\n    checkpoints: {bare.loras}\nb:\n    vae: {bare.vae}\n"
    )
    bare.scan(comfyui=[str(comfyui)])
    before = list(remembered(bare))
    bare.scan()
    assert list(remembered(bare)) == before
    assert [os.path.basename(path) for path in before if "vae" in path] == ["vae", "vae"]


def test_a_yaml_that_no_longer_lists_a_folder_takes_nothing_away(bare: Shelf, comfyui: Path) -> None:
    """What was remembered stays so; a line in a file of ComfyUI's is no word about the library."""
    write_model(bare.loras / "a.pt")
    write_yaml(comfyui / "extra_model_paths.yaml", loras=bare.loras)
    bare.scan(comfyui=[str(comfyui)])
    (comfyui / "extra_model_paths.yaml").write_text("")
    report = bare.scan()
    assert told(report) == {"unchanged": 2, "problems": 1}
    (problem,) = report.problems
    assert (problem.path, problem.code) == (str(bare.loras), "unlisted_root")
    (root,) = [root for root in roots.all_roots(bare.library) if root.path == str(bare.loras)]
    assert f"remove root {root.id}" in problem.message


def test_a_yaml_file_that_is_gone_is_told_until_another_lists_its_folders(
    bare: Shelf, tmp_path: Path
) -> None:
    write_model(bare.loras / "a.pt")
    yaml = write_yaml(tmp_path / "mine.yaml", loras=bare.loras)
    bare.scan(extra_paths=[str(yaml)])
    yaml.rename(tmp_path / "new.yaml")
    report = bare.scan()
    assert (report.counts["unchanged"], report.missing) == (1, 0)
    (problem,) = report.problems
    assert (problem.path, problem.code) == (str(yaml), "no_such_file")
    assert "(roots 1)" in problem.message
    bare.scan(extra_paths=[str(tmp_path / "new.yaml")])
    assert bare.scan().problems == []


def test_a_remembered_comfyui_that_is_gone_is_offline_and_nothing_is_lost(bare: Shelf, comfyui: Path) -> None:
    """Promise 5."""
    bare.scan(comfyui=[str(comfyui)])
    comfyui.rename(comfyui.with_name("away"))
    assert bare.told() == {"offline": 1}
    comfyui.with_name("away").rename(comfyui)
    assert bare.told() == {"unchanged": 1}


# --- an extra_model_paths.yaml ------------------------------------------------------------------------------


def test_folders_of_a_yaml_are_scanned_and_remembered(bare: Shelf, tmp_path: Path) -> None:
    write_model(bare.loras / "a.pt")
    yaml = write_yaml(tmp_path / "mine.yaml", loras=bare.loras)
    assert bare.told(extra_paths=[str(yaml)])["added"] == 1
    assert bare.told() == {"unchanged": 1}


def test_a_remembered_yaml_is_read_again(bare: Shelf, tmp_path: Path) -> None:
    write_model(bare.loras / "a.pt")
    write_model(bare.vae / "b.pt")
    yaml = write_yaml(tmp_path / "mine.yaml", loras=bare.loras)
    bare.scan(extra_paths=[str(yaml)])
    write_yaml(yaml, loras=bare.loras, vae=bare.vae)
    assert bare.told() == {"added": 1, "unchanged": 1, "read": 1}


def test_a_type_that_only_a_yaml_knows_holds_whatever_could_be_a_model(bare: Shelf, tmp_path: Path) -> None:
    sha256 = write_bytes(tmp_path / "odd" / "weights.bin2", b"weights")
    write_bytes(tmp_path / "odd" / "readme.md", b"text")
    bare.scan(extra_paths=[str(write_yaml(tmp_path / "mine.yaml", my_nodes=tmp_path / "odd"))])
    assert bare.name_and_type(sha256) == ("weights.bin2", "my_nodes")
    assert bare.told() == {"unchanged": 1}


def test_a_bad_block_is_a_problem_and_the_others_are_scanned(bare: Shelf, tmp_path: Path) -> None:
    """Promise 9."""
    write_model(bare.loras / "a.pt")
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(f"broken: 7\nmine:\n    loras: {bare.loras}\n    vae: [1]\n")
    report = bare.scan(extra_paths=[str(yaml)])
    assert codes(report) == [("mine.yaml", "bad_block"), ("mine.yaml", "bad_value")]
    assert report.counts["added"] == 1


def test_a_remembered_yaml_that_is_broken_now_is_a_problem_and_its_folders_are_scanned(
    bare: Shelf, tmp_path: Path
) -> None:
    """Promise 9."""
    write_model(bare.loras / "a.pt")
    yaml = write_yaml(tmp_path / "mine.yaml", loras=bare.loras)
    bare.scan(extra_paths=[str(yaml)])
    yaml.write_text("{ not yaml")
    report = bare.scan()
    assert told(report) == {"unchanged": 1, "problems": 1}
    assert codes(report) == [("mine.yaml", "bad_yaml")]


def test_a_folder_that_a_yaml_lists_and_that_never_was_is_not_worth_a_word(
    bare: Shelf, tmp_path: Path
) -> None:
    write_model(bare.loras / "a.pt")
    yaml = write_yaml(tmp_path / "mine.yaml", loras=bare.loras, vae=tmp_path / "never")
    assert bare.told(extra_paths=[str(yaml)]) == {"added": 1, "read": 1}
    assert str(tmp_path / "never") not in remembered(bare)


def offline(shelf: Shelf, **request: Any) -> tuple[list[str], list[tuple[str, str]]]:
    """The names of the folders that are told as offline, and what else is wrong."""
    report = shelf.scan(**request)
    return [os.path.basename(path) for path in report.offline_roots], codes(report)


def test_a_yaml_none_of_whose_folders_is_there_is_offline_and_waited_for(bare: Shelf, tmp_path: Path) -> None:
    """A NAS that is off on the day its file is named; it is found when it is back."""
    nas = tmp_path / "nas"
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(f"mine:\n    base_path: {nas}\n    loras: loras\n    vae: |\n        vae\n        more\n")
    assert offline(bare, extra_paths=[str(yaml)], dry_run=True) == (["loras", "vae", "more"], [])
    assert remembered(bare) == {}
    assert offline(bare, extra_paths=[str(yaml)]) == (["loras", "vae", "more"], [])
    assert len(remembered(bare)) == 3
    assert offline(bare) == (["loras", "vae", "more"], [])
    write_model(nas / "vae" / "a.safetensors")
    assert bare.told() == {"added": 1, "read": 1}
    nas.rename(tmp_path / "off")
    assert "vae" in offline(bare)[0]


def test_a_mount_point_left_empty_is_a_drive_that_is_off(bare: Shelf, tmp_path: Path) -> None:
    (tmp_path / "nas").mkdir()
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(f"mine:\n    base_path: {tmp_path}/nas\n    loras: loras\n")
    assert offline(bare, extra_paths=[str(yaml)]) == (["loras"], [])


def test_each_block_of_a_yaml_is_waited_for_on_its_own(bare: Shelf, tmp_path: Path) -> None:
    write_model(bare.loras / "a.pt")
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(
        f"here:\n    base_path: {tmp_path}\n    loras: loras\n    vae: never\n"
        f"nas:\n    base_path: {tmp_path}/nas\n    loras: their\n"
    )
    assert offline(bare, extra_paths=[str(yaml)]) == (["their"], [])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("mine:\n    base_path: C:\\ai\\models\n    loras: loras\n", 2),
        ("mine:\n    loras: d:/ai/loras\n", 2),
        ("a:\n  vae: {vae}\nmine:\n    vae: |\n        {vae}\n        \\\\nas\\vae\n", 6),
    ],
)
def test_a_path_of_windows_is_a_problem_with_its_line(
    bare: Shelf, tmp_path: Path, text: str, line: int
) -> None:
    bare.vae.mkdir()
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(text.replace("{vae}", str(bare.vae)))
    report = bare.scan(extra_paths=[str(yaml)])
    assert codes(report) == [("mine.yaml", "foreign_path")]
    assert report.problems[0].message.startswith(f"line {line}: ")
    assert report.offline_roots == []
    assert set(remembered(bare)) <= {str(bare.vae)}


@pytest.mark.parametrize("written", ["modles", "Models", "model"])
def test_a_slip_in_a_path_is_a_problem_with_its_line(bare: Shelf, tmp_path: Path, written: str) -> None:
    write_model(tmp_path / "ai" / "models" / "loras" / "a.pt")
    yaml = tmp_path / "mine.yaml"
    yaml.write_text(f"mine:\n    base_path: {tmp_path}/ai\n\n    loras: {written}/loras\n")
    report = bare.scan(extra_paths=[str(yaml)])
    assert codes(report) == [("mine.yaml", "no_such_directory")]
    assert report.problems[0].message == (
        f"line 4: {tmp_path}/ai/{written} does not exist; did you mean {tmp_path}/ai/models?"
    )


def test_another_drive_of_a_row_is_no_slip(bare: Shelf, tmp_path: Path) -> None:
    (tmp_path / "disk2" / "loras").mkdir(parents=True)
    yaml = write_yaml(tmp_path / "mine.yaml", loras=tmp_path / "disk1" / "loras")
    assert offline(bare, extra_paths=[str(yaml)]) == (["loras"], [])


def test_a_key_that_comfyui_does_not_know_is_told_once_with_the_one_it_knows(
    bare: Shelf, tmp_path: Path
) -> None:
    """Its loaders look types up exactly; `unet` and `clip` are the only other names it takes."""
    write_model(bare.loras / "a.pt")
    write_model(bare.vae / "b.pt")
    yaml = write_yaml(tmp_path / "mine.yaml", LORAS=bare.loras, unet=bare.vae)
    report = bare.scan(extra_paths=[str(yaml)])
    assert codes(report) == [("loras", "unseen_folder")]
    assert report.problems[0].message == "line 2: ComfyUI's loaders use loras, not LORAS"
    assert remembered(bare) == {str(bare.loras): "LORAS", str(bare.vae): "diffusion_models"}
    assert bare.told() == {"unchanged": 2}


def test_a_folder_in_other_letters_is_told_once_where_comfyui_does_not_see_it(
    bare: Shelf, comfyui: Path
) -> None:
    write_model(comfyui / "models" / "Lora" / "a.safetensors")
    write_model(comfyui / "models" / "VAE" / "b.safetensors")
    report = bare.scan(comfyui=[str(comfyui)])
    assert codes(report) == [("Lora", "unseen_folder"), ("VAE", "unseen_folder")]
    assert str(comfyui / "models" / "loras") in report.problems[0].message
    assert bare.told() == {"unchanged": 3}
