"""The README is true: its commands are run here, and what they print is compared with what it shows."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.tools import mlib, write_model

from mlib.cli.subcommands import NAMES

if TYPE_CHECKING:
    from collections.abc import Callable

README = Path(__file__).parent.parent / "README.md"
SAMPLE = Path(__file__).parent / "data" / "ComfyUI"


def console_blocks() -> list[list[tuple[str, str]]]:
    """Every ```console block as its commands (`$ ...`) and what each is said to print."""
    blocks = []
    for block in re.findall(r"^```console\n(.*?)^```$", README.read_text(), flags=re.MULTILINE | re.DOTALL):
        steps: list[tuple[str, str]] = []
        for line in block.splitlines():
            if line.startswith("$ "):
                steps.append((line[2:], ""))
            elif line.startswith("> "):
                command, shown = steps[-1]
                steps[-1] = (f"{command}\n{line[2:]}", shown)
            else:
                command, shown = steps[-1]
                steps[-1] = (command, f"{shown}{line}\n")
        blocks.append(steps)
    return blocks


def as_pattern(shown: str) -> str:
    """`…` stands for anything within a line, and alone on a line for any lines."""
    pattern = ""
    for line in shown.splitlines(keepends=True):
        pattern += r"(?:.*\n)*?" if line.strip() == "…" else re.escape(line).replace("…", ".*")
    return pattern


def on_a_terminal(command: str, *, cwd: Path, environment: dict[str, str]) -> str:
    """What a person sees: everything the command writes to a plain terminal of 80 columns."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        ["bash", "-c", command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=slave,
        stderr=slave,
    )
    os.close(slave)
    seen = b""
    with contextlib.suppress(OSError):  # EIO is how a terminal says that nobody writes to it any more
        while part := os.read(master, 65536):
            seen += part
    os.close(master)
    process.wait(timeout=60)
    return seen.decode().replace("\r\n", "\n")


def test_every_command_of_the_tour_prints_what_the_readme_shows(tmp_path: Path, own_home: Path) -> None:
    shutil.copytree(SAMPLE, own_home / "ComfyUI")
    long_ago = 1_700_000_000
    for directory, _, names in os.walk(own_home / "ComfyUI"):
        for name in names:
            os.utime(Path(directory) / name, (long_ago, long_ago))
    scripts = tmp_path / "bin"
    scripts.mkdir()
    program = scripts / "mlib"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlib "$@"\n')
    program.chmod(0o755)
    environment = {**os.environ, "PATH": f"{scripts}:{os.environ['PATH']}", "COLUMNS": "80", "TERM": "dumb"}
    steps = [step for block in console_blocks() for step in block]
    assert len(steps) > 10
    for command, shown in steps:
        printed = on_a_terminal(command, cwd=own_home, environment=environment).replace(
            str(own_home), "/home/me"
        )
        assert re.fullmatch(as_pattern(shown), printed), (
            f"$ {command}\n{printed}\n-- the README shows --\n{shown}"
        )


@pytest.mark.parametrize("command", sorted(NAMES))
def test_each_subcommand_and_each_of_its_options_is_documented(command: str) -> None:
    text = README.read_text()
    assert f"mlib {command}" in text
    options = set(re.findall(r"--[a-z][a-z-]+", mlib(command, "--help").out))
    assert {option for option in options - {"--help"} if option not in text} == set()


def test_the_listed_subcommands_are_all_there_are() -> None:
    listed = set(
        re.findall(r"^  ([a-z-]+)  +\S", mlib("--help").out.partition("\nLibrary:\n")[2], flags=re.MULTILINE)
    )
    assert listed == set(NAMES)


def test_the_example_in_python_prints_what_the_readme_shows(own_home: Path) -> None:
    found = re.search(
        r"^```python\n(.*?)^```\n\n```text\n(.*?)^```$", README.read_text(), re.MULTILINE | re.DOTALL
    )
    assert found is not None
    shutil.copytree(SAMPLE, own_home / "ComfyUI")
    done = subprocess.run(
        [sys.executable, "-c", found[1]], cwd=own_home, capture_output=True, text=True, check=True
    )
    assert re.fullmatch(as_pattern(found[2]), done.stdout), done.stdout


# --- the recipes, each run whole ----------------------------------------------------------------------------


def recipe(name: str) -> str:
    """The script between its marker and the next one."""
    found = re.search(
        rf"<!-- recipe: {name} -->\n```sh\n(.*?)```\n<!-- end -->", README.read_text(), flags=re.DOTALL
    )
    assert found is not None
    return found[1]


@pytest.fixture
def at_home(tmp_path: Path, own_home: Path) -> Callable[..., subprocess.CompletedProcess[str]]:
    """Run a script in a home whose ComfyUI has been scanned."""
    shutil.copytree(SAMPLE, own_home / "ComfyUI")
    for path in (own_home / "ComfyUI").rglob("*"):
        os.utime(path, (1_700_000_000, 1_700_000_000))
    program = tmp_path / "bin" / "mlib"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m mlib "$@"\n')
    program.chmod(0o755)

    def run(script: str, **more: str) -> subprocess.CompletedProcess[str]:
        environment = {**os.environ, "PATH": f"{program.parent}:{os.environ['PATH']}", **more}
        return subprocess.run(
            ["sh", "-c", script], cwd=own_home, env=environment, capture_output=True, text=True, check=False
        )

    assert run("mlib scan --comfyui ComfyUI").returncode == 0
    return run


def test_the_recipe_that_frees_space_lists_copies_and_the_largest_unused(
    at_home: Callable[..., subprocess.CompletedProcess[str]], own_home: Path
) -> None:
    (own_home / "ComfyUI" / "output").mkdir()
    done = at_home(recipe("free space"), WANT="5000")
    assert done.returncode == 0, done.stderr
    listed = [line.split("\t") for line in done.stdout.splitlines()]
    assert [Path(row[2]).name for row in listed[:2]] == [
        "watercolor (copy).safetensors",
        "watercolor.safetensors",
    ]
    assert [row[3] for row in listed[2:]] == ["paper_cut.safetensors", "tiny_clip.safetensors"]
    assert (own_home / "free.txt").read_text().splitlines() == done.stdout.splitlines()[2:]
    gone = at_home("cut -f1 free.txt | mlib trash - --yes")
    assert gone.returncode == 0, gone.stderr
    assert not list((own_home / "ComfyUI").rglob("paper_cut.safetensors"))
    assert at_home("mlib missing -q | wc -l").stdout.strip() == "2"


def test_the_recipe_that_frees_space_never_cuts_a_model_in_two(
    at_home: Callable[..., subprocess.CompletedProcess[str]], own_home: Path
) -> None:
    (own_home / "ComfyUI" / "output").mkdir()
    folder = own_home / "ComfyUI" / "models" / "diffusion_models"
    parts = [folder / f"wan-{number:05}-of-00003.safetensors" for number in (1, 2, 3)]
    for number, part in enumerate(parts):
        write_model(part, size=2000 * (number + 1))
    at_home("mlib scan")
    assert at_home(recipe("free space"), WANT="1").returncode == 0
    rows = [line.split("\t") for line in (own_home / "free.txt").read_text().splitlines()]
    assert sorted(row[4] for row in rows) == [str(part) for part in parts]
    alone = at_home("head -1 free.txt | cut -f1 | mlib trash - --yes")
    assert (alone.returncode, len(list(folder.glob("wan-*")))) == (4, 3)
    assert "hint: name the others too: " in alone.stderr
    gone = at_home("cut -f1 free.txt | mlib trash - --yes")
    assert (gone.returncode, list(folder.glob("wan-*"))) == (0, [])


def test_the_recipe_that_cleans_up_tells_what_is_rotten_and_forgets_what_is_long_gone(
    at_home: Callable[..., subprocess.CompletedProcess[str]], own_home: Path
) -> None:
    models = own_home / "ComfyUI" / "models"
    (models / "embeddings" / "easy_words.safetensors").unlink()
    (models / "face_restore" / "tiny_face.onnx").unlink()
    at_home("mlib scan --accept-missing")
    # As if all had been read four months ago, and one of the two been gone since then.
    long_ago = (time.time_ns() // 1_000_000) - 120 * 86_400_000
    database = own_home / ".local" / "share" / "mlib" / "library.db"
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE files SET hashed_at = ?", [long_ago])
        gone = "UPDATE files SET missing_since = ? WHERE name = 'tiny_face.onnx'"
        assert connection.execute(gone, [long_ago]).rowcount == 1
    rotten = models / "loras" / "watercolor (copy).safetensors"  # the other copy is sound
    content = bytearray(rotten.read_bytes())
    content[-1] ^= 1
    rotten.write_bytes(content)
    os.utime(rotten, (1_700_000_000, 1_700_000_000))
    (forgotten,) = at_home("mlib show tiny_face.onnx --field sha256").stdout.splitlines()
    done = at_home(recipe("cleanup"))
    bad, summary, *rest = done.stdout.splitlines()
    assert bad.split("\t")[::2] == ["rotten", str(rotten)]
    assert "1 rotten" in summary
    assert rest == [forgotten]
    assert done.stderr == ""
    assert at_home("mlib list missing:yes --columns name").stdout.splitlines() == ["easy_words.safetensors"]
