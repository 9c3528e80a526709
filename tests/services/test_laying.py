"""Sidecars for other managers: our better words, everything else as it was, and no news for the next scan."""

from __future__ import annotations

import fcntl
import json
import os
import time
from typing import TYPE_CHECKING, Any

import pytest
from tests.services.files_meant import directories_listed
from tests.tools import write_bytes, write_model

from mlib.core.disk.entries import temporary_name
from mlib.db import models, tags
from mlib.services.exporting import SidecarExport, plan_sidecars, write_sidecars

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf


def lay(shelf: Shelf, *shas: str) -> SidecarExport:
    """What `mlib export --sidecars --yes` does."""
    report = plan_sidecars(shelf.library, shas or None)
    write_sidecars(shelf.library, report)
    return report


def said(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.read_text())
    return document


def described(shelf: Shelf, name: str = "a.safetensors") -> str:
    sha256 = write_model(shelf.loras / name)
    shelf.scan()
    shelf.edit(sha256, name="My own", notes="typed\nhere", description="x < y", tag=("one", "two"))
    return sha256


def test_what_was_typed_is_said_in_the_words_of_others(shelf: Shelf) -> None:
    sha256 = described(shelf)
    report = lay(shelf)
    path = shelf.loras / "a.metadata.json"
    assert report.written == [str(path)]
    told = said(path)
    assert told["sha256"] == sha256
    assert (told["file_name"], told["model_name"], told["notes"]) == ("a", "My own", "typed\nhere")
    assert (told["tags"], told["modelDescription"]) == (["one", "two"], "x < y")
    assert told["file_path"] == str(shelf.loras / "a.safetensors")
    assert told["size"] == os.path.getsize(shelf.loras / "a.safetensors")


def test_the_next_scan_has_nothing_to_read_and_changes_nothing(shelf: Shelf) -> None:
    sha256 = described(shelf)
    lay(shelf)
    before = shelf.user_data(sha256), models.get(shelf.library, sha256)
    assert shelf.told() == {"unchanged": 1}
    assert lay(shelf).unchanged == 1
    os.utime(shelf.loras / "a.metadata.json")
    assert shelf.told() == {"unchanged": 1}
    assert (shelf.user_data(sha256), models.get(shelf.library, sha256)) == before


def test_what_is_emptied_later_does_not_come_back_from_our_own_words(shelf: Shelf) -> None:
    sha256 = described(shelf)
    lay(shelf)
    shelf.edit(sha256, notes="")
    os.utime(shelf.loras / "a.metadata.json")
    shelf.scan()
    model = models.get(shelf.library, sha256)
    assert model is not None
    assert model.notes == ""


def test_what_others_wrote_stays_to_the_last_digit(shelf: Shelf) -> None:
    theirs = (
        '{"x": 1.10, "notes": "theirs", "big": 123456789012345678901234567890, "x": [1E5, {"k": null}],'
        ' "usage_tips": "{\\"strength\\": 0.80}", "base_model": "Pony", "modelDescription": "<b>kept</b>",'
        ' "tags": ["old"]}'
    )
    sha256 = write_model(shelf.loras / "a.safetensors")
    path = shelf.loras / "a.metadata.json"
    write_bytes(path, theirs.encode())
    os.chmod(path, 0o640)
    shelf.scan()
    assert tags.of_model(shelf.library, sha256) == ("old",)
    shelf.edit(sha256, notes="ours")
    lay(shelf)
    text = path.read_text()
    assert text.startswith(
        '{"x":1.10,"notes":"ours","big":123456789012345678901234567890,"x":[1E5,{"k":null}],'
    )
    told = said(path)
    assert told["usage_tips"] == '{"strength": 0.80}'
    assert (told["base_model"], told["modelDescription"], told["tags"]) == ("Pony", "<b>kept</b>", ["old"])
    assert told["sha256"] == sha256
    assert path.stat().st_mode & 0o777 == 0o640
    assert shelf.told() == {"unchanged": 1}


def test_of_models_of_which_nothing_was_typed_nothing_is_written(shelf: Shelf) -> None:
    for number in range(3):
        write_model(shelf.loras / f"{number}.safetensors")
    write_bytes(shelf.loras / "page.safetensors", b"<!DOCTYPE html><title>Sign in</title>" + bytes(500))
    typed = described(shelf)
    cleared = write_model(shelf.loras / "cleared.safetensors")
    shelf.scan()
    shelf.edit(cleared, notes="x")
    shelf.edit(cleared, notes="")
    shelf.edit(cleared, type="vae")  # no field of a sidecar tells it
    report = lay(shelf)
    assert report.written == [str(shelf.loras / "a.metadata.json")]
    assert report.untyped == 5
    assert list(shelf.loras.glob("*.json")) == [shelf.loras / "a.metadata.json"]
    assert lay(shelf, typed, cleared).untyped == 1


