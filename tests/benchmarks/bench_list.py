"""How long a list takes on 100,000 models with 20 KB of metadata each: a page, a query, a text, all of them.

python tests/benchmarks/bench_list.py [--models N] [--rounds N] [--library FILE]

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
from tests.benchmarks.measure import MLIB, in_turn, peak_bytes, tell, timed

#: What each may take longer than `--version`, in seconds.
QUERIES = {
    "list --limit 50": 0.25,
    "list 'tag:ink size:>1GB'": 0.25,
    "list watercolor --limit 50": 0.25,
    "list watercolor": 0.25,
    "list 'dream forest' type:loras": 0.25,
    "list Ärger": 0.25,
    "list --limit 50 --sort path": 0.25,
    "list -q": 1.0,
}
MEMORY = 150_000_000


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
        _measure(library, options.rounds)


def _measure(library: Path, rounds: int) -> None:
    commands = {words: [*MLIB, *_split(words)] for words in QUERIES}
    seconds = in_turn(
        {
            "version": timed([*MLIB, "--version"]),
            **{words: timed(command, library=library) for words, command in commands.items()},
        },
        rounds=rounds,
    )
    version = median(seconds["version"])
    tell("mlib --version", f"{version:.3f} s")
    for words, allowed in QUERIES.items():
        more = median(one - other for one, other in zip(seconds[words], seconds["version"], strict=True))
        tell(f"mlib {words}", f"+{more:.3f} s", f"at most {allowed} s more", met=more <= allowed)
    peak = peak_bytes(commands["list -q"], library=library)
    tell("mlib list -q, memory", f"{peak / 1e6:.0f} MB", f"at most {MEMORY / 1e6:.0f} MB", met=peak <= MEMORY)


def _split(words: str) -> list[str]:
    import shlex

    return shlex.split(words)


if __name__ == "__main__":
    main()
