"""Headers as long as the format allows, made to cost as much memory as they can."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

LONGEST = 98_000_000
#: What reading any file may take, the program itself included.
MEMORY_KB = 256_000

#: Beginning, what is repeated, and end.
HEADERS = {
    "many members": (b'{"a":1', b',"a":1', b"}"),
    "many short lists": (b'{"a":[[1,1]', b",[1,1]", b"]}"),
    "deep": (b'{"a":[', b"[", b""),
    "many tensors": (b'{"a":{}', b',"a":{"dtype":"F32","shape":[],"data_offsets":[0,0]}', b"}"),
    "one long text": (b'{"a":"', b"x", b'"}'),
    "one long text of escapes": (b'{"__metadata__":{"a":"', b"\\n", b'"}}'),
    "many texts": (b'{"__metadata__":{"a":"b"', b',"a":"b"', b"}}"),
}

INSPECT = """
import sys
from mlib.cli.app import run
code = run(["inspect", "--json", sys.argv[1]])
with open("/proc/self/status") as status:
    peak = next(line.split()[1] for line in status if line.startswith("VmHWM"))
print(code, peak, file=sys.stderr)
"""


@pytest.mark.parametrize("name", HEADERS)
def test_no_header_takes_much_memory(name: str, tmp_path: Path) -> None:
    begin, again, end = HEADERS[name]
    times = (LONGEST - len(begin) - len(end)) // len(again)
    path = tmp_path / "hostile.safetensors"
    with path.open("wb") as file:
        file.write((len(begin) + times * len(again) + len(end)).to_bytes(8, "little") + begin)
        at_once = 100_000
        for done in range(0, times, at_once):
            file.write(again * min(at_once, times - done))
        file.write(end)
    command = [sys.executable, "-c", INSPECT, os.fspath(path)]
    finished = subprocess.run(command, capture_output=True, text=True, check=True)
    path.unlink()
    code, peak = finished.stderr.split()[-2:]
    assert code == "3"
    assert int(peak) < MEMORY_KB
