"""Models in several files go together or not at all, and none of them is offered while another is used."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

import pytest
from tests.faults.machine import mounted
from tests.libraries import dump, snapshot
from tests.model_files import gguf_header, gguf_pair
from tests.services.files_meant import journal, listing, meant
from tests.tools import hint_of, write_bytes, write_model
from tests.workflow_files import canvas, encoded, node

from mlib.core.disk.journal import noted
from mlib.core.errors import Refused
from mlib.db import contents, files
from mlib.services.describing import detail
from mlib.services.files.duplicating import carry_out, choose, find_duplicates, spare_needed
from mlib.services.files.moving import move, rename
from mlib.services.files.trashing import TrashReport, plan_trash, simulate_trash, trash
from mlib.services.files.verifying import VerifyRequest, verify
from mlib.services.forgetting import forget
from mlib.services.resolving import Target
from mlib.services.workflows.unused import unused

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

    from mlib.services.files.duplicating import DuplicatesReport, Needed

#: What a transformers model says of itself.
CONFIG = {"model_type": "florence2"}


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {"XDG_DATA_HOME": str(tmp_path / "data")}


def write_parts(folder: Path, stem: str = "wan", *, of: int = 2) -> list[Path]:
    """A model in numbered parts, and its index."""
    paths = [folder / f"{stem}-{number:05}-of-{of:05}.safetensors" for number in range(1, of + 1)]
    for path in paths:
        write_model(path)
    weights = {path.stem: path.name for path in paths}
    write_json(folder / f"{stem}.safetensors.index.json", {"weight_map": weights})
    return paths


def write_folder(folder: Path) -> list[Path]:
    """A model that a loader takes by the name of its folder."""
    paths = [folder / "model.safetensors", folder / "vision" / "model.safetensors"]
    for path in paths:
        write_model(path, str(path))
    write_json(folder / "config.json", CONFIG)
    return paths


def write_json(path: Path, value: Any) -> None:
    write_bytes(path, json.dumps(value).encode())


def refused(run: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        run()
    assert caught.value.code == "part_of_set"
    return caught.value


class TestMove:
    def test_a_part_alone_is_refused_and_the_others_are_named(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        shelf.scan()
        before = snapshot(shelf.loras), dump(shelf.library.path)
        error = refused(lambda: move(shelf.library, meant(shelf, first), str(shelf.vae)))
        assert hint_of(error) == f"name the others too: {second}"
        assert (snapshot(shelf.loras), dump(shelf.library.path)) == before

    def test_all_parts_go_with_their_index_in_one_step(self, shelf: Shelf) -> None:
        parts = write_parts(shelf.loras)
        other = shelf.loras / "other.safetensors"
        write_model(other)
        shelf.scan()
        report = move(shelf.library, meant(shelf, *parts, other), str(shelf.vae))
        assert report.failed == []
        assert listing(shelf.vae) == [
            "other.safetensors",
            "wan-00001-of-00002.safetensors",
            "wan-00002-of-00002.safetensors",
            "wan.safetensors.index.json",
        ]
        assert listing(shelf.loras) == []
        begun = [entry for entry in journal(shelf) if entry["state"] == "begun"]
        assert [len(entry["moves"]) for entry in begun] == [3, 1]
        assert shelf.told() == {"unchanged": 3}

    def test_to_another_disk_too(self, shelf: Shelf, memory_disk: Path) -> None:
        parts = write_parts(shelf.loras)
        shelf.scan()
        move(shelf.library, meant(shelf, *parts), str(memory_disk))
        assert (len(listing(memory_disk)), listing(shelf.loras)) == (3, [])

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_where_one_file_cannot_go_none_does(self, shelf: Shelf, number: int) -> None:
        parts = write_parts(shelf.loras)
        shelf.scan()
        there = sorted(os.listdir(shelf.loras))[number]
        write_bytes(shelf.vae / there, b"in the way")
        report = move(shelf.library, meant(shelf, *parts), str(shelf.vae))
        assert [each.code for each in report.failed] == ["exists", "exists"]
        assert listing(shelf.vae) == [there]
        assert shelf.told()["unchanged"] == 2

    def test_a_file_that_changed_keeps_the_others_back(self, shelf: Shelf) -> None:
        parts = write_parts(shelf.loras)
        shelf.scan()
        write_model(parts[1], "other bytes")
        report = move(shelf.library, meant(shelf, *parts), str(shelf.vae))
        assert [each.code for each in report.failed] == ["changed", "changed"]
        assert listing(shelf.vae) == []

    def test_a_folder_moves_as_a_folder(self, shelf: Shelf) -> None:
        shelf.add_root("LLM", shelf.loras.parent / "LLM")
        parts = write_folder(shelf.loras.parent / "LLM" / "Florence")
        shelf.scan()
        error = refused(lambda: move(shelf.library, meant(shelf, *parts), str(shelf.vae)))
        assert "move that folder itself" in hint_of(error)
        (shelf.loras.parent / "LLM" / "Florence").rename(shelf.loras / "Florence")
        assert shelf.told() == {"moved": 2}

    def test_parts_in_several_folders_move_as_a_folder(self, shelf: Shelf) -> None:
        parts = [shelf.loras / "wan" / "a.safetensors", shelf.loras / "wan" / "deep" / "b.safetensors"]
        for part in parts:
            write_model(part)
        weights = {"a": "a.safetensors", "b": "deep/b.safetensors"}
        write_json(shelf.loras / "wan" / "wan.safetensors.index.json", {"weight_map": weights})
        shelf.scan()
        error = refused(lambda: move(shelf.library, meant(shelf, *parts), str(shelf.vae)))
        assert f"in the folder {shelf.loras / 'wan'}" in error.message

    def test_what_is_left_of_a_set_moves_and_keeps_its_name(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        second.unlink()
        shelf.scan()
        refused(lambda: move(shelf.library, meant(shelf, first), str(shelf.vae / "new.safetensors")))
        assert not move(shelf.library, meant(shelf, first), str(shelf.vae / first.name)).failed
        assert first.name in listing(shelf.vae)

    def test_a_part_that_the_library_does_not_know_is_told(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        second.rename(shelf.vae.parent / "later")
        shelf.scan()
        (shelf.vae.parent / "later").rename(second)
        error = refused(lambda: move(shelf.library, meant(shelf, first), str(shelf.vae)))
        assert "mlib scan" in hint_of(error)
        assert str(second) in hint_of(error)

    def test_parts_reached_by_a_link_are_the_same_parts(self, shelf: Shelf, tmp_path: Path) -> None:
        parts = write_parts(tmp_path / "disk" / "wan")
        shelf.add_root("loras", tmp_path / "disk")
        (shelf.loras / "linked").symlink_to(tmp_path / "disk" / "wan")
        named = [parts[0], shelf.loras / "linked" / parts[1].name]
        assert not move(shelf.library, meant(shelf, *named), str(shelf.vae)).failed
        assert len(listing(shelf.vae)) == 3


class TestRename:
    def test_a_part_is_never_renamed(self, shelf: Shelf) -> None:
        first, _ = write_parts(shelf.loras)
        shelf.scan()
        error = refused(lambda: rename(shelf.library, meant(shelf, first)[0], "better"))
        assert "keep the numbers" in hint_of(error)

    def test_nor_a_file_that_a_loader_looks_for_in_its_folder(self, shelf: Shelf) -> None:
        shelf.add_root("LLM", shelf.loras.parent / "LLM")
        first, _ = write_folder(shelf.loras.parent / "LLM" / "Florence")
        shelf.scan()
        refused(lambda: rename(shelf.library, meant(shelf, first)[0], "better"))


class TestTrash:
    def run(self, shelf: Shelf, environ: dict[str, str], *refs: str | Path) -> TrashReport:
        return trash(shelf.library, plan_trash(shelf.library, meant(shelf, *refs)), environ=environ)

    def test_a_part_alone_is_refused(self, shelf: Shelf, environ: dict[str, str]) -> None:
        first, second = write_parts(shelf.loras)
        shelf.scan()
        error = refused(lambda: self.run(shelf, environ, first))
        assert error.exit_code == 4
        assert hint_of(error) == f"name the others too: {second}"

    def test_all_parts_go_with_their_index(
        self, shelf: Shelf, environ: dict[str, str], tmp_path: Path
    ) -> None:
        parts = write_parts(shelf.loras, of=3)
        shelf.scan()
        report = self.run(shelf, environ, *parts)
        assert (len(report.removed), report.failed) == (3, [])
        assert listing(shelf.loras) == []
        assert len(listing(tmp_path / "data/Trash/files")) == 4
        assert not any(shelf.at(part) for part in parts)

    def test_the_folder_of_a_model_stays_with_its_config_and_is_told(
        self, shelf: Shelf, environ: dict[str, str]
    ) -> None:
        folder = shelf.loras.parent / "LLM" / "Florence"
        shelf.add_root("LLM", folder.parent)
        parts = write_folder(folder)
        shelf.scan()
        planned = plan_trash(shelf.library, meant(shelf, *parts))
        assert [each.folders for each in simulate_trash(shelf.library, planned, environ=environ).removed] == [
            (), (str(folder),),
        ]  # fmt: skip
        assert [each.folders for each in self.run(shelf, environ, *parts).removed] == [(), (str(folder),)]
        assert (folder / "config.json").exists()

    def test_of_many_the_hint_does_not_name_all(self, shelf: Shelf, environ: dict[str, str]) -> None:
        parts = write_parts(shelf.loras, of=9)
        shelf.scan()
        error = refused(lambda: self.run(shelf, environ, parts[0]))
        assert hint_of(error) == "name all 9 files, as `mlib show` lists them"

    def test_a_whole_folder_goes(self, shelf: Shelf, environ: dict[str, str]) -> None:
        shelf.add_root("LLM", shelf.loras.parent / "LLM")
        parts = write_folder(shelf.loras.parent / "LLM" / "Florence")
        shelf.scan()
        refused(lambda: self.run(shelf, environ, parts[1]))
        assert len(self.run(shelf, environ, *parts).removed) == 2

    def test_where_one_cannot_go_none_does(self, shelf: Shelf, environ: dict[str, str]) -> None:
        parts = write_parts(shelf.loras)
        shelf.scan()
        plan = plan_trash(shelf.library, meant(shelf, *parts))
        write_model(parts[1], "other bytes")
        report = trash(shelf.library, plan, environ=environ)
        assert [each.code for each in report.failed] == ["changed", "changed"]
        assert len(listing(shelf.loras)) == 3
        assert shelf.at(parts[0])

    def test_what_is_left_of_a_set_may_go(self, shelf: Shelf, environ: dict[str, str]) -> None:
        first, second = write_parts(shelf.loras)
        second.unlink()
        shelf.scan()
        assert len(self.run(shelf, environ, first).removed) == 1


class TestDuplicates:
    def run(self, shelf: Shelf, environ: dict[str, str], keep: str) -> tuple[DuplicatesReport, list[Needed]]:
        choices, needed = spare_needed(shelf.library, choose(find_duplicates(shelf.library), keep)[0])
        return carry_out(shelf.library, choices, "trash", environ=environ), needed

    def test_a_whole_copy_of_a_set_goes(self, shelf: Shelf, environ: dict[str, str]) -> None:
        write_parts(shelf.loras / "a")
        write_parts(shelf.loras / "longer")
        shelf.scan()
        report, needed = self.run(shelf, environ, "shortest")
        assert (len(report.done), needed, report.failed) == (2, [], [])
        assert (len(listing(shelf.loras / "a")), listing(shelf.loras / "longer")) == (3, [])

    @pytest.mark.parametrize("number", [0, 1])
    def test_where_one_part_of_a_copy_turns_out_rotten_none_goes(
        self, shelf: Shelf, environ: dict[str, str], number: int
    ) -> None:
        write_parts(shelf.loras / "a")
        parts = write_parts(shelf.loras / "longer")
        shelf.scan()
        status = parts[number].stat()
        parts[number].write_bytes(parts[number].read_bytes()[:-1] + b"!")
        os.utime(parts[number], ns=(status.st_atime_ns, status.st_mtime_ns))
        report, _ = self.run(shelf, environ, "shortest")
        assert sorted(each.code for each in report.failed) == ["part_of_set", "rotten"]
        assert (report.done, report.freed_bytes) == ([], 0)
        assert len(listing(shelf.loras / "longer")) == 3

    @pytest.mark.faults
    def test_a_set_that_two_mounts_show_comes_back_from_the_trash(
        self, shelf: Shelf, memory_disk: Path, environ: dict[str, str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Where nothing told before that the two are one: the last thing that keeps the files."""
        monkeypatch.setattr("mlib.services.files.duplicating.is_one_file", lambda _path, _other: False)
        upper, merged, lower, work = (memory_disk / name for name in ("upper", "merged", "lower", "work"))
        for folder in (merged, lower, work):
            folder.mkdir()
        write_parts(upper / "loras")
        layers = f"lowerdir={lower},upperdir={upper},workdir={work}"
        with mounted("-t", "overlay", "-o", layers, "overlay", at=merged):
            for folder in (upper, merged):
                shelf.add_root("loras", folder / "loras")
            report, _ = self.run(shelf, environ, f"{upper}/*")
            assert [each.code for each in report.failed] == ["same_file", "same_file"]
            assert len(listing(upper / "loras")) == len(listing(merged / "loras")) == 3

    @pytest.mark.parametrize("number", [0, 1])
    def test_no_part_goes_where_another_would_stay_alone(
        self, shelf: Shelf, environ: dict[str, str], number: int
    ) -> None:
        parts = write_parts(shelf.loras / "longer")
        write_model(shelf.loras / "x.safetensors", parts[number].name)
        shelf.scan()
        report, needed = self.run(shelf, environ, "shortest")
        assert (report.done, [each.copy.row.path for each in needed]) == ([], [str(parts[number])])
        assert needed[0].reason == "the other parts of its model stay"

    def test_loose_copies_of_all_parts_are_not_the_model(self, shelf: Shelf, environ: dict[str, str]) -> None:
        for number, part in enumerate(write_parts(shelf.loras / "longer")):
            write_model(shelf.loras / f"{number}.safetensors", part.name)
        shelf.scan()
        report, needed = self.run(shelf, environ, "shortest")
        assert (report.done, len(needed)) == ([], 2)

    def test_a_folder_keeps_its_copy(self, shelf: Shelf, environ: dict[str, str]) -> None:
        shelf.add_root("LLM", shelf.loras.parent / "LLM")
        first, _ = write_folder(shelf.loras.parent / "LLM" / "Florence")
        write_model(shelf.loras.parent / "LLM" / "m.safetensors", str(first))
        shelf.scan()
        report, needed = self.run(shelf, environ, "shortest")
        assert (report.done, [each.copy.row.path for each in needed]) == ([], [str(first)])
        assert "Florence needs it" in needed[0].reason

    def test_a_copy_that_the_loaders_of_another_folder_need_stays(
        self, shelf: Shelf, environ: dict[str, str]
    ) -> None:
        write_model(shelf.loras / "a.safetensors", "same")
        for name in ("longer.safetensors", "longest/of-all.safetensors"):
            write_model(shelf.vae / name, "same")
        shelf.scan()
        report, needed = self.run(shelf, environ, "shortest")
        assert [each.copy.row.path for each in needed] == [str(shelf.vae / "longer.safetensors")]
        assert [os.path.basename(copy.row.path) for copy, _ in report.done] == ["of-all.safetensors"]


