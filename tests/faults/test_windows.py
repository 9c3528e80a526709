"""Another program changes a file in the last moment before a command moves, replaces or removes it.

The command is held up before each call that changes a name, in turn; in that moment the other one replaces
the file, writes to it, or swaps its folder for a link. Whatever the command says then, what the other program
wrote is where it was written, and nothing outside of the folders is touched.
"""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.faults.forked import ForkServer, Program, moments
from tests.faults.machine import tmpfs
from tests.tools import safetensors, write_bytes, write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

#: The calls that change what a name stands for.
CALLS = "/^(rename|link|unlink|symlink).*"
THEIRS = safetensors("theirs", size=200)


@dataclass(frozen=True)
class Target:
    """A command line, and the file that another program is at; it lies in a folder that can be swapped.

    `keeps` are contents that have to lie somewhere afterwards.
    """

    command: tuple[str, ...]
    path: Path
    keeps: tuple[bytes, ...] = ()


def _model(program: Program, directory: Path, *more: str) -> Path:
    tree = directory / "loras"
    for name in ("one", *more):
        write_model(tree / f"{name}.safetensors", "one", size=100)
    program.run("scan", "--root", f"loras={tree}")
    return tree / "one.safetensors"


def mv(program: Program, directory: Path) -> Target:
    """To another folder of the same disk."""
    path = _model(program, directory)
    (directory / "there").mkdir()
    return Target(("mv", str(path), str(directory / "there")), path, (path.read_bytes(),))


def mv_to_what_appears(program: Program, directory: Path) -> Target:
    """The other program makes a file where this one was to go."""
    path = _model(program, directory)
    (directory / "there").mkdir()
    there = directory / "there" / path.name
    return Target(("mv", str(path), str(directory / "there")), there, (path.read_bytes(),))


def mv_away(program: Program, directory: Path) -> Target:
    """To another disk."""
    path = _model(program, directory)
    there = directory.parent / "disk" / directory.name
    there.mkdir()
    return Target(("mv", str(path), str(there)), path, (path.read_bytes(),))


def mv_away_to_what_appears(program: Program, directory: Path) -> Target:
    """To another disk, where the other program makes such a file."""
    path = _model(program, directory)
    there = directory.parent / "disk" / directory.name
    there.mkdir()
    return Target(("mv", str(path), str(there)), there / path.name, (path.read_bytes(),))


def rename(program: Program, directory: Path) -> Target:
    """Another name."""
    path = _model(program, directory)
    return Target(("rename", str(path), "two"), path, (path.read_bytes(),))


def trash(program: Program, directory: Path) -> Target:
    """To the trash."""
    path = _model(program, directory)
    return Target(("trash", str(path), "--yes"), path, (path.read_bytes(),))


def trash_copies(program: Program, directory: Path) -> Target:
    """One of two copies, to the trash."""
    path = _model(program, directory, "another")
    keep = str(path.with_name("another.safetensors"))
    return Target(("duplicates", "--trash", "--keep", keep, "--yes"), path, (path.read_bytes(),))


def hardlink(program: Program, directory: Path) -> Target:
    """One of two copies, made a link to the other."""
    path = _model(program, directory, "another")
    keep = str(path.with_name("another.safetensors"))
    return Target(("duplicates", "--hardlink", "--keep", keep, "--yes"), path)


def export_new(program: Program, directory: Path) -> Target:
    """To a file that is not there yet."""
    _model(program, directory)
    (directory / "out").mkdir()
    path = directory / "out" / "all.jsonl"
    return Target(("export", "-o", str(path)), path)


def export_over(program: Program, directory: Path) -> Target:
    """In place of an older one."""
    _model(program, directory)
    path = directory / "out" / "all.jsonl"
    write_bytes(path, b"older")
    return Target(("export", "-o", str(path), "--yes"), path)


def backup_new(program: Program, directory: Path) -> Target:
    """To a file that is not there yet."""
    _model(program, directory)
    (directory / "out").mkdir()
    path = directory / "out" / "copy.db"
    return Target(("backup", str(path)), path)


def backup_over(program: Program, directory: Path) -> Target:
    """In place of an older one."""
    _model(program, directory)
    path = directory / "out" / "copy.db"
    write_bytes(path, b"older")
    return Target(("backup", str(path), "--yes"), path)


def sidecar_new(program: Program, directory: Path) -> Target:
    """A sidecar that another manager makes too."""
    path = _model(program, directory)
    program.run("update", str(path), "--notes", "typed")
    return Target(("export", "--sidecars", "--yes"), path.with_name("one.metadata.json"))


