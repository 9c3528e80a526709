"""The first scan of large files against a bare hashing loop, and of many small files against their count.

    python tests/benchmarks/bench_first_scan.py [--dir DIR] [--files N] [--mib N] [--rounds N] [--cold]

The bare loop is two threads that do nothing but read 1 MiB and hash it: the limit of this work in Python.
Starting the program and making a library take as long for any number of files, and are told apart.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import shutil
import sys
import tempfile
import threading
import time
from collections import deque
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from typing import TYPE_CHECKING

from tests.benchmarks.measure import MLIB, in_turn, median_ratio, run, tell, timed
from tests.tools import safetensors, set_age, write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

MIB = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", help="where the files are made: the disk to measure")
    parser.add_argument("--files", type=int, default=4)
    parser.add_argument("--mib", type=int, default=512, help="size of each large file")
    parser.add_argument("--small", type=int, default=2000, help="number of small files")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--cold", action="store_true", help="read the files from the disk")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        large = [Path(folder, "large", f"{number}.safetensors") for number in range(options.files)]
        for path in large:
            write_large(path, options.mib)
        compare_large(large, rounds=options.rounds, cold=options.cold)
        for number in range(options.small):
            write_model(Path(folder, "small", f"{number}.safetensors"), size=1000)
        scan_small(Path(folder, "small"), options.small, rounds=options.rounds)


def write_large(path: Path, mib: int) -> None:
    """A whole safetensors file of random bytes, all of them on the disk."""
    path.parent.mkdir(exist_ok=True)
    noise = os.urandom(MIB)
    header = (
        safetensors(b"", size=0)
        .replace(b"[0]", b"[%d]" % (mib * MIB))
        .replace(b"0, 0", b"0, %d" % (mib * MIB))
    )
    text = header[8:]
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for _ in range(mib):
            file.write(noise)
        file.flush()
        os.fsync(file.fileno())
    set_age(path, 3600)


def compare_large(paths: Sequence[Path], *, rounds: int, cold: bool) -> None:
    """`mlib scan`, the bare loop and the hashing tools of the system, in turn."""
    size = sum(path.stat().st_size for path in paths)
    inner: list[float] = []
    measured: dict[str, Callable[[], float]] = {
        "bare loop": lambda: bare_loop(paths),
        "mlib scan": lambda: first_scan(paths[0].parent, inner),
    }
    for tool in (["openssl", "dgst", "-sha256"], ["sha256sum"]):
        if shutil.which(tool[0]):
            measured[" ".join(tool)] = timed([*tool, *map(str, paths)])
    if cold:
        measured = {name: after_drop(measure, paths) for name, measure in measured.items()}
    seconds = in_turn(measured, rounds=rounds)
    state = "cold" if cold else "warm"
    for name, value in seconds.items():
        tell(
            f"{name}, {len(paths)} x {size / len(paths) / MIB:.0f} MiB, {state}",
            f"{size / median(value) / 1e9:.2f} GB/s",
        )
    target = 0.95 if cold else 0.9
    ratio = median_ratio(seconds["bare loop"], inner[-rounds:])
    tell("throughput of the scan / bare loop", f"{ratio:.2f}", f"at least {target}", met=ratio >= target)
    ratio = median_ratio(seconds["bare loop"], seconds["mlib scan"])
    tell("the same with start-up and a new library", f"{ratio:.2f}")


def bare_loop(paths: Sequence[Path]) -> float:
    """Seconds that two threads need to hash all of these."""
    waiting = deque(paths)

    def work() -> None:
        view = memoryview(bytearray(MIB))
        while True:
            try:
                path = waiting.popleft()
            except IndexError:
                return
            digest = hashlib.sha256()
            with io.FileIO(path) as file:
                while count := file.readinto(view):
                    digest.update(view[:count])

    threads = [threading.Thread(target=work) for _ in range(2)]
    started = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - started


def first_scan(folder: Path, inner: list[float]) -> float:
    """Seconds of a whole `mlib scan` into a new library; `inner` gets what the scan itself took."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as home:
        done = run(
            [*MLIB, "scan", "--root", f"checkpoints={folder}", "--json"], library=Path(home, "library.db")
        )
    inner.append(json.loads(done.stdout)["seconds"])
    return done.seconds


def after_drop(measure: Callable[[], float], paths: Sequence[Path]) -> Callable[[], float]:
    """The same measurement with nothing of these files in memory; programs stay there, for both sides."""

    def cold() -> float:
        for path in paths:
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
        return measure()

    return cold


def scan_small(folder: Path, count: int, *, rounds: int) -> None:
    """What one small file costs: mostly its rows."""
    inner: list[float] = []
    seconds = median(in_turn({"scan": lambda: first_scan(folder, inner)}, rounds=rounds)["scan"])
    tell(
        f"first scan of {count:,} small files", f"{seconds:.2f} s", f"{seconds / count * 1000:.2f} ms a file"
    )


if __name__ == "__main__":
    main()
