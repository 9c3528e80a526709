"""`mlib workflow check` and `mlib unused` as a person and a script meet them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from tests.inprocess import mlib_here
from tests.libraries import scan_roots
from tests.terminal import on_terminal, steering
from tests.tools import mlib, write_model
from tests.workflow_files import canvas, encoded, node, png, text_chunk

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library

URL = "https://a.example/" + "x" * 100 + "/gone.safetensors"


@pytest.fixture
def models(library: Library, tmp_path: Path) -> tuple[str, str]:
    """Two LoRAs that the library knows: `ink` and, larger, `paper`. Their SHA-256s."""
    folder = tmp_path / "loras"
    shas = write_model(folder / "ink.safetensors"), write_model(folder / "paper.safetensors", size=5000)
    scan_roots(library, f"loras={folder}")
    return shas


@pytest.fixture
def path(library: Library, models: object) -> Path:
    del models
    from pathlib import Path

    return Path(library.path)


def flow(tmp_path: Path, *nodes: Any, name: str = "flow.json") -> Path:
    folder = tmp_path / "flows"
    folder.mkdir(exist_ok=True)
    (folder / name).write_bytes(encoded(canvas(*nodes)))
    return folder / name


def lora(name: str, **more: Any) -> Any:
    return node(3, "LoraLoader", name, 1, 1, **more)


def lacking(tmp_path: Path) -> Path:
    gone = lora("gone.safetensors", models=[{"name": "gone.safetensors", "directory": "loras", "url": URL}])
    return flow(tmp_path, lora("ink.safetensors"), gone, lora("off.safetensors", mode=4))


def test_a_complete_workflow_is_told_in_rows_with_exit_code_0(
    path: Path, tmp_path: Path, models: tuple[str, str]
) -> None:
    file = flow(tmp_path, lora("ink.safetensors"))
    result = mlib("workflow", "check", file, library=path)
    where = str(tmp_path / "loras" / "ink.safetensors")
    assert result.out == f"{file}\tfound\tloras\tink.safetensors\t{models[0]}\t{where}\t\t\n"
    assert result.err == "1 model: 1 found\n"


def test_a_missing_model_ends_with_exit_code_3(path: Path, tmp_path: Path) -> None:
    result = mlib_here("workflow", "check", lacking(tmp_path), library=path, code=3)
    assert [line.split("\t")[1] for line in result.out.splitlines()] == ["found", "missing"]
    assert result.err == "2 models: 1 found, 1 missing; 1 of bypassed nodes omitted\n"
    assert (
        mlib_here("workflow", "check", "-q", lacking(tmp_path), library=path, code=3).out
        == "gone.safetensors\n"
    )
    result = mlib_here("workflow", "check", "-q", "--bypassed", lacking(tmp_path), library=path, code=3)
    assert result.out == "gone.safetensors\noff.safetensors\n"


def test_the_document_says_all(path: Path, tmp_path: Path, models: tuple[str, str]) -> None:
    file = lacking(tmp_path)
    document = mlib_here(
        "workflow", "check", file, tmp_path / "none.json", "--json", library=path, code=3
    ).json
    assert {key: document[key] for key in ("found", "ambiguous", "missing")} == {
        "found": 1, "ambiguous": 0, "missing": 1,
    }  # fmt: skip
    checked, unread = document["files"]
    found, missing = checked["needs"]
    assert (checked["path"], checked["problem"], checked["left_out"]) == (str(file), None, 1)
    assert found == {
        "name": "ink.safetensors", "type": "loras", "form": "file", "state": "found", "sha256": models[0],
        "path": str(tmp_path / "loras/ink.safetensors"), "paths": [str(tmp_path / "loras/ink.safetensors")],
        "hash": None, "hash_matches": None, "suggestions": [], "url": None, "nodes": ["3"],
        "classes": ["LoraLoader"], "bypassed": False, "listed": True,
    }  # fmt: skip
    assert (missing["state"], missing["sha256"], missing["path"], missing["url"]) == (
        "missing",
        None,
        None,
        URL,
    )
    assert (unread["needs"], unread["problem"]["code"]) == ([], "no_such_path")


def test_a_file_that_cannot_be_read_ends_with_exit_code_3(path: Path, tmp_path: Path) -> None:
    bad = tmp_path / "bad.json"
    bad.write_text("{")
    result = mlib_here("workflow", "check", bad, library=path, code=3)
    assert result.out == ""
    assert result.err.startswith("0 models: none needed\nproblem: ")


def test_without_a_library_it_tells_what_is_needed(tmp_path: Path) -> None:
    file, nowhere = lacking(tmp_path), tmp_path / "nowhere.db"
    result = mlib("workflow", "check", file, library=nowhere, code=3)
    assert [line.split("\t")[1:4] for line in result.out.splitlines()] == [
        ["unknown", "loras", "ink.safetensors"], ["unknown", "loras", "gone.safetensors"],
    ]  # fmt: skip
    assert f"no library at {nowhere}" in result.err
    assert "2 models: 2 unknown" in result.err
    assert mlib_here("workflow", "check", "-q", file, library=nowhere, code=3).out == (
        "ink.safetensors\ngone.safetensors\n"
    )
    document = mlib_here("workflow", "check", "--json", file, library=nowhere, code=3).json
    assert (document["unknown"], document["missing"]) == (2, 0)
    assert [need["url"] for need in document["files"][0]["needs"]] == [None, URL]
    needless = flow(tmp_path, node(1, "Note", "a.pt"), name="none.json")
    assert mlib_here("workflow", "check", needless, library=nowhere).out == ""
    assert not nowhere.exists()


def test_what_a_node_downloads_by_itself_is_told_apart(path: Path, tmp_path: Path) -> None:
    file = flow(tmp_path, lora("ink.safetensors"), node(4, "RIFE VFI", "rife47.pth", 10))
    result = mlib_here("workflow", "check", file, library=path)
    assert [line.split("\t")[1] for line in result.out.splitlines()] == ["found", "automatic"]
    assert result.err == "2 models: 1 found, 1 automatic\n"
    assert mlib_here("workflow", "check", "-q", file, library=path).out == ""
    _, shown = on_terminal("workflow", "check", file, library=path, env={"NO_COLOR": "1"})
    assert "its node downloads it" in shown


def test_an_image_is_a_workflow_too(path: Path, tmp_path: Path) -> None:
    image = tmp_path / "out.png"
    image.write_bytes(png(text_chunk("workflow", canvas(lora("ink.safetensors")))))
    assert mlib_here("workflow", "check", image, library=path).err == "1 model: 1 found\n"


def test_a_terminal_shows_a_table_and_whole_addresses(path: Path, tmp_path: Path) -> None:
    code, shown = on_terminal("workflow", "check", lacking(tmp_path), library=path, env={"NO_COLOR": "1"})
    assert code == 3
    assert URL in shown
    table = shown.partition("download missing models from")[0]
    assert max(map(len, table.splitlines())) <= 80
    assert table.splitlines()[0].split() == ["STATE", "TYPE", "NAME", "WHERE"]


def test_nothing_in_a_workflow_steers_a_terminal(path: Path, tmp_path: Path) -> None:
    file = flow(
        tmp_path, node(1, "X\x1b[31m", "a\u202eb.safetensors", "\x1b[2J.pt", "c\u009b.pt"), name="e\x1b.json"
    )
    code, shown = on_terminal("workflow", "check", file, tmp_path, library=path, env={"NO_COLOR": "1"})
    assert code == 3
    assert not steering(shown)


def test_a_verb_is_wanted(path: Path) -> None:
    assert "check" in mlib_here("workflow", library=path).out
    assert mlib_here("workflow", "chek", library=path, code=2).err.startswith("error: ")


def test_unused_models_come_as_rows_ids_and_a_document(
    path: Path, tmp_path: Path, models: tuple[str, str]
) -> None:
    flows = flow(tmp_path, lora("ink.safetensors")).parent
    paper = tmp_path / "loras" / "paper.safetensors"
    size = paper.stat().st_size
    result = mlib("unused", "--workflows", flows, library=path)
    assert result.out == f"{models[1]}\t{size}\tloras\tpaper.safetensors\t{paper}\n"
    assert "1 of 2 models unused" in result.err
    assert "1 workflow read" in result.err
    assert mlib_here("unused", "-q", "--workflows", flows, library=path).out == models[1] + "\n"
    assert mlib_here("unused", "--json", "--workflows", flows, library=path).json == {
        "models": [
            {
                "sha256": models[1], "name": "paper.safetensors", "type": "loras", "size_bytes": size,
                "disk_bytes": size, "paths": [str(paper)], "offline": [], "set": None,
            },
        ],
        "unused": 1, "examined": 2, "disk_bytes": size, "workflows": 1, "others": 0, "others_by_kind": {},
        "problems": [],
    }  # fmt: skip
    code, shown = on_terminal("unused", "--workflows", flows, library=path, env={"TERM": "dumb"})
    assert (code, shown.splitlines()[0].split()) == (0, ["SIZE", "TYPE", "SHA256", "NAME"])


def test_unused_looks_at_some_models_only(path: Path, tmp_path: Path, models: tuple[str, str]) -> None:
    flows = flow(tmp_path, lora("other.safetensors")).parent
    every = ["unused", "-q", "--workflows", str(flows)]
    assert mlib_here(*every, library=path).out.split() == [models[1], models[0]]
    assert mlib_here(*every, "ink.safetensors", library=path).out.split() == [models[0]]
    assert mlib_here(*every, "--query", "paper", library=path).out.split() == [models[1]]
    assert mlib_here(*every, "-", library=path, stdin=b"").out == ""


def test_unused_says_what_it_could_not_read_with_exit_code_3(path: Path, tmp_path: Path) -> None:
    flows = flow(tmp_path, lora("ink.safetensors")).parent
    (flows / "bad.json").write_text("[")
    result = mlib_here("unused", "--workflows", flows, library=path, code=3)
    assert "1 unreadable" in result.err
    assert f"problem: {flows / 'bad.json'}: " in result.err


def test_unused_says_what_the_other_files_are(path: Path, tmp_path: Path) -> None:
    flows = flow(tmp_path, lora("ink.safetensors")).parent
    (flows / "._flow.json").write_bytes(b"\0\x05\x16\x07" + bytes(80))
    (flows / "empty.json").touch()
    (flows / "big.json").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    (flows / "a.gif").touch()
    (flows / "b.gif").touch()
    result = mlib_here("unused", "--workflows", flows, library=path)
    assert "5 other files (2 .gif, 1 AppleDouble, 1 Git LFS pointer, 1 empty)," in result.err
    assert "git lfs pull" in result.err
    assert mlib_here("unused", "--workflows", flows, "--json", library=path).json["others_by_kind"] == {
        ".gif": 2, "apple_double": 1, "lfs_pointer": 1, "empty_file": 1,
    }  # fmt: skip
    for name, code in (("._flow", "apple_double"), ("empty", "empty_file"), ("big", "lfs_pointer")):
        report = mlib_here("workflow", "check", flows / f"{name}.json", "--json", library=path, code=3).json
        assert report["files"][0]["problem"]["code"] == code


def test_unused_refuses_to_call_everything_unused(path: Path, tmp_path: Path) -> None:
    error = mlib_here("unused", "--workflows", tmp_path / "loras", "--json", library=path, code=4).error
    assert error["code"] == "no_workflows"
    assert mlib_here("unused", library=path, code=2).err.startswith("error: ")
    assert mlib_here("unused", "--workflows", tmp_path / "none", library=path, code=5).out == ""


def test_nothing_is_written(path: Path, tmp_path: Path) -> None:
    before = path.read_bytes()
    file = lacking(tmp_path)
    mlib_here("workflow", "check", file, library=path, code=3)
    mlib_here("unused", "--workflows", file.parent, library=path)
    assert path.read_bytes() == before


def test_a_name_in_other_letters_is_shown_as_the_file_has_it(path: Path, tmp_path: Path) -> None:
    file = flow(tmp_path, lora("INK.safetensors"))
    (checked,) = mlib_here("workflow", "check", file, "--json", code=3, library=path).json["files"]
    (need,) = checked["needs"]
    assert (need["state"], [each["why"] for each in need["suggestions"]]) == ("missing", ["case"])
    code, shown = on_terminal("workflow", "check", file, library=path, env={"NO_COLOR": "1"})
    assert code == 3
    assert "spelled: ink.safetensors" in shown
