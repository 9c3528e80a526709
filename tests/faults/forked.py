"""Running mlib many times: each run is a real process of its own, but one that needs no time to start."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from tests.faults.machine import require
from tests.tools import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

SERVER = Path(__file__).with_name("fork_server.py")


class ForkServer:
    """A process of `fork_server.py`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, SERVER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={name: value for name, value in os.environ.items() if not name.startswith("MLIB_")},
        )

    def ask(self, request: object) -> int:
        """Its answer to a request."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def close(self) -> None:
        """End it."""
        self._process.communicate()


class Program:
    """Starts command lines of mlib on one library."""

    def __init__(self, server: ForkServer, directory: Path) -> None:
        self.server = server
        self.library = directory / "library" / "library.db"
        self._scratch = directory / "runs"
        self._numbers = count()

    def start(self, *arguments: str | os.PathLike[str]) -> Run:
        """A process that stands still before its first step."""
        output = self._scratch / str(next(self._numbers))
        output.mkdir(parents=True)
        command = ["--library", os.fspath(self.library), *(os.fspath(argument) for argument in arguments)]
        return Run(self.server, self.server.ask({"start": command, "output": os.fspath(output)}), output)

    def run(self, *arguments: str | os.PathLike[str], code: int | None = 0) -> Result:
        """Run a command line to its end and check its exit code (None: any)."""
        run = self.start(*arguments)
        run.go()
        return run.result(code=code)

    def run_with_fault(self, *arguments: str | os.PathLike[str], call: str, fault: str) -> Faulted:
        """Run a command line while strace does `fault` to `call` of its main thread, which does all writing.

        The two are as the `inject` of strace(1) wants them: `pwrite64` and `signal=KILL:when=3`.
        """
        require("strace")
        run = self.start(*arguments)
        log = run.output / "log"
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:{fault}")
        tracer = subprocess.Popen(
            ["strace", "-o", log, *inject, "-p", str(run.pid)], stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        run.go()
        tracer.communicate()
        assert "attached" in told, told
        return Faulted(run.result(code=None), log.read_text())

    def run_with_delay(
        self, *arguments: str | os.PathLike[str], call: str, number: int, meanwhile: Callable[[], None]
    ) -> Faulted:
        """Run a command line while strace holds it up before one `call`, and do something then.

        `call` is as `inject` of strace(1) wants it; `number` counts the calls of each name apart.
        """
        require("strace")
        run = self.start(*arguments)
        log = run.output / "log"
        inject = ("-e", f"trace={call}", "-e", f"inject={call}:delay_enter={_HELD_UP}ms:when={number}")
        tracer = subprocess.Popen(
            ["strace", "-o", log, *inject, "-p", str(run.pid)], stderr=subprocess.PIPE, text=True
        )
        assert tracer.stderr is not None
        told = tracer.stderr.readline()
        run.go()
        if _is_held_up(run.pid, tracer):
            meanwhile()
        tracer.communicate()
        assert "attached" in told, told
        return Faulted(run.result(code=None), log.read_text())


#: For how many milliseconds a call is held up, and how long one is watched to stand still to be held up.
_HELD_UP = 400
_STILL_SECONDS = 0.1


def _is_held_up(pid: int, tracer: subprocess.Popen[str]) -> bool:
    """Wait until a process stands still before a call for longer than a tracer needs; False if it ends."""
    since = None
    has_run = False  # it stands still as well until it takes its first step
    while tracer.poll() is None:
        try:
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except FileNotFoundError:
            return False
        if state in "ZX":
            return False
        now = time.monotonic()
        has_run = has_run or state not in "tT"
        since = (since or now) if has_run and state == "t" else None
        if since is not None and now - since > _STILL_SECONDS:
            return True
        time.sleep(0.002)
    return False


@dataclass(frozen=True)
class Run:
    """One process of the program."""

    server: ForkServer
    pid: int
    output: Path

    def go(self) -> None:
        """Let it take its first step."""
        os.kill(self.pid, signal.SIGCONT)

    def result(self, *, code: int | None = 0) -> Result:
        """Wait for its end. No run may show a traceback."""
        ended = self.server.ask({"wait": self.pid})
        result = Result(ended, (self.output / "stdout").read_bytes(), (self.output / "stderr").read_bytes())
        assert b"Traceback" not in result.stderr, result.err
        assert code is None or ended == code, f"exit code {ended}, not {code}\n{result.err}{result.out}"
        return result


@dataclass(frozen=True)
class Faulted:
    """A run that was to meet a fault, and what strace saw of it."""

    result: Result
    log: str

    @property
    def injected(self) -> bool:
        """Whether it came to the call that was to go wrong."""
        return any(word in self.log for word in ("(INJECTED)", "(DELAYED)", "+++ killed by"))


def moments(log: str, *, naming: str = "") -> Iterator[tuple[str, int]]:
    """The calls that strace saw, of those whose line names something, and which of its name each is."""
    seen: Counter[str] = Counter()
    for line in log.splitlines():
        call, parenthesis, _ = line.partition("(")
        if ".pyc" in line:  # byte code, which only the first run to load a module writes
            continue
        if parenthesis and call.isidentifier():
            seen[call] += 1
            if naming in line:
                yield call, seen[call]
