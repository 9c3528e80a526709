"""exFAT, as on most plug-in drives: names without case, coarse times, inodes that change with each mount."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.faults.forked import moments
from tests.faults.machine import lacking, mounted, require, require_root, tmpfs
from tests.faults.test_windows import CALLS
from tests.tools import write_model

from mlib.core.disk.entries import temporary_name
from mlib.core.disk.leftovers import settle

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.forked import Program

pytestmark = pytest.mark.faults


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[str]:
    """A small disk with an empty exFAT."""
    require("mkfs.exfat", "mount.exfat-fuse", "losetup")
    require_root()
    image = tmp_path / "image"
    with image.open("wb") as file:
        file.truncate(8 << 20)
    subprocess.run(["mkfs.exfat", image], check=True, capture_output=True)
    attached = subprocess.run(
        ["losetup", "--find", "--show", image], capture_output=True, text=True, check=False
    )
    if attached.returncode != 0:
        lacking(f"cannot attach a disk image: {attached.stderr.strip()}")
    yield attached.stdout.strip()
    subprocess.run(["losetup", "--detach", attached.stdout.strip()], check=True)


@contextmanager
def plugged_in(disk: str, at: Path) -> Iterator[Path]:
    """The disk, mounted; a directory for models in it."""
    at.mkdir(exist_ok=True)
    subprocess.run(["mount.exfat-fuse", disk, at], check=True, capture_output=True)
    try:
        yield at / "loras"
    finally:
        subprocess.run(["umount", at], check=True)


def test_after_a_remount_nothing_is_read_again_although_every_inode_is_another(
    disk: str, program: Program, tmp_path: Path
) -> None:
    names = [f"{name}.safetensors" for name in "abcdef"]
    with plugged_in(disk, tmp_path / "drive") as loras:
        for name in names:
            write_model(loras / name)
        program.run("scan", "--root", f"loras={loras}")
        inodes = [(loras / name).stat().st_ino for name in names]
    with plugged_in(disk, tmp_path / "drive") as loras:
        # exfat-fuse numbers files as they are first looked at.
        assert [(loras / name).stat().st_ino for name in reversed(names)][::-1] != inodes
        report = program.run("scan", "--json").json
    assert (report["unchanged"], report["hashed_bytes"]) == (len(names), 0)


def test_a_name_that_only_changed_its_case_is_a_moved_file(
    disk: str, program: Program, tmp_path: Path
) -> None:
    with plugged_in(disk, tmp_path / "drive") as loras:
        sha256 = write_model(loras / "Portrait.safetensors")
        program.run("scan", "--root", f"loras={loras}")
        program.run("update", sha256, "--notes", "typed")
        (loras / "Portrait.safetensors").rename(loras / "portrait.safetensors")
        report = program.run("scan", "--json").json
    assert (report["moved"], report["added"], report["missing"]) == (1, 0, 0)
    shown = program.run("show", sha256, "--json").json
    assert shown["notes"] == "typed"
    assert [file["loader_name"] for file in shown["files"]] == ["portrait.safetensors"]


def test_a_young_file_that_is_rewritten_right_after_its_scan_is_read_again(
    disk: str, program: Program, tmp_path: Path
) -> None:
    with plugged_in(disk, tmp_path / "drive") as loras:
        write_model(loras / "a.safetensors", "first", age=0)
        program.run("scan", "--root", f"loras={loras}")
        sha256 = write_model(loras / "a.safetensors", "other", age=0)
        report = program.run("scan", "--json").json
    assert report["replaced"] == 1
    assert program.run("show", sha256, "--json").json["present"] is True


class TestWithoutExclusiveRename:
    """exFAT by FUSE can neither rename without replacing nor link."""

    def test_moves_are_refused_until_one_says_that_it_is_no_risk(
        self, disk: str, program: Program, tmp_path: Path
    ) -> None:
        with plugged_in(disk, tmp_path / "drive") as loras:
            path = loras / "a.safetensors"
            write_model(path)
            write_model(tmp_path / "home" / "b.safetensors")
            (loras / "sub").mkdir()
            program.run("scan", "--root", f"loras={loras}", "--root", f"loras={tmp_path / 'home'}")
            for words in (("mv", path, loras / "sub"), ("rename", path, "c")):
                foreseen = program.run(*words, "-n", "--json").json
                assert foreseen["perhaps_not_exclusive"] == [os.path.dirname(foreseen["moved"][0]["path"])]
                assert "needs --no-exclusive" in program.run(*words, "-n").err
                assert (
                    program.run(*words, "-n", "--json", "--no-exclusive").json["perhaps_not_exclusive"] == []
                )
                refused = program.run(*words, "--json", code=1).error
                assert refused["code"] == "not_exclusive"
                assert "--no-exclusive" in refused["hint"]
                assert path.exists()
            program.run("mv", path, loras / "sub", "--no-exclusive")
            program.run("rename", loras / "sub/a.safetensors", "c", "--no-exclusive")
            refused = program.run("mv", "b.safetensors", loras, "--json", code=1).error
            assert refused["code"] == "not_exclusive"
            program.run("mv", "b.safetensors", loras, "--no-exclusive")
            assert sorted(each.name for each in loras.rglob("*")) == ["b.safetensors", "c.safetensors", "sub"]
            (loras / "sub/b.safetensors").write_bytes(b"theirs")
            program.run("mv", loras / "b.safetensors", loras / "sub", "--no-exclusive", code=1)
            assert (loras / "sub/b.safetensors").read_bytes() == b"theirs"

    def test_the_trash_needs_no_such_word(self, disk: str, program: Program, tmp_path: Path) -> None:
        """Whoever makes the description has the name in it: so the specification has it."""
        with plugged_in(disk, tmp_path / "drive") as loras:
            write_model(loras / "a.safetensors")
            program.run("scan", "--root", f"loras={loras}")
            (done,) = program.run("trash", "a.safetensors", "-y", "--json").json["trashed"]
            assert done["trashed_to"].endswith("/files/a.safetensors")
            assert os.listdir(loras) == []

    @pytest.mark.parametrize("words", [("mv", "sub", "--no-exclusive"), ("trash", "-y")], ids=["mv", "trash"])
    def test_what_a_kill_cut_off_is_ended_by_the_same_command(
        self, disk: str, program: Program, tmp_path: Path, words: tuple[str, ...]
    ) -> None:
        """Killed at each call that changes a name: the empty file that had taken one is in nobody's way."""
        with plugged_in(disk, tmp_path / "drive") as loras:
            (loras / "sub").mkdir(parents=True)
            path = loras / "a.safetensors"
            line = [
                str(loras / "sub") if word == "sub" else word for word in (words[0], str(path), *words[1:])
            ]
            bin_ = loras.parent / f".Trash-{os.getuid()}" / "files"
            there = loras / "sub" if words[0] == "mv" else bin_

            def prepare() -> None:
                program.run("scan", code=None)
                write_model(path)
                path.with_suffix(".png").write_bytes(b"picture")
                program.run("scan", "--root", f"loras={loras}")

            prepare()
            size = path.stat().st_size
            undisturbed = program.run_with_fault(*line, call=CALLS, fault="delay_enter=1:when=1")
            assert undisturbed.result.code == 0, undisturbed.result.err
            kills = 0
            for call, number in moments(undisturbed.log):
                for left in (*there.iterdir(), *bin_.parent.glob("info/*")):
                    left.unlink()
                prepare()
                run = program.run_with_fault(*line, call=call, fault=f"signal=KILL:when={number}")
                assert run.result.code == -signal.SIGKILL, run
                kills += 1
                program.run(*line)
                told = (call, number, os.listdir(loras), os.listdir(there))
                sizes = {name: (there / name).stat().st_size for name in os.listdir(there)}
                assert sizes == {"a.png": len(b"picture"), "a.safetensors": size}, told
                assert [name for name in os.listdir(loras) if name != "sub"] == [], told
            assert kills > 3

    def test_what_was_moved_aside_comes_back_over_the_empty_file_that_had_taken_its_name(
        self, disk: str, tmp_path: Path
    ) -> None:
        """Elsewhere nobody takes names so, and an empty file is somebody's."""
        with plugged_in(disk, tmp_path / "drive") as loras:
            for folder, there in ((loras, {b"model"}), (tmp_path / "here", {b"", b"model"})):
                folder.mkdir()
                path = folder / "a.safetensors"
                path.touch()
                (folder / temporary_name("aside", path.name)).write_bytes(b"model")
                settle(str(path))
                assert {each.read_bytes() for each in folder.iterdir()} == there
                assert path.read_bytes() == (b"model" if folder is loras else b"")

    def test_only_other_letters_are_another_name(self, disk: str, program: Program, tmp_path: Path) -> None:
        with plugged_in(disk, tmp_path / "drive") as loras:
            write_model(loras / "a.safetensors")
            program.run("scan", "--root", f"loras={loras}")
            program.run("rename", "a.safetensors", "A")
            assert os.listdir(loras) == ["A.safetensors"]
            assert program.run("scan", "--json").json["unchanged"] == 1

    @pytest.mark.parametrize("command", ["export", "backup"])
    def test_a_new_file_never_takes_the_place_of_one_that_appears(
        self, disk: str, program: Program, tmp_path: Path, command: str
    ) -> None:
        calls = f"/^(openat|{CALLS.removeprefix('/^(')}"
        with plugged_in(disk, tmp_path / "drive") as loras:
            write_model(loras / "a.safetensors")
            program.run("scan", "--root", f"loras={loras}")
            path = loras.parent / "new.file"
            words = (command, *(("-o",) if command == "export" else ()), str(path))
            undisturbed = program.run_with_fault(*words, call=calls, fault="delay_enter=1:when=1")
            assert undisturbed.result.code == 0
            path.unlink()
            held_up = 0

            def appears() -> None:
                path.write_bytes(b"theirs")

            for call, number in moments(undisturbed.log, naming=path.name):
                run = program.run_with_delay(*words, call=call, number=number, meanwhile=appears)
                assert (run.result.code, path.read_bytes()) == (4, b"theirs"), run
                assert [each.name for each in loras.parent.iterdir() if each.name.startswith(".mlib-")] == []
                path.unlink()
                held_up += 1
            assert held_up > 0


