"""What lies beside a model, as the disk is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.sidecars.companions import Companion, beside, neighbours

if TYPE_CHECKING:
    from pathlib import Path


def lay(folder: Path, *names: str) -> None:
    for name in names:
        (folder / name).write_bytes(b"")


def test_its_companions_the_most_trusted_first(tmp_path: Path) -> None:
    lay(tmp_path, "ink.safetensors", "ink.png", "ink.txt", "ink.civitai.info", "other.txt", "ink.v2.json")
    assert beside(str(tmp_path / "ink.safetensors")) == (
        Companion("ink.civitai.info", "civitai_info"),
        Companion("ink.txt", "text"),
        Companion("ink.png", "preview"),
    )


def test_the_model_itself_need_not_be_there(tmp_path: Path) -> None:
    lay(tmp_path, "ink.txt")
    assert beside(str(tmp_path / "ink.safetensors")) == (Companion("ink.txt", "text"),)


def test_nothing_where_the_folder_cannot_be_listed(tmp_path: Path) -> None:
    lay(tmp_path, "file")
    for folder in ("none", "file", "x" * 300, "nul\0"):
        assert beside(str(tmp_path / folder / "ink.safetensors")) == ()


def test_names_that_are_no_text(tmp_path: Path) -> None:
    with open(os.fsencode(tmp_path) + b"/in\xffk.txt", "wb"):
        pass
    name = os.fsdecode(b"in\xffk")
    assert beside(str(tmp_path / f"{name}.safetensors")) == (Companion(f"{name}.txt", "text"),)


def test_what_is_called_like_one_and_is_no_file_is_passed_over(tmp_path: Path) -> None:
    lay(tmp_path, "ink.safetensors", "ink.txt")
    (tmp_path / "ink.civitai.info").mkdir()
    os.mkfifo(tmp_path / "ink.json")
    (tmp_path / "ink.md").symlink_to("nowhere")
    (tmp_path / "ink.png").symlink_to("ink.png")
    path = str(tmp_path / "ink.safetensors")
    assert beside(path) == beside(path, listed=neighbours) == (Companion("ink.txt", "text"),)