def test_the_words_of_another_manager_are_not_passed_on_as_ours(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    theirs = {
        "ModelName": "Theirs",
        "ModelDescription": "Their words.",
        "Tags": ["their tag"],
        "BaseModel": "Pony",
        "TrainedWords": ["their word"],
    }
    write_bytes(shelf.loras / "a.cm-info.json", json.dumps(theirs).encode())
    shelf.scan()
    assert lay(shelf).untyped == 1
    model = models.get(shelf.library, sha256)
    assert model is not None
    assert (model.name, model.description, model.base_model) == ("Theirs", "Their words.", "Pony")
    shelf.edit(sha256, notes="mine")
    lay(shelf)
    told = said(shelf.loras / "a.metadata.json")
    assert (told["notes"], told["model_name"], told["base_model"]) == ("mine", "a", "Unknown")
    assert (told["modelDescription"], told["tags"]) == ("", [])
    assert "their" not in json.dumps(told).lower()


@pytest.mark.parametrize(
    "content", [b"not json", b"[1]", b"\xff\xfe\xfa", b'{"sha256":"' + b"ab" * 32 + b'"}']
)
def test_what_is_not_ours_to_change_is_left_alone(shelf: Shelf, content: bytes) -> None:
    described(shelf)
    path = shelf.loras / "a.metadata.json"
    write_bytes(path, content)
    report = lay(shelf)
    assert (report.written, len(report.problems)) == ([], 1)
    assert path.read_bytes() == content


def test_a_shared_stem_a_link_and_a_changed_file_are_left_alone(shelf: Shelf, tmp_path: Path) -> None:
    described(shelf)
    described(shelf, "b.safetensors")
    described(shelf, "c.safetensors")
    write_model(shelf.loras / "a.ckpt")
    write_bytes(tmp_path / "elsewhere.json", b"{}")
    (shelf.loras / "b.metadata.json").symlink_to(tmp_path / "elsewhere.json")
    write_model(shelf.loras / "c.safetensors", "other", size=100)
    report = lay(shelf)
    assert sorted(problem.code for problem in report.problems) == [
        "changed_since",
        "not_a_file",
        "shared_stem",
    ]
    assert report.written == []
    assert (tmp_path / "elsewhere.json").read_bytes() == b"{}"


def test_what_changed_since_it_was_planned_is_left_alone(shelf: Shelf) -> None:
    described(shelf)
    report = plan_sidecars(shelf.library, None)
    write_bytes(shelf.loras / "a.metadata.json", b"{}")
    write_sidecars(shelf.library, report)
    assert [problem.code for problem in report.problems] == ["changed_since"]
    assert (shelf.loras / "a.metadata.json").read_bytes() == b"{}"


def test_a_folder_is_listed_once_however_many_models_are_in_it(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    shas = [write_model(shelf.loras / f"{number}.safetensors") for number in range(5)]
    shas.append(write_model(shelf.vae / "a.safetensors"))
    shelf.scan()
    for sha256 in shas:
        shelf.edit(sha256, notes="typed")
    listed = directories_listed(monkeypatch)
    assert len(plan_sidecars(shelf.library, None).planned) == 6
    assert sorted(listed) == [str(shelf.loras), str(shelf.vae)]


def test_what_a_killed_run_left_in_the_folder_is_swept(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    described(shelf)
    half, held, aside = (
        shelf.loras / temporary_name(purpose, "a.metadata.json")
        for purpose in ("partial", "partial", "aside")
    )
    copy = shelf.loras / ".mlib-copy-0123456789abcdef"
    for path in (half, held, aside, copy):
        path.write_bytes(b"{")
    two_days_on = time.time() + 2 * 86_400  # nothing can make a file's last change an old one
    monkeypatch.setattr(time, "time", lambda: two_days_on)
    with held.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        lay(shelf)
    assert [path.exists() for path in (half, held, copy)] == [False, True, True]


def test_what_was_begun_today_is_left(shelf: Shelf) -> None:
    described(shelf)
    half = shelf.loras / temporary_name("partial", "a.metadata.json")
    half.write_bytes(b"{")
    lay(shelf)
    assert half.exists()


def test_a_sidecar_that_a_killed_run_had_moved_aside_is_had_back(shelf: Shelf) -> None:
    described(shelf)
    aside = shelf.loras / temporary_name("aside", "a.metadata.json")
    aside.write_bytes(b'{"theirs": 1}')
    assert [problem.code for problem in lay(shelf).problems] == ["changed_since"]
    assert not aside.exists()
    assert lay(shelf).problems == []
    assert said(shelf.loras / "a.metadata.json")["theirs"] == 1
