"""Commands that write, each with the library and the files it is to work on."""

from __future__ import annotations

import json
import os
import shutil
import sqlite3
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tests.faults.state import State, entries, state
from tests.legacy_databases import hikaze2
from tests.libraries import make_older
from tests.tools import write_bytes, write_model

from mlib.db.library import open_library
from mlib.services.importing.from_legacy import stage_legacy

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.faults.forked import Program
    from tests.tools import Result

    Prepare = Callable[[Program, Path], "Job"]


@dataclass(frozen=True)
class Job:
    """A command line to be disturbed.

    `stages` is what the library may hold between its transactions; None where that is any mixture of rows
    from before and after. `again` is its exit code where it was done already.
    """

    command: tuple[str | os.PathLike[str], ...]
    stages: tuple[State, ...] | None = ()
    again: int | None = None


class Trial:
    """A job that has been done once undisturbed, to be disturbed again and again from the same start."""

    def __init__(self, program: Program, prepare: Prepare, directory: Path) -> None:
        self.program = program
        self.job = prepare(program, directory)
        self.home = program.library.parent
        self._kept = directory / "kept"
        self.home.mkdir(exist_ok=True)
        shutil.rmtree(self.home / "backups", ignore_errors=True)
        shutil.copytree(self.home, self._kept)
        self.before = state(program.library)
        self._entries = entries(program.library)
        self.undisturbed = program.run(*self.job.command, code=None)
        self.after = state(program.library)
        self._is_recorded = entries(program.library) > self._entries
        assert self.before != self.after

    def restore(self) -> None:
        """Make the library and its backups what they were at the start."""
        for place in self.home.iterdir():
            shutil.rmtree(place) if place.is_dir() else place.unlink()
        shutil.copytree(self._kept, self.home, dirs_exist_ok=True)

    def check_library(self) -> State:
        """The library is sound, nothing is lost and nothing in it is false; what it holds."""
        now = state(self.program.library)
        lost = (self.before & self.after) - now
        false = now.difference(self.before, self.after, *(self.job.stages or ()))
        assert not lost, lost
        assert not false, false
        if self.job.stages is not None:
            assert now in (self.before, *self.job.stages, self.after), "a step was done by half"
        if self._is_recorded:
            is_told = entries(self.program.library) > self._entries
            assert is_told == (now != self.before), "the history says otherwise"
        for backup in self.home.glob("backups/*.bak"):
            assert state(backup) in (self.before, *(self.job.stages or ())), "a backup is not whole"
        return now

    def check_next_run(self) -> Result:
        """The same command again ends the job, and ends as if it had never been disturbed."""
        done = state(self.program.library) == self.after
        code = self.job.again if done and self.job.again is not None else self.undisturbed.code
        again = self.program.run(*self.job.command, code=code)
        now = state(self.program.library)
        assert now == self.after, now ^ self.after
        return again


def first_scan(_program: Program, directory: Path) -> Job:
    """Three files, and no library."""
    tree = directory / "loras"
    for name in ("one", "two", "three"):
        write_model(tree / f"{name}.safetensors")
    return _scan(tree)


def rescan(program: Program, directory: Path) -> Job:
    """Of four models that were named and tagged, one is moved, one copied, one replaced and one gone."""
    tree = directory / "loras"
    for name in ("moved", "copied", "replaced", "gone"):
        sha256 = write_model(tree / f"{name}.safetensors")
        program.run(*_scan(tree).command)
        _describe(program, sha256)
    (tree / "elsewhere").mkdir()
    (tree / "moved.safetensors").rename(tree / "elsewhere" / "renamed.safetensors")
    shutil.copy2(tree / "copied.safetensors", tree / "copy.safetensors")
    write_model(tree / "replaced.safetensors", "other content", age=1800)
    (tree / "gone.safetensors").unlink()
    return _scan(tree)


def scan_sidecars(program: Program, directory: Path) -> Job:
    """Sidecars beside models of which some were described, and beside one that is new."""
    tree = directory / "loras"
    for name in ("blank", "described", "emptied", "foreign"):
        sha256 = write_model(tree / f"{name}.safetensors")
        if name == "emptied":
            _lay_sidecar(tree / name)
        program.run(*_scan(tree).command)
        if name == "described":
            _describe(program, sha256)
        if name == "emptied":
            program.run("update", sha256, "--description", "", "--untag", "theirs")
    write_model(tree / "new.safetensors")
    kept = directory / "before.db"
    shutil.copy(program.library, kept)
    program.run(*_scan(tree).command)
    identified = state(program.library)
    shutil.copy(kept, program.library)
    for name in ("blank", "described", "emptied", "new"):
        _lay_sidecar(tree / name, age=60)
    _lay_sidecar(tree / "foreign", age=60, Hashes={"SHA256": "ab" * 32})
    return Job(_scan(tree).command, stages=(identified,))


def update(program: Program, directory: Path) -> Job:
    """A model that was named and tagged gets other words."""
    sha256 = _described_model(program, directory)
    words = ("--name", "better", "--notes", "typed anew", "--tag", "another", "--untag", "kept")
    return Job(("update", sha256, *words, "--set", "steps=20", "--json"))


def import_override(program: Program, directory: Path) -> Job:
    """What an older manager said of a model wins over what the library says."""
    return _import(program, directory, "override")


def import_merge(program: Program, directory: Path) -> Job:
    """What an older manager said of a model is united with what the library says."""
    return _import(program, directory, "merge")


