"""Start-up is the feature of a shell tool: what a command may load before it does its work."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from itertools import count
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


@pytest.mark.parametrize(
    "words", [["scan"], ["list"], ["roots"], ["verify"], ["duplicates"], ["show", SHA]], ids=" ".join
)
def test_what_inspects_no_new_file_reads_no_rules(library: Library, tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "r").mkdir()
    put_model(library)
    run("scan", "--root", f"loras={tmp_path}/r", library=library.path)
    modules = run(*words, library=library.path)
    assert modules & {"mlib.core.kinds.rules", "mlib.core.kinds.rulebook"} == set()


def test_an_inspection_finds_its_rules_without_the_machinery_for_resources(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(b"\x02\0\0\0\0\0\0\0{}")
    modules = run("inspect", str(path))
    assert "mlib.core.kinds.rulebook" in modules
    assert "importlib.resources" not in modules


@pytest.mark.parametrize("words", [["--version"], ["--help"], ["show", "--help"]], ids=" ".join)
def test_asking_about_the_program_needs_no_library(words: list[str], own_home: Path) -> None:
    mlib(*words)
    assert list(own_home.iterdir()) == []


#: Run the command line, and send a signal to itself at that call of a function, counted from `main` on.
INTERRUPTED_AT_A_CALL = """
import os, sys
number, at = int(sys.argv[1]), int(sys.argv[2])
sys.argv = ["mlib", *sys.argv[3:]]
from mlib.__main__ import main
calls = 0
def count(frame, event, argument):
    global calls
    calls += 1
    if calls == at:
        sys.setprofile(None)
        os.kill(os.getpid(), number)
sys.setprofile(count)
try:
    main()
finally:
    if calls < at:
        os._exit(99)
"""
SIGNALS = [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")]


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_while_the_program_loads_is_no_traceback_and_no_fault(
    library: Library, number: int, code: int
) -> None:
    """At many moments between the first line and the last, whatever is being imported then."""
    put_model(library)
    ended: dict[int, set[int]] = {}
    for at in count(100, 4_000):
        done = interrupted_at(at, number, "list", library=library.path)
        if done.returncode == 99:
            break
        assert b"Traceback" not in done.stderr, (at, done.stderr.decode())
        assert b"fault" not in done.stderr, (at, done.stderr.decode())
        ended.setdefault(done.returncode, set()).add(at)
    # A signal that comes when all is done changes nothing any more.
    assert set(ended) <= {code, 0}
    assert len(ended[code]) > 10
    assert len(ended.get(0, ())) <= 1


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_that_python_would_drop_still_ends_the_command(number: int, code: int) -> None:
    """In a weak reference's callback nothing can be raised: Python prints a traceback and goes on."""
    script = f"""
import os, sys, weakref
class Gone: pass
def slow(_):
    os.kill(os.getpid(), {int(number)})
    sum(range(10))
class Finder:
    def find_spec(self, name, *rest):
        if name == "mlib.cli.commands.help_":
            gone = Gone()
            self.kept = weakref.ref(gone, slow)
            del gone
            for _ in range(100_000_000):
                pass
sys.meta_path.insert(0, Finder())
sys.argv = ["mlib", "help", "query"]
from mlib.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr == b"interrupted; finished work is kept\n"


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_a_signal_of_which_python_makes_another_error_keeps_its_exit_code(number: int, code: int) -> None:
    script = f"""
import os, sys
class Finder:
    def find_spec(self, name, *rest):
        if name == "mlib.cli.commands.help_":
            try:
                os.kill(os.getpid(), {int(number)})
                sum(range(10))
            except BaseException as error:
                raise RuntimeError("Error calling __set_name__") from error
sys.meta_path.insert(0, Finder())
sys.argv = ["mlib", "help", "query"]
from mlib.__main__ import main
main()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, check=False)
    assert (done.returncode, done.stdout) == (code, b"")
    assert done.stderr == b"interrupted; finished work is kept\n"


def interrupted_at(at: int, number: int, *words: str, library: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [
            sys.executable,
            "-c",
            INTERRUPTED_AT_A_CALL,
            str(int(number)),
            str(at),
            "--library",
            library,
            *words,
        ],
        capture_output=True,
        timeout=60,
        check=False,
    )
