"""The work of a bulk command grows with the models it is about, not with their square: counted, not timed."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import pytest
from tests.libraries import BEFORE, known_file, put_pending, scan_roots
from tests.tools import set_age, write_model

from mlib.core.records import Model, Root
from mlib.core.tag_spelling import distinct
from mlib.db import files, history, models, roots, tags
from mlib.db.library import open_library
from mlib.services.forgetting import forget
from mlib.services.history.log_entries import log
from mlib.services.history.undo import undo
from mlib.services.importing.importer import import_pending, list_waiting
from mlib.services.listing import find
from mlib.services.root_registry import remove_root
from mlib.services.tagging import rename
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from mlib.db.library import Library
    from mlib.services.resolving import Target

#: Instructions of SQLite's machine between two calls back.
EVERY = 20
FEW, MANY = 60, 480
FEW_FILES, MANY_FILES = 25, 200


def grown(path: Path, count: int) -> Library:
    """A library with so many models, each with a file, a tag and metadata."""
    library = open_library(str(path), mode="create")
    shas = [f"{number:064x}" for number in range(1, count + 1)]
    with library.transaction():
        roots.remember(library, [Root(type="loras", path="/m", origin="user")])
        models.put(
            library,
            [
                Model(
                    sha256=sha,
                    name=f"{sha[-6:]}.safetensors",
                    type="loras",
                    created_at=BEFORE,
                    updated_at=BEFORE,
                )
                for sha in shas
            ],
        )
        files.put(
            library, [known_file(f"/m/{sha[-6:]}.safetensors", sha)._replace(root_id=1) for sha in shas]
        )
        for sha in shas:
            tags.set_of_model(library, sha, distinct(["first"]))
            models.put_meta(library, sha, '{"a": 1}')
    return library


def counted(library: Library, work: Callable[..., object], *given: Any) -> int:
    """How many instructions SQLite's machine ran for this."""
    calls = [0]

    def called() -> int:
        calls[0] += 1
        return 0

    library._connection.set_progress_handler(called, EVERY)
    try:
        work(library, *given)
    finally:
        library._connection.set_progress_handler(None, 0)
    return calls[0] * EVERY


def everyone(library: Library) -> list[Target]:
    return find(library, "type:*")


def edit(library: Library) -> None:
    with history.recording(library, "update"):
        update(
            library,
            everyone(library),
            parse_edit(text={"notes": "n"}, tag=["second"], untag=["first"], put=["b=2"]),
        )


def untag(library: Library) -> None:
    with history.recording(library, "update"):
        update(library, everyone(library), parse_edit(text={}, untag=["first"]))


def set_meta(library: Library) -> None:
    with history.recording(library, "update"):
        update(library, everyone(library), parse_edit(text={}, put=["c.d=2"]))


def rename_tag(library: Library) -> None:
    with history.recording(library, "tags rename"):
        rename(library, "first", "other")


def mark_all_missing(library: Library) -> None:
    with library.transaction():
        files.mark_missing(library, files.in_root(library, 1), BEFORE)


def forget_all(library: Library) -> None:
    mark_all_missing(library)
    with history.recording(library, "forget"):
        forget(library, everyone(library))


def drop_root(library: Library) -> None:
    with history.recording(library, "roots remove"):
        remove_root(library, "/m")


BULK = [edit, untag, set_meta, rename_tag, forget_all, drop_root]


@pytest.mark.parametrize("work", BULK, ids=lambda work: work.__name__)
def test_doing_taking_back_and_telling_are_linear(tmp_path: Path, work: Callable[[Library], None]) -> None:
    steps: defaultdict[str, list[int]] = defaultdict(list)
    for count in (FEW, MANY):
        with grown(tmp_path / f"{count}.db", count) as library:
            targets = everyone(library)
            steps["do"].append(counted(library, work))
            steps["log"].append(counted(library, log))
            steps["log of each"].append(counted(library, log, targets))
            steps["undo"].append(counted(library, undo))
            undone = next(history.entries(library)).id
            steps["redo"].append(counted(library, undo, undone))
    for name, (few, many) in steps.items():
        assert many < few * (MANY / FEW) * 1.5, f"{name}: {few:,} steps for {FEW} models, {many:,} for {MANY}"


def test_a_later_edit_makes_taking_back_no_slower(tmp_path: Path) -> None:
    """A tag given later is looked for in the history of each model."""
    found = []
    for count in (FEW, MANY):
        with grown(tmp_path / f"{count}.db", count) as library:
            with history.recording(library, "update"):
                update(library, everyone(library), parse_edit(text={}, tag=["second"]))
            with history.recording(library, "update"):
                update(library, everyone(library), parse_edit(text={}, tag=["third"]))
            first = list(history.entries(library))[-1].id
            found.append(counted(library, undo, first))
    assert found[1] < found[0] * (MANY / FEW) * 1.5


def test_scans_and_forgetting_are_linear(tmp_path: Path) -> None:
    """One folder, a sidecar beside every model: found, found again, found elsewhere, gone, forgotten."""
    steps: defaultdict[str, list[int]] = defaultdict(list)
    for count in (FEW_FILES, MANY_FILES):
        folder, moved = tmp_path / f"{count}", tmp_path / f"{count}-moved"
        for number in range(count):
            write_model(folder / f"{number:04}.safetensors", f"{count}-{number}")
            said = f'{{"activation text": "word{number}", "notes": "note {number}"}}'
            (folder / f"{number:04}.json").write_text(said)
            set_age(folder / f"{number:04}.json", 3600)
        with open_library(str(tmp_path / f"{count}.db"), mode="create") as library:
            steps["scan"].append(counted(library, scan_roots, f"loras={folder}"))
            steps["scan again"].append(counted(library, scan_roots, f"loras={folder}"))
            steps["search"].append(counted(library, find, "trigger:word1"))
            folder.rename(moved)
            steps["scan moved"].append(counted(library, scan_roots, f"loras={moved}"))
            targets = everyone(library)
            assert len(targets) == count
            steps["forget"].append(counted(library, forget, targets))
            assert not everyone(library)
    for name, (few, many) in steps.items():
        limit = (few + 3_000) * (MANY_FILES / FEW_FILES) * 1.5
        assert many < limit, f"{name}: {few:,} steps for {FEW_FILES} models, {many:,} for {MANY_FILES}"


def test_imports_are_linear(tmp_path: Path) -> None:
    """What waits becomes models, all with tags; listing what waits, and taking it back."""
    steps: defaultdict[str, list[int]] = defaultdict(list)
    for count in (FEW, MANY):
        with open_library(str(tmp_path / f"{count}.db"), mode="create") as library:
            for number in range(1, count + 1):
                put_pending(library, f"/m/{number}.safetensors", sha256=f"{number:064x}", seen=True,
                            tags_=["all", f"tag {number}"], notes="typed")  # fmt: skip

            def take(opened: Library) -> None:
                with history.recording(opened, "import"):
                    import_pending(opened, keep_backup=False)

            steps["waiting"].append(counted(library, list_waiting))
            steps["import"].append(counted(library, take))
            steps["undo"].append(counted(library, undo))
            assert not everyone(library)
    for name, (few, many) in steps.items():
        limit = few * (MANY / FEW) * 1.5
        assert many < limit, f"{name}: {few:,} steps for {FEW} pending imports, {many:,} for {MANY}"
