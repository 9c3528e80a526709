"""A full disk ends a command with one line; all that was there is kept, and with room again it completes."""

from __future__ import annotations

import os
import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.faults.jobs import JOBS, Trial
from tests.faults.machine import require, tmpfs
from tests.tools import mlib

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.forked import Program
    from tests.faults.jobs import Prepare
    from tests.tools import Result

pytestmark = pytest.mark.faults

KIB = 1024


@pytest.mark.parametrize("room", [0, 16 * KIB])
@pytest.mark.parametrize("prepare", JOBS)
def test_on_a_full_disk_a_command_fails_until_there_is_room(
    prepare: Prepare, room: int, program: Program, tmp_path: Path
) -> None:
    home = program.library.parent
    home.mkdir()
    with tmpfs(size=1024 * KIB, at=home):
        trial = Trial(program, prepare, tmp_path)
        trial.restore()
        with filled(home, leaving=room):
            check_failed(program.run(*trial.job.command, code=None), trial)
        trial.check_next_run()


@pytest.mark.parametrize("prepare", JOBS)
def test_a_limit_on_file_sizes_is_like_a_full_disk(
    prepare: Prepare, program: Program, tmp_path: Path
) -> None:
    require("prlimit")
    trial = Trial(program, prepare, tmp_path)
    trial.restore()
    # Without byte code: Python would keep what the limit cut off, for every later program of this run.
    limit = ("env", "PYTHONDONTWRITEBYTECODE=1", "prlimit", f"--fsize={16 * KIB}")
    check_failed(mlib(*trial.job.command, library=program.library, prefix=limit, code=None), trial)
    trial.check_next_run()


@pytest.mark.parametrize("prepare", JOBS)
def test_a_disk_that_fills_up_at_some_write_costs_nothing(
    prepare: Prepare, program: Program, tmp_path: Path
) -> None:
    trial = Trial(program, prepare, tmp_path)
    for number in (1, 2, 3, 5, 8, 13, 21, 34, 55):
        trial.restore()
        run = program.run_with_fault(
            *trial.job.command, call="pwrite64", fault=f"error=ENOSPC:when={number}+"
        )
        if not run.injected:
            break
        check_failed(run.result, trial)
        trial.check_next_run()
    assert number > 10


def check_failed(result: Result, trial: Trial) -> None:
    """The command said in one line that the disk is full, the library is whole, and nothing is left about."""
    now = trial.check_library()
    if "clean-meta" in trial.job.command and result.code == 0:
        # All is clean; only the room this has made could not be given back.
        assert now == trial.after
        return
    assert result.code == 1
    assert result.error["code"] in ("disk_full", "backup_failed")
    assert len(result.err.splitlines()) == 1
    assert list(trial.home.glob("backups/*.partial*")) == []


@contextmanager
def filled(directory: Path, *, leaving: int) -> Iterator[None]:
    """Fill the disk of `directory` up to so many bytes."""
    ballast = directory / "ballast"
    with ballast.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(directory).free - leaving)
    try:
        yield
    finally:
        ballast.unlink()
