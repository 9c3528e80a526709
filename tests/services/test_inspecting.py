"""Inspecting any file, in a library or not: what it says, what lies beside it, what is wrong with it."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

import pytest
from tests.libraries import snapshot
from tests.model_files import safetensors
from tests.services.files_meant import directories_listed
from tests.tools import write_bytes
from tests.troubled_files import TROUBLED, Troubled

from mlib.core.errors import MlibError, NotFound
from mlib.services.inspecting import Inspected, inspect, inspect_each

LORA = safetensors(
    {"x.lora_down.weight": 8, "x.lora_up.weight": 8},
    metadata={"modelspec.trigger_phrase": "mira", "modelspec.author": "the file"},
)


def codes(found: Inspected) -> list[tuple[str, bool]]:
    return [(finding.code, finding.serious) for finding in found.findings]


@pytest.mark.parametrize("file", TROUBLED, ids=lambda file: file.name)
def test_all_that_can_be_wrong_with_a_file_is_found(tmp_path: Path, file: Troubled) -> None:
    write_bytes(tmp_path / file.name, file.content)
    found = inspect(str(tmp_path / file.name))
    assert codes(found) == [(file.code, file.serious)]
    assert found.is_serious == file.serious
    assert found.size_bytes == len(file.content)


def test_nothing_is_written(tmp_path: Path) -> None:
    for file in TROUBLED:
        write_bytes(tmp_path / "m" / file.name, file.content)
    before = snapshot(tmp_path)
    for file in TROUBLED:
        inspect(str(tmp_path / "m" / file.name))
    assert snapshot(tmp_path) == before


class TestPlace:
    @pytest.mark.parametrize(
        ("folder", "found"),
        [
            ("ComfyUI/models/loras", []),
            ("ComfyUI/models/loras/characters/mine", []),
            ("ComfyUI/models/vae", [("misplaced", False)]),
            ("ComfyUI/models/vae/deeper", [("misplaced", False)]),
            ("ComfyUI/models/unet", [("misplaced", False)]),
            ("ComfyUI/models/my_own", []),
            ("vae", []),
            ("downloads", []),
            ("models", []),
            ("models/loras/models/vae", [("misplaced", False)]),
        ],
    )
    def test_is_judged_by_the_folder_of_a_comfyui(
        self, tmp_path: Path, folder: str, found: list[tuple[str, bool]]
    ) -> None:
        write_bytes(tmp_path / folder / "a.safetensors", LORA)
        assert codes(inspect(str(tmp_path / folder / "a.safetensors"))) == found

    def test_is_the_same_from_within_the_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        write_bytes(tmp_path / "models/vae/a.safetensors", LORA)
        monkeypatch.chdir(tmp_path / "models/vae")
        found = inspect("a.safetensors")
        assert codes(found) == [("misplaced", False)]
        assert found.path == str(tmp_path / "models/vae/a.safetensors")


class TestBeside:
    @pytest.fixture
    def path(self, tmp_path: Path) -> str:
        write_bytes(tmp_path / "a.safetensors", LORA)
        return str(tmp_path / "a.safetensors")

    def beside(self, path: str, ending: str, content: object) -> str:
        at = path.removesuffix(".safetensors") + ending
        with open(at, "wb") as file:
            file.write(content if isinstance(content, bytes) else json.dumps(content).encode())
        return at

    def test_companions_are_listed_and_those_of_others_are_not(self, path: str) -> None:
        mine = {self.beside(path, ending, b"x") for ending in (".preview.png", ".yaml", ".txt")}
        self.beside(path, "b.png", b"x")
        assert set(inspect(path).companions) == mine

    def test_sidecars_are_read(self, path: str) -> None:
        self.beside(path, ".civitai.info", {"trainedWords": ["mira style"], "baseModel": "SDXL 1.0"})
        found = inspect(path)
        assert [(each.kind, each.base_model) for each in found.sidecars] == [("civitai_info", "SDXL 1.0")]
        assert found.inspection.usage.trigger_words[0] == "mira style"
        assert "mira" in found.inspection.usage.trigger_words

    def test_what_the_file_says_itself_of_its_author_stays(self, path: str) -> None:
        self.beside(path, ".civitai.info", {"trainedWords": [], "creator": {"username": "another"}})
        assert inspect(path).inspection.usage.author == "the file"

    def test_one_that_cannot_be_read_is_told_and_harms_nobody(self, path: str) -> None:
        broken = self.beside(path, ".civitai.info", b"{")
        found = inspect(path)
        assert [at for at, _ in found.unread] == [broken]
        assert found.inspection.usage.trigger_words == ("mira",)
        assert not found.is_serious

    def test_a_fifo_beside_it_does_not_hang(self, path: str) -> None:
        os.mkfifo(path.removesuffix(".safetensors") + ".json")
        started = time.monotonic()
        assert inspect(path).unread == ()  # a scan passes over it as well
        assert time.monotonic() - started < 1

    def test_a_folder_that_cannot_be_listed_has_no_companions(
        self, path: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def refused(_path: str) -> list[str]:
            raise PermissionError

        monkeypatch.setattr("mlib.core.sidecars.companions.os.listdir", refused)
        assert inspect(path).companions == ()


class TestBadInput:
    def refusal(self, path: str) -> MlibError:
        with pytest.raises(MlibError) as caught:
            inspect(path)
        assert "\n" not in caught.value.message
        return caught.value

    @pytest.mark.parametrize("name", ["nothing", "", "link", "nothing/below", "file/below"])
    def test_nothing_there(self, tmp_path: Path, name: str) -> None:
        (tmp_path / "link").symlink_to("nowhere")
        (tmp_path / "file").touch()
        error = self.refusal(f"{tmp_path}/{name}" if name else "")
        assert (error.code, error.exit_code, type(error)) == ("no_such_path", 5, NotFound)

    def test_a_directory(self, tmp_path: Path) -> None:
        assert self.refusal(str(tmp_path)).code == "not_a_file"

    @pytest.mark.parametrize("name", ["\ud800", "x" * 5000, "a\0b"])
    def test_what_is_no_name(self, tmp_path: Path, name: str) -> None:
        assert self.refusal(f"{tmp_path}/{name}").exit_code in (1, 5)

    def test_a_fifo_or_device_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        for path in (str(tmp_path / "fifo"), "/dev/null", "/dev/zero"):
            error = self.refusal(path)
            assert error.code == "unreadable"
            assert "not a regular file" in error.message

    def test_a_file_that_cannot_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refused(_path: str) -> None:
            raise PermissionError(13, "Permission denied")

        write_bytes(tmp_path / "a.safetensors", LORA)
        monkeypatch.setattr("mlib.core.inspection.open_for_reading", refused)
        error = self.refusal(str(tmp_path / "a.safetensors"))
        assert (error.code, error.exit_code) == ("unreadable", 1)
        assert error.message.endswith("permission denied")


def test_a_sparse_file_of_24_gb_takes_no_longer_than_a_small_one(tmp_path: Path) -> None:
    """Only headers are read."""
    size = 24 * 2**30
    header = {"a": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    text = json.dumps(header).encode()
    with open(tmp_path / "big.safetensors", "wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + size)
    started = time.monotonic()
    found = inspect(str(tmp_path / "big.safetensors"))
    assert time.monotonic() - started < 1
    assert (codes(found), found.inspection.usage.parameters) == ([], size)


def test_many_files_are_told_as_one_by_one_and_their_folder_is_listed_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("a.safetensors", "a.b.safetensors", "A.gguf", ".safetensors", "other.dat")
    paths = [str(tmp_path / name) for name in names]
    for path in paths:
        write_bytes(Path(path), safetensors({path: 4}))
    for name in ("a.json", "a.b.md", "A.preview.png", "other.txt", ".json"):
        write_bytes(tmp_path / name, b"{}")
    alone = [inspect(path) for path in paths]
    listed = directories_listed(monkeypatch)
    assert [found for _, found in inspect_each([*paths[:3], paths[0]])] == [*alone[:3], alone[0]]
    assert listed == [str(tmp_path)]
    assert [found for _, found in inspect_each(paths)] == alone


def test_one_of_many_that_is_not_there_is_told_as_such(tmp_path: Path) -> None:
    path = tmp_path / "a.safetensors"
    write_bytes(path, safetensors({"a": 4}))
    gone, here = inspect_each([str(tmp_path / "gone.safetensors"), str(path)])
    assert isinstance(gone[1], NotFound)
    assert here == (str(path), inspect(str(path)))
