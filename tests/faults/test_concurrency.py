"""Promise 10: any number of programs at once; none fails, and nothing that one of them wrote is lost."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.jobs import Trial, first_scan
from tests.faults.machine import tmpfs
from tests.faults.state import state
from tests.legacy_databases import hikaze2
from tests.libraries import put_model
from tests.tools import MLIB, mlib, write_model

from mlib.db.library import open_library

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator, Sequence

    from tests.faults.forked import Program
    from tests.tools import Result

pytestmark = pytest.mark.faults

STOPPED_WRITER = Path(__file__).with_name("stopped_writer.py")
#: The program, but with half a minute of patience cut down to half a second.
IMPATIENT = (
    "from mlib.db import connections; connections.BUSY_SECONDS = 0.5; from mlib.cli.app import main; main()"
)


def test_eight_programs_may_all_be_the_first(program: Program, tmp_path: Path) -> None:
    trial = Trial(program, first_scan, tmp_path)
    for _ in range(10):
        shutil.rmtree(program.library.parent)
        at_once(program, [trial.job.command] * 8)
        assert state(program.library) == trial.after


def test_what_eight_different_programs_write_at_once_is_all_there(program: Program, tmp_path: Path) -> None:
    tree = tmp_path / "loras"
    sha256 = write_model(tree / "tagged.safetensors")
    older = hikaze2(
        tmp_path / "older.db", [{"path": "/old/x.safetensors", "sha256": "ab" * 32, "tags": ["old"]}]
    )
    program.run("scan", "--root", f"loras={tree}")
    for round_ in range(6):
        for name in ("new", "newer"):
            write_model(tree / f"{name} {round_}.safetensors")
        tags = [("update", sha256, "--tag", f"{round_} {name}") for name in ("a", "b", "c")]
        others = [
            ("scan",),
            ("scan", "--rehash"),
            ("import", "--from", older),
            ("clean-meta",),
            ("show", sha256),
        ]
        at_once(program, [*tags, *others])
    shown = program.run("show", sha256, "--json").json
    assert shown["tags"] == [f"{round_} {name}" for round_ in range(6) for name in ("a", "b", "c")]
    report = program.run("scan", "--json").json
    assert (report["scanned"], report["unchanged"], report["hashed_bytes"]) == (13, 13, 0)
    assert program.run("show", "ab" * 32, "--json").json["tags"] == ["old"]


def test_writers_give_up_on_a_writer_that_stopped(library_with_model: Path) -> None:
    with stopped_writer(library_with_model):
        result = impatiently("update", "one", "--notes", "mine", library=library_with_model)
    assert result.returncode == 6
    assert result.stderr.startswith("error: ")
    assert [line.partition(":")[0] for line in result.stderr.splitlines()] == ["error", "hint"]


def test_readers_go_on_while_a_writer_has_stopped(library_with_model: Path) -> None:
    with stopped_writer(library_with_model):
        result = impatiently("show", "one", "--field", "notes", library=library_with_model)
    assert (result.returncode, result.stdout) == (0, "mine\n")


def test_an_export_is_of_one_moment_and_keeps_nobody_waiting(library_path: Path) -> None:
    """However slowly it is read: what is written meanwhile is written, and is not in it."""
    with open_library(str(library_path), mode="create") as library, library.transaction():
        for number in range(300):
            put_model(library, f"{number:064x}", notes="before " + "x" * 5000)
    export = subprocess.Popen([*MLIB, "--library", library_path, "export"], stdout=subprocess.PIPE)
    assert export.stdout is not None
    header = export.stdout.readline()
    update = impatiently("update", "--query", "missing:yes", "--notes", "after", library=library_path)
    assert update.returncode == 0, update.stderr
    assert update.stdout.count("\n") == 300
    told = export.stdout.read()
    export.stdout.close()
    assert export.wait() == 0
    assert header.startswith(b'{"format":"mlib-export"')
    assert [json.loads(line)["notes"][:6] for line in told.splitlines()] == ["before"] * 300
    assert mlib("export", library=library_path).out.count('"after"') == 300


def test_an_export_without_room_for_its_copy_says_where_it_wants_it(
    library_path: Path, tmp_path: Path
) -> None:
    with open_library(str(library_path), mode="create") as library, library.transaction():
        for number in range(100):
            put_model(library, f"{number:064x}", notes="x" * 20_000)
    small = tmp_path / "small"
    small.mkdir()
    with tmpfs(size=256 * 1024, at=small):
        elsewhere = {"TMPDIR": str(small), "SQLITE_TMPDIR": str(small)}
        failed = mlib("export", "--json", library=library_path, code=1, env=elsewhere)
        assert failed.error["code"] == "no_temporary_copy"
        assert "TMPDIR" in failed.error["hint"]
        assert list(small.iterdir()) == []
        few = mlib("export", "--query", "sha:00", library=library_path, env=elsewhere)
    assert len(few.out.splitlines()) == 101


def test_killing_a_stopped_writer_frees_the_library(library_with_model: Path) -> None:
    with stopped_writer(library_with_model):
        pass
    assert mlib("show", "one", "--field", "notes", library=library_with_model).out == "mine\n"
    mlib("update", "one", "--notes", "mine again", library=library_with_model)


@pytest.fixture
def library_with_model(tmp_path: Path, library_path: Path) -> Path:
    """A library with one model, and what its owner noted about it."""
    write_model(tmp_path / "loras" / "one.safetensors")
    mlib("scan", "--root", f"loras={tmp_path / 'loras'}", library=library_path)
    mlib("update", "one.safetensors", "--name", "one", "--notes", "mine", library=library_path)
    return library_path


def at_once(program: Program, commands: Sequence[Sequence[str | os.PathLike[str]]]) -> list[Result]:
    """Run all of these at the same time; each must succeed."""
    runs = [program.start(*command) for command in commands]
    for run in runs:
        run.go()
    return [run.result() for run in runs]


@contextmanager
def stopped_writer(library: Path) -> Iterator[None]:
    """A program that stands still in the middle of a transaction, until it is killed at the end."""
    writer = subprocess.Popen([sys.executable, STOPPED_WRITER, library], stdout=subprocess.PIPE)
    try:
        assert writer.stdout is not None
        assert writer.stdout.readline() == b"writing\n"
        yield
    finally:
        writer.kill()
        writer.communicate()


def impatiently(*arguments: str, library: Path) -> subprocess.CompletedProcess[str]:
    """Run the program with little patience."""
    return subprocess.run(
        [sys.executable, "-c", IMPATIENT, "--library", library, *arguments],
        capture_output=True,
        text=True,
        check=False,
        timeout=20,
    )
