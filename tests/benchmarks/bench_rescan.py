"""An unchanged rescan against `find` on the same tree, and how much memory it takes.

python tests/benchmarks/bench_rescan.py [--dir DIR] [--files N] [--rounds N]
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.big_libraries import make_files, put_files, remember_root
from tests.benchmarks.measure import MLIB, in_turn, median_ratio, peak_bytes, run, tell, timed

from mlib.db.library import open_library

RESCAN = (*MLIB, "scan", "--json")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", help="where the files are made: the disk to measure")
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=9)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        many = scanned_tree(Path(folder, "many"), options.files)
        few = scanned_tree(Path(folder, "few"), options.files // 10)
        compare_with_find(many, options.files, rounds=options.rounds)
        compare_memory(few, many, options.files)


def scanned_tree(top: Path, count: int) -> Path:
    """A tree of files and the library that knows them all; the library's path."""
    library_path = top / "library.db"
    tree = top / "loras"
    with open_library(str(library_path), mode="create") as library:
        entries = make_files(tree, count)
        put_files(library, remember_root(library, tree), entries)
    report = json.loads(run(RESCAN, library=library_path).stdout)
    if (report["unchanged"], report["hashed_bytes"]) != (count, 0):
        raise SystemExit(f"not an unchanged tree: {report}")
    return library_path


def compare_with_find(library: Path, count: int, *, rounds: int) -> None:
    """Both list every file with its size and time; `mlib` also knows whether that is news."""
    seconds = in_turn(
        {
            "find": timed(["find", str(library.parent / "loras"), "-type", "f", "-printf", r"%s %T@ %p\n"]),
            "version": timed([*MLIB, "--version"]),
            "rescan": timed(RESCAN, library=library),
        },
        rounds=rounds,
    )
    tell(f"find, {count:,} files", f"{median(seconds['find']):.3f} s")
    tell("mlib --version", f"{median(seconds['version']):.3f} s")
    tell(f"unchanged mlib scan, {count:,} files", f"{median(seconds['rescan']):.3f} s")
    beyond_startup = [
        rescan - version for rescan, version in zip(seconds["rescan"], seconds["version"], strict=True)
    ]
    ratio = median_ratio(beyond_startup, seconds["find"])
    tell("the scan without start-up / find", f"{ratio:.2f}", "at most 2.5", met=ratio <= 2.5)


def compare_memory(few: Path, many: Path, count: int) -> None:
    """A library ten times as big must not take more memory."""
    small, large = (peak_bytes(RESCAN, library=library) / 1e6 for library in (few, many))
    tell(f"peak memory, {count // 10:,} files", f"{small:.1f} MB")
    tell(
        f"peak memory, {count:,} files",
        f"{large:.1f} MB",
        f"{large - small:+.1f} MB, at most +5",
        met=large - small <= 5,
    )


if __name__ == "__main__":
    main()
