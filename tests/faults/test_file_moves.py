"""Commands that move a user's files, killed at any of their calls: no content is gone, none is there by half.

Whatever has a final name is whole, the same command again ends the job, and so, as far as the library is
concerned, does a scan, which then has nothing left to find.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import sqlite3
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import count
from typing import TYPE_CHECKING

import pytest
from tests.faults.forked import ForkServer, Program
from tests.faults.machine import require_root, tmpfs
from tests.tools import write_bytes, write_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

pytestmark = pytest.mark.faults

#: The calls between which the disks can be in different states.
CALLS = (
    "/^(write|pwrite64|ftruncate)$",
    "/^(fsync|fdatasync)$",
    "/^(unlink|rename|link|symlink|mkdir|chmod|utime).*",
    "/^openat$",
)
#: Every job is done in so many parts, for as many processors.
PARTS = 3
#: Bytes of a model: some chunks of a copy.
SIZE = 3_000_000


@dataclass(frozen=True)
class FileJob:
    """A command that moves files; they may lie in `places`, and `contents` are what must not go.

    The same command again ends with the code `again` (None: any).
    """

    command: tuple[str, ...]
    places: tuple[Path, ...]
    contents: frozenset[str]
    again: int | None = None


def trash(program: Program, directory: Path) -> FileJob:
    """Two models of one with a preview and a sidecar."""
    tree = directory / "loras"
    _fill(program, tree, copies=("one", "two"))
    return replace(_job(("trash", "one.safetensors", "--yes", "--json"), directory), again=0)


def trash_two(program: Program, directory: Path) -> FileJob:
    """Two models, of which the first may have gone when the command is killed."""
    _fill(program, directory / "loras")
    return replace(
        _job(("trash", "one.safetensors", "other.safetensors", "--yes", "--json"), directory), again=0
    )


def mv(program: Program, directory: Path) -> FileJob:
    """To another folder, under another name."""
    tree = directory / "loras"
    _fill(program, tree)
    (tree / "sub").mkdir()
    return _job(("mv", "one.safetensors", str(tree / "sub/new.safetensors"), "--json"), directory)


def mv_away(program: Program, directory: Path) -> FileJob:
    """To another file system."""
    tree, disk = directory / "loras", directory / "disk"
    (disk / "vae").mkdir(parents=True)
    _fill(program, tree)
    program.run("scan", "--root", f"vae={disk}/vae")
    return _job(("mv", "one.safetensors", str(disk / "vae"), "--json"), directory)


def hardlink(program: Program, directory: Path) -> FileJob:
    """Three copies."""
    _fill(program, directory / "loras", copies=("one", "two", "three"))
    return _job(("duplicates", "--hardlink", "--keep", "shortest", "--yes", "--json"), directory)


def trash_copies(program: Program, directory: Path) -> FileJob:
    """Three copies, of which one stays."""
    _fill(program, directory / "loras", copies=("one", "two", "three"))
    return _job(("duplicates", "--trash", "--keep", "shortest", "--yes", "--json"), directory)


def mv_parts(program: Program, directory: Path) -> FileJob:
    """A model in two parts, with their index."""
    tree = directory / "loras"
    names = _fill_parts(program, tree)
    (tree / "sub").mkdir()
    return _job(("mv", *names, str(tree / "sub"), "--json"), directory)


def trash_parts(program: Program, directory: Path) -> FileJob:
    """A model in two parts, with their index."""
    return _job(("trash", *_fill_parts(program, directory / "loras"), "--yes", "--json"), directory)


def trash_copies_of_parts(program: Program, directory: Path) -> FileJob:
    """A model in two parts that lies there twice."""
    _fill_parts(program, directory / "loras", folders=("", "copy/"))
    return _job(("duplicates", "--trash", "--keep", "shortest", "--yes", "--json"), directory)


def _fill_parts(program: Program, tree: Path, *, folders: tuple[str, ...] = ("",)) -> list[str]:
    """Write them; the names of the parts."""
    names = [f"one-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1]}}
    for folder in folders:
        for name in names:
            write_model(tree / folder / name)
        write_bytes(tree / folder / "one.safetensors.index.json", json.dumps(index).encode())
    write_model(tree / "other.safetensors")
    program.run("scan", "--root", f"loras={tree}")
    program.run("update", names[0], "--notes", "typed")
    return names


def _fill(program: Program, tree: Path, *, copies: tuple[str, ...] = ("one",)) -> None:
    for name in copies:
        write_model(tree / f"{name}.safetensors", "one", size=SIZE)
        write_bytes(tree / f"{name}.png", f"picture of {name}".encode())
        write_bytes(tree / f"{name}.cm-info.json", b'{"ModelDescription": "Theirs."}')
    write_model(tree / "other.safetensors")
    program.run("scan", "--root", f"loras={tree}")
    program.run("update", "one.safetensors" if len(copies) == 1 else _sha(tree), "--notes", "typed")


def _sha(tree: Path) -> str:
    return hashlib.sha256((tree / "one.safetensors").read_bytes()).hexdigest()


def _job(command: tuple[str, ...], directory: Path) -> FileJob:
    places = (directory / "loras", directory / "disk", directory / "home")
    return FileJob(command, places, frozenset(_contents(places)))


def _contents(places: tuple[Path, ...]) -> set[str]:
    """Every content that lies somewhere under a final name."""
    return {digest for digest, name in _files(places) if not name.startswith(".mlib-")}


def _files(places: tuple[Path, ...]) -> Iterator[tuple[str, str]]:
    for place in places:
        for folder, _, names in os.walk(place):
            for name in names:
                if not name.endswith(".trashinfo"):
                    with open(os.path.join(folder, name), "rb") as file:
                        yield hashlib.file_digest(file, "sha256").hexdigest(), name


def _user_data(library: Path) -> object:
    """What was typed, and what is known of the rows that say where files are."""
    with closing(sqlite3.connect(f"file:{library}?mode=rw", uri=True)) as db:
        assert db.execute("PRAGMA quick_check").fetchall() == [("ok",)]
        assert db.execute("PRAGMA foreign_key_check").fetchall() == []
        return db.execute("SELECT sha256, notes, description, edited FROM models ORDER BY sha256").fetchall()


def _present(library: Path) -> set[tuple[str, str]]:
    with closing(sqlite3.connect(f"file:{library}?mode=rw", uri=True)) as db:
        rows = db.execute("SELECT directory || '/' || name, sha256 FROM files WHERE missing_since IS NULL")
        return set(rows.fetchall())


class FileTrial:
    """A job done once undisturbed, to be disturbed again and again from the same start."""

    def __init__(
        self, program: Program, prepare: Callable[[Program, Path], FileJob], directory: Path
    ) -> None:
        self.program = program
        self.job = prepare(program, directory)
        self.directory = directory
        self._kept = directory / "kept"
        (directory / "home").mkdir(exist_ok=True)
        for place in self._moving():
            # The inodes are what rows are known by: links to them are kept, and every restore makes new ones.
            shutil.copytree(place, self._kept / place.name, copy_function=os.link, symlinks=True)
        shutil.copytree(program.library.parent, self._kept / "library")
        self.typed = _user_data(program.library)
        self.before = _present(program.library)
        program.run(*self.job.command)
        self.after = _present(program.library)
        self.listed = self._listing()
        self.restore()

    def _moving(self) -> list[Path]:
        return [place for place in self.job.places if place.exists() and place.name != "disk"]

    def _listing(self) -> set[str]:
        """Every path in the folders of models."""
        return {
            os.path.relpath(os.path.join(folder, name), self.directory)
            for place in self.job.places[:2]
            for folder, _, names in os.walk(place)
            for name in names
        }

    def restore(self) -> None:
        """Make files and library what they were at the start, the files with their inodes."""
        for place in self._moving():
            shutil.rmtree(place)
            shutil.copytree(self._kept / place.name, place, copy_function=os.link, symlinks=True)
        shelf = self.job.places[1] / "vae"
        if shelf.exists():
            shutil.rmtree(shelf)
            shelf.mkdir()
        library = self.program.library.parent
        shutil.rmtree(library)
        shutil.copytree(self._kept / "library", library)

    def check_files(self) -> None:
        """Nothing is gone, nothing is there by half, nothing that was typed is lost."""
        now = _contents(self.job.places)
        assert now == self.job.contents, (self.job.contents - now, now - self.job.contents)
        assert _user_data(self.program.library) == self.typed
        rows = _present(self.program.library)
        assert rows <= self.before | self.after

    def check_again(self) -> None:
        """The same command ends the job."""
        self.program.run(*self.job.command, code=self.job.again)
        self.check_files()
        rubbish = self.directory / "home" / "Trash"
        for info in rubbish.glob("info/*"):  # none is left without its file
            assert (rubbish / "files" / info.name.removesuffix(".trashinfo")).exists()
        assert _present(self.program.library) == self.after
        assert self._listing() == self.listed
        assert self.program.run("scan", "--json").json["hashed_bytes"] == 0

    def check_scan(self) -> None:
        """A scan finds every file where it is, and the next one nothing to do."""
        scanned = self.program.run("scan", "--json", "--accept-missing", code=None)
        report = scanned.json  # that some parts of a model lie elsewhere for now is serious, and told
        told = {finding["code"] for finding in report["findings"] if finding["serious"]}
        assert scanned.code == (3 if told else 0)
        assert (told <= {"incomplete_set"}, report["problems"]) == (True, [])
        self.check_files_by_rows()
        again = self.program.run("scan", "--json").json
        assert (again["hashed_bytes"], again["added"], again["missing"]) == (0, 0, 0)

    def check_files_by_rows(self) -> None:
        """Every model in the folders has a row that says what it is."""
        wanted = {
            (path, hashlib.sha256((self.directory / path).read_bytes()).hexdigest())
            for path in self._listing()
            if path.endswith(".safetensors")
        }
        rows = {
            (os.path.relpath(path, self.directory), sha256) for path, sha256 in _present(self.program.library)
        }
        assert rows == wanted
        assert _user_data(self.program.library) == self.typed


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of its own."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with tmpfs(size=64 << 20, at=folder):
        yield folder


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Program]:
    """The program with a trash of this test."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    server = ForkServer()
    yield Program(server, tmp_path)
    server.close()


