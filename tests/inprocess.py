"""Running the command line within the test's own process: the same words, a fiftieth of the time."""

from __future__ import annotations

import io
import os
import signal
import sys
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING
from unittest import mock

from tests.tools import Result

from mlib.cli.app import run

if TYPE_CHECKING:
    from pathlib import Path


def mlib_here(
    *arguments: str | os.PathLike[str], library: Path | None = None, stdin: bytes = b"", code: int | None = 0
) -> Result:
    """Run a command line and check its exit code (None: any); both outputs are pipes to it."""
    words = [os.fspath(argument) for argument in arguments]
    if library is not None:
        words = ["--library", os.fspath(library), *words]
    out, err = io.BytesIO(), io.BytesIO()
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers], sys.unraisablehook
    try:
        with (
            mock.patch.object(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin))),
            redirect_stdout(io.TextIOWrapper(out, write_through=True)),
            redirect_stderr(io.TextIOWrapper(err, write_through=True)),
        ):
            result = run(words)
            stdout, stderr = out.getvalue(), err.getvalue()
    finally:
        handlers, sys.unraisablehook = before
        for number, handler in zip(numbers, handlers, strict=True):
            signal.signal(number, handler)
    assert b"Traceback" not in stderr, stderr.decode()
    assert code is None or result == code, f"exit code {result}, not {code}\n{stderr.decode()}"
    return Result(result, stdout, stderr)
