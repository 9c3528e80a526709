"""Fuzz one target for long, guided by coverage: by hand, for it is too slow for a test.

    python -m venv fuzzing && fuzzing/bin/pip install atheris PyYAML xxhash
    PYTHONPATH=src:. fuzzing/bin/python tests/fuzz/run_atheris.py TARGET [--runs N] [--seconds N] [--keep DIR]

Begins with the seeds and the corpus of tests/data/fuzz. Fails on an exception, on anything that would be
executed, opened or started meanwhile, on 256 MB and on 10 s for one input (ten times what is
allowed: the instrumentation makes everything several times slower). The input it failed on is left in the
current directory; made smaller, it belongs into tests/data/fuzz.
"""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

atheris = importlib.import_module("atheris")  # no dependency: the type checker has never heard of it

with atheris.instrument_imports(include=["mlib", "html.parser", "_markupbase"]):
    from tests.fuzz.seeds import SEEDS
    from tests.fuzz.targets import TARGETS

    # What is loaded on first use is loaded now: to be instrumented, and before anybody watches.
    for read in TARGETS.values():
        for seed in SEEDS.values():
            read(seed)

CORPUS = Path(__file__).parents[1] / "data/fuzz"
#: An import is no event here: the instrumentation itself imports when it first meets some comparisons.
FORBIDDEN = ("pickle.find_class", "exec", "compile", "open", "marshal.loads")
FORBIDDEN_AREAS = ("os.", "subprocess.", "socket.", "shutil.", "ctypes.")


def main() -> None:
    """Fuzz until something fails, or the runs or the seconds are over."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("target", choices=sorted(TARGETS))
    parser.add_argument("--runs", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=int, default=0, help="0: as long as the runs take")
    parser.add_argument(
        "--keep", help="directory of inputs that reached something new, of this run and others"
    )
    parser.add_argument("--longest", type=int, default=4096, help="of the inputs, in bytes")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for name, content in SEEDS.items():
            Path(folder, name).write_bytes(content)
        kept = options.keep or str(Path(folder, "new"))
        Path(kept).mkdir(exist_ok=True)
        arguments = [
            f"-runs={options.runs}",
            f"-max_total_time={options.seconds}",
            f"-max_len={options.longest}",
            "-timeout=10",
            "-rss_limit_mb=512",  # the interpreter with its instrumentation takes half of it
            "-malloc_limit_mb=256",
            "-print_final_stats=1",
            "-verbosity=1",
        ]
        watched = _Watched(TARGETS[options.target])
        sys.addaudithook(watched.audit)
        atheris.Setup([sys.argv[0], *arguments, kept, folder, str(CORPUS)], watched)
        atheris.Fuzz()


class _Watched:
    """A target during which nothing may be executed, opened or started."""

    def __init__(self, target: Callable[[bytes], None]) -> None:
        self.target = target
        self.running = False

    def __call__(self, content: bytes) -> None:
        self.running = True
        try:
            self.target(content)
        finally:
            self.running = False

    def audit(self, event: str, _args: tuple[object, ...]) -> None:
        if self.running and (event in FORBIDDEN or event.startswith(FORBIDDEN_AREAS)):
            raise RuntimeError(f"a reader did this: {event}")


if __name__ == "__main__":
    main()
