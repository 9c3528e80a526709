"""Two mlibs that know nothing of each other at one file, in containers: each is process 1 of its own."""

from __future__ import annotations

import json
import subprocess
import threading
import time
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import require, require_root
from tests.tools import MLIB, mlib, write_model

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.faults

ALONE = ("unshare", "--pid", "--fork")


@pytest.fixture
def twins(tmp_path: Path) -> tuple[Path, Path]:
    """Two libraries with models of their own; the first holds more, so that it is at it for longer."""
    require("unshare", "strace")
    require_root()
    for name, count in (("a", 30), ("b", 3)):
        for number in range(count):
            write_model(tmp_path / name / "loras" / f"{name}{number}.safetensors")
        mlib("scan", "--root", f"loras={tmp_path / name / 'loras'}", library=tmp_path / f"{name}.db")
    (tmp_path / "out").mkdir()
    return tmp_path / "a.db", tmp_path / "b.db"


def _both(twins: tuple[Path, Path], *commands: tuple[str, ...]) -> list[subprocess.CompletedProcess[bytes]]:
    """Run two commands; the first is held up when it has written and not yet named its file."""
    held_up = (
        "strace",
        "-f",
        "-qq",
        "-o",
        "/dev/null",
        "-e",
        "inject=/^(link|rename).*:delay_enter=3s:when=1",
    )
    done: dict[int, subprocess.CompletedProcess[bytes]] = {}

    def run(number: int, prefix: tuple[str, ...]) -> None:
        command = [*prefix, *ALONE, *MLIB, "--library", str(twins[number]), *commands[number]]
        done[number] = subprocess.run(command, capture_output=True, timeout=120, check=False)

    first = threading.Thread(target=run, args=(0, held_up))
    first.start()
    time.sleep(1.5)  # it is held up, or nearly
    run(1, ())
    first.join()
    return [done[0], done[1]]


@pytest.mark.parametrize("name", ["one file", "two files"])
def test_exports_in_one_folder_do_not_get_into_each_other(
    twins: tuple[Path, Path], tmp_path: Path, name: str
) -> None:
    paths = [tmp_path / "out" / f"{each}.jsonl" for each in ("aa" if name == "one file" else "ab")]
    first, second = _both(twins, *(("export", "-o", str(path)) for path in paths))
    assert (second.returncode, second.stderr[:8]) == (0, b"exported")
    assert first.returncode == (4 if name == "one file" else 0), first.stderr
    for path, wanted in zip(paths, "ba" if name == "one file" else "ab", strict=False):
        names = {json.loads(line).get("name", wanted)[0] for line in path.read_bytes().splitlines()[1:]}
        assert names == {"b" if name == "one file" else wanted}
    assert len(list((tmp_path / "out").iterdir())) == len(set(paths))


def test_backups_in_one_folder_do_not_get_into_each_other(twins: tuple[Path, Path], tmp_path: Path) -> None:
    paths = [tmp_path / "out" / f"{each}.bak" for each in "ab"]
    for done in _both(twins, *(("backup", str(path)) for path in paths)):
        assert done.returncode == 0, done.stderr
    for path, count in zip(paths, (30, 3), strict=True):
        assert len(mlib("list", "--json", library=path).json) == count
    assert sorted(path.name for path in (tmp_path / "out").iterdir() if ".mlib-" in path.name) == []


def test_two_restores_begun_together_both_end(twins: tuple[Path, Path], tmp_path: Path) -> None:
    library = tmp_path / "c.db"
    for path in twins:
        mlib("backup", tmp_path / f"{path.name}.kept", library=path)
    mlib("restore", tmp_path / "a.db.kept", "--yes", library=library)
    first, second = _both(
        (library, library), *(("restore", str(tmp_path / f"{name}.db.kept"), "--yes") for name in "ab")
    )
    assert (first.returncode, second.returncode) == (0, 0), (first.stderr, second.stderr)
    assert mlib("list", "--json", library=library).json
    kept = [path for path in tmp_path.iterdir() if path.name.endswith(".replaced")]
    assert len(kept) == 2
    assert [path for path in tmp_path.iterdir() if path.name.startswith(".mlib-")] == []
