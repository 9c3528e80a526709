"""Disks that fail: a model that cannot be read is a problem of its own, a library that cannot, an error."""

from __future__ import annotations

import os
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.faults.jobs import JOBS, Trial, update
from tests.faults.machine import require
from tests.tools import mlib, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.forked import Program
    from tests.faults.jobs import Prepare

pytestmark = pytest.mark.faults


@pytest.mark.parametrize("fault", ["error=EIO:when=1", "error=EIO:when=2+", "error=ESTALE:when=3"])
def test_a_model_that_cannot_be_read_is_a_problem_and_the_others_are_stored(
    fault: str, tmp_path: Path, library_path: Path
) -> None:
    require("strace")
    bad = tmp_path / "loras" / "bad.safetensors"
    for name in ("bad", "good", "fine"):
        write_model(tmp_path / "loras" / f"{name}.safetensors")
    log = tmp_path / "log"
    strace = ("strace", "-f", "-qq", "-o", os.fspath(log), "-P", os.fspath(bad), "-e", "trace=read")
    result = mlib(
        *("scan", "--root", f"loras={tmp_path / 'loras'}", "--json"),
        library=library_path,
        prefix=(*strace, "-e", f"inject=read:{fault}"),
        code=3,
    )
    assert "(INJECTED)" in log.read_text()
    assert [(problem["path"], problem["code"]) for problem in result.json["problems"]] == [
        (os.fspath(bad), "unreadable")
    ]
    assert result.json["added"] == 2
    again = mlib("scan", "--json", library=library_path).json
    assert (again["added"], again["hashed_bytes"]) == (1, bad.stat().st_size)


@pytest.mark.parametrize("prepare", JOBS)
def test_a_failing_sync_of_the_library_fails_the_command_and_loses_nothing(
    prepare: Prepare, program: Program, tmp_path: Path
) -> None:
    trial = Trial(program, prepare, tmp_path)
    failed = check_every_failure(trial, "fdatasync", codes={"library_io_error", "backup_failed"})
    failed += check_every_failure(trial, "fsync", codes={"backup_failed", "cannot_write"})
    assert failed >= 4


def test_a_library_that_cannot_be_read_fails_the_command_and_loses_nothing(
    program: Program, tmp_path: Path
) -> None:
    trial = Trial(program, update, tmp_path)
    assert check_every_failure(trial, "pread64", codes={"library_io_error", "library_corrupt"}) > 10


def check_every_failure(trial: Trial, call: str, *, codes: set[str]) -> int:
    """Let the first, second, third ... such call fail; how many of them the job did not get over."""
    failed = 0
    for number in count(1):
        trial.restore()
        run = trial.program.run_with_fault(*trial.job.command, call=call, fault=f"error=EIO:when={number}")
        if not run.injected:
            return failed
        now = trial.check_library()
        if run.result.code == trial.undisturbed.code:
            assert now == trial.after
        else:
            assert run.result.code == 1
            assert run.result.error["code"] in codes, run.result.error
            failed += 1
        trial.check_next_run()
    raise AssertionError