@contextmanager
def file_system(kind: str, folder: Path) -> Iterator[Path]:
    """A folder of a file system that has its own ways of renaming and of numbering files."""
    at, below = folder / "mounted", folder / "below"
    for each in (at, *(below / name for name in ("lower", "upper", "work"))):
        each.mkdir(parents=True, exist_ok=True)
    if kind == "overlay":
        options = f"lowerdir={below}/lower,upperdir={below}/upper,workdir={below}/work"
        what: tuple[str, ...] = ("-t", "overlay", "overlay", "-o", options)
    elif kind == "ntfs":
        require("ntfs-3g", "mkfs.ntfs")
        image = folder / "image"
        with image.open("wb") as file:
            file.truncate(16 << 20)
        subprocess.run(["mkfs.ntfs", "-F", "-q", image], check=True, capture_output=True)
        what = ("-t", "ntfs-3g", "-o", "loop", str(image))
    else:
        require(kind)
        what = ("-t", f"fuse.{kind}", str(below / "lower"))
    with mounted(*what, at=at):
        yield at


@pytest.mark.parametrize("kind", ["bindfs", "mergerfs", "ntfs", "overlay"])
def test_every_command_that_changes_files_works_on(kind: str, program: Program, tmp_path: Path) -> None:
    with file_system(kind, tmp_path) as there:
        loras, here = there / "loras", tmp_path / "here"
        for name in ("a", "b", "c"):
            write_model(loras / f"{name}.safetensors")
        write_model(here / "x.safetensors")
        program.run("scan", "--root", f"loras={loras}", "--root", f"loras={here}")
        (loras / "sub").mkdir()
        program.run("mv", loras / "a.safetensors", loras / "sub")
        program.run("rename", "b.safetensors", "bb")
        program.run("rename", loras / "bb.safetensors", "BB")
        program.run("trash", "c.safetensors", "-y")
        program.run("mv", here / "x.safetensors", loras)
        program.run("mv", loras / "x.safetensors", here)
        for _ in range(2):
            program.run("export", "-o", there / "all.jsonl", "-y")
            program.run("backup", there / "copy.db", "-y")
        write_model(loras / "d.safetensors", "a.safetensors")
        program.run("scan")
        done = program.run("duplicates", "--hardlink", "--keep", loras / "d.safetensors", "-y", "--json").json
        assert (len(done["done"]), done["failed"]) == (1, [])
        time.sleep(1.1)  # FUSE remembers what it was told of a file
        names = [loras / "d.safetensors", loras / "sub" / "a.safetensors"]
        assert [name.stat().st_nlink for name in names] == [2, 2]
        assert program.run("duplicates", "--json").json["groups"] == []
        write_model(here / "kept.safetensors", "a.safetensors")
        program.run("scan")
        done = program.run("duplicates", "--trash", "--keep", here / "kept.safetensors", "-y", "--json").json
        assert ([each["path"] for each in done["done"]], done["needed"]) == (
            [str(loras / "d.safetensors"), str(loras / "sub/a.safetensors")], [],
        )  # fmt: skip
        assert done["freed_bytes"] == done["groups"][0]["size_bytes"]
        program.run("mv", here / "kept.safetensors", loras / "sub" / "a.safetensors")
        for notes in ("first", "second"):
            program.run("update", here / "x.safetensors", loras / "BB.safetensors", "--notes", notes)
            program.run("export", "--sidecars", "-y")
        assert program.run("scan", "--json").json["hashed_bytes"] == 0
        listed = {str(path.relative_to(there)) for path in there.rglob("*") if path.is_file()}
        assert {path for path in listed if not path.startswith(".Trash-")} == {
            "loras/sub/a.safetensors", "loras/BB.safetensors",
            "loras/BB.metadata.json", "all.jsonl", "copy.db",
        }  # fmt: skip


