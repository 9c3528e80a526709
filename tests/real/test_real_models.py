"""The five commands on real model files, as a user would go about it."""

from __future__ import annotations

import json
import shutil
from typing import TYPE_CHECKING, Any

import pytest
from tests.legacy_databases import hikaze1
from tests.real.fetch import RealFile, manifest
from tests.tools import mlib, set_age

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real")]

WHOLE = [file for file in manifest() if file.size]
EMPTY = [file for file in manifest() if not file.size]
LORA = next(file for file in WHOLE if file.path == "checkpoints/mir-1k.ckpt")
GGUF = next(file for file in WHOLE if file.path.endswith(".gguf"))


@pytest.fixture
def comfyui(real_models: Path, tmp_path: Path) -> Path:
    """A ComfyUI of the test's own with the real files in it."""
    directory = tmp_path / "ComfyUI"
    shutil.copytree(real_models, directory / "models")
    for path in directory.rglob("*"):
        set_age(path, 3600)
    return directory


#: One of the files imports what mlib does not know (omegaconf): a serious finding, when it is new.
UNKNOWN_CODE = 3


def scan(library: Path, *arguments: str | Path, code: int = 0) -> Any:
    return mlib("scan", *arguments, "--json", library=library, code=code).json


def show(library: Path, ref: str) -> Any:
    return mlib("show", ref, "--json", library=library).json


def test_each_file_is_catalogued_with_its_hash_and_empty_ones_are_left_alone(
    comfyui: Path, library_path: Path
) -> None:
    report = scan(library_path, "--comfyui", comfyui, code=UNKNOWN_CODE)
    assert (report["added"], report["skipped"], report["problems"]) == (len(WHOLE), len(EMPTY), [])
    assert report["hashed_bytes"] == sum(file.size for file in WHOLE)
    for file in WHOLE:
        model = show(library_path, file.sha256[:12].upper())
        assert [model["sha256"], model["size_bytes"], model["type"]] == [
            file.sha256,
            file.size,
            file.path.partition("/")[0],
        ]
        assert model["files"][0]["loader_name"] == file.path.partition("/")[2]


def test_an_unchanged_library_is_not_read_again(comfyui: Path, library_path: Path) -> None:
    scan(library_path, "--comfyui", comfyui, code=UNKNOWN_CODE)
    again = scan(library_path)
    assert (again["unchanged"], again["hashed_bytes"]) == (len(WHOLE), 0)


def test_notes_and_tags_follow_a_moved_file_without_reading_it(comfyui: Path, library_path: Path) -> None:
    """Promise 3."""
    scan(library_path, "--comfyui", comfyui, code=UNKNOWN_CODE)
    note(library_path, LORA)
    (comfyui / "models/loras/pitch").mkdir(parents=True)
    (comfyui / "models" / LORA.path).rename(comfyui / "models/loras/pitch/mono.ckpt")
    report = scan(library_path)
    assert (report["moved"], report["missing"], report["hashed_bytes"]) == (1, 0, 0)
    model = show(library_path, LORA.sha256)
    assert (model["notes"], model["tags"], model["present"]) == ("keep", ["mono, pitch"], True)
    assert model["files"][0]["loader_name"] == "pitch/mono.ckpt"


def test_a_copy_is_another_file_and_a_replaced_file_another_model(comfyui: Path, library_path: Path) -> None:
    """Promises 4 and 7."""
    scan(library_path, "--comfyui", comfyui, code=UNKNOWN_CODE)
    note(library_path, LORA)
    shutil.copy2(comfyui / "models" / GGUF.path, comfyui / "models" / LORA.path)
    report = scan(library_path)
    assert report["replaced"] == 1
    old, new = show(library_path, LORA.sha256), show(library_path, GGUF.sha256)
    assert (old["present"], old["notes"]) == (False, "keep")
    assert [file["present"] for file in new["files"]] == [True, True]


def test_an_unplugged_disk_loses_nothing(comfyui: Path, library_path: Path) -> None:
    """Promise 5."""
    scan(library_path, "--comfyui", comfyui, code=UNKNOWN_CODE)
    note(library_path, LORA)
    comfyui.rename(comfyui.with_name("off"))
    report = scan(library_path, code=3)
    assert report["missing"] == 0
    assert len(report["offline_roots"]) == len({file.path.partition("/")[0] for file in WHOLE})
    assert show(library_path, LORA.sha256)["notes"] == "keep"
    comfyui.with_name("off").rename(comfyui)
    report = scan(library_path)
    assert (report["unchanged"], report["hashed_bytes"]) == (len(WHOLE), 0)


def test_an_older_database_brings_its_notes_to_the_real_files(
    comfyui: Path, library_path: Path, tmp_path: Path
) -> None:
    path = str(tmp_path / "hikaze.sqlite3")
    hikaze1(
        path,
        [
            {
                "path": r"D:\models\a.gguf",
                "hash_hex": GGUF.sha256.upper(),
                "extra": PICTURED,
                "tags": ["tiny"],
            },
            {"path": str(comfyui / "models" / LORA.path), "hash_hex": "", "tags": ["by path"]},
        ],
    )
    scan(library_path, "--comfyui", comfyui, code=UNKNOWN_CODE)
    first = mlib("import", "--from", path, "--json", library=library_path).json
    assert (len(first["success"]), first["conflict"], first["failed"]) == (2, [], [])
    again = mlib("import", "--from", path, "--json", library=library_path).json
    assert [entry["change"] for entry in again["success"]] == ["unchanged", "unchanged"]
    model = show(library_path, GGUF.sha256)
    assert (model["description"], model["tags"], model["meta"]) == (
        "a tiny one",
        ["tiny"],
        {"images_count": 1},
    )
    assert show(library_path, LORA.sha256)["tags"] == ["by path"]
    clean = [mlib("clean-meta", "--json", library=library_path).json for _ in range(2)]
    assert [(run["examined"], run["cleaned"]) for run in clean] == [(1, 0), (1, 0)]


PICTURED = {"description": "a tiny one", "images": ["data:image/png;base64," + "iVBORw0KGgo" * 40]}


def note(library: Path, file: RealFile) -> None:
    mlib("update", file.sha256[:8], "--notes", "keep", "--tag", "mono, pitch", library=library)


def test_every_command_speaks_json(comfyui: Path, library_path: Path) -> None:
    runs = [
        ["scan", "--comfyui", str(comfyui)],
        ["show", LORA.sha256],
        ["update", LORA.sha256, "--tag", "x"],
        ["import"],
        ["clean-meta"],
    ]
    for run in runs:
        code = UNKNOWN_CODE if run[0] == "scan" else 0
        output = mlib(*run, "--json", library=library_path, code=code).stdout
        assert isinstance(json.loads(output), dict)
        assert output.count(b"\n") == 1
