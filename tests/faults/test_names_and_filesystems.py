"""exFAT, as on most plug-in drives: names without case, coarse times, inodes that change with each mount."""

from __future__ import annotations

import subprocess
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import lacking, require, require_root
from tests.tools import write_model

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
