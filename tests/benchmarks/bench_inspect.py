"""Inspecting headers alone, and the first scan with inspection against the same without.

    python tests/benchmarks/bench_inspect.py [--dir DIR] [--rounds N] [--files N] [--mib N] [--loras N]

The scan without inspection is this script run as a child that takes it out of the program first: there is no
switch for it.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import os
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from unittest import mock

sys.path.insert(0, str(Path(__file__).parents[2]))

from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import in_turn, median_ratio, run, tell
from tests.model_files import (
    F32,
    STRING,
    gguf_array,
    gguf_header,
    gguf_pair,
    gguf_string,
    gguf_tensor,
    padded,
)
from tests.tools import set_age

from mlib.core.inspection import inspect_file

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

MIB = 1 << 20
WITHOUT = "--without-inspection"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dir", help="where the files are made: the disk to measure")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--headers", type=int, default=1000, help="number of headers of 100 KB")
    parser.add_argument("--files", type=int, default=16)
    parser.add_argument("--mib", type=int, default=256, help="size of each large file")
    parser.add_argument("--loras", type=int, default=500, help="number of files of 4 MiB")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.dir) as folder:
        headers = [Path(folder, "headers", f"{number}.safetensors") for number in range(options.headers)]
        for number, path in enumerate(headers):
            write_lora(path, size=0, seed=number)
        inspect_all(headers, "100 KB, of one trainer", target=1.5, rounds=options.rounds)
        strange = [Path(folder, "strange", f"{number}.safetensors") for number in range(options.headers)]
        for number, path in enumerate(strange):
            write_lora(path, size=0, seed=number, rank=number + 1)
        inspect_all(strange, "100 KB, no two alike", target=1.5, rounds=options.rounds)
        vocabulary = Path(folder, "vocabulary.gguf")
        vocabulary.write_bytes(large_vocabulary(262_144))
        inspect_all([vocabulary], "262,144 tokens", target=0.2, rounds=options.rounds)
        for number in range(options.files):
            write_lora(Path(folder, "large", f"{number}.safetensors"), size=options.mib * MIB, seed=number)
        for number in range(options.loras):
            write_lora(Path(folder, "loras", f"{number}.safetensors"), size=4 * MIB, seed=number)
        for name, size in (("large", f"{options.mib} MiB"), ("loras", "4 MiB")):
            count = len(list(Path(folder, name).iterdir()))
            compare_scans(Path(folder, name), f"{count} x {size}", rounds=options.rounds)


def inspect_all(paths: Sequence[Path], what: str, *, target: float, rounds: int) -> None:
    """The seconds that all these headers take in one process, modules loaded."""

    def measure() -> float:
        started = time.perf_counter()
        for path in paths:
            found, _ = inspect_file(str(path))
            assert not found.findings, found.findings
        return time.perf_counter() - started

    seconds = in_turn({"inspect": measure, "floor": lambda: parse_all(paths)}, rounds=rounds)
    taken = median(seconds["inspect"])
    tell(f"inspecting {len(paths):,} of {what}", f"{taken:.3f} s", f"under {target} s", met=taken < target)
    if seconds["floor"][0]:
        tell("  of which json.loads alone would take", f"{median(seconds['floor']):.3f} s")


def parse_all(paths: Sequence[Path]) -> float:
    """The seconds that json.loads takes for the headers of safetensors files; 0 for others."""
    texts = []
    for path in paths:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            texts.append(file.read(length) if path.suffix == ".safetensors" else b"")
    started = time.perf_counter()
    for text in filter(None, texts):
        json.loads(text)
    return time.perf_counter() - started if any(texts) else 0.0


def compare_scans(folder: Path, what: str, *, rounds: int) -> None:
    """First scans into a new library each, as they are and without inspection."""
    seconds: dict[str, list[float]] = {"with": [], "without": []}
    in_turn(
        {
            "with": lambda: scan(folder, seconds["with"], inspecting=True),
            "without": lambda: scan(folder, seconds["without"], inspecting=False),
        },
        rounds=rounds,
    )
    for name, each in seconds.items():
        tell(f"first scan of {what} {name} inspection", f"{median(each[-rounds:]):.3f} s")
    ratio = median_ratio(seconds["without"][-rounds:], seconds["with"][-rounds:])
    tell("speed with inspection / without", f"{ratio:.3f}", "at least 0.95", met=ratio >= 0.95)


def scan(folder: Path, inner: list[float], *, inspecting: bool) -> float:
    """Seconds of a first scan in a process of its own; `inner` gets what the scan itself took."""
    with tempfile.TemporaryDirectory(dir=folder.parent) as home:
        command = [sys.executable, __file__, *([] if inspecting else [WITHOUT])]
        done = run(
            [*command, "scan", "--root", f"loras={folder}", "--json"], library=Path(home, "library.db")
        )
    inner.append(json.loads(done.stdout)["seconds"])
    return done.seconds


def scan_here(arguments: list[str]) -> None:
    """Be the program, perhaps without inspection. Its way of starting is the same in both cases."""
    from mlib.cli import app
    from mlib.core.disk import hashing
    from mlib.services.scanning import headers

    def nothing(*_arguments: Any, **_more: Any) -> None:
        return None

    def nothing_found(*_arguments: Any, **_more: Any) -> dict[str, Any]:
        return {}

    if WITHOUT in arguments:
        arguments.remove(WITHOUT)
        # An attribute that is not there any more must not go unnoticed: patch looks for it.
        mock.patch.object(hashing, "_inspected", nothing).start()
        mock.patch.object(headers, "inspect_files", nothing_found).start()
    raise SystemExit(app.run(arguments))


# Files like those that people have


def lora_names(rank: int) -> Iterator[tuple[str, list[int]]]:
    """Tensors of a LoRA for SDXL as kohya's trainer names them, without end, with their shapes."""
    blocks = (("input_blocks_4", 2, 640), ("input_blocks_7", 10, 1280), ("middle_block", 10, 1280))
    for turn, (block, depth, width) in ((turn, block) for turn in itertools.count(1) for block in blocks):
        for layer in range(depth):
            for part in ("attn1_to_q", "attn1_to_k", "attn2_to_out_0", "ff_net_0_proj"):
                stem = f"lora_unet_{block}_{turn}_transformer_blocks_{layer}_{part}"
                yield f"{stem}.alpha", []
                yield f"{stem}.lora_down.weight", [rank, width]
                yield f"{stem}.lora_up.weight", [width, rank]


