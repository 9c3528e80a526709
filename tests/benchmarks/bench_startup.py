"""How long the shell waits: `--version`, and `show` on a library of 100,000 models.

python tests/benchmarks/bench_startup.py [--models N] [--rounds N]
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.benchmarks.big_libraries import big_library
from tests.benchmarks.measure import BARE_PYTHON, MLIB, in_turn, median_ratio, tell, timed


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=31)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        library = Path(folder) / "library.db"
        prefix = big_library(library, options.models)[options.models // 2][:10]
        seconds = in_turn(
            {
                "floor": timed(BARE_PYTHON),
                "version": timed([*MLIB, "--version"]),
                "show": timed([*MLIB, "show", prefix, "--json"], library=library),
            },
            rounds=options.rounds,
        )
    floor, version, show = (median(seconds[name]) * 1000 for name in ("floor", "version", "show"))
    ratio = median_ratio(seconds["show"], seconds["floor"])
    tell("python -c pass", f"{floor:.1f} ms")
    allowed = 3 * floor + 100
    tell("mlib --version", f"{version:.1f} ms", f"3 x pass + 100 = {allowed:.1f} ms", met=version <= allowed)
    tell(
        f"mlib show PREFIX --json, {options.models:,} models",
        f"{show:.1f} ms",
        f"{ratio:.1f} x pass, at most 8",
        met=ratio <= 8,
    )


if __name__ == "__main__":
    main()