def import_delete(program: Program, directory: Path) -> Job:
    """What an older manager said of a model is dropped."""
    return _import(program, directory, "delete")


def import_from_older_database(program: Program, directory: Path) -> Job:
    """Rows about a known model, about a new one and about a path, for a library that is in use."""
    older = _older_database(directory, _described_model(program, directory))
    copy = directory / "staged.db"
    shutil.copy(program.library, copy)
    with open_library(os.fspath(copy), mode="write") as library:
        stage_legacy(library, older, keep_backup=False)
    return Job(("import", "--from", older, "--json"), stages=(state(copy),))


def clean_meta(program: Program, directory: Path) -> Job:
    """Models and pending imports with pictures in their metadata."""
    _put_pictures(program, directory)
    return Job(("clean-meta", "--json"), stages=None)


def prune(program: Program, directory: Path) -> Job:
    """Of two models that were named and tagged one is gone."""
    _lose_one(program, directory)
    return Job(("prune", "--missing-for", "0d", "--yes", "--force", "--json"))


def undo_of_prune(program: Program, directory: Path) -> Job:
    """A model was gone, and was forgotten with all that was said of it."""
    _lose_one(program, directory)
    program.run("prune", "--missing-for", "0d", "--yes", "--force")
    entry = program.run("log", "--json").json[0]["id"]
    return Job(("undo", str(entry), "--json"), again=4)


def tags_rename(program: Program, directory: Path) -> Job:
    """A tag of two models gets the name of another one."""
    _lose_one(program, directory)
    return Job(("tags", "rename", "kept", "better", "--json"), again=5)


def migration(program: Program, directory: Path) -> Job:
    """A library as its first version made it, with pictures, opened by a command that only reads."""
    sha256 = _put_pictures(program, directory)
    make_older(program.library, last="m001_tables")
    return Job(("show", sha256, "--json"))


def restore(program: Program, directory: Path) -> Job:
    """A library from before a change, put in the place of the one that was changed."""
    sha256 = _described_model(program, directory)
    kept = directory / "kept-by-hand.db"
    program.run("backup", kept)
    earlier = state(kept)
    program.run("update", sha256, "--name", "better", "--untag", "kept")
    return Job(("restore", kept, "--yes", "--json"), stages=(earlier,))


JOBS = (
    first_scan,
    rescan,
    scan_sidecars,
    update,
    import_override,
    import_merge,
    import_delete,
    import_from_older_database,
    clean_meta,
    prune,
    undo_of_prune,
    tags_rename,
    migration,
    restore,
)


def _scan(tree: Path) -> Job:
    return Job(("scan", "--root", f"loras={tree}", "--json"), stages=None)


def _lay_sidecar(model: Path, *, age: float = 3600, **fields: object) -> None:
    said = {"ModelName": f"Their {model.name}", "ModelDescription": f"Theirs, {age}.", "Tags": ["theirs"]}
    write_bytes(
        model.with_name(f"{model.name}.cm-info.json"), json.dumps({**said, **fields}).encode(), age=age
    )


def _describe(program: Program, sha256: str, *, scan: Path | None = None) -> None:
    if scan is not None:
        program.run(*_scan(scan).command)
    program.run("update", sha256, "--name", f"my {sha256[:4]}", "--notes", "typed", "--tag", "kept")


def _lose_one(program: Program, directory: Path) -> None:
    tree = directory / "loras"
    for name in ("kept", "lost"):
        _describe(program, write_model(tree / f"{name}.safetensors"), scan=tree)
    (tree / "lost.safetensors").unlink()
    program.run(*_scan(tree).command)


def _described_model(program: Program, directory: Path) -> str:
    sha256 = write_model(directory / "loras" / "known.safetensors")
    program.run(*_scan(directory / "loras").command)
    _describe(program, sha256)
    return sha256


def _older_database(directory: Path, sha256: str) -> str:
    return hikaze2(
        directory / "older.db",
        [
            {"path": "/old/known.safetensors", "sha256": sha256, "name": "their name", "tags": ["theirs"]},
            {"path": "/old/new.safetensors", "sha256": "ab" * 32, "tags": ["theirs"], "meta": {"steps": 20}},
        ],
        pending=[{"path": "/old/waiting.safetensors", "name": "waiting", "tags": ["theirs"]}],
    )


def _import(program: Program, directory: Path, strategy: str) -> Job:
    """A pending import that disagrees with a model, and one of a file that no model holds yet."""
    sha256 = _described_model(program, directory)
    program.run("import", "--from", _older_database(directory, sha256), code=3)
    write_model(directory / "loras" / "staged.safetensors")
    program.run(*_scan(directory / "loras").command, "--stage")
    return Job(("import", "--on-conflict", strategy, "--json"))


def _put_pictures(program: Program, directory: Path) -> str:
    """Pictures as they came in when nothing kept them out, large enough to leave free pages behind."""
    sha256 = _described_model(program, directory)
    program.run("import", "--from", _older_database(directory, sha256), code=3)
    picture = "data:image/png;base64," + "iVBORw0KGgo" * 500
    dirty = json.dumps({"steps": 20, "images": [picture], "cfg": 7.50})
    with closing(sqlite3.connect(program.library)) as db:
        db.execute("INSERT OR REPLACE INTO model_meta SELECT sha256, ? FROM models", [dirty])
        db.execute("UPDATE pending_import SET meta_json = ?", [dirty])
        db.commit()
    return sha256
