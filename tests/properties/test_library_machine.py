"""Promises 1 to 7 at once: whatever becomes of the files, the library loses nothing and says nothing false.

A longer hunt: LIBRARY_MACHINE_EXAMPLES=5000 pytest tests/properties/test_library_machine.py
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.legacy_databases import hikaze1, hikaze2
from tests.libraries import dump
from tests.properties.model_tree import CONTENTS, FOLDERS, NAMES, ROOTS, SHA256, ModelTree, State
from tests.properties.user_data import Expected, Typed, Waiting, edited, stored_models, typed_of

from mlib.db import pending, statistics
from mlib.db.library import open_library
from mlib.services.cleaning import clean_meta
from mlib.services.importing.from_legacy import stage_legacy
from mlib.services.importing.importer import ConflictStrategy, import_pending
from mlib.services.resolving import Target
from mlib.services.scanning.request import OUTCOMES, ScanReport, ScanRequest
from mlib.services.scanning.run import scan
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from mlib.db.library import Library

#: A content that no file has.
UNSEEN = "e" * 64

places = st.tuples(st.sampled_from(ROOTS), st.sampled_from(FOLDERS), st.sampled_from(NAMES))
contents = st.integers(0, len(CONTENTS) - 1)
#: Which of those there are: taken modulo their number.
picks = st.integers(0, 40)
labels = st.lists(st.sampled_from(["sdxl", "SDXL", "a, b", "ärger", "flux"]), max_size=2, unique_by=str.lower)
free = st.dictionaries(
    st.sampled_from(["trigger", "weight", "seen"]),
    st.sampled_from(['"a dog"', "0.85", "1", "true", '["x"]']),
    max_size=2,
)
texts = st.dictionaries(
    st.sampled_from(["name", "notes", "description", "base_model"]),
    st.sampled_from(["", "mine", "yours"]),
    max_size=2,
)
legacy_rows = st.fixed_dictionaries(
    {
        "pick": picks,
        "hash": st.sampled_from([*SHA256[:6], UNSEEN, "", ""]),
        "name": st.sampled_from(["", "Old name"]),
        "description": st.sampled_from(["", "Old words"]),
        "tags": labels,
        "meta": free,
    }
)


class LibraryMachine(RuleBasedStateMachine):
    """Disks, a library and a plain model of what a person expects of it."""

    library: Library

    @initialize()
    def start(self) -> None:
        self.base = Path(tempfile.mkdtemp(prefix="library-machine-"))
        self.tree = ModelTree(self.base / "disks")
        self.expected = Expected()
        #: Path to content as the library had it after the last scan.
        self.present: dict[str, str] = {}
        self.library = open_library(str(self.base / "library.db"), mode="create")
        self.run_scan(ScanRequest(roots=[f"{root}={self.tree.root(root)}" for root in ROOTS]))

    def teardown(self) -> None:
        if hasattr(self, "library"):
            self.library.close()
            shutil.rmtree(self.base)

    def a_file(self, pick: int) -> Path | None:
        files = self.tree.files()
        return files[pick % len(files)] if files else None

    # What people do to their files.

    @rule(place=places, content=contents)
    def write(self, place: tuple[str, str, str], content: int) -> None:
        if path := self.tree.place(*place):
            self.tree.write(path, CONTENTS[content])

    @rule(root=st.sampled_from(ROOTS), folder=st.sampled_from(FOLDERS), first=st.integers(0, 7))
    def fill_a_folder(self, root: str, folder: str, first: int) -> None:
        for n, name in enumerate(NAMES):
            if path := self.tree.place(root, folder, name):
                self.tree.write(path, CONTENTS[(first + n) % len(CONTENTS)])

    @rule(pick=picks, content=contents)
    def overwrite(self, pick: int, content: int) -> None:
        if path := self.a_file(pick):
            self.tree.write(path, CONTENTS[content])

    @rule(pick=picks)
    def delete(self, pick: int) -> None:
        if path := self.a_file(pick):
            path.unlink()

    @rule(root=st.sampled_from(ROOTS), folder=st.sampled_from(FOLDERS))
    def delete_a_folder(self, root: str, folder: str) -> None:
        directory = self.tree.root(root) / folder
        if directory.is_dir():
            shutil.rmtree(directory)
            self.tree.root(root).mkdir(exist_ok=True)

    @rule(pick=picks, place=places)
    def move(self, pick: int, place: tuple[str, str, str]) -> None:
        if (source := self.a_file(pick)) and (target := self.tree.place(*place)):
            source.replace(target)

    @rule(pick=picks, place=places, keep_time=st.booleans())
    def copy(self, pick: int, place: tuple[str, str, str], keep_time: bool) -> None:
        if (source := self.a_file(pick)) and (target := self.tree.place(*place)):
            self.tree.copy(source, target, keep_time=keep_time)

    @rule(pick=picks, place=places, soft=st.booleans())
    def link(self, pick: int, place: tuple[str, str, str], soft: bool) -> None:
        if (source := self.a_file(pick)) and (target := self.tree.place(*place)):
            (self.tree.soft_link if soft else self.tree.hard_link)(source, target)

    @rule(pick=picks, other=picks)
    def swap(self, pick: int, other: int) -> None:
        if (one := self.a_file(pick)) and (two := self.a_file(other)):
            self.tree.swap(one, two)

    @rule(pick=picks)
    def touch(self, pick: int) -> None:
        if path := self.a_file(pick):
            self.tree.touch(path)

    @rule(place=places, content=contents, how=st.sampled_from([".part", ".aria2", "empty", "cut"]))
    def start_a_download(self, place: tuple[str, str, str], content: int, how: str) -> None:
        if path := self.tree.place(*place):
            self.tree.start_download(path, CONTENTS[content], how)

    @precondition(lambda self: self.tree.downloads)
    @rule(pick=picks)
    def finish_a_download(self, pick: int) -> None:
        downloads = sorted(self.tree.downloads)
        self.tree.finish_download(downloads[pick % len(downloads)])

    @rule(pick=picks)
    def put_aside(self, pick: int) -> None:
        if path := self.a_file(pick):
            self.tree.put_aside(path)

    @rule(pick=picks)
    def bring_back(self, pick: int) -> None:
        if aside := sorted(self.tree.aside):
            self.tree.bring_back(aside[pick % len(aside)])

    @rule(root=st.sampled_from(ROOTS), mount_point=st.booleans())
    def unplug(self, root: str, mount_point: bool) -> None:
        self.tree.unplug(root, mount_point=mount_point)

    @rule(root=st.sampled_from(ROOTS))
    def plug_back(self, root: str) -> None:
        self.tree.plug(root)

    # What people do with the library.

    @precondition(lambda self: self.expected.models or self.expected.pending)
    @rule(pick=picks, text=texts, tag=labels, untag=labels, put=free, drop=st.sets(st.sampled_from(["seen"])))
    def edit(
        self,
        pick: int,
        text: dict[str, str],
        tag: list[str],
        untag: list[str],
        put: dict[str, str],
        drop: set[str],
    ) -> None:
        targets = [Target(sha256=sha256) for sha256 in sorted(self.expected.models)]
        targets += [Target(pending_id=number) for number in sorted(self.expected.pending)]
        target = targets[pick % len(targets)]
        assignments = [f"{key}={value}" for key, value in put.items()]
        update(
            self.library,
            [target],
            parse_edit(text=text, tag=tag, untag=untag, put=assignments, drop=sorted(drop)),
        )
        if target.sha256 is not None:
            before = self.expected.models[target.sha256]
            self.expected.models[target.sha256] = edited(before, text, tag, untag, put, drop)
        elif target.pending_id is not None:
            entry = self.expected.pending[target.pending_id]
            after = edited(entry.typed, text, tag, untag, put, drop)
            self.expected.pending[target.pending_id] = Waiting(entry.path, entry.sha256, after, entry.claim)

    @rule(
        rows=st.lists(legacy_rows, min_size=1, max_size=3),
        version=st.sampled_from([1, 2]),
        short=st.booleans(),
        strategy=st.sampled_from(ConflictStrategy),
    )
    def import_an_older_database(
        self, rows: list[dict[str, Any]], version: int, short: bool, strategy: ConflictStrategy
    ) -> None:
        path = str(self.base / "older.db")
        said = [self.legacy_entry(row, short=short and version == 1) for row in rows]
        entries = list({entry.path: entry for entry in said}.values())
        if version == 1:
            hikaze1(path, [self.legacy_row(e, "hash_hex") for e in entries])
        else:
            known = list({e.sha256: e for e in entries if e.sha256}.values())
            entries = known + [e for e in entries if not e.sha256]
            hikaze2(
                path,
                [self.legacy_row(e, "sha256") for e in known],
                pending=[self.legacy_row(e, "sha256") for e in entries[len(known) :]],
            )
        for _twice in range(2):
            present = self.rows()
            staged = stage_legacy(self.library, path, keep_backup=False)
            assert all(bad.code == "differs" for bad in staged.bad)
            for number, entry in zip(staged.ids, entries, strict=True):
                self.expect_staged(number, entry, present)
            self.expected.import_pending(strategy)
            import_pending(self.library, strategy=strategy, keep_backup=False)
            self.check_user_data()
        os.unlink(path)

    def legacy_entry(self, row: dict[str, Any], *, short: bool) -> Waiting:
        paths = [*map(str, self.tree.files()), *self.present, f"/old/{row['hash'] or 'x'}"]
        path = paths[row["pick"] % len(paths)]
        text = {name: row[name] for name in ("name", "description") if row[name]}
        typed = Typed(text, frozenset(map(str.lower, row["tags"])), row["meta"])
        if short and row["hash"]:
            return Waiting(f"/old/{row['hash']}", None, typed, claim=row["hash"][:10])
        return Waiting(path, row["hash"] or None, typed)

    def legacy_row(self, entry: Waiting, hash_column: str) -> dict[str, Any]:
        name = entry.typed.text.get("name", os.path.basename(entry.path))
        free = {key: json.loads(value) for key, value in entry.typed.meta.items()}
        meta = {**free, "description": entry.typed.text.get("description")}
        return {"path": entry.path, "name": name, hash_column: entry.sha256 or entry.claim or "",
                "size_bytes": None, "tags": sorted(entry.typed.tags), "meta": meta}  # fmt: skip

    def expect_staged(self, number: int, entry: Waiting, present: dict[str, str]) -> None:
        """What the library knows to be at its path, it is about; what waits there already is kept."""
        others = [
            other for n, other in self.expected.pending.items() if n != number and other.path == entry.path
        ]
        sha256 = entry.sha256 or present.get(entry.path)
        if any(other.sha256 == sha256 and other.typed.contradicts(entry.typed) for other in others):
            sha256 = entry.sha256
        assert entry.claim is None or entry.claim not in [other.claim for other in others]
        before = self.expected.pending.get(number)
        if before is not None:
            sha256 = sha256 or before.sha256
            entry = Waiting(
                entry.path, sha256, before.typed.filled_from(entry.typed), before.claim or entry.claim
            )
        self.expected.pending[number] = Waiting(entry.path, sha256, entry.typed, entry.claim)

    @rule(strategy=st.sampled_from(ConflictStrategy))
    def import_what_is_pending(self, strategy: ConflictStrategy) -> None:
        self.expected.import_pending(strategy)
        import_pending(self.library, strategy=strategy, keep_backup=False)

    @rule()
    def clean(self) -> None:
        before = self.stored()
        assert clean_meta(self.library).cleaned == 0
        assert self.stored() == before

    # Scanning.

    @rule(stage=st.booleans(), accept_missing=st.booleans())
    def scan_all(self, stage: bool, accept_missing: bool) -> None:
        self.run_scan(ScanRequest(stage=stage, accept_missing=accept_missing))

    @rule()
    def scan_plainly(self) -> None:
        self.run_scan(ScanRequest())

    @rule(stage=st.booleans())
    def scan_reading_all(self, stage: bool) -> None:
        self.run_scan(ScanRequest(rehash=True, stage=stage))

    @rule(pick=picks, stage=st.booleans(), accept_missing=st.booleans())
    def scan_a_part(self, pick: int, stage: bool, accept_missing: bool) -> None:
        folders = {Path(directory) for root in self.tree.plugged() for directory, *_ in os.walk(root)}
        parts = sorted({*map(str, folders), *map(str, self.tree.files()), *self.present})
        if parts:
            path = parts[pick % len(parts)]
            self.run_scan(ScanRequest(paths=[path], stage=stage, accept_missing=accept_missing))

    @rule()
    def scan_without_writing(self) -> None:
        before = self.stored()
        self.scan(ScanRequest(dry_run=True))
        assert self.stored() == before

    def scan(self, request: ScanRequest) -> ScanReport:
        return scan(self.library, request)

    def run_scan(self, request: ScanRequest) -> None:
        """Scan and check all that it says and leaves behind; then again, which must change nothing."""
        before = self.rows()
        report = self.scan(request)
        held = {str(path): state for path, state in self.tree.contents()}
        self.present = self.rows()
        self.check_waiting(request, held)
        self.check_rows(request, held, before, report)
        self.check_integrity()
        stored = self.stored()
        if all(map(os.path.lexists, request.paths)):
            again = self.scan(ScanRequest(paths=request.paths, stage=request.stage))
            assert again.hashed_bytes == 0
            assert self.stored() == stored

    def check_rows(
        self, request: ScanRequest, held: dict[str, str | State], before: dict[str, str], report: ScanReport
    ) -> None:
        """Promises 2 to 6: what is present is there, what is there is present, a guard has its reasons."""
        staged = {(entry.path, entry.sha256) for entry in self.expected.pending.values()}
        complete = {p: sha for p, sha in held.items() if isinstance(sha, str) and walked(request, p)}
        assert sum(report.counts[outcome] for outcome in OUTCOMES) == len(complete)
        for path, sha256 in complete.items():
            known = sha256 in self.expected.models
            assert self.present.get(path) == sha256 or (
                request.stage and not known and (path, sha256) in staged
            )
        lost = defaultdict(list)
        for path in sorted(before.keys() | self.present.keys()):
            root = self.root_of(path)
            state = held.get(path)
            is_off = not root.is_dir() and not (request.accept_missing and walked(request, path))
            if is_off or state is State.UNKNOWN:
                assert self.present.get(path) == before.get(path)
            elif not walked(request, path):
                assert self.present.get(path) == before.get(path) or (
                    path not in self.present and not os.path.lexists(path)
                )
            elif path in before and not isinstance(state, str):
                lost[root].append(path)
            else:
                assert isinstance(state, str) or path not in self.present
        for root, paths in lost.items():
            self.check_lost(request, root, paths, held, before, report)

    def check_lost(
        self,
        request: ScanRequest,
        root: Path,
        paths: list[str],
        held: dict[str, str | State],
        before: dict[str, str],
        report: ScanReport,
    ) -> None:
        """Files of one root that were there and are not: all missing or moved, unless it is too much."""
        kept = [path for path in paths if path in self.present]
        if request.accept_missing:
            assert not kept
            return
        in_root = [path for path in before if self.root_of(path) == root]
        turned_up = {sha for path, sha in held.items() if isinstance(sha, str) and before.get(path) != sha}
        gone_for_good = [path for path in paths if before[path] not in turned_up]
        seen = [path for path, state in held.items() if self.root_of(path) == root and state != State.UNKNOWN]
        whole = not request.paths or str(root) in request.paths
        empty = not seen if whole else not any(root.iterdir())

        def too_many(gone: list[str]) -> bool:
            return len(gone) > 10 and len(gone) > 0.2 * len(in_root)

        if gone_for_good and (empty or too_many(gone_for_good)):
            assert set(gone_for_good) <= set(kept)
        if kept:
            # Of an empty root a part that is no more cannot even be listed: it is told as offline then.
            assert str(root) in [
                *report.guarded_roots,
                *(report.offline_roots if empty and not whole else ()),
            ]
            assert all(self.present[path] == before[path] for path in kept)
            assert empty or too_many(paths)

    def check_waiting(self, request: ScanRequest, held: dict[str, str | State]) -> None:
        """What a scan made of pending imports: only what their path or hash allows, and nothing got lost."""
        stored = self.stored_pending()
        arrived = defaultdict(list)
        for number, entry in list(self.expected.pending.items()):
            at_path = held.get(entry.path)
            seen = (entry.sha256, at_path, self.present.get(entry.path))
            fits = [sha for sha in seen if isinstance(sha, str)][:1]
            if entry.sha256 is None and entry.claim is not None:
                fits += [sha for sha in (*SHA256, UNSEEN) if sha.startswith(entry.claim)]
            if number in stored:
                now = stored[number]
                assert now.sha256 == entry.sha256 or now.sha256 in fits
                if now.sha256 is None:
                    self.check_still_waiting(number, entry)
                if now.path != entry.path:  # staged, and moved since
                    assert held[now.path] == entry.sha256
                    assert not os.path.lexists(entry.path)
                self.expected.pending[number] = Waiting(now.path, now.sha256, entry.typed, entry.claim)
            else:
                assert fits
                assert not (request.stage and fits[-1] not in self.expected.models)
                arrived[fits[-1]].append(entry.typed)
                del self.expected.pending[number]
        for number in sorted(stored.keys() - self.expected.pending.keys()):
            entry = stored[number]
            assert held[entry.path] == entry.sha256
            self.expected.pending[number] = Waiting(entry.path, entry.sha256, Typed())
        for sha256, typed in stored_models(self.library).items():
            assert sha256 in self.expected.models or sha256 in arrived or sha256 in self.present.values()
            self.expected.settle(sha256, arrived.pop(sha256, []), typed)
        assert not arrived

    def check_still_waiting(self, number: int, entry: Waiting) -> None:
        """What goes on waiting has no file, or stands behind another that says something of the same one."""
        found = {self.present.get(entry.path)} - {None}
        if entry.claim is not None:
            found |= {sha for sha in self.present.values() if sha.startswith(entry.claim)}
        others = {o.sha256 for n, o in self.stored_pending().items() if o.path == entry.path and n != number}
        assert found <= others

    def root_of(self, path: str) -> Path:
        return self.tree.root(Path(path).relative_to(self.tree.base).parts[0])

    def rows(self) -> dict[str, str]:
        """The present files as the library tells them."""
        rows = self.library.all("SELECT directory, name, sha256 FROM files WHERE missing_since IS NULL")
        present = {os.path.join(directory, name): sha256 for directory, name, sha256 in rows}
        assert len(present) == len(rows)
        return present

    def stored_pending(self) -> dict[int, Waiting]:
        found = {}
        for number in pending.ids(self.library):
            entry = pending.get(self.library, number)
            assert entry is not None
            typed = typed_of(entry, entry.tags, entry.meta_json)
            found[number] = Waiting(entry.path, entry.sha256, typed, entry.claimed_hash)
        return found

    def stored(self) -> dict[str, list[tuple[Any, ...]]]:
        """All that the library holds, but for when each root was last seen."""
        tables = dict(dump(self.library.path))
        return {**tables, "roots": [row[:-1] for row in tables["roots"]]}

    @invariant()
    def check_user_data(self) -> None:
        """Promise 1: what was typed is there, all of it, and on the content that it was typed about."""
        if hasattr(self, "library"):
            assert stored_models(self.library) == self.expected.models
            assert self.stored_pending() == self.expected.pending

    def check_integrity(self) -> None:
        assert self.library.all("PRAGMA foreign_key_check") == []
        assert self.library.all("PRAGMA quick_check") == [("ok",)]
        assert statistics.orphaned_facts(self.library) == 0


def walked(request: ScanRequest, path: str) -> bool:
    return not request.paths or any(path == part or path.startswith(f"{part}/") for part in request.paths)


EXAMPLES = os.environ.get("LIBRARY_MACHINE_EXAMPLES")
TestLibrary = LibraryMachine.TestCase
TestLibrary.settings = settings(
    max_examples=int(EXAMPLES or 60),
    stateful_step_count=30,
    deadline=None,
    derandomize=EXAMPLES is None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