class TestUnused:
    def offered(self, shelf: Shelf, tmp_path: Path, *named: str, **more: Any) -> set[str]:
        (tmp_path / "flows").mkdir(exist_ok=True)
        nodes = [node(number, "LoraLoader", name, 1, 1) for number, name in enumerate(named)]
        (tmp_path / "flows" / "flow.json").write_bytes(encoded(canvas(*nodes)))
        report = unused(shelf.library, [str(tmp_path / "flows")], **more)
        return {os.path.basename(path) for model in report.models for path in model.paths}

    @pytest.mark.parametrize("number", [0, 1, 2])
    def test_a_set_of_which_one_part_is_named_is_used(
        self, shelf: Shelf, tmp_path: Path, number: int
    ) -> None:
        parts = write_parts(shelf.loras / "wan", of=3)
        write_parts(shelf.loras, "idle")
        shelf.scan()
        offered = self.offered(shelf, tmp_path, f"wan/{parts[number].name}")
        assert offered == {"idle-00001-of-00002.safetensors", "idle-00002-of-00002.safetensors"}

    def test_a_folder_of_which_one_file_is_named_is_used(self, shelf: Shelf, tmp_path: Path) -> None:
        write_model(shelf.loras / "idle.safetensors")
        write_json(shelf.loras / "pipe" / "model_index.json", {})
        for name in ("a", "sub/b", "sub/c"):
            write_model(shelf.loras / "pipe" / f"{name}.safetensors")
        shelf.scan()
        assert self.offered(shelf, tmp_path, "pipe/sub/b.safetensors") == {"idle.safetensors"}

    def test_of_some_models_a_part_is_offered_only_with_all_others(
        self, shelf: Shelf, tmp_path: Path
    ) -> None:
        first, second = write_parts(shelf.loras)
        shelf.scan()
        shas = {part: sha for part in (first, second) if (sha := shelf.at(part))}
        assert not self.offered(shelf, tmp_path, among={shas[first]})
        assert self.offered(shelf, tmp_path, among=set(shas.values())) == {first.name, second.name}

    def test_a_set_with_a_part_that_no_scan_saw_is_not_offered(self, shelf: Shelf, tmp_path: Path) -> None:
        first, second = write_parts(shelf.loras)
        second.rename(tmp_path / "later")
        shelf.scan()
        (tmp_path / "later").rename(second)
        assert self.offered(shelf, tmp_path) == set()
        assert shelf.at(first)

    def test_one_model_in_two_sets_joins_them(self, shelf: Shelf, tmp_path: Path) -> None:
        for name in ("a", "b"):
            folder = shelf.loras / name
            write_model(folder / "m-00001-of-00002.safetensors", name)
            write_model(folder / "m-00002-of-00002.safetensors", "same in both")
        shelf.scan()
        assert self.offered(shelf, tmp_path, "a/m-00001-of-00002.safetensors") == set()


