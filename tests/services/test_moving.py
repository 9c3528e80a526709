"""Files move with what belongs to them, and the library follows without reading anything."""

from __future__ import annotations

import json
import os
import shutil
from typing import TYPE_CHECKING

import pytest
from tests.libraries import dump, snapshot
from tests.services.files_meant import directories_listed, journal, listing, meant
from tests.services.shelf import SIZE
from tests.tools import hint_of, set_age, write_bytes, write_model

from mlib.core.disk.journal import noted
from mlib.core.errors import MlibError
from mlib.db import contents, models
from mlib.services.describing import detail
from mlib.services.files.moving import MoveReport, move, rename
from mlib.services.resolving import Target

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

NOTHING_TO_DO = {"unchanged": 2}


@pytest.fixture
def model(shelf: Shelf) -> Path:
    """A model that was described, with a preview and a sidecar, and another model."""
    path = shelf.loras / "a.safetensors"
    sha256 = write_model(path)
    write_bytes(shelf.loras / "a.preview.png", b"picture")
    said = {"ModelName": "Theirs", "ModelDescription": "What it does."}
    write_bytes(shelf.loras / "a.cm-info.json", json.dumps(said).encode())
    write_model(shelf.loras / "other.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="typed", tag=("kept",))
    return path


@pytest.fixture(params=["same", "other"])
def there(request: pytest.FixtureRequest, shelf: Shelf, memory_disk: Path) -> Path:
    """An empty folder of a root, on the same file system or another one."""
    if request.param == "same":
        return shelf.vae
    shelf.add_root("vae", memory_disk)
    return memory_disk


def error(shelf: Shelf, ref: str | Path, dest: str | Path) -> MlibError:
    with pytest.raises(MlibError) as caught:
        move(shelf.library, meant(shelf, ref), os.fspath(dest))
    return caught.value


def said_of(shelf: Shelf, path: Path) -> list[str]:
    """The notes that the sidecars of a file hold."""
    sidecars = detail(shelf.library, Target(sha256=shelf.at(path))).sidecars
    return [sidecar.notes for sidecar in sidecars if sidecar.notes]


def moved(report: MoveReport) -> list[tuple[str, str]]:
    assert report.failed == []
    return [pair for each in report.moved for pair in each.moves]


class TestMove:
    def test_a_model_goes_with_its_companions_and_the_next_scan_reads_nothing(
        self, shelf: Shelf, model: Path, there: Path
    ) -> None:
        sha256 = shelf.at(model)
        assert sha256
        typed = shelf.user_data(sha256)
        done = moved(move(shelf.library, meant(shelf, sha256), str(there)))
        names = ["a.safetensors", "a.cm-info.json", "a.preview.png"]
        assert sorted(done) == sorted((str(shelf.loras / name), str(there / name)) for name in names)
        assert done[0][0] == str(model)
        assert listing(there) == sorted(names)
        assert listing(shelf.loras) == ["other.safetensors"]
        assert shelf.places(sha256) == {str(there / "a.safetensors"): True}
        assert shelf.user_data(sha256) == typed
        assert shelf.name_and_type(sha256)[1] == "vae"
        assert shelf.told() == NOTHING_TO_DO
        assert shelf.told(rehash=True) == {"unchanged": 2, "read": 2}

    def test_a_dry_run_tells_the_same_and_does_nothing(self, shelf: Shelf, model: Path, there: Path) -> None:
        before = snapshot(shelf.loras), dump(shelf.library.path)
        foreseen = moved(move(shelf.library, meant(shelf, model), str(there), dry_run=True))
        assert (snapshot(shelf.loras), dump(shelf.library.path), listing(there)) == (*before, [])
        assert moved(move(shelf.library, meant(shelf, model), str(there))) == foreseen

    def test_a_description_from_a_sidecar_stays_the_sidecars(
        self, shelf: Shelf, model: Path, there: Path
    ) -> None:
        """What it said is not taken for something that was typed: it may say something better later."""
        sha256 = shelf.at(model)
        assert sha256
        move(shelf.library, meant(shelf, model), str(there))
        shelf.scan()
        write_bytes(there / "a.cm-info.json", b'{"ModelDescription": "Better words."}', age=60)
        shelf.scan()
        model_now = models.get(shelf.library, sha256)
        assert model_now
        assert model_now.description == "Better words."

    def test_a_new_path_renames_it_and_its_companions(self, shelf: Shelf, model: Path, there: Path) -> None:
        move(shelf.library, meant(shelf, model), str(there / "b.sft"))
        assert listing(there) == ["b.cm-info.json", "b.preview.png", "b.sft"]
        assert shelf.told() == NOTHING_TO_DO

    @pytest.mark.parametrize("taken", ["a.safetensors", "a.preview.png", "a.cm-info.json"])
    def test_nothing_is_overwritten_and_all_stays(
        self, shelf: Shelf, model: Path, there: Path, taken: str
    ) -> None:
        write_bytes(there / taken, b"mine")
        before = snapshot(shelf.loras), snapshot(there), dump(shelf.library.path)
        assert error(shelf, model, there).code == "exists"
        assert (snapshot(shelf.loras), snapshot(there), dump(shelf.library.path)) == before

    def test_not_even_the_same_bytes_are(self, shelf: Shelf, model: Path, there: Path) -> None:
        """Two copies are two copies: `mlib duplicates` is for them."""
        write_model(there / "a.safetensors")
        shelf.scan()
        assert error(shelf, model, there).code == "exists"
        assert model.exists()

    def test_what_a_sibling_needs_stays(self, shelf: Shelf, model: Path, there: Path) -> None:
        write_model(shelf.loras / "a.ckpt", "sibling")
        shelf.scan()
        report = move(shelf.library, meant(shelf, model), str(there))
        assert listing(there) == ["a.safetensors"]
        assert len(report.moved[0].shared) == 2

    def test_siblings_that_go_together_take_all_along(self, shelf: Shelf, model: Path, there: Path) -> None:
        write_model(shelf.loras / "a.ckpt", "sibling")
        shelf.scan()
        both = meant(shelf, model, shelf.loras / "a.ckpt")
        foreseen = moved(move(shelf.library, both, str(there), dry_run=True))
        assert moved(move(shelf.library, both, str(there))) == foreseen
        assert len(listing(there)) == 4

    def test_of_several_those_that_can_go_do(self, shelf: Shelf, model: Path, there: Path) -> None:
        write_bytes(there / "a.preview.png", b"mine")
        report = move(shelf.library, meant(shelf, model, shelf.loras / "other.safetensors"), str(there))
        assert [(each.path, each.code) for each in report.failed] == [(str(model), "exists")]
        assert listing(there) == ["a.preview.png", "other.safetensors"]

    def test_outside_of_all_roots_it_is_known_still(self, shelf: Shelf, model: Path, tmp_path: Path) -> None:
        (tmp_path / "outside").mkdir()
        sha256 = shelf.at(model)
        report = move(shelf.library, meant(shelf, model), str(tmp_path / "outside"))
        assert report.moved[0].place.root is None
        assert sha256
        assert shelf.told() == {"unchanged": 1}
        assert shelf.places(sha256) == {str(tmp_path / "outside/a.safetensors"): True}
        move(shelf.library, meant(shelf, sha256), str(shelf.loras))
        assert shelf.told() == NOTHING_TO_DO

    def test_gone_from_outside_it_is_missing(self, shelf: Shelf, model: Path, tmp_path: Path) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        sha256 = shelf.at(model)
        assert sha256
        move(shelf.library, meant(shelf, model), str(outside))
        shutil.rmtree(outside)
        assert shelf.told(paths=[str(shelf.loras / "other.safetensors")]) == {"unchanged": 1}
        assert shelf.told(dry_run=True) == {"unchanged": 1, "missing": 1}
        assert shelf.told() == {"unchanged": 1, "missing": 1}
        assert shelf.places(sha256) == {str(outside / "a.safetensors"): False}

    def test_brought_back_from_outside_by_hand_it_has_moved(
        self, shelf: Shelf, model: Path, tmp_path: Path
    ) -> None:
        sha256 = shelf.at(model)
        assert sha256
        (tmp_path / "outside").mkdir()
        move(shelf.library, meant(shelf, model), str(tmp_path / "outside"))
        back = shelf.vae / "back.safetensors"
        (tmp_path / "outside" / "a.safetensors").rename(back)
        assert shelf.told() == {"unchanged": 1, "moved": 1}
        assert shelf.places(sha256) == {str(back): True}

    def test_outside_on_a_disk_that_is_off_it_is_not_gone(
        self, shelf: Shelf, model: Path, tmp_path: Path, memory_disk: Path
    ) -> None:
        sha256 = shelf.at(model)
        assert sha256
        mounted = tmp_path / "mounted"
        mounted.symlink_to(memory_disk)
        move(shelf.library, meant(shelf, model), str(mounted))
        mounted.unlink()
        mounted.mkdir()
        assert shelf.told() == {"unchanged": 1}
        assert shelf.places(sha256) == {str(mounted / "a.safetensors"): True}

    def test_through_a_linked_folder_it_gets_the_path_that_a_scan_would_give_it(
        self, shelf: Shelf, model: Path, tmp_path: Path
    ) -> None:
        (shelf.vae / "deep").mkdir()
        (tmp_path / "link").symlink_to(shelf.vae / "deep")
        move(shelf.library, meant(shelf, model), str(tmp_path / "link"))
        assert shelf.at(shelf.vae / "deep" / "a.safetensors")
        assert shelf.told() == NOTHING_TO_DO

    def test_into_a_folder_that_is_reached_by_a_link_only(
        self, shelf: Shelf, model: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "elsewhere").mkdir()
        (shelf.vae / "link").symlink_to(tmp_path / "elsewhere")
        move(shelf.library, meant(shelf, model), str(shelf.vae / "link"))
        assert shelf.at(shelf.vae / "link" / "a.safetensors")
        assert shelf.told() == NOTHING_TO_DO

    def test_a_link_is_moved_and_leads_where_it_led(self, shelf: Shelf, model: Path, there: Path) -> None:
        (shelf.loras / "link.safetensors").symlink_to("a.safetensors")
        shelf.scan()
        move(shelf.library, meant(shelf, shelf.loras / "link.safetensors"), str(there))
        assert (there / "link.safetensors").resolve() == model
        assert shelf.told() == {"unchanged": 3}

    def test_what_is_wrong_with_its_place_is_judged_anew(self, shelf: Shelf, model: Path) -> None:
        sha256 = shelf.at(model)
        assert sha256
        move(shelf.library, meant(shelf, model), str(shelf.loras / "b.ckpt"))
        codes = [finding.code for _, finding in contents.findings(shelf.library, sha256)]
        assert codes == ["wrong_extension"]
        move(shelf.library, meant(shelf, sha256), str(shelf.loras / "a.safetensors"))
        assert contents.findings(shelf.library, sha256) == []

    def test_a_file_that_was_replaced_is_left_to_the_next_scan(
        self, shelf: Shelf, model: Path, there: Path
    ) -> None:
        write_model(model, "new words")
        assert error(shelf, model, there).code == "changed"
        assert listing(there) == []

    def test_one_whose_bytes_rotted_is_not_copied(self, shelf: Shelf, model: Path, memory_disk: Path) -> None:
        status = model.stat()
        content = bytearray(model.read_bytes())
        content[-1] ^= 1
        model.write_bytes(content)
        os.utime(model, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert error(shelf, model, memory_disk).code == "rotten"
        assert listing(memory_disk) == []

    def test_a_file_that_was_hashed_too_soon_is_read_before_it_is_moved(self, shelf: Shelf) -> None:
        path = shelf.loras / "a.safetensors"
        write_model(path, age=-3600)  # its clock runs ahead: no hash proves anything yet
        shelf.scan()
        status = path.stat()
        write_model(path, "other bytes")
        os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        assert error(shelf, path, shelf.vae).code == "changed"

    @pytest.mark.parametrize(
        ("dest", "code"),
        [
            ("loras/nowhere/", "no_such_directory"),
            ("loras/nowhere", "no_such_directory"),
            ("loras/nowhere/b.safetensors", "no_such_directory"),
            ("loras/b.txt", "no_such_directory"),
            ("loras/.b.safetensors", "no_such_directory"),
            ("loras/.cache", "passed_over"),
            ("", "bad_name"),
            ("a\0b", "bad_name"),
        ],
    )
    def test_a_destination_that_is_none_is_an_error(
        self, shelf: Shelf, model: Path, dest: str, code: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (shelf.loras / ".cache").mkdir()
        monkeypatch.chdir(shelf.loras.parent)
        before = snapshot(shelf.loras)
        assert error(shelf, model, dest).code == code
        assert snapshot(shelf.loras) == before

    def test_of_a_model_with_several_files_one_must_be_named(self, shelf: Shelf, model: Path) -> None:
        sha256 = write_model(shelf.loras / "copy.safetensors", "a.safetensors")
        shelf.scan()
        problem = error(shelf, sha256, shelf.vae)
        assert problem.code == "several_files"
        assert str(model) in hint_of(problem)
        move(shelf.library, meant(shelf, shelf.loras / "copy.safetensors"), str(shelf.vae))
        assert model.exists()
        assert shelf.told() == {"unchanged": 3}

    def test_several_copies_of_a_model_that_are_named_by_their_paths_go(
        self, shelf: Shelf, model: Path
    ) -> None:
        copy = shelf.loras / "copy.safetensors"
        write_model(copy, "a.safetensors")
        shelf.scan()
        both = meant(shelf, model, copy, model)
        foreseen = moved(move(shelf.library, both, str(shelf.vae), dry_run=True))
        assert moved(move(shelf.library, both, str(shelf.vae))) == foreseen
        assert {"a.safetensors", "copy.safetensors"} < set(listing(shelf.vae))
        assert shelf.told() == {"unchanged": 3}

    def test_to_where_it_is_there_is_nothing_to_do(self, shelf: Shelf, model: Path) -> None:
        before = snapshot(shelf.loras)
        assert moved(move(shelf.library, meant(shelf, model), str(shelf.loras))) == []
        assert snapshot(shelf.loras) == before

    def test_a_row_that_was_left_at_the_target_does_not_stand_in_the_way(
        self, shelf: Shelf, model: Path
    ) -> None:
        (shelf.loras / "other.safetensors").unlink()
        move(shelf.library, meant(shelf, model), str(shelf.loras / "other.safetensors"))
        assert shelf.told() == {"unchanged": 1}


@pytest.mark.parametrize("dry_run", [True, False])
def test_a_name_that_is_too_long_for_a_companion_leaves_all(shelf: Shelf, model: Path, dry_run: bool) -> None:
    before = snapshot(shelf.loras)
    (it,) = meant(shelf, model)
    with pytest.raises(MlibError) as caught:
        rename(shelf.library, it, "y" * 243, dry_run=dry_run)
    assert caught.value.code == "cannot_move"
    assert "file name too long" in caught.value.message
    assert "a.cm-info.json to" in caught.value.message
    assert snapshot(shelf.loras) == before


class TestFolders:
    """Folders of pictures or examples beside a model stay, and are named: others may write into them."""

    @pytest.mark.parametrize(
        ("inside", "is_told"),
        [
            ("{stem}/prompt.txt", True),
            ("{stem}/deep/picture.png", True),
            ("{name}.civitai/media/1.png", True),
            ("{name}.civitai/meta.json", True),
            ("{stem}/other.safetensors", False),  # a place for models
            ("{stem}/deep/other.gguf", False),
            ("{stem}s/prompt.txt", False),
        ],
    )
    def test_they_are_told(self, shelf: Shelf, model: Path, there: Path, inside: str, is_told: bool) -> None:
        path = model.parent / inside.format(stem=model.stem, name=model.name)
        write_bytes(path, b"theirs")
        folder = str(model.parent / path.relative_to(model.parent).parts[0])
        for dry_run in (True, False):
            (done,) = move(shelf.library, meant(shelf, model), str(there), dry_run=dry_run).moved
            assert done.folders == ((folder,) if is_told else ())
        assert path.read_bytes() == b"theirs"

    def test_an_empty_folder_or_one_that_another_model_has_too_is_not_worth_a_word(
        self, shelf: Shelf, model: Path, there: Path
    ) -> None:
        write_model(model.with_suffix(".pt"), "sibling")
        write_bytes(model.with_suffix("") / "prompt.txt", b"of both")
        (model.parent / f"{model.name}.civitai").mkdir()
        (done,) = move(shelf.library, meant(shelf, model), str(there)).moved
        assert done.folders == ()

    def test_a_rename_tells_them_too(self, shelf: Shelf, model: Path) -> None:
        write_bytes(model.with_suffix("") / "prompt.txt", b"theirs")
        (it,) = meant(shelf, model)
        (done,) = rename(shelf.library, it, "new").moved
        assert done.folders == (str(model.with_suffix("")),)


class TestRename:
    @pytest.mark.parametrize(
        ("name", "becomes"),
        [
            ("b", "b.safetensors"),
            ("b.v1.5", "b.v1.5.safetensors"),
            ("b.SAFETENSORS", "b.SAFETENSORS"),
            ("b.sft", "b.sft"),
            ("A", "A.safetensors"),
        ],
    )
    def test_the_extension_may_be_left_out(self, shelf: Shelf, model: Path, name: str, becomes: str) -> None:
        (one,) = meant(shelf, model)
        report = rename(shelf.library, one, name)
        assert report.moved[0].place.name == becomes
        stem = becomes.rpartition(".")[0]
        assert listing(shelf.loras) == sorted(
            [becomes, f"{stem}.cm-info.json", f"{stem}.preview.png", "other.safetensors"]
        )
        assert shelf.told() == NOTHING_TO_DO

    @pytest.mark.parametrize("name", ["", " ", "x/y", ".hidden", "a\0"])
    def test_a_name_that_no_file_can_have_here_is_refused(self, shelf: Shelf, model: Path, name: str) -> None:
        with pytest.raises(MlibError) as caught:
            rename(shelf.library, meant(shelf, model)[0], name)
        assert caught.value.code == "bad_name"

    def test_what_is_named_after_the_whole_name_goes_along(self, shelf: Shelf, model: Path) -> None:
        note = b'{"sha256": "", "userNote": "mine"}'
        write_bytes(shelf.loras / "a.safetensors.rgthree-info.json", note)
        for name in ("a.safetensors.png", "a.sha256", "a.swarm.json", "a.swarmpreview.jpg"):
            write_bytes(shelf.loras / name, b"{}")
        shelf.scan()
        rename(shelf.library, meant(shelf, model)[0], "b.sft")
        assert listing(shelf.loras) == [
            "b.cm-info.json",
            "b.preview.png",
            "b.sft",
            "b.sft.png",
            "b.sft.rgthree-info.json",
            "b.sha256",
            "b.swarm.json",
            "b.swarmpreview.jpg",
            "other.safetensors",
        ]
        assert shelf.told() == NOTHING_TO_DO
        assert said_of(shelf, shelf.loras / "b.sft") == ["mine"]
        write_model(shelf.loras / "a.safetensors", "another")
        shelf.scan()
        assert said_of(shelf, shelf.loras / "a.safetensors") == []
        move(shelf.library, meant(shelf, shelf.loras / "b.sft"), str(shelf.vae))
        assert len(listing(shelf.vae)) == 8

    def test_a_name_that_nobody_typed_follows(self, shelf: Shelf) -> None:
        sha256 = write_model(shelf.loras / "plain.safetensors")
        shelf.scan()
        rename(shelf.library, meant(shelf, sha256)[0], "new")
        assert shelf.name_and_type(sha256) == ("new.safetensors", "loras")
        shelf.edit(sha256, name="Mine")
        rename(shelf.library, meant(shelf, sha256)[0], "newer")
        assert shelf.name_and_type(sha256) == ("Mine", "loras")


class TestCutOff:
    """What a run that was killed has left is finished by the same command; the faults kill for real."""

    def test_a_copy_that_is_whole_lets_the_original_go(
        self, shelf: Shelf, model: Path, memory_disk: Path
    ) -> None:
        shelf.add_root("vae", memory_disk)
        sha256 = shelf.at(model)
        pairs = [(str(model), str(memory_disk / "a.safetensors"))]
        with pytest.raises(KeyboardInterrupt), noted(shelf.library.path, "mv", sha256="x", moves=pairs):
            raise KeyboardInterrupt
        write_bytes(memory_disk / "a.safetensors", model.read_bytes())
        move(shelf.library, meant(shelf, str(sha256)), str(memory_disk))
        assert not model.exists()
        assert shelf.told() == NOTHING_TO_DO
        assert journal(shelf)[-1]["state"] == "done"

    def test_a_copy_that_is_not_whole_does_not(self, shelf: Shelf, model: Path, memory_disk: Path) -> None:
        pairs = [(str(model), str(memory_disk / "a.safetensors"))]
        with pytest.raises(KeyboardInterrupt), noted(shelf.library.path, "mv", sha256="x", moves=pairs):
            raise KeyboardInterrupt
        write_bytes(memory_disk / "a.safetensors", b"?" * SIZE)
        assert error(shelf, model, memory_disk).code == "exists"
        assert model.exists()

    def test_what_failed_as_a_whole_gives_no_leave_later(
        self, shelf: Shelf, model: Path, memory_disk: Path
    ) -> None:
        """A copy that a person made since is the person's."""
        pairs = [(str(model), str(memory_disk / "a.safetensors"))]
        with pytest.raises(ValueError, match="no"), noted(shelf.library.path, "mv", sha256="x", moves=pairs):
            raise ValueError("no")
        write_bytes(memory_disk / "a.safetensors", model.read_bytes())
        assert error(shelf, model, memory_disk).code == "exists"
        assert model.exists()


@pytest.mark.parametrize("ref", ["a.safetensors", "linked/a.safetensors", "loras/a.safetensors"])
def test_a_file_that_a_linked_folder_shows_twice_is_one(shelf: Shelf, model: Path, ref: str) -> None:
    link = shelf.loras.with_name("linked")
    link.symlink_to(shelf.loras)
    shelf.add_root("loras", link)
    sha256 = shelf.at(model)
    assert sha256
    move(shelf.library, meant(shelf, link.parent / ref if "/" in ref else ref), str(shelf.vae))
    there = [place for place, present in shelf.places(sha256).items() if present]
    assert there == [str(shelf.vae / "a.safetensors")]
    assert "missing" not in shelf.told()


def test_without_a_journal_nothing_is_moved(shelf: Shelf, model: Path) -> None:
    os.mkdir(shelf.library.path + ".files.jsonl")
    before = snapshot(shelf.loras)
    assert error(shelf, model, shelf.vae).code == "no_journal"
    assert snapshot(shelf.loras) == before


def test_a_journal_whose_last_line_was_cut_off_is_gone_on_with(shelf: Shelf, model: Path) -> None:
    set_age(model, 3600)
    path = shelf.library.path + ".files.jsonl"
    with open(path, "w", encoding="ascii") as file:
        file.write('{"id": "1", "state": "beg')
    shelf.scan()
    move(shelf.library, meant(shelf, model), str(shelf.vae))
    with open(path, encoding="ascii") as file:
        lines = file.read().splitlines()
    assert [json.loads(line)["state"] for line in lines[1:]] == ["begun", "done"]


def test_the_folder_and_the_journal_are_read_once_for_all_that_moves(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Thousands of files of one folder would else take hours. The last of two takes along what both share."""
    for name in ("a.safetensors", "a.gguf", "b.safetensors", "c.safetensors"):
        write_model(shelf.loras / name)
    write_bytes(shelf.loras / "a.png", b"picture")
    write_bytes(shelf.loras / "c.txt", b"words")
    shelf.scan()
    asked = meant(shelf, *(shelf.loras / name for name in ("a.safetensors", "b.safetensors", "a.gguf")))
    listed = directories_listed(monkeypatch)
    report = move(shelf.library, asked, str(shelf.vae))
    assert listed.count(str(shelf.loras)) == 1
    assert report.failed == []
    assert listing(shelf.vae) == ["a.gguf", "a.png", "a.safetensors", "b.safetensors"]
    assert listing(shelf.loras) == ["c.safetensors", "c.txt"]
    assert [os.path.basename(source) for source, _ in report.moved[2].moves] == ["a.gguf", "a.png"]
