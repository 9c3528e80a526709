"""Running commands in turn and comparing them: on a machine that others use, only ratios mean anything."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

#: The interpreter that runs this, without anything of ours: the floor of every start-up.
BARE_PYTHON = (sys.executable, "-c", "pass")
MLIB = (sys.executable, "-m", "mlib")


@dataclass(frozen=True)
class Run:
    """What one process took, wall clock and processor, and what it wrote."""

    seconds: float
    cpu_seconds: float
    stdout: bytes


def run(command: Sequence[str], *, library: Path | None = None) -> Run:
    """Run a command that must succeed."""
    started = time.perf_counter()
    with subprocess.Popen(command, env=_environment(library), stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        stdout = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
    _check(process, command)
    return Run(seconds, usage.ru_utime + usage.ru_stime, stdout)


def timed(command: Sequence[str], *, library: Path | None = None) -> Callable[[], float]:
    """A measurement of a whole process whose output nobody wants: wall clock seconds."""

    def measure() -> float:
        started = time.perf_counter()
        done = subprocess.run(command, env=_environment(library), stdout=subprocess.DEVNULL, check=False)
        seconds = time.perf_counter() - started
        _check(done, command)
        return seconds

    return measure


def peak_bytes(command: Sequence[str], *, library: Path | None = None) -> int:
    """The most resident memory a process had.

    Taken from the kernel's own high-water mark while it runs: what wait4(2) tells counts the parent too.
    """
    peak = 0
    with subprocess.Popen(command, env=_environment(library), stdout=subprocess.DEVNULL) as process:
        while process.poll() is None:
            with suppress(OSError, StopIteration):
                status = Path(f"/proc/{process.pid}/status").read_text()
                line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
                peak = max(peak, int(line.split()[1]) * 1024)
            time.sleep(0.005)
    _check(process, command)
    return peak


def in_turn(measured: Mapping[str, Callable[[], float]], *, rounds: int) -> dict[str, list[float]]:
    """The seconds of each, round by round: all are run once in each. A first round is not counted.

    Each round begins with another one: a disk that allows bursts favours what comes after the slowest.
    """
    seconds: dict[str, list[float]] = {name: [] for name in measured}
    order = list(measured)
    for name in order:
        measured[name]()
    for _ in range(rounds):
        for name in order:
            seconds[name].append(measured[name]())
        order.append(order.pop(0))
    return seconds


def median_ratio(some: Sequence[float], others: Sequence[float]) -> float:
    """The median of the ratios within each round: what disturbed a round disturbed both."""
    return median(one / other for one, other in zip(some, others, strict=True))


def tell(what: str, figure: str, target: str = "", *, met: bool | None = None) -> None:
    """One line of a result, with the target it has to meet beside it."""
    verdict = {None: "", True: "  met", False: "  MISSED"}[met]
    print(f"{what:<58} {figure:>14}   {target}{verdict}", flush=True)


def _environment(library: Path | None) -> dict[str, str]:
    environment = {**os.environ, **({} if library is None else {"MLIB_LIBRARY": str(library)})}
    # An installed program has its modules compiled; one that may not keep them would compile them each time.
    environment.pop("PYTHONDONTWRITEBYTECODE", None)
    return environment


def _check(
    done: subprocess.Popen[bytes] | subprocess.CompletedProcess[bytes], command: Sequence[str]
) -> None:
    if done.returncode != 0:
        raise SystemExit(f"exit code {done.returncode}: {' '.join(command)}")