def findings(shelf: Shelf, path: Path) -> list[str]:
    sha256 = shelf.at(path)
    assert sha256
    return [
        finding.message
        for place, finding in contents.findings(shelf.library, sha256)
        if finding.code == "incomplete_set" and place == str(path)
    ]


class TestIncomplete:
    def test_a_scan_tells_once_what_is_missing_and_takes_it_back(self, shelf: Shelf, tmp_path: Path) -> None:
        first, second, third = write_parts(shelf.loras, of=3)
        second.rename(tmp_path / "later")
        report = shelf.scan()
        said = f"1 of 3 parts of this model is missing: {second.name}"
        told = [(path, each.code, each.message) for path, each in report.findings]
        assert told == [(str(first), "incomplete_set", said)]
        assert findings(shelf, first) == findings(shelf, third) == [said]
        assert shelf.scan().findings == []
        (tmp_path / "later").rename(second)
        assert shelf.scan().findings == []
        assert [findings(shelf, part) for part in (first, second, third)] == [[], [], []]

    def test_a_part_that_goes_leaves_a_finding(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        shelf.scan()
        second.unlink()
        assert [each.code for _, each in shelf.scan().findings] == ["incomplete_set"]
        assert findings(shelf, first)

    def test_what_an_older_mlib_did_not_look_for_is_found_by_reinspect(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        second.unlink()
        shelf.scan()
        (row,) = files.at_path(shelf.library, str(first))
        with shelf.library.transaction():
            contents.put_place_findings(shelf.library, row, [], codes=["incomplete_set"])
        assert shelf.scan().findings == []
        assert [each.code for _, each in shelf.scan(reinspect=True).findings] == ["incomplete_set"]

    def test_what_an_older_mlib_did_not_look_for_is_found_by_the_next_scan(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        second.unlink()
        shelf.scan()
        (row,) = files.at_path(shelf.library, str(first))
        with shelf.library.transaction():
            contents.put_place_findings(shelf.library, row, [], codes=["incomplete_set"])
            shelf.library.execute("DELETE FROM db_meta WHERE key = 'judged'")
        report = shelf.scan()
        assert [each.code for _, each in report.findings] == ["incomplete_set"]
        assert report.hashed_bytes == 0
        assert shelf.scan().findings == []

    def test_parts_that_are_moved_together_are_whole(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        (shelf.loras / "wan.safetensors.index.json").unlink()
        shelf.vae.joinpath(second.name).write_bytes(second.read_bytes())
        second.unlink()
        shelf.scan()
        assert findings(shelf, first)
        move(shelf.library, meant(shelf, first), str(shelf.vae))
        assert findings(shelf, shelf.vae / first.name) == []
        assert findings(shelf, shelf.vae / second.name) == []

    def test_verify_tells_it(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        second.unlink()
        write_model(shelf.loras / "other.safetensors")
        shelf.scan()
        report = verify(shelf.library, VerifyRequest())
        assert [(bad.state, bad.path) for bad in report.bad] == [("incomplete", str(first))]
        assert second.name in report.bad[0].message
        other = VerifyRequest(meant=meant(shelf, shelf.loras / "other.safetensors"))
        assert verify(shelf.library, other).bad == []

    def test_forgetting_a_part_takes_no_file(self, shelf: Shelf) -> None:
        first, second = write_parts(shelf.loras)
        shelf.scan()
        forget(shelf.library, [Target(sha256=shelf.at(first))])
        assert first.exists()
        error = refused(lambda: move(shelf.library, meant(shelf, second), str(shelf.vae)))
        assert "mlib scan" in hint_of(error)


def test_a_model_tells_which_set_it_is_part_of(shelf: Shelf) -> None:
    first, second, third = write_parts(shelf.loras, of=3)
    third.unlink()
    shelf.scan()
    (whole,) = detail(shelf.library, Target(sha256=shelf.at(first))).sets
    assert (whole.kind, whole.name) == ("parts", str(shelf.loras / "wan-*-of-00003.safetensors"))
    assert (whole.parts, whole.missing) == ((str(first), str(second)), (str(third),))


def write_gguf(path: Path, number: int, *, of: int) -> None:
    """A GGUF that says to be one of several, and holds nothing else."""
    pairs = [
        gguf_pair(b"general.name", 8, len(path.name).to_bytes(8, "little") + path.name.encode()),
        gguf_pair(b"split.no", 2, number.to_bytes(2, "little")),
        gguf_pair(b"split.count", 2, of.to_bytes(2, "little")),
    ]
    write_bytes(path, gguf_header(pairs, []))


def test_a_gguf_that_was_renamed_is_known_by_what_its_header_said(shelf: Shelf) -> None:
    parts = [shelf.loras / f"{name}.gguf" for name in ("big", "small")]
    for number, path in enumerate(parts):
        write_gguf(path, number, of=2)
    write_gguf(shelf.vae / "alone.gguf", 2, of=3)
    shelf.scan()
    error = refused(lambda: move(shelf.library, meant(shelf, parts[0]), str(shelf.vae)))
    assert hint_of(error) == f"name the others too: {parts[1]}"
    assert findings(shelf, shelf.vae / "alone.gguf") == [
        "2 of 3 parts of this model are missing: part 1 of 3 and 1 more"
    ]


def test_a_command_that_was_cut_off_is_ended_for_a_set(shelf: Shelf) -> None:
    first, second = write_parts(shelf.loras)
    index = shelf.loras / "wan.safetensors.index.json"
    shelf.scan()
    sha256 = shelf.at(first)
    assert sha256
    moves = [(str(path), str(shelf.vae / path.name)) for path in (index, first, second)]

    def cut_off() -> None:
        with noted(shelf.library.path, "mv", sha256=sha256, moves=moves):
            index.rename(shelf.vae / index.name)
            first.rename(shelf.vae / first.name)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        cut_off()
    report = move(shelf.library, meant(shelf, first, second), str(shelf.vae))
    assert report.failed == []
    assert len(listing(shelf.vae)) == 3
    assert shelf.told() == {"unchanged": 2}
