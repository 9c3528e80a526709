"""How long `mlib stats` takes on 100,000 models with 20 KB of metadata each, over `mlib --version`.

python tests/benchmarks/bench_stats.py [--models N] [--rounds N] [--library FILE]

FILE is made if it is not there yet, and kept.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.big_libraries import described_library
from tests.benchmarks.measure import MLIB, in_turn, tell, timed

#: What it may take longer than `--version`, in seconds.
ALLOWED = 0.25


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--library", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = options.library or Path(folder) / "library.db"
        if not library.exists():
            described_library(library, options.models)
        seconds = in_turn(
            {
                "version": timed([*MLIB, "--version"]),
                "stats": timed([*MLIB, "stats"], library=library),
                "by tag": timed([*MLIB, "stats", "--by", "tag"], library=library),
            },
            rounds=options.rounds,
        )
    tell("mlib --version", f"{median(seconds['version']):.3f} s")
    for name, words in (("stats", "mlib stats"), ("by tag", "mlib stats --by tag")):
        more = median(one - other for one, other in zip(seconds[name], seconds["version"], strict=True))
        if name == "stats":
            tell(f"{words}: more than that", f"{more:.3f} s", f"{ALLOWED} s", met=more <= ALLOWED)
        else:
            tell(f"{words}: more than that", f"{more:.3f} s")


if __name__ == "__main__":
    main()
