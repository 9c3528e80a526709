"""A scan of what has not changed asks the disk for names and stats, and for not one byte of a model."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import require
from tests.tools import mlib, write_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

#: Everything that opens a file or takes bytes from one; `-y` says which file a descriptor is.
READING = "open,openat,openat2,read,pread64,readv,preadv,preadv2,mmap,sendfile,copy_file_range"


def test_an_unchanged_scan_reads_no_byte_of_any_model(tmp_path: Path, library_path: Path) -> None:
    require("strace")
    root = tmp_path / "loras"
    for number in range(40):
        write_model(root / f"folder {number % 4}" / f"{number}.safetensors")
    first = traced_scan(root, tmp_path / "first.log", library_path, "--root", f"loras={root}")
    assert sum("read(" in line for line in first) >= 40, "the trace sees what a scan reads"
    again = traced_scan(root, tmp_path / "again.log", library_path)
    assert again, "the trace sees the directories being listed"
    assert [line for line in again if "O_DIRECTORY" not in line] == []


def traced_scan(root: Path, log: Path, library: Path, *arguments: str) -> list[str]:
    """The system calls of a scan that open or read anything below `root`."""
    strace = ("strace", "-f", "-qq", "-y", "-s", "0", "-o", os.fspath(log), "-e", f"trace={READING}")
    mlib("scan", *arguments, library=library, prefix=strace)
    below = re.compile(re.escape(os.fspath(root)) + r"""[/">]""")
    return [line for line in log.read_text().splitlines() if below.search(line)]
