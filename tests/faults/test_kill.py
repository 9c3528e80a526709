"""Promises 1 and 11: a command killed at any of its writes loses nothing, and the next run ends the job."""

from __future__ import annotations

import signal
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.faults.jobs import JOBS, Trial, first_scan, rescan

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.faults.forked import Program
    from tests.faults.jobs import Prepare
    from tests.faults.state import State

pytestmark = pytest.mark.faults

#: The calls between which the disk can be in different states.
CALLS = ("pwrite64", "fdatasync", "fsync", "ftruncate", "unlink", "/^rename", "/^link")
#: Every job is done in so many parts, for as many processors.
PARTS = 3


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("prepare", JOBS)
def test_killed_at_any_write_nothing_is_lost_and_the_next_run_ends_the_job(
    prepare: Prepare, part: int, program: Program, tmp_path: Path
) -> None:
    trial = Trial(program, prepare, tmp_path)
    kills = 0
    for now in killed_everywhere(trial, part):
        again = trial.check_next_run()
        if prepare in (first_scan, rescan):
            assert again.json["hashed_bytes"] == unread_bytes(now, trial.after)
        kills += 1
    assert kills > 10


def killed_everywhere(trial: Trial, part: int) -> Iterator[State]:
    """Kill the job before its first, second, third ... such call, until it comes to its own end."""
    for call in CALLS:
        for number in count(1 + part, PARTS):
            trial.restore()
            run = trial.program.run_with_fault(
                *trial.job.command, call=call, fault=f"signal=KILL:when={number}"
            )
            if not run.injected:
                assert run.result.code == trial.undisturbed.code
                break
            assert run.result.code == -signal.SIGKILL
            yield trial.check_library()


def unread_bytes(now: State, after: State) -> int:
    """How much a scan has to read to get from `now` to `after`: what was read once is never read again."""

    def read(rows: State) -> set[tuple[int, int, int]]:
        """Size, mtime and inode of every file whose content is known."""
        return {(row[5], row[6], row[8]) for row in rows if row[0] == "file"}

    return sum(size for size, _, _ in read(after) - read(now))
