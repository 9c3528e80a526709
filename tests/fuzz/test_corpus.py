"""Every input that fuzzing found worth keeping, through every target: no exception, and little memory.

The corpus is what `tests/fuzz/run_atheris.py` kept, made small: one file for each way through the readers,
and each that ever made one fail.
"""

from __future__ import annotations

import gc
import tracemalloc
from pathlib import Path

import pytest
from tests.fuzz.seeds import SEEDS
from tests.fuzz.targets import TARGETS

CORPUS = Path(__file__).parents[1] / "data/fuzz"
MOST_MEMORY = 256 * 2**20


def inputs() -> dict[str, bytes]:
    return {**SEEDS, **{path.name: path.read_bytes() for path in sorted(CORPUS.iterdir())}}


def test_there_is_a_corpus_and_it_is_small() -> None:
    sizes = [path.stat().st_size for path in CORPUS.iterdir()]
    assert len(sizes) > 100
    assert sum(sizes) < 300_000


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_every_input_that_was_kept_is_read(target: str) -> None:
    for name, content in inputs().items():
        try:
            TARGETS[target](content)
        except Exception as error:  # raised again: pytest shows which input it was
            error.add_note(f"the input is {name}")
            raise


@pytest.mark.parametrize("target", sorted(TARGETS))
def test_no_input_that_was_kept_needs_much_memory(target: str) -> None:
    read = TARGETS[target]
    for content in SEEDS.values():
        read(content)  # what is loaded on first use is no input's fault
    gc.collect()
    tracemalloc.start()
    try:
        for name, content in inputs().items():
            tracemalloc.reset_peak()
            read(content)
            assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY, name
    finally:
        tracemalloc.stop()
