"""Runs command lines of mlib, each in a fork of this process, which has imported all of it beforehand.

Each request is a line of JSON on standard input and is answered by a line. `{"start": [...], "output": DIR}`
is answered with the id of a process that has stopped itself before its first step and writes to `stdout` and
`stderr` in DIR; `{"wait": PID}` with its exit code, once it has ended.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import pkgutil
import signal
import sys

import mlib.cli
import mlib.db
import mlib.services
from mlib.cli.app import run


def become(arguments: list[str], output: str) -> None:
    """Turn this new process into one of the program, and stop."""
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        os.dup2(os.open(os.path.join(output, name), os.O_CREAT | os.O_TRUNC | os.O_WRONLY), descriptor)
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    os.kill(os.getpid(), signal.SIGSTOP)
    sys.exit(run(arguments))


for package in (mlib.cli, mlib.services, mlib.db):
    for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
        importlib.import_module(module.name)
importlib.import_module("sqlite_utils")
gc.freeze()
for line in sys.stdin:
    request = json.loads(line)
    if "wait" in request:
        _, status = os.waitpid(request["wait"], 0)
        print(os.waitstatus_to_exitcode(status), flush=True)
    elif child := os.fork():
        os.waitpid(child, os.WUNTRACED)
        print(child, flush=True)
    else:
        become(request["start"], request["output"])
