"""The README is true: its commands are run here, and what they print is compared with what it shows."""

from __future__ import annotations

import contextlib
import os
import pty
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from tests.tools import mlib

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


@pytest.mark.parametrize("command", ["scan", "show", "update", "import", "clean-meta", "inspect", "hash"])
def test_each_subcommand_and_each_of_its_options_is_documented(command: str) -> None:
    text = README.read_text()
    assert f"mlib {command}" in text
    options = set(re.findall(r"--[a-z][a-z-]+", mlib(command, "--help").out))
    assert {option for option in options - {"--help"} if option not in text} == set()


def test_the_listed_subcommands_are_all_there_are() -> None:
    listed = set(
        re.findall(r"^  ([a-z-]+)  +\S", mlib("--help").out.partition("Commands:")[2], flags=re.MULTILINE)
    )
    assert listed == {"scan", "show", "update", "import", "clean-meta", "inspect", "hash"}
