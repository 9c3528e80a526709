"""Promise 11: what a scan has said to be stored is stored, whenever it is killed, and is not read again."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.faults.state import state
from tests.tools import write_model

if TYPE_CHECKING:
    from tests.faults.forked import Program

pytestmark = pytest.mark.faults

SCAN = Path(__file__).with_name("acknowledging_scan.py")
FILES = 300


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Many files of different sizes."""
    tree = tmp_path_factory.mktemp("loras")
    for number in range(FILES):
        write_model(tree / f"{number}.safetensors", size=100 + number)
    return tree


@pytest.mark.parametrize("round_", range(20))
def test_what_a_killed_scan_acknowledged_is_in_the_library_and_never_read_again(
    round_: int, tree: Path, program: Program
) -> None:
    lines = random.Random(round_).randrange(1, FILES * 9 // 10)
    acknowledged = acknowledged_before_kill(tree, program.library, lines)

    stored = {f"{row[1]}/{row[2]}": row[5] for row in state(program.library) if row[0] == "file"}
    assert acknowledged <= stored.keys()
    assert len(stored) < FILES
    again = program.run("scan", "--json").json
    assert again["hashed_bytes"] == sum(path.stat().st_size for path in tree.iterdir()) - sum(stored.values())
    assert (again["added"], again["unchanged"]) == (FILES - len(stored), len(stored))


def acknowledged_before_kill(tree: Path, library: Path, lines: int) -> set[str]:
    """Scan, kill it when it has acknowledged so many files, and give all that it acknowledged until then."""
    with subprocess.Popen([sys.executable, SCAN, library, tree], stdout=subprocess.PIPE, text=True) as scan:
        assert scan.stdout is not None
        acknowledged = {scan.stdout.readline().strip() for _ in range(lines)}
        scan.kill()
        acknowledged.update(scan.stdout.read().splitlines())
    assert scan.returncode == -signal.SIGKILL
    return acknowledged