JOBS = (trash, trash_two, mv, hardlink, trash_copies, mv_parts, trash_parts, trash_copies_of_parts)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("prepare", JOBS)
def test_killed_at_any_call_nothing_is_lost_and_the_same_command_ends_it(
    prepare: Callable[[Program, Path], FileJob], part: int, program: Program, tmp_path: Path
) -> None:
    kill_everywhere(FileTrial(program, prepare, tmp_path), part)


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.usefixtures("disk")
def test_killed_at_any_call_of_a_move_to_another_disk_nothing_is_lost(
    part: int, program: Program, tmp_path: Path
) -> None:
    kill_everywhere(FileTrial(program, mv_away, tmp_path), part)


def kill_everywhere(trial: FileTrial, part: int) -> None:
    """Kill before each call in turn; end it by the same command, and every other time by a scan."""
    kills = 0
    for call in CALLS:
        for number in count(1 + part, PARTS):
            trial.restore()
            run = trial.program.run_with_fault(
                *trial.job.command, call=call, fault=f"signal=KILL:when={number}"
            )
            if not run.injected:
                assert run.result.code == 0
                break
            assert run.result.code == -signal.SIGKILL
            trial.check_files()
            if number // PARTS % 2:
                trial.check_scan()
            else:
                trial.check_again()
            kills += 1
    assert kills > 10


