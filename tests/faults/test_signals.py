"""Ctrl-C and SIGTERM end a scan at once, with a summary, and keep what was finished."""

from __future__ import annotations

import json
import os
import signal
import struct
import subprocess
import time
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.faults.jobs import Trial, first_scan, rescan
from tests.faults.machine import hanging_reads
from tests.faults.state import state
from tests.tools import MLIB, Result, mlib, set_age, write_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.forked import Program
    from tests.faults.jobs import Prepare

pytestmark = pytest.mark.faults

SIGNALS = [pytest.param(signal.SIGINT, 130, id="Ctrl-C"), pytest.param(signal.SIGTERM, 143, id="SIGTERM")]
#: How soon a command must have ended after a signal, in seconds.
PROMPTLY = 2.0
SMALL = ("one", "two", "three")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """Three small models, and one that takes minutes to read."""
    tree = tmp_path / "loras"
    for name in SMALL:
        write_model(tree / f"{name}.safetensors")
    write_endless(tree / "endless.safetensors")
    return tree


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_scan_ends_at_once_and_gives_its_report(
    number: int, code: int, tree: Path, library_path: Path
) -> None:
    result = interrupted("--json", tree=tree, library=library_path, number=number)
    assert result.code == code
    assert result.json["interrupted"] is True
    assert (result.json["added"], result.json["missing"]) == (len(SMALL), 0)


@pytest.mark.parametrize(("number", "code"), SIGNALS)
def test_an_interrupted_scan_tells_a_person_what_is_kept(
    number: int, code: int, tree: Path, library_path: Path
) -> None:
    result = interrupted(tree=tree, library=library_path, number=number)
    assert result.code == code
    assert result.out.startswith("4 files: 3 added")
    assert result.out.endswith("(interrupted)\n")
    assert "kept" in result.err


def test_after_an_interruption_only_the_rest_is_read(tree: Path, library_path: Path) -> None:
    interrupted(tree=tree, library=library_path, number=signal.SIGINT)
    write_model(tree / "endless.safetensors", "shorter after all")
    report = mlib("scan", "--json", library=library_path).json
    assert report["hashed_bytes"] == (tree / "endless.safetensors").stat().st_size
    assert (report["added"], report["unchanged"]) == (1, len(SMALL))


def test_ctrl_c_ends_a_scan_even_while_a_read_hangs(tree: Path, library_path: Path) -> None:
    with hanging_reads(tree / "endless.safetensors"):
        result = interrupted("--json", tree=tree, library=library_path, number=signal.SIGINT)
    assert result.code == 130
    assert result.json["added"] == len(SMALL)


@pytest.mark.parametrize("prepare", [first_scan, rescan])
def test_ctrl_c_while_something_is_written_leaves_what_the_next_scan_completes(
    prepare: Prepare, program: Program, tmp_path: Path
) -> None:
    trial = Trial(program, prepare, tmp_path)
    for result in interrupted_at_writes(trial, every=5):
        assert result.code == 130
        trial.check_library()
        trial.check_next_run()


def test_ctrl_c_while_something_is_written_keeps_and_tells_all_that_was_read(
    program: Program, tmp_path: Path
) -> None:
    trial = Trial(program, first_scan, tmp_path)
    told = set()
    for result in interrupted_at_writes(trial, every=3):
        if result.stdout:
            assert result.json["interrupted"] is True
            assert result.json["added"] == models_in(program.library)
            told.add((result.json["hashed_bytes"] > 0, result.json["added"]))
    assert told == {(False, 0), (True, 3)}, "before anything was read, and after"


def interrupted_at_writes(trial: Trial, *, every: int) -> Iterator[Result]:
    """Send SIGINT at the first write of a job, and at each so many later, until it comes to its own end."""
    for number in count(1, every):
        trial.restore()
        run = trial.program.run_with_fault(
            *trial.job.command, call="pwrite64", fault=f"signal=INT:when={number}"
        )
        if "SIGINT" not in run.log:
            break
        yield run.result


def models_in(library: Path) -> int:
    """How many models a library holds."""
    return sum(row[0] == "model" for row in state(library))


def interrupted(*options: str, tree: Path, library: Path, number: int) -> Result:
    """Scan `tree`, and send the signal once all but the endless file is in the library."""
    environment = {**os.environ, "MLIB_LIBRARY": os.fspath(library)}
    scan = subprocess.Popen(
        [*MLIB, "scan", "--root", f"loras={tree}", "--jobs", "2", *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment,
    )
    try:
        wait_for(len(SMALL), library)
        scan.send_signal(number)
        stdout, stderr = scan.communicate(timeout=PROMPTLY)
    finally:
        scan.kill()
    assert b"Traceback" not in stderr
    return Result(scan.returncode, stdout, stderr)


def wait_for(models: int, library: Path) -> None:
    """Wait until the library holds so many models."""
    for _ in range(600):
        if models_in(library) == models:
            return
        time.sleep(0.05)
    pytest.fail("the scan stores nothing")


def write_endless(path: Path) -> None:
    """A whole safetensors file of 200 GB that takes no room: its data is one hole."""
    size = 200 << 30
    header = json.dumps({"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}).encode()
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        file.truncate(8 + len(header) + size)
    set_age(path, 300_000)  # a younger one that ends in zeros would be a download
