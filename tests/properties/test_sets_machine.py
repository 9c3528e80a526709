"""Promise 13: whatever mv, rename, trash and duplicates are asked, no model in several files is torn apart.

A longer hunt: SETS_MACHINE_EXAMPLES=2000 pytest tests/properties/test_sets_machine.py
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.libraries import scan_roots
from tests.tools import write_bytes, write_model

from mlib.core.errors import MlibError
from mlib.db import files, models
from mlib.db.library import open_library
from mlib.services.files.duplicating import carry_out, choose, find_duplicates, spare_needed
from mlib.services.files.moving import move, rename
from mlib.services.files.selection import Selection
from mlib.services.files.trashing import plan_trash, trash

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from mlib.core.records import KnownFile
    from mlib.db.library import Library

#: Which bytes belong to which model, whatever the files are called and wherever they lie.
PARTS = {
    "wan": tuple(f"wan-0000{number}-of-00003" for number in (1, 2, 3)),
    "q": ("q-01-of-02", "q-02-of-02"),
}
FOLDER = ("model", "vision/encoder")
LOOSE = ("a", "b", "wan-00002-of-00003")
ROOTS = ("loras", "LLM", "vae")

picks = st.lists(st.integers(0, 60), min_size=1, max_size=4)
dests = st.sampled_from(["loras", "LLM", "vae", "loras/sub", "LLM/sub"])


class SetsMachine(RuleBasedStateMachine):
    """Folders with models in one file and in several, copies of each, and the commands that touch them."""

    library: Library

    @initialize(twice=st.booleans(), loose=st.sets(st.sampled_from(LOOSE)))
    def start(self, *, twice: bool, loose: set[str]) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="sets-machine-"))
        for folder in ("loras/sub", "LLM/sub", "vae"):
            (self.base / folder).mkdir(parents=True)
        for stem, names in PARTS.items():
            for place in ("loras", "loras/copies of all") if twice else ("loras",):
                for name in names:
                    write_model(self.base / place / f"{name}.safetensors", name)
                weights = {name: f"{name}.safetensors" for name in names}
                index = json.dumps({"weight_map": weights}).encode()
                write_bytes(self.base / place / f"{stem}.safetensors.index.json", index)
        for place in ("LLM/Florence", "LLM/sub/Florence") if twice else ("LLM/Florence",):
            for name in FOLDER:
                write_model(self.base / place / f"{name}.safetensors", name)
            write_bytes(self.base / place / "config.json", b'{"model_type": "florence2"}')
        for name in loose:
            write_model(self.base / "loras" / f"loose-{name[:3]}.safetensors", name)
            write_model(self.base / "vae" / f"loose-{name[:3]}.safetensors", name)
        self.library = open_library(str(self.base / "library.db"), mode="create")
        self.folders = {str(path.parent) for path in self.base.rglob("Florence/config.json")}
        self.scan()

    def teardown(self) -> None:
        if hasattr(self, "library"):
            self.library.close()
            shutil.rmtree(self.base)

    def scan(self) -> None:
        scan_roots(self.library, *(f"{root}={self.base / root}" for root in ROOTS), accept_missing=True)

    def chosen(self, picks: Sequence[int], *, alone: bool) -> list[Selection]:
        """Some present files, each by its path; not `alone`, those that belong to its model too."""
        rows = self.rows()
        found: dict[str, KnownFile] = {}
        for pick in picks if rows else ():
            row = rows[pick % len(rows)]
            found[row.path] = row
            if not alone:
                found |= {each.path: each for each in rows if self.set_of(each) == self.set_of(row)}
        return [Selection(row.sha256, (row,)) for row in found.values()]

    def rows(self) -> list[KnownFile]:
        present = [
            row for sha256 in models.all_ids(self.library) for row in files.of_model(self.library, sha256)
        ]
        return sorted(row for row in present if row.missing_since is None)

    def set_of(self, row: KnownFile) -> str:
        for stem, names in PARTS.items():
            if row.name.removesuffix(".safetensors") in names:
                return f"{row.directory}/{stem}"
        return next((each for each in self.folders if row.path.startswith(each + os.sep)), row.path)

    @rule(picks=picks, dest=dests, alone=st.booleans())
    def move_some(self, picks: list[int], dest: str, *, alone: bool) -> None:
        if meant := self.chosen(picks, alone=alone):
            self.attempt(lambda: move(self.library, meant, str(self.base / dest)))

    @rule(pick=st.integers(0, 60), name=st.sampled_from(["new", "newer"]))
    def rename_one(self, pick: int, name: str) -> None:
        if meant := self.chosen([pick], alone=True):
            self.attempt(lambda: rename(self.library, meant[0], name))

    @rule(picks=picks, alone=st.booleans())
    def trash_some(self, picks: list[int], *, alone: bool) -> None:
        meant = self.chosen(picks, alone=alone)
        environ = {"XDG_DATA_HOME": str(self.base / "data")}
        self.attempt(lambda: trash(self.library, plan_trash(self.library, meant), environ=environ))

    @rule(keep=st.sampled_from(["shortest", "newest", "oldest", "*sub*", "*/loras/*"]))
    def trash_copies(self, keep: str) -> None:
        choices, _ = spare_needed(self.library, choose(find_duplicates(self.library), keep)[0])
        carry_out(self.library, choices, "trash", environ={"XDG_DATA_HOME": str(self.base / "data")})

    @rule()
    def look(self) -> None:
        self.scan()

    def attempt(self, run: Callable[[], object]) -> None:
        try:
            run()
        except MlibError as error:
            if error.code not in {"part_of_set", "exists"}:
                raise

    @invariant()
    def every_model_is_whole_or_gone(self) -> None:
        if not hasattr(self, "library"):
            return
        walked = [Path(at) for root in ROOTS for at, _, _ in os.walk(self.base / root) if ".Trash" not in at]
        for stem, names in PARTS.items():
            for folder in walked:
                there = [name for name in names if (folder / f"{name}.safetensors").exists()]
                assert len(there) in (0, len(names)), f"{folder} holds {there}"
                index = folder / f"{stem}.safetensors.index.json"
                assert index.exists() == bool(there), f"the parts in {folder} are apart from their index"
        for folder_ in self.folders:
            there = [name for name in FOLDER if os.path.exists(os.path.join(folder_, f"{name}.safetensors"))]
            assert len(there) in (0, len(FOLDER)), f"{folder_} holds {there}"


EXAMPLES = os.environ.get("SETS_MACHINE_EXAMPLES")
TestSets = SetsMachine.TestCase
TestSets.settings = settings(
    max_examples=int(EXAMPLES or 25),
    stateful_step_count=12,
    deadline=None,
    derandomize=EXAMPLES is None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
