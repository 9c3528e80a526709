"""`mlib inspect`: what any file is, without a library; and nothing in it that steers a terminal."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.faults.machine import require
from tests.inprocess import mlib_here
from tests.libraries import snapshot
from tests.model_files import framed, safetensors
from tests.pickle_files import call, mapping, name, text, torch_zip
from tests.terminal import BOLD, PLAIN, on_terminal, steering
from tests.tools import MLIB, mlib, write_bytes
from tests.troubled_files import TROUBLED, Troubled

HOSTILE = "".join(map(chr, range(1, 256))) + "\u202e\u2066\u2028\ufeff[red]x[/red]:fire:"
LORA = safetensors(
    {"x.lora_down.weight": 8, "x.lora_up.weight": 8},
    metadata={
        "modelspec.title": "Mira",
        "modelspec.trigger_phrase": "mira style",
        "modelspec.author": "somebody",
        "modelspec.license": "MIT",
        "ss_base_model_version": "sdxl_base_v1-0",
        "ss_network_alpha": "0.5",
        "ss_sd_model_name": "base.safetensors",
        "modelspec.thumbnail": "data:image/png;base64," + "iVBORw0KGgo" * 500,
    },
)
KEYS = {"path", "size_bytes", "base_model", "kind", "kind_evidence", "format", "trigger_words", "findings",
        "header", "companions", "sidecars", "silent_sidecars", "unread"}  # fmt: skip
WITHOUT_COLOUR = [{"NO_COLOR": "1"}, {"TERM": "dumb"}]


@pytest.fixture
def mira(tmp_path: Path) -> Path:
    path = tmp_path / "m" / "mira.safetensors"
    write_bytes(path, LORA)
    return path


def paths(folder: Path, files: tuple[Troubled, ...] = TROUBLED) -> list[Path]:
    for file in files:
        write_bytes(folder / file.name, file.content)
    return [folder / file.name for file in files]


class TestLibrary:
    def test_none_is_needed_and_none_is_made(self, tmp_path: Path, mira: Path) -> None:
        before = snapshot(tmp_path)
        mlib("inspect", mira, env={"MLIB_LIBRARY": str(tmp_path / "none" / "library.db")})
        mlib("inspect", mira, env={"XDG_DATA_HOME": str(tmp_path / "data")})
        assert snapshot(tmp_path) == before

    def test_a_broken_one_is_not_looked_at(self, tmp_path: Path, mira: Path) -> None:
        (tmp_path / "library.db").write_bytes(b"no library")
        mlib_here("inspect", mira, library=tmp_path / "library.db")

    def test_a_folder_that_nobody_may_write_to_is_enough(self, tmp_path: Path, mira: Path) -> None:
        require("setpriv")
        for folder in (tmp_path, *tmp_path.parents[:2], mira.parent):
            folder.chmod(folder.stat().st_mode | 0o555)
        mira.parent.chmod(0o555)
        without_rights = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
        try:
            assert mlib("inspect", mira, prefix=without_rights, cwd=mira.parent).out.startswith("path\t")
        finally:
            mira.parent.chmod(0o755)

    def test_nothing_is_run_opened_for_writing_or_asked_of_the_network(self, tmp_path: Path) -> None:
        """An audit hook ends the program at once if it tries; the pickles here ask for os.system."""
        watched = tmp_path / "watched.py"
        watched.write_text(
            "import os, sys\n"
            "from mlib.cli import app\n"
            "def hook(event, args):\n"
            "    writes = event == 'open' and (args[2] or 0) & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)\n"
            "    runs = ('pickle.', 'os.system', 'socket.', 'subprocess.', 'os.exec')\n"
            "    if writes or event.startswith(runs):\n"
            "        os.write(2, f'forbidden: {event} {args}\\n'.encode())\n"
            "        os._exit(99)\n"
            "sys.addaudithook(hook)\n"
            "sys.exit(app.run(sys.argv[1:]))\n"
        )
        environment = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": os.pathsep.join(sys.path)}
        runs = torch_zip(mapping({"x": call(name("os", "system"), text(f"touch {tmp_path}/ran"))}))
        write_bytes(tmp_path / "runs.ckpt", runs)
        prefix = ("env", *(f"{key}={value}" for key, value in environment.items()), MLIB[0], str(watched))
        files = [*paths(tmp_path / "m"), tmp_path / "runs.ckpt"]
        done = subprocess.run([*prefix, "inspect", *files, "--json"], capture_output=True, check=False)
        assert (done.returncode, done.stderr) == (3, b"")
        assert len(json.loads(done.stdout)) == len(files)
        assert not (tmp_path / "ran").exists()


class TestExitCode:
    @pytest.mark.parametrize("file", TROUBLED, ids=lambda file: file.name)
    def test_is_3_for_what_is_serious(self, tmp_path: Path, file: Troubled) -> None:
        write_bytes(tmp_path / file.name, file.content)
        code = 3 if file.serious else 0
        (finding,) = mlib_here("inspect", tmp_path / file.name, "--json", code=code).json["findings"]
        assert (finding["code"], finding["serious"], finding["path"]) == (file.code, file.serious, None)
        assert finding["message"]
        rows = mlib_here("inspect", tmp_path / file.name, code=code).out.splitlines()
        mark = "serious" if file.serious else ""
        assert f"finding\t{file.code}\t{finding['message']}\t{mark}\t" in rows

    def test_is_3_where_one_of_several_is(self, tmp_path: Path, mira: Path) -> None:
        write_bytes(tmp_path / "page.ckpt", b"<html>")
        mlib_here("inspect", mira, mira, code=0)
        mlib_here("inspect", tmp_path / "page.ckpt", mira, code=3)
        mlib_here("inspect", mira, tmp_path / "page.ckpt", "--json", code=3)


class TestBadInput:
    @pytest.mark.parametrize(
        ("words", "code"),
        [
            (["inspect"], 2),
            (["inspect", "--nonsense", "x"], 2),
            (["inspect", "/nothing/there"], 5),
            (["inspect", ""], 5),
            (["inspect", "/"], 1),
            (["inspect", "/dev/null"], 1),
            (["inspect", "x" * 5000], 1),
            (["inspect", "/no\x1b[31mthing"], 5),
        ],
    )
    def test_is_one_line_and_a_hint(self, words: list[str], code: int) -> None:
        failed = mlib_here(*words, code=code)
        lines = failed.err.splitlines()
        assert failed.out == ""
        assert lines[0].startswith("error: ")
        assert all(line.startswith("hint: ") for line in lines[1:])
        assert len(lines) <= 2
        assert steering(failed.err) == set()

    def test_a_fifo_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "fifo")
        assert "not a regular file" in mlib("inspect", tmp_path / "fifo", code=1, timeout=10).err

    def test_a_file_that_may_not_be_read(self, tmp_path: Path) -> None:
        require("setpriv")
        path = tmp_path / "shut.safetensors"
        write_bytes(path, LORA)
        path.chmod(0)
        prefix = ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
        failed = mlib("inspect", path, code=1, prefix=prefix)
        assert failed.err == f"error: cannot read {path}: permission denied\n"

    def test_with_json_is_an_object(self) -> None:
        failed = mlib_here("inspect", "/nothing/there", "--json", code=5)
        assert failed.out == ""
        assert failed.error["code"] == "no_such_path"

    def test_among_others_is_told_and_the_others_are_shown(self, tmp_path: Path, mira: Path) -> None:
        """`mlib inspect *` meets folders."""
        words = (tmp_path, mira, tmp_path / "nothing")
        shown = mlib_here("inspect", *words, code=3)
        assert [row for row in shown.out.splitlines() if row.startswith("path")] == [f"path\t{mira}"]
        assert shown.err.splitlines() == [
            f"problem: is a directory: {tmp_path}",
            f"problem: no such file: {tmp_path}/nothing",
        ]
        folder, found, nothing = mlib_here("inspect", *words, "--json", code=3).json
        assert found.keys() == KEYS
        assert (folder["path"], folder["error"]["code"]) == (str(tmp_path), "not_a_file")
        assert (nothing["path"], nothing["error"]["code"]) == (f"{tmp_path}/nothing", "no_such_path")


class TestJson:
    def test_of_one_file_is_an_object(self, mira: Path) -> None:
        document = mlib_here("inspect", mira, "--json").json
        assert document.keys() == KEYS
        assert document["path"] == str(mira)
        assert document["size_bytes"] == len(LORA)
        assert (document["kind"], document["format"], document["base_model"]) == (
            "lora",
            "safetensors",
            "SDXL",
        )
        assert document["trigger_words"] == ["mira style"]
        assert document["kind_evidence"]
        assert document["findings"] == document["companions"] == document["sidecars"] == []

    def test_tells_the_header(self, mira: Path) -> None:
        header = mlib_here("inspect", mira, "--json").json["header"]
        assert (header["title"], header["author"], header["license"]) == ("Mira", "somebody", "MIT")
        assert (header["tensors"], header["parameters"], header["dtypes"]) == (2, 16, {"U8": 16})
        assert header["alpha"] == 0.5
        assert header["trained_on"] == {
            "name": "base.safetensors",
            "sha256": None,
            "hash": None,
            "model": None,
        }
        assert header["metadata"]["modelspec.title"] == "Mira"

    def test_holds_no_image(self, mira: Path) -> None:
        out = mlib_here("inspect", mira, "--json").out
        assert "iVBORw0KGgo" * 5 not in out

    def test_of_several_is_a_list_in_their_order(self, tmp_path: Path, mira: Path) -> None:
        write_bytes(tmp_path / "b.gguf", b"nothing")
        files = [mira, tmp_path / "b.gguf", mira]
        documents = mlib_here("inspect", *files, "--json", code=None).json
        assert [document["path"] for document in documents] == [str(file) for file in files]

    def test_keeps_bytes_of_a_name_that_are_no_text(self, tmp_path: Path) -> None:
        path = os.fsencode(tmp_path) + b"/\xff.safetensors"
        write_bytes(Path(os.fsdecode(path)), LORA)
        document = mlib_here("inspect", os.fsdecode(path), "--json").json
        assert os.fsencode(document["path"]) == path

    def test_lists_what_lies_beside(self, mira: Path) -> None:
        mira.with_suffix(".preview.png").touch()
        mira.with_suffix(".civitai.info").write_text('{"trainedWords":["from afar"],"baseModel":"Pony"}')
        mira.with_suffix(".metadata.json").write_text("{")
        document = mlib_here("inspect", mira, "--json").json
        assert {Path(path).name for path in document["companions"]} == {
            "mira.preview.png",
            "mira.civitai.info",
            "mira.metadata.json",
        }
        assert [sidecar["kind"] for sidecar in document["sidecars"]] == ["civitai_info"]
        assert document["trigger_words"][0] == "from afar"
        assert [unread["path"] for unread in document["unread"]] == [str(mira.with_suffix(".metadata.json"))]


class TestPage:
    @pytest.mark.parametrize("env", WITHOUT_COLOUR)
    def test_answers_what_people_ask(self, mira: Path, env: dict[str, str]) -> None:
        mira.with_suffix(".preview.png").touch()
        code, page = on_terminal("inspect", mira, library="/nowhere", env=env)
        lines = [" ".join(line.split()) for line in page.splitlines()]
        assert code == 0
        assert [line for line in page.splitlines() if not line.startswith(" ")][1:] == [
            "what it is",
            "how to use it",
            "companions",
        ]
        for line in ("kind lora for SDXL", "trigger mira style", "title Mira", "license MIT",
                     "trained on base.safetensors", "mira.preview.png"):  # fmt: skip
            assert line in lines
        assert steering(page) == set()

    def test_marks_what_is_serious_without_colour(self, tmp_path: Path) -> None:
        write_bytes(tmp_path / "a.ckpt", safetensors({"a": 3})[:-1])
        code, page = on_terminal("inspect", tmp_path / "a.ckpt", library="/nowhere", env={"NO_COLOR": "1"})
        assert code == 3
        assert "\nfindings\n  ! truncated  " in page
        assert "\n  wrong_extension " in page

    def test_only_headings_are_bold(self, mira: Path) -> None:
        _, page = on_terminal("inspect", mira, library="/nowhere")
        assert f"{BOLD}what it is{PLAIN}" in page
        assert steering(page.replace(BOLD, "").replace(PLAIN, "")) == set()

    def test_fits_80_columns(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        words = ", ".join(f"word number {n}" for n in range(60))
        metadata = {"ssmd_keywords": words, "modelspec.title": "long " * 50}
        write_bytes(tmp_path / "m/loras/a.ckpt", safetensors({"x.lora_down.weight": 8}, metadata=metadata))
        monkeypatch.chdir(tmp_path)
        _, page = on_terminal(
            "inspect", *paths(tmp_path / "m"), tmp_path / "m/loras/a.ckpt", library="/nowhere",
            env={"NO_COLOR": "1"},
        )  # fmt: skip
        lines = [line for line in page.splitlines() if not line.startswith("/")]  # a path is never broken
        assert "word number 5" in " ".join(page.split())
        assert max(map(len, lines)) <= 80

    def test_of_several_is_one_page_after_another(self, tmp_path: Path, mira: Path) -> None:
        write_bytes(tmp_path / "b.bin", b"nothing")
        _, page = on_terminal("inspect", mira, tmp_path / "b.bin", library="/nowhere", env={"NO_COLOR": "1"})
        assert f"\n\n{tmp_path / 'b.bin'}\n" in page


class TestHostile:
    """Names of tensors, metadata, files and what lies beside them: none of it is obeyed."""

    @pytest.fixture
    def hostile(self, tmp_path: Path) -> list[str]:
        line = HOSTILE.replace("\n", "")  # which no adapter's tensor has in its name
        header = {
            f"{line}.lora_down.weight": {"dtype": "F16", "shape": [2, 2], "data_offsets": [0, 8]},
            f"{line}.lora_up.weight": {"dtype": HOSTILE, "shape": [2, 2], "data_offsets": [6, 14]},
        }
        keys = ("modelspec.title", "modelspec.author", "modelspec.license", "modelspec.trigger_phrase",
                "ss_sd_model_name", "modelspec.resolution", HOSTILE)  # fmt: skip
        metadata = dict.fromkeys(keys, HOSTILE) | {
            "ss_tag_frequency": json.dumps({"x": {HOSTILE: 3}}),
            "modelspec.architecture": f"{HOSTILE}/lora",
            "ss_base_model_version": "sdxl_" + HOSTILE,
            "ss_network_module": "networks." + HOSTILE,
        }
        one = framed(json.dumps({"__metadata__": metadata, **header}).encode()) + b"1" * 14
        header.popitem()
        two = framed(json.dumps({"__metadata__": metadata, **header}).encode()) + b"1" * 8
        runs = torch_zip(mapping({HOSTILE: call(name("o\x1b[31ms", "sys\x9btem"), text(HOSTILE))}))
        files = {
            bytes(range(1, 128)).replace(b"/", b"") + b".safetensors": one,
            b"\x1b]0;t\x07\xff.ckpt": two,
            b"[red]x.safetensors": runs,
            b"page.bin": f"<html><title>{HOSTILE}</title>".encode(),
            b"no-json.safetensors": framed(b'{"\x1b[31m\xc2\x9b') + b"1",
        }
        made = []
        for file_name, content in files.items():
            path = os.fsdecode(os.fsencode(tmp_path) + b"/h/" + file_name)
            write_bytes(Path(path), content)
            stem = path.rpartition(".")[0]
            write_bytes(Path(stem + ".preview.png"), b"x")
            write_bytes(
                Path(stem + ".civitai.info"),
                json.dumps(
                    {"trainedWords": [HOSTILE], "baseModel": HOSTILE, "description": HOSTILE}
                ).encode(),
            )
            write_bytes(Path(stem + ".json"), b'{"\x1b[31m')
            made.append(path)
        return made

    def test_on_a_terminal(self, hostile: list[str]) -> None:
        for words in ([], ["--json"]):
            code, page = on_terminal("inspect", *words, *hostile, library="/nowhere")
            assert code == 3
            assert len(page) > 3000
            assert steering(page.replace(BOLD, "").replace(PLAIN, "")) == set()

    def test_in_a_pipe_each_row_stays_one_line(self, hostile: list[str]) -> None:
        done = mlib_here("inspect", *hostile, code=3)
        assert steering(done.out) == set()
        fields = {"path", "size_bytes", "base_model", "kind", "format", "kind_evidence", "precision", "alpha",
                  "parameters", "rank", "trigger_word", "title", "author", "license", "trained_on", "finding",
                  "companion", "unread", "resolution", "weight", "negative", "source"}  # fmt: skip
        assert {line.split("\t")[0] for line in done.out.splitlines()} <= fields

    def test_in_json_all_of_it_is_escaped_and_comes_back(self, hostile: list[str]) -> None:
        done = mlib_here("inspect", *hostile, "--json", code=3)
        assert steering(done.out) == set()
        document = done.json[1]
        assert document["header"]["metadata"]["modelspec.title"] == HOSTILE


def test_a_file_in_a_library_is_left_as_it_is(tmp_path: Path, library_path: Path, mira: Path) -> None:
    mlib("scan", "--root", f"loras={mira.parent}", library=library_path)
    before = snapshot(tmp_path)
    mlib("inspect", mira, library=library_path)
    assert snapshot(tmp_path) == before