def sidecar_over(program: Program, directory: Path) -> Target:
    """A sidecar that another manager writes too."""
    path = _model(program, directory)
    program.run("update", str(path), "--notes", "typed")
    sidecar = path.with_name("one.metadata.json")
    write_bytes(sidecar, b'{"theirs": 1}')
    return Target(("export", "--sidecars", "--yes"), sidecar)


def restore(program: Program, directory: Path) -> Target:
    """A backup, in place of the library."""
    path = _model(program, directory)
    program.run("backup", directory / "kept.db")
    program.run("update", str(path), "--notes", "typed")
    command = ("restore", str(directory / "kept.db"), "--yes")
    return Target(command, program.library, (program.library.read_bytes(),))


JOBS = (
    mv,
    mv_to_what_appears,
    mv_away,
    mv_away_to_what_appears,
    rename,
    trash,
    trash_copies,
    hardlink,
    export_new,
    export_over,
    backup_new,
    backup_over,
    sidecar_new,
    sidecar_over,
    restore,
)


def replaces(path: Path, _outside: Path) -> None:
    """As most programs save a file: beside it first, then in its place."""
    write_bytes(path.with_name("theirs.tmp"), THEIRS, age=0)
    path.with_name("theirs.tmp").rename(path)


def writes(path: Path, _outside: Path) -> None:
    """As the others do, right into the file."""
    path.write_bytes(THEIRS)


def swaps_the_folder(path: Path, outside: Path) -> None:
    """A link to somewhere else takes the folder's place; there lies a file of this name."""
    write_bytes(outside / path.name, THEIRS, age=0)
    path.parent.rename(path.parent.with_name(f"former {path.parent.name}"))
    path.parent.symlink_to(outside)


@pytest.fixture
def windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[int], Program]]:
    """Gives a program with a library and a trash of its own, for each attempt; there is a second disk."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    server = ForkServer()
    (tmp_path / "disk").mkdir()
    with tmpfs(size=16 << 20, at=tmp_path / "disk"):
        yield lambda number: Program(server, tmp_path / str(number))
        server.close()


#: All but one: who writes into a library without its locks writes into whatever holds its data.
CASES = [
    pytest.param(prepare, attack, id=f"{prepare.__name__}-{attack.__name__}")
    for prepare in JOBS
    for attack in (replaces, writes, swaps_the_folder)
    if (prepare, attack) != (restore, writes)
]


@pytest.mark.parametrize(("prepare", "attack"), CASES)
def test_what_another_program_writes_meanwhile_stays_where_it_wrote_it(
    prepare: Callable[[Program, Path], Target],
    attack: Callable[[Path, Path], None],
    windows: Callable[[int], Program],
    tmp_path: Path,
) -> None:
    undisturbed = windows(0)
    target = prepare(undisturbed, tmp_path / "0")
    run = undisturbed.run_with_fault(*target.command, call=CALLS, fault="delay_enter=1:when=1")
    assert run.result.code == 0, run.result.err
    seen = list(moments(run.log))
    assert seen
    for number, (call, nth) in enumerate(seen, 1):
        program = windows(number)
        directory = tmp_path / str(number)
        target = prepare(program, directory)
        outside = directory / "outside"

        def meanwhile(target: Target = target, outside: Path = outside) -> None:
            attack(target.path, outside)

        run = program.run_with_delay(*target.command, call=call, number=nth, meanwhile=meanwhile)
        told = (call, nth, run.result, run.log)
        assert run.injected, told
        if attack is swaps_the_folder:
            assert _contents(outside) == {THEIRS}, told
            places = (directory, tmp_path / "home", tmp_path / "disk")
            assert set(target.keeps) <= set().union(*map(_contents, places)), told
        elif prepare is restore:  # what is not a library yet when it comes to it goes aside
            assert THEIRS in _contents(program.library.parent), told
        else:
            assert target.path.read_bytes() == THEIRS, told
        for place in (tmp_path / "home", *(tmp_path / "disk").iterdir()):
            if place.is_symlink():
                place.unlink()
            elif place.exists():
                shutil.rmtree(place)


def _contents(place: Path) -> set[bytes]:
    found: set[bytes] = set()
    for folder, _, names in os.walk(place):
        for name in names:
            with suppress(OSError), open(os.path.join(folder, name), "rb") as file:
                found.add(file.read())
    return found
