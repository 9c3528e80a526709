"""Any commands and then undo of all: the library holds what it held at the start, row by row.

A longer hunt: UNDO_MACHINE_EXAMPLES=5000 pytest tests/properties/test_undo.py
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from tests.libraries import OTHER, SHA, THIRD, known_file, put_files, put_model, put_pending, recorded_rows

from mlib.core.errors import MlibError, NotFound
from mlib.core.records import Root
from mlib.db import history, models, pending, roots, statistics
from mlib.db.library import open_library
from mlib.services.forgetting import forget, prune
from mlib.services.history.log_entries import log
from mlib.services.history.undo import undo
from mlib.services.importing.importer import ConflictStrategy, import_pending
from mlib.services.resolving import Target
from mlib.services.root_registry import remove_root
from mlib.services.tagging import delete, rename
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.db.library import Library

picks = st.integers(0, 7)
labels = st.lists(
    st.sampled_from(["sdxl", "SDXL", "a, b", "ärger", "ÄRGER"]), max_size=2, unique_by=str.lower
)
names = st.sampled_from(["sdxl", "SDXL", "a, b", "ärger", "new"])
texts = st.dictionaries(
    st.sampled_from(["name", "notes", "description", "base_model", "type"]),
    st.sampled_from(["", "vae", "loras"]),
    max_size=2,
)
free = st.dictionaries(st.sampled_from(["a.b", "c"]), st.sampled_from(["1", "1.10", '"x"']), max_size=2)
strategies = st.sampled_from(list(ConflictStrategy))

#: Nothing here is about disks, and waiting for one would take minutes.
FAST = "/dev/shm" if os.path.isdir("/dev/shm") else None

Rows = Mapping[str, list[tuple[Any, ...]]]


@contextmanager
def allowing(*codes: str) -> Iterator[None]:
    """What is refused with one of these codes is no failure."""
    try:
        yield
    except MlibError as error:
        if error.code not in codes:
            raise


class UndoMachine(RuleBasedStateMachine):
    """A library with three models, two of them gone, one present under a root, and what people do to it."""

    library: Library

    @initialize(tags=labels, meta=st.sampled_from([None, '{"a":{"b":1},"z":null}']))
    def start(self, tags: list[str], meta: str | None) -> None:
        self.base = tempfile.mkdtemp(prefix="undo-machine-", dir=FAST)
        self.library = open_library(os.path.join(self.base, "library.db"), mode="create")
        with self.library.transaction():
            roots.remember(self.library, [Root("loras", self.base, "user")])
        (root,) = roots.all_roots(self.library)
        put_model(self.library, SHA, notes="mine", tags_=tags, meta_json=meta)
        put_model(self.library, OTHER)
        put_model(self.library, THIRD, name="third")
        put_files(
            self.library,
            known_file(f"{self.base}/one", SHA, root_id=root.id),
            known_file(f"{self.base}/two", OTHER, missing_since=1),
            known_file(f"{self.base}/\udcff", THIRD, missing_since=5, root_id=root.id),
        )
        put_pending(self.library, f"{self.base}/four", sha256="d" * 64, seen=True, tags_=tags, meta_json=meta)
        put_pending(self.library, f"{self.base}/one more", sha256=SHA, name="theirs", notes="theirs")
        self.before = recorded_rows(self.library)
        self.staged = 0

    def teardown(self) -> None:
        if hasattr(self, "library"):
            try:
                self.undo_all()
            finally:
                self.library.close()
                shutil.rmtree(self.base)

    def undo_all(self) -> None:
        with allowing("nothing_to_undo"):
            for _ in range(1000):
                undo(self.library)
        self.check_start(self.before, recorded_rows(self.library))

    def check_start(self, before: Rows, after: Rows) -> None:
        assert after == before

    @contextmanager
    def command(self, words: str) -> Iterator[None]:
        with history.recording(self.library, words):
            yield

    def target(self, pick: int) -> Target | None:
        targets = [Target(sha256=sha256) for sha256 in models.all_ids(self.library)]
        targets += [Target(pending_id=number) for number in pending.ids(self.library)]
        return targets[pick % len(targets)] if targets else None

    @rule(
        pick=picks, text=texts, tag=labels, untag=labels, put=free, drop=st.sets(st.sampled_from(["a", "c"]))
    )
    def edit(
        self, pick: int, text: Mapping[str, str], tag: list[str], untag: list[str], put: dict[str, str],
        drop: set[str],
    ) -> None:  # fmt: skip
        if target := self.target(pick):
            assignments = [f"{key}={value}" for key, value in put.items()]
            edit = parse_edit(text=text, tag=tag, untag=untag, put=assignments, drop=sorted(drop))
            with self.command("update"):
                update(self.library, [target], edit)

    @rule(pick=picks, tag=labels, notes=st.sampled_from(["", "theirs"]), seen=st.booleans())
    def stage(self, pick: int, tag: list[str], notes: str, seen: bool) -> None:
        self.staged += 1
        sha256 = [SHA, OTHER, THIRD, "d" * 64, "e" * 64, None, SHA, OTHER][pick]
        fields = {"notes": notes} if notes else {}
        with self.command("import --from"):
            put_pending(
                self.library, f"{self.base}/{self.staged % 3}", sha256=sha256, seen=seen, tags_=tag, **fields
            )

    @rule(strategy=strategies)
    def import_all(self, strategy: ConflictStrategy) -> None:
        with self.command("import"):
            import_pending(self.library, strategy=strategy, keep_backup=False)

    @rule(old=names, new=names)
    def rename_tag(self, old: str, new: str) -> None:
        with allowing("tag_not_found"), self.command("tags rename"):
            rename(self.library, old, new)

    @rule(name=names)
    def delete_tag(self, name: str) -> None:
        with allowing("tag_not_found"), self.command("tags delete"):
            delete(self.library, name)

    @rule(pick=picks)
    def forget_one(self, pick: int) -> None:
        if target := self.target(pick):
            with self.command("forget"):
                forget(self.library, [target])

    @rule()
    def prune_all(self) -> None:
        with self.command("prune"):
            prune(self.library, 0, force=True)

    @rule()
    def remove_the_root(self) -> None:
        with allowing("root_not_found"), self.command("roots remove"):
            remove_root(self.library, self.base)

    @rule()
    def undo_and_do_again(self) -> None:
        """A redo is exact as well."""
        now = recorded_rows(self.library)
        try:
            undo(self.library)
        except NotFound:
            return
        undo(self.library, self.library.all("SELECT max(id) FROM entries")[0][0])
        assert recorded_rows(self.library) == now

    @rule()
    def rehearse_an_undo(self) -> None:
        now = recorded_rows(self.library), log(self.library)
        try:
            with self.library.rehearsal():
                undo(self.library)
        except NotFound:
            return
        assert (recorded_rows(self.library), log(self.library)) == now

    @invariant()
    def the_library_is_sound(self) -> None:
        if hasattr(self, "library"):
            assert self.library.all("PRAGMA foreign_key_check") == []
            assert self.library.all("SELECT name FROM sqlite_temp_master") == []
            assert statistics.orphaned_facts(self.library) == 0


class AnyOrderMachine(UndoMachine):
    """Undoing what is not the last: it is done, or refused and nothing is changed."""

    @rule(pick=st.integers(1, 12))
    def undo_any(self, pick: int) -> None:
        now = recorded_rows(self.library)
        refused = True
        with allowing("no_such_entry", "already_undone", "changed_since"):
            undo(self.library, pick)
            refused = False
        assert not refused or recorded_rows(self.library) == now

    def undo_all(self) -> None:
        with allowing("changed_since"):
            super().undo_all()

    def check_start(self, before: Rows, after: Rows) -> None:
        """What a person typed; moments, and whose the tags are, depend on the order."""
        for table in ("model_meta", "model_tags", "pending_model_tags", "tags", "roots"):
            assert after[table] == before[table]
        assert [row[:7] for row in after["models"]] == [row[:7] for row in before["models"]]


examples = int(os.environ.get("UNDO_MACHINE_EXAMPLES", "20"))
_SETTINGS = settings(
    max_examples=examples, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestUndo = UndoMachine.TestCase
TestUndo.settings = _SETTINGS
TestUndoInAnyOrder = AnyOrderMachine.TestCase
TestUndoInAnyOrder.settings = _SETTINGS