def test_where_the_first_bin_cannot_take_a_file_no_description_of_it_stays_there(
    program: Program, tmp_path: Path
) -> None:
    """A disk of two, of which each keeps its own files: a rename from one to the other is none."""
    require("mergerfs")
    one, two, at = (tmp_path / name for name in ("one", "two", "at"))
    for each in (one, two / "loras", at):
        each.mkdir(parents=True)
    what = ("-t", "fuse.mergerfs", "-o", "category.create=epff,minfreespace=0", f"{one}:{two}")
    with tmpfs(size=1 << 20, at=one), mounted(*what, at=at):
        write_model(at / "loras" / "a.safetensors")
        program.run("scan", "--root", f"loras={at / 'loras'}")
        (done,) = program.run("trash", "a.safetensors", "-y", "--json").json["trashed"]
        assert done["trashed_to"] == str(at / "loras" / ".mlib-trash" / "files" / "a.safetensors")
        names = sorted(path.name for path in at.rglob("*") if path.is_file())
        assert names == ["a.safetensors", "a.safetensors.trashinfo"]


class TestSeenTwice:
    """A file that is seen at two paths is no copy, and nothing would be freed."""

    @pytest.mark.parametrize("view", ["bindfs", "mergerfs", "overlay"])
    def test_by_two_mounts(self, program: Program, tmp_path: Path, view: str) -> None:
        below = tmp_path / "below" / "lower"
        for name in ("a", "b"):
            write_model(below / f"{name}.safetensors")
        with file_system(view, tmp_path) as seen:
            write_model(tmp_path / "real" / "c.safetensors", "a.safetensors")
            roots = [f"loras={place}" for place in (below, seen, tmp_path / "real")]
            program.run("scan", *(word for root in roots for word in ("--root", root)))
            report = program.run("duplicates", "--json").json
            (group,) = report["groups"]  # the one that there is a copy of
            assert report["freeable_bytes"] == group["size_bytes"]
            keep = str(tmp_path / "real" / "c.safetensors")
            done = program.run("duplicates", "--trash", "--keep", keep, "-y", "--json").json
            assert (len(done["done"]), done["failed"]) == (1, [])
            assert done["freed_bytes"] == group["size_bytes"]

    def test_by_two_mounts_of_a_disk_that_counts_time_coarsely_it_is_said_and_nothing_is_lost(
        self, disk: str, program: Program, tmp_path: Path
    ) -> None:
        """The time of a file's last change is no proof there: two copies may well have the same."""
        require("bindfs")
        with plugged_in(disk, tmp_path / "drive") as loras:
            path = loras / "a.safetensors"
            write_model(path)
            view = tmp_path / "view"
            view.mkdir()
            with mounted("-t", "fuse.bindfs", str(loras.parent), at=view):
                seen = view / "loras" / "a.safetensors"
                program.run("scan", "--root", f"loras={loras}", "--root", f"loras={seen.parent}")
                listed = program.run("duplicates")
                assert listed.err.count("maybe one file seen through two mounts") == 1
                (group,) = program.run("duplicates", "--json").json["groups"]
                assert sorted(group["perhaps_one_file"]) == sorted([str(path), str(seen)])
                kept = path.read_bytes()
                for action in ("--trash", "--hardlink"):
                    done = program.run("duplicates", action, "--keep", str(path), "-y", "--json", code=3).json
                    assert (done["done"], done["freed_bytes"]) == ([], 0)
                    assert [each["code"] for each in done["failed"]] == [
                        {"--trash": "same_file", "--hardlink": "other_file_system"}[action]
                    ]
                    assert path.read_bytes() == kept
                assert program.run("scan", "--json").json["unchanged"] == 2

    def test_by_two_spellings(self, disk: str, program: Program, tmp_path: Path) -> None:
        with plugged_in(disk, tmp_path / "drive") as loras:
            write_model(loras / "a.safetensors")
            other = loras.with_name("LORAS")
            assert os.stat(other / "a.safetensors").st_ino != os.stat(loras / "a.safetensors").st_ino
            program.run("scan", "--root", f"loras={loras}", "--root", f"loras={other}")
            assert program.run("duplicates", "--json").json["groups"] == []


