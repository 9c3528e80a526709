"""Where output cannot go on, goes nowhere, or goes to something that knows only ASCII."""

from __future__ import annotations

import os
import sqlite3
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import SHA, put_model
from tests.terminal import on_terminal
from tests.tools import MLIB, mlib, safetensors, write_bytes, write_model

if TYPE_CHECKING:
    from mlib.db.library import Library

ODD_NAME = "角色 é \x1b[31m"


@pytest.fixture
def path(library: Library) -> Path:
    put_model(library, name=ODD_NAME, notes="word " * 40_000)
    return Path(library.path)


def shell(script: str, path: Path, **env: str) -> subprocess.CompletedProcess[bytes]:
    """Run a line of shell in which `mlib` is the program."""
    return subprocess.run(
        ["bash", "-c", f'mlib() {{ {" ".join(MLIB)} "$@"; }}\n{script}'],
        capture_output=True,
        env={**os.environ, "MLIB_LIBRARY": str(path), **env},
        check=False,
    )


class TestNowhereToGo:
    """Fault 75."""

    @pytest.mark.parametrize("words", [f"show {SHA} --json", f"show {SHA}", f"show {SHA} --field notes"])
    def test_a_reader_that_has_seen_enough_is_no_error(self, path: Path, words: str) -> None:
        done = shell(f"mlib {words} | head -c 20 >/dev/null; echo ${{PIPESTATUS[0]}}", path)
        assert (done.stdout, done.stderr) == (b"0\n", b"")

    @pytest.mark.parametrize(
        "words", [f"show {SHA}", f"show {SHA} --json", "clean-meta", "--version", "--help"]
    )
    def test_a_full_disk_is_one_line(self, path: Path, words: str) -> None:
        done = shell(f"mlib {words} >/dev/full", path)
        assert done.returncode == 1
        assert b"No space left on device" in done.stderr
        assert done.stderr.count(b"\n") == 1

    def test_a_full_disk_is_json_where_that_is_wanted(self, path: Path) -> None:
        done = shell(f"mlib show {SHA} --json >/dev/full", path)
        assert done.stderr.startswith(b'{"error":{"code":"output_failed"')

    @pytest.mark.parametrize(
        "words", [f"show {SHA}", f"update {SHA} --tag x", "import", "--version", "--help"]
    )
    def test_closed_output_is_no_error(self, path: Path, words: str) -> None:
        done = shell(f"mlib {words} >&-", path)
        assert done.returncode == 0
        assert b"Traceback" not in done.stderr
        assert b"error" not in done.stderr

    def test_closed_errors_are_no_error_either(self, path: Path) -> None:
        assert shell("mlib show nothing-like-it 2>&-", path).returncode == 5
        assert shell("mlib show nothing-like-it >&- 2>&-", path).returncode == 5
        assert shell("mlib import 2>/dev/full", path).returncode == 0

    def test_closed_input_cannot_be_read(self, path: Path) -> None:
        done = shell("mlib show - <&-", path)
        assert (done.returncode, done.stderr) == (2, b"error: standard input ('-') is closed\n")

    def test_a_write_that_was_told_has_been_made(self, path: Path) -> None:
        """The edit is kept although nobody could be told of it."""
        assert shell(f"mlib update {SHA} --notes kept >/dev/full", path).returncode == 1
        assert mlib("show", SHA, "--field", "notes", library=path).out == "kept\n"