def lora_header(*, size: int, rank: int = 16, longest: int = 100_000) -> bytes:
    """A header of nearly `longest` bytes over at least `size` bytes of data, with a trainer's metadata."""
    tags = {f"{number} some tag": 300 - number for number in range(200)}
    header: dict[str, Any] = {
        "__metadata__": {
            "ss_base_model_version": "sdxl_base_v1-0",
            "ss_network_module": "networks.lora",
            "ss_network_dim": "16",
            "ss_network_alpha": "8.0",
            "ss_resolution": "(1024, 1024)",
            "ss_tag_frequency": json.dumps({"10_subject": tags}),
            "modelspec.architecture": "stable-diffusion-xl-v1-base/lora",
        }
    }
    length, end = len(json.dumps(header)), 0
    for name, shape in lora_names(rank):
        after = end + 2 * math.prod(shape)
        tensor = {"dtype": "F16", "shape": shape, "data_offsets": [end, after]}
        length += len(json.dumps({name: tensor})) - 10  # without white space
        if length > longest or (size and after > size):
            break
        header[name] = tensor
        end = after
    if size > end:
        header["rest"] = {"dtype": "U8", "shape": [size - end], "data_offsets": [end, size]}
    return json.dumps(header, separators=(",", ":")).encode()


def write_lora(path: Path, *, size: int, seed: int, rank: int = 16) -> None:
    """A whole file with such a header; without a `size` its data is a hole."""
    path.parent.mkdir(exist_ok=True)
    header = lora_header(size=size, rank=rank)
    data = max(tensor["data_offsets"][1] for tensor in json.loads(header).values() if "dtype" in tensor)
    noise = os.urandom(MIB) if size else b""
    with path.open("wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        for start in range(0, size, MIB):
            file.write(noise[: min(MIB, size - start)])
        file.truncate(8 + len(header) + data)
        file.seek(8 + len(header))
        file.write(seed.to_bytes(8, "little"))
        file.flush()
        os.fsync(file.fileno())
    set_age(path, 3600)


def large_vocabulary(count: int) -> bytes:
    """A GGUF text encoder with that many tokens, their scores and types, and 200 tensors."""
    tokens = [gguf_string(b"token %d" % number) for number in range(count)]
    pairs = [
        gguf_pair(b"general.architecture", STRING, gguf_string(b"gemma3")),
        gguf_pair(b"tokenizer.ggml.tokens", 9, gguf_array(STRING, tokens)),
        gguf_pair(b"tokenizer.ggml.scores", 9, gguf_array(6, [b"\0\0\0\0"] * count)),
        gguf_pair(b"tokenizer.ggml.token_type", 9, gguf_array(5, [b"\1\0\0\0"] * count)),
    ]
    tensors = [gguf_tensor(b"blk.%d.attn_q.weight" % number, [8], F32, 32 * number) for number in range(200)]
    return padded(gguf_header(pairs, tensors)) + bytes(32 * 200)


if __name__ == "__main__":
    if "scan" in sys.argv:
        scan_here(sys.argv[1:])
    else:
        main()
