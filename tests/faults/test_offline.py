"""Promise 5: a root that is switched off, unmounted, dead, stale or closed to us costs not a single row."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import pytest
from tests.faults.machine import dead_fuse, mounted, require
from tests.faults.state import State, state
from tests.tools import mlib, write_model

if TYPE_CHECKING:
    from pathlib import Path

    from tests.faults.forked import Program

pytestmark = pytest.mark.faults

MODELS = 12
#: Enters a fault of the root, and gives what the program is to be started with.
Fault = Callable[["Path"], AbstractContextManager[tuple[str, ...]]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A root in which models lie, some in a folder of their own."""
    root = tmp_path / "drive"
    for number in range(MODELS):
        write_model(root / ("closed" if number % 3 else "") / f"{number}.safetensors")
    return root


@pytest.fixture
def before(root: Path, program: Program) -> State:
    """What the library holds while all is well, with something typed about a model."""
    program.run("scan", "--root", f"loras={root}")
    program.run("update", "0.safetensors", "--notes", "typed", "--tag", "mine")
    return state(program.library)


@contextmanager
def missing(root: Path) -> Iterator[tuple[str, ...]]:
    """The drive is not plugged in, and its mount point is gone with it."""
    aside = root.rename(root.with_name("aside"))
    yield ()
    aside.rename(root)


@contextmanager
def unmounted(root: Path) -> Iterator[tuple[str, ...]]:
    """The drive is not mounted: its mount point is an empty directory."""
    aside = root.rename(root.with_name("aside"))
    root.mkdir()
    yield ()
    root.rmdir()
    aside.rename(root)


@contextmanager
def covered(root: Path) -> Iterator[tuple[str, ...]]:
    """Something empty is mounted over it."""
    with mounted("-t", "tmpfs", "tmpfs", at=root):
        yield ()


@contextmanager
def dead(root: Path) -> Iterator[tuple[str, ...]]:
    """The program behind a FUSE mount has died: every call gives ENOTCONN."""
    with dead_fuse(at=root):
        yield ()


@contextmanager
def stale(root: Path) -> Iterator[tuple[str, ...]]:
    """The server of a network drive has forgotten it: listing gives ESTALE."""
    require("strace")
    yield (
        *("strace", "-f", "-qq", "-o", os.fspath(root.with_name("log")), "-P", os.fspath(root)),
        *("-e", "trace=getdents64", "-e", "inject=getdents64:error=ESTALE"),
    )
    assert "(INJECTED)" in root.with_name("log").read_text()


@contextmanager
def closed(root: Path) -> Iterator[tuple[str, ...]]:
    """A folder in it may not be listed any more; root itself has to give up its powers to feel that."""
    (root / "closed").chmod(0)
    if os.geteuid() == 0:
        require("setpriv")
        yield ("setpriv", "--bounding-set=-all", "--inh-caps=-all")
    else:
        yield ()
    (root / "closed").chmod(0o755)


@pytest.mark.parametrize(
    ("fault", "code"),
    [(missing, 3), (unmounted, 4), (covered, 4), (dead, 3), (stale, 3), (closed, 3)],
)
def test_a_scan_of_a_root_that_is_not_all_there_changes_no_row(
    fault: Fault, code: int, root: Path, program: Program, before: State
) -> None:
    with fault(root) as prefix:
        report = mlib("scan", "--json", library=program.library, prefix=prefix, code=code).json
    assert report["missing"] == 0
    assert report["offline_roots" if code == 3 else "guarded_roots"] == [os.fspath(root)]
    assert state(program.library) == before


@pytest.mark.parametrize("fault", [missing, unmounted, covered, dead, stale, closed])
def test_when_the_root_is_back_nothing_is_read_again(
    fault: Fault, root: Path, program: Program, before: State
) -> None:
    with fault(root) as prefix:
        mlib("scan", library=program.library, prefix=prefix, code=None)
    report = program.run("scan", "--json").json
    assert (report["unchanged"], report["hashed_bytes"]) == (MODELS, 0)
    assert state(program.library) == before


def test_another_drive_in_the_place_of_the_root_adds_its_models_and_takes_none_away(
    root: Path, program: Program, before: State, tmp_path: Path
) -> None:
    write_model(tmp_path / "other" / "foreign.safetensors")
    with mounted("--bind", os.fspath(tmp_path / "other"), at=root):
        report = program.run("scan", "--json", code=4).json
    assert (report["added"], report["missing"]) == (1, 0)
    assert before < state(program.library)
    back = program.run("scan", "--json").json
    assert (back["unchanged"], back["missing"], back["hashed_bytes"]) == (MODELS, 1, 0)
