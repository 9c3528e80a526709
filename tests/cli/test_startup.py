"""Start-up is the feature of a shell tool: what a command may load before it does its work."""

from __future__ import annotations

import re
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from tests.libraries import SHA, put_model
from tests.tools import MLIB, mlib

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.db.library import Library

#: What costs tens of milliseconds, or belongs to another command.
HEAVY = {
    "asyncio",
    "click",
    "dateutil",
    "http",
    "numpy",
    "pydantic",
    "rich",
    "socket",
    "sqlite_utils",
    "ssl",
    "xxhash",
}
HEAVY |= {
    "pickle",
    "yaml",
    "platformdirs",
    "hypothesis",
    "pytest",
    "multiprocessing",
    "concurrent",
    "importlib.metadata",
}


def loaded(stderr: bytes) -> set[str]:
    """Every module and its parents that `-X importtime` tells of."""
    names = re.findall(r"^import time:.*\|\s+([\w.]+)$", stderr.decode(), re.MULTILINE)
    assert "mlib.cli.app" in names
    return {*names, *(name.partition(".")[0] for name in names)}


def run(*words: str, library: str | None = None) -> set[str]:
    """The modules that a real command loads."""
    done = subprocess.run(
        [MLIB[0], "-X", "importtime", *MLIB[1:], *words, *(["--library", library] if library else [])],
        capture_output=True,
        check=True,
    )
    return loaded(done.stderr)


def test_the_command_line_itself_loads_nothing_heavy() -> None:
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", "import mlib.cli.app"], capture_output=True, check=True
    )
    assert loaded(done.stderr) & HEAVY == set()


def test_the_version_needs_no_database() -> None:
    assert run("--version") & (HEAVY | {"sqlite3", "json", "mlib.services", "mlib.db"}) <= {"json"}


@pytest.mark.parametrize(
    "words",
    [["show", SHA[:6], "--json"], ["show", SHA[:6]], ["show", SHA[:6], "--field", "name"]],
    ids=" ".join,
)
def test_showing_a_model_loads_nothing_heavy(library: Library, words: list[str]) -> None:
    put_model(library)
    modules = run(*words, library=library.path)
    assert modules & HEAVY == set()
    assert "sqlite3" in modules


@pytest.mark.parametrize(
    "words", [["update", SHA, "--notes", "x"], ["import"], ["clean-meta"]], ids=lambda w: w[0]
)
def test_editing_draws_nothing_and_reads_no_yaml(library: Library, words: list[str]) -> None:
    put_model(library)
    assert run(*words, library=library.path) & {"rich", "yaml", "pydantic", "numpy", "asyncio"} == set()


def test_a_scan_in_cron_draws_nothing(library: Library, tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    modules = run("scan", "--root", f"loras={tmp_path}/r", library=library.path)
    assert modules & {"rich", "yaml", "pydantic", "numpy", "asyncio"} == set()


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["show", "--help"]], ids=" ".join)
def test_asking_about_the_program_needs_no_library(words: list[str], own_home: Path) -> None:
    mlib(*words)
    assert list(own_home.iterdir()) == []


#: Ctrl-C in the midst of what takes longest to load.
INTERRUPTED_WHILE_LOADING = """
import sys
class Interrupt:
    def find_spec(self, name, *rest):
        if name == "typer":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupt())
from mlib.__main__ import main
main()
"""


def test_ctrl_c_while_the_program_loads_is_no_traceback() -> None:
    command = [sys.executable, "-c", INTERRUPTED_WHILE_LOADING]
    done = subprocess.run(command, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (130, b"", b"")