@pytest.mark.parametrize("prepare", [*JOBS, mv_away], ids=lambda prepare: prepare.__name__)
@pytest.mark.usefixtures("disk")
def test_an_error_at_any_call_that_names_a_file_costs_nothing(
    prepare: Callable[[Program, Path], FileJob], program: Program, tmp_path: Path
) -> None:
    trial = FileTrial(program, prepare, tmp_path)
    errors = 0
    for number in count(1):
        trial.restore()
        call = "/^(unlink|rename|link|symlink|mkdir|ftruncate).*"
        run = trial.program.run_with_fault(*trial.job.command, call=call, fault=f"error=EIO:when={number}")
        if not run.injected:
            break
        trial.check_files()
        trial.check_again()
        errors += 1
    assert errors > 2


@pytest.mark.usefixtures("disk")
def test_a_disk_that_is_too_small_gets_nothing(program: Program, tmp_path: Path) -> None:
    trial = FileTrial(program, mv_away, tmp_path)
    disk = tmp_path / "disk"
    with (disk / "ballast").open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, shutil.disk_usage(disk).free - SIZE // 2)
    failed = program.run(*trial.job.command, code=1)
    assert failed.error["code"] == "disk_full"
    assert os.listdir(disk / "vae") == []
    (disk / "ballast").unlink()
    trial.check_again()


def test_what_root_writes_anew_still_belongs_to_whom_it_did(program: Program, tmp_path: Path) -> None:
    """A model on another disk, a sidecar, an export, a backup, the library itself after a restore."""
    require_root()
    path = tmp_path / "loras" / "a.safetensors"
    sidecar, exported, backup = (
        tmp_path / name for name in ("loras/a.metadata.json", "all.jsonl", "copy.db")
    )
    write_model(path)
    program.run("scan", "--root", f"loras={path.parent}")
    sidecar.write_text("{}")
    sidecar.chmod(0o664)
    exported.touch()
    program.run("backup", backup)
    for each in (path, sidecar, exported, backup, program.library):
        os.chown(each, 1234, 4321)
    program.run("update", path, "--notes", "typed")
    program.run("export", "--sidecars", "-y")
    program.run("export", "-o", exported, "-y")
    program.run("backup", backup, "-y")
    program.run("restore", backup, "-y")
    (tmp_path / "disk").mkdir()
    with tmpfs(size=1 << 20, at=tmp_path / "disk"):
        program.run("mv", path, tmp_path / "disk")
        moved = [tmp_path / "disk" / name for name in (path.name, sidecar.name)]
        for each in (*moved, exported, backup, program.library):
            status = each.stat()
            assert (status.st_uid, status.st_gid) == (1234, 4321), each
        assert moved[1].stat().st_mode & 0o777 == 0o664
