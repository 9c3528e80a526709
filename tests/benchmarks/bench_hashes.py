"""Every hash of one large safetensors file in one pass against a bare SHA-256 loop over the same file.

    python tests/benchmarks/bench_hashes.py [--dir DIR] [--mib N] [--rounds N]

AutoV3 is a second SHA-256 of nearly all the bytes, so half the speed of the bare loop is out of reach. What
there is to win or lose is told by the digests alone, fed one by one with the same bytes from memory.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import mmap
import os
import sys
import tempfile
import time
import zlib
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from typing import TYPE_CHECKING

from blake3 import blake3
from tests.benchmarks.measure import in_turn, median_ratio, tell
from xxhash import xxh3_128

from mlib.core.hashes import compute

if TYPE_CHECKING:
    from collections.abc import Callable

MIB = 1 << 20


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", help="where the file is made: the disk to measure")
    parser.add_argument("--mib", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=7)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        path = Path(folder, "a.safetensors")
        write_large(path, options.mib)
        compare(path, rounds=options.rounds)


def write_large(path: Path, mib: int) -> None:
    """A safetensors file of that many MiB of noise."""
    size = mib * MIB
    header = b'{"a":{"dtype":"U8","shape":[%d],"data_offsets":[0,%d]}}' % (size, size)
    noise = os.urandom(MIB)
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for _ in range(mib):
            file.write(noise)


def compare(path: Path, *, rounds: int) -> None:
    """The bare loop, all hashes with and without BLAKE3, and the digests alone, in turn."""
    size = path.stat().st_size
    seconds = in_turn(
        {
            "bare SHA-256 loop": timed(lambda: bare_loop(path)),
            "all hashes": timed(lambda: every_hash(path, with_blake3=True)),
            "all but BLAKE3": timed(lambda: every_hash(path, with_blake3=False)),
            "the digests alone": timed(lambda: digests_alone(size, with_blake3=True)),
            "the digests but BLAKE3 alone": timed(lambda: digests_alone(size, with_blake3=False)),
        },
        rounds=rounds,
    )
    for name, value in seconds.items():
        tell(f"{name}, {size / MIB:.0f} MiB, warm", f"{size / median(value) / 1e9:.2f} GB/s")
    bare = seconds["bare SHA-256 loop"]
    for name, alone in (
        ("all hashes", "the digests alone"),
        ("all but BLAKE3", "the digests but BLAKE3 alone"),
    ):
        tell(f"throughput of {name} / bare loop", f"{median_ratio(bare, seconds[name]):.2f}")
        ratio = median_ratio(seconds[alone], seconds[name])
        tell(f"throughput of {name} / {alone}", f"{ratio:.2f}", "at least 0.8", met=ratio >= 0.8)


def timed(work: Callable[[], object]) -> Callable[[], float]:
    """A measurement of `work`: wall clock seconds."""

    def measure() -> float:
        started = time.perf_counter()
        work()
        return time.perf_counter() - started

    return measure


def bare_loop(path: Path) -> None:
    view = memoryview(mmap.mmap(-1, MIB))
    digest = hashlib.sha256()
    with io.FileIO(path) as file:
        while count := file.readinto(view):
            digest.update(view[:count])


def every_hash(path: Path, *, with_blake3: bool) -> None:
    assert compute(str(path), advance=lambda _size: None, with_blake3=with_blake3) is not None


def digests_alone(size: int, *, with_blake3: bool) -> None:
    """The same digests of the same number of bytes, without a file."""
    view = memoryview(mmap.mmap(-1, MIB))
    updates: list[Callable[[memoryview], object]] = [
        hashlib.sha256().update,
        hashlib.sha256().update,
        xxh3_128().update,
        zlib.crc32,
    ]
    if with_blake3:
        updates.append(blake3().update)
    for _ in range(size // MIB):
        for update in updates:
            update(view)


if __name__ == "__main__":
    main()
