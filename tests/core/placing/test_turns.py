"""One command at a time moves files."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from mlib.core.disk.journal import own_turn
from mlib.core.errors import LibraryBusy, MlibError

if TYPE_CHECKING:
    from pathlib import Path

HOLD = """
import sys
from mlib.core.disk.journal import own_turn
with own_turn(sys.argv[1]):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_another_process_waits_for_its_turn_and_says_who_it_waits_for(tmp_path: Path) -> None:
    library = os.fspath(tmp_path / "library.db")
    with subprocess.Popen(
        [sys.executable, "-c", HOLD, library], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(LibraryBusy, match="another mlib") as busy,
            own_turn(library, patience_seconds=0.2),
        ):
            pass
        assert busy.value.exit_code == 6
        other.kill()
        other.wait()
        with own_turn(library, patience_seconds=5):  # killed: the kernel has let go
            pass


def test_where_no_journal_can_be_kept_nothing_is_begun(tmp_path: Path) -> None:
    with pytest.raises(MlibError) as error, own_turn(os.fspath(tmp_path / "nowhere" / "library.db")):
        pass
    assert error.value.code == "no_journal"