def test_a_built_in_folder_in_other_letters_is_the_one_that_comfyui_finds(
    disk: str, program: Program, tmp_path: Path
) -> None:
    with plugged_in(disk, tmp_path / "drive") as loras:
        models = loras.with_name("models")
        write_model(models / "VAE" / "a.safetensors")
        write_model(models / "Lora" / "b.safetensors")
        report = program.run("scan", "--comfyui", str(models), "--json", code=3).json
        assert [problem["path"] for problem in report["problems"]] == [str(models / "Lora")]
        roots = program.run("roots", "--json").json
    assert {root["type"]: root["path"] for root in roots} == {
        "vae": str(models / "vae"),
        "Lora": str(models / "Lora"),
    }


@pytest.mark.parametrize("dry_run", [False, True])
def test_what_a_read_only_disk_would_not_let_go_of_is_not_copied_from_it(
    program: Program, tmp_path: Path, dry_run: bool
) -> None:
    there, here = tmp_path / "there", tmp_path / "here"
    there.mkdir()
    write_model(here / "b.safetensors")
    how = ("-n",) if dry_run else ()
    with tmpfs(size=1 << 20, at=there):
        write_model(there / "a.safetensors")
        (there / "a.png").write_bytes(b"picture")
        program.run("scan", "--root", f"loras={there}", "--root", f"loras={here}")
        subprocess.run(["mount", "-o", "remount,ro", there], check=True)
        for words in (
            ("mv", "a.safetensors", here),
            ("rename", "a.safetensors", "c"),
            ("mv", "b.safetensors", there),
        ):
            error = program.run(*words, *how, "--json", code=1).error
            assert (error["code"], error["hint"]) == ("cannot_move", "nothing was moved")
            assert "read-only file system" in error["message"]
        (failed,) = program.run("trash", "a.safetensors", "-y", *how, "--json", code=3).json["failed"]
        assert failed["code"] == "cannot_trash"
        assert "read-only file system" in failed["message"]
        assert [each.name for each in here.iterdir()] == ["b.safetensors"]