class TestOnlyAscii:
    """Fault 74: the output is UTF-8, whatever the locale says."""

    @pytest.mark.parametrize(
        "env",
        [
            {"PYTHONIOENCODING": "ascii"},
            {"LC_ALL": "C"},
            {"LC_ALL": "POSIX", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
            {"PYTHONIOENCODING": "latin-1"},
        ],
        ids=lambda env: " ".join(env.values()),
    )
    def test_names_come_out_whole(self, path: Path, env: dict[str, str]) -> None:
        name = mlib("show", SHA, "--field", "name", library=path, env=env).stdout
        assert name.decode() == ODD_NAME + "\n"
        assert mlib("show", SHA, "--json", library=path, env=env).json["name"] == ODD_NAME
        assert "角色 é" in mlib("show", SHA, library=path, env=env).out

    def test_errors_come_out_too(self, path: Path) -> None:
        failed = mlib("show", "角色", library=path, env={"PYTHONIOENCODING": "ascii"}, code=5)
        assert "角色" in failed.err

    def test_what_is_typed_is_understood(self, path: Path) -> None:
        mlib("update", SHA, "--notes", "角色", library=path, env={"LC_ALL": "C"})
        assert mlib("show", SHA, "--field", "notes", library=path).out == "角色\n"


class TestNobodyReads:
    """The reader of standard output went away before the first byte: the exit code is what it would be."""

    @pytest.mark.parametrize(
        "words",
        [
            "--help",
            "--version",
            "help query",
            "help scan",
            "scan --help",
            "list",
            "list --json",
            "list -q",
            "stats",
            "show broken --json",
            "show broken",
            "scan",
            "scan --json",
            "scan -q",
            "verify --root loras={tree}",
            "verify --json",
            "hash {tree}",
            "hash {tree} --json",
            "inspect {tree}/bad.safetensors",
            "inspect {tree}/bad.safetensors --json",
            "doctor",
            "doctor --json",
            "duplicates",
            "missing",
            "unused {tree}",
            "workflow check {tree}/flow.json",
            "workflow check {tree}/flow.json --json",
            "import",
            "import --json",
            "export",
            "export --sidecars -n",
            "log",
            "undo -n",
            "roots",
            "tags",
            "pending",
            "clean-meta -n",
            "update broken --tag x -n",
            "prune -n",
            "forget broken -n",
            "trash broken -n",
            "backup --list",
        ],
    )
    def test_the_exit_code_is_kept(self, tmp_path: Path, library_path: Path, words: str) -> None:
        tree = tmp_path / "loras"
        write_model(tree / "good.safetensors")
        write_bytes(tree / "bad.safetensors", safetensors("bad")[:20])
        (tree / "gone.safetensors").symlink_to("nowhere")
        (tree / "flow.json").write_text(
            '{"1": {"class_type": "LoraLoader", "inputs": {"lora_name": "no.safetensors"}}}'
        )
        sha = write_model(tree / "broken.safetensors")
        mlib_here("scan", "--root", f"loras={tree}", library=library_path, code=3)
        with sqlite3.connect(library_path) as db:
            db.execute("UPDATE models SET name = 'broken' WHERE sha256 = ?", [sha])
        db.close()
        arguments = words.format(tree=tree).split()
        expected = mlib(*arguments, library=library_path, code=None)
        alone = unread(*arguments, library=library_path)
        assert alone.returncode == expected.code
        assert b"Traceback" not in alone.stderr
        assert not alone.stderr.startswith(b"error:") or expected.code in (1, 2, 4, 5)

    def test_the_exit_codes_of_problems_are_among_them(self, tmp_path: Path, library_path: Path) -> None:
        tree = tmp_path / "loras"
        tree.mkdir()
        (tree / "gone.safetensors").symlink_to("nowhere")
        assert unread("scan", "--root", f"loras={tree}", library=library_path).returncode == 3
        assert unread("--help", library=library_path).returncode == 0

    def test_a_backup_that_nobody_took_is_an_error(self, path: Path) -> None:
        done = unread("backup", "-", library=path)
        assert done.returncode == 1
        assert done.stderr == b"error: the backup is incomplete: the reader closed the pipe\n"


def unread(*words: str, library: Path) -> subprocess.CompletedProcess[bytes]:
    """Run the program with a standard output that nobody reads any more."""
    reading, writing = os.pipe()
    os.close(reading)
    try:
        return subprocess.run(
            [*MLIB, *words],
            stdin=subprocess.DEVNULL,
            stdout=writing,
            stderr=subprocess.PIPE,
            env={**os.environ, "MLIB_LIBRARY": str(library)},
            timeout=60,
            check=False,
        )
    finally:
        os.close(writing)


class TestTerminal:
    @pytest.mark.parametrize("env", [{"NO_COLOR": "1"}, {"TERM": "dumb"}, {"TERM": ""}])
    def test_no_colour_where_it_is_not_welcome(self, path: Path, env: dict[str, str]) -> None:
        for words in (["show", SHA], ["--help"], ["show", "nothing"], ["import"]):
            assert "\x1b" not in on_terminal(*words, library=path, env=env)[1]

    def test_no_prompt_ever_waits(self, path: Path) -> None:
        """Fault 76: with a terminal that says nothing, every command comes to its end."""
        for words in (["import", "--on-conflict", "delete"], ["clean-meta"], ["update", SHA, "--tag", "x"]):
            assert on_terminal(*words, library=path, timeout=20)[0] == 0
