"""`export --sidecars`, the one command that writes beside models, killed at any call: never half a file."""

from __future__ import annotations

import os
import shutil
import signal
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.faults.state import state
from tests.faults.test_file_moves import CALLS, PARTS
from tests.tools import write_bytes, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.forked import Program

pytestmark = pytest.mark.faults

LAY = ("export", "--sidecars", "--yes", "--json")


class Laying:
    """Two models that were described; beside the second lies what another manager said of it."""

    def __init__(self, program: Program, directory: Path) -> None:
        self.program = program
        self.folder = directory / "loras"
        self._kept = directory / "kept"
        self._library = directory / "library kept"
        for name in ("one", "two"):
            write_model(self.folder / f"{name}.safetensors")
        write_bytes(self.folder / "two.metadata.json", b'{"theirs": 1.10, "notes": "", "tags": ["old"]}')
        program.run("scan", "--root", f"loras={self.folder}")
        program.run("update", "--query", "type:loras", "--notes", "typed " * 1000, "--tag", "kept")
        # Links to the files: what replaces one has an inode of its own.
        shutil.copytree(self.folder, self._kept, copy_function=os.link)
        shutil.copytree(program.library.parent, self._library)
        self.before, self.typed = self.contents(), state(program.library)
        assert len(program.run(*LAY).json["written"]) == 2
        self.after = self.contents()
        assert state(program.library) == self.typed

    def contents(self) -> dict[str, bytes]:
        """What lies in the folder, but for what has no name of its own yet."""
        return {
            path.name: path.read_bytes()
            for path in self.folder.iterdir()
            if not path.name.startswith(".mlib-")
        }

    def restore(self) -> None:
        """Make files and library what they were at the start, the files with their inodes."""
        for kept, place in ((self._kept, self.folder), (self._library, self.program.library.parent)):
            shutil.rmtree(place)
            shutil.copytree(kept, place, copy_function=os.link if place == self.folder else shutil.copy2)

    def check(self) -> None:
        """Every file is the old one or the new one, and the library holds what was typed."""
        for name, content in self.contents().items():
            assert content in (self.before.get(name), self.after.get(name)), name
        assert self.before.keys() <= self.contents().keys()
        assert state(self.program.library) == self.typed

    def check_again(self) -> None:
        """The same command ends the job."""
        told = self.program.run(*LAY).json
        assert len(told["written"]) + told["unchanged"] == 2
        assert self.contents() == self.after

    def check_scan(self) -> None:
        """A scan learns nothing from words that are the library's own."""
        told = self.program.run("scan", "--json").json
        assert (told["unchanged"], told["problems"]) == (2, [])
        assert state(self.program.library) == self.typed


@pytest.mark.parametrize("part", range(PARTS))
def test_killed_at_any_call_a_sidecar_is_the_old_or_the_new(
    part: int, program: Program, tmp_path: Path
) -> None:
    laying = Laying(program, tmp_path)
    kills = 0
    for call in CALLS:
        for number in count(1 + part, PARTS):
            laying.restore()
            run = program.run_with_fault(*LAY, call=call, fault=f"signal=KILL:when={number}")
            if not run.injected:
                assert run.result.code == 0
                break
            assert run.result.code == -signal.SIGKILL
            laying.check()
            if number // PARTS % 2:
                laying.check_scan()
            laying.check_again()
            laying.check_scan()
            kills += 1
    assert kills > 10


def test_an_error_at_any_write_is_told_and_leaves_nothing_behind(program: Program, tmp_path: Path) -> None:
    laying = Laying(program, tmp_path)
    errors = 0
    for call in ("write", "/^(fsync|link|rename).*"):
        for number in count(1):
            laying.restore()
            run = program.run_with_fault(*LAY, call=call, fault=f"error=EIO:when={number}")
            if not run.injected:
                break
            laying.check()
            assert list(laying.folder.glob(".mlib-*")) == []
            if run.result.code == 0:  # where a link fails a rename will do
                assert laying.contents() == laying.after
            laying.check_again()
            errors += 1
    assert errors > 4
