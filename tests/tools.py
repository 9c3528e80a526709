"""Making model files, and running the program as a user does."""

from __future__ import annotations

import hashlib
import json
import os
import struct
import subprocess
import sys
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlib.cli.output import worded
from mlib.services.backing_up import hint_of as way_out

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.core.errors import MlibError


def hint_of(error: MlibError) -> str:
    """The hint of an error as the command line words it; "" where there is none."""
    return worded(way_out(error)) or ""


#: The command line of the program under test, in a process of its own.
MLIB = (sys.executable, "-m", "mlib")


def safetensors(seed: str | bytes, *, size: int = 64, metadata: dict[str, str] | None = None) -> bytes:
    """A valid safetensors file with `size` bytes of tensor data that depend on `seed`."""
    seed = seed.encode() if isinstance(seed, str) else seed
    data = b"".join(hashlib.sha256(seed + n.to_bytes(8, "little")).digest() for n in range(size // 32 + 1))[
        :size
    ]
    header: dict[str, Any] = {"weight": {"dtype": "U8", "shape": [size], "data_offsets": [0, size]}}
    if metadata is not None:
        header["__metadata__"] = metadata
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def write_model(path: Path, seed: str | bytes | None = None, *, age: float = 3600, size: int = 64) -> str:
    """Write a model file whose content depends on `seed` (its own name by default); its SHA-256.

    `age` is how many seconds ago it was last changed: an old file needs no waiting to be believed.
    """
    content = safetensors(path.name if seed is None else seed, size=size)
    return write_bytes(path, content, age=age)


def write_bytes(path: Path, content: bytes, *, age: float = 3600) -> str:
    """Write any bytes as a file of this age; their SHA-256."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    set_age(path, age)
    return hashlib.sha256(content).hexdigest()


def set_age(path: Path, seconds: float) -> None:
    """Make a file's last change lie so far back."""
    moment = time.time_ns() - int(seconds * 1e9)
    os.utime(path, ns=(moment, moment))


@dataclass(frozen=True)
class Result:
    """What a run of the program gave."""

    code: int
    stdout: bytes
    stderr: bytes

    @property
    def out(self) -> str:
        return self.stdout.decode()

    @property
    def err(self) -> str:
        return self.stderr.decode()

    @property
    def json(self) -> Any:
        """The one JSON document on standard output."""
        return json.loads(self.stdout)

    @property
    def error(self) -> dict[str, Any]:
        """The error object that --json puts on standard error."""
        error: dict[str, Any] = json.loads(self.stderr)["error"]
        return error


def mlib(
    *arguments: str | os.PathLike[str],
    library: Path | None = None,
    stdin: bytes | None = None,
    code: int | None = 0,
    env: dict[str, str] | None = None,
    cwd: Path | None = None,
    prefix: tuple[str, ...] = (),
    timeout: float = 120,
) -> Result:
    """Run the program and check its exit code (None: any). No run may show a traceback."""
    environment = {**os.environ, **(env or {})}
    if library is not None:
        environment["MLIB_LIBRARY"] = str(library)
    done = subprocess.run(
        [*prefix, *MLIB, *(os.fspath(argument) for argument in arguments)],
        input=stdin if stdin is not None else b"",
        capture_output=True,
        env=environment,
        cwd=cwd,
        timeout=timeout,
        check=False,
    )
    result = Result(done.returncode, done.stdout, done.stderr)
    assert b"Traceback" not in done.stderr, result.err
    assert code is None or done.returncode == code, f"exit code {done.returncode}, not {code}\n{result.err}"
    return result
