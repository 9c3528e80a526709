"""Listing what is gone, pruning and forgetting: never a drive that is off, never more than was meant."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.libraries import OTHER, SHA, THIRD, dump, known_file, put_files, put_model, put_pending
from tests.services.shelf import unplug
from tests.tools import write_bytes, write_model

from mlib.core import times
from mlib.core.errors import Refused
from mlib.db import models, pending, statistics
from mlib.services.forgetting import forget, missing, prune
from mlib.services.resolving import Target

if TYPE_CHECKING:
    from tests.services.shelf import Shelf

    from mlib.db.library import Library

DAY = 86_400_000


def lost(library: Library, sha256: str = SHA, *, days: float = 100, path: str = "/m/a") -> None:
    put_model(library, sha256, name=path)
    put_files(library, known_file(path, sha256, missing_since=times.now() - int(days * DAY)))


def test_a_model_is_missing_since_its_last_file_went(library: Library) -> None:
    put_model(library)
    put_files(library, known_file("/m/a", missing_since=5), known_file("/n/b", missing_since=9))
    put_model(library, OTHER)
    put_files(library, known_file("/m/c", OTHER), known_file("/m/d", OTHER, missing_since=1))
    put_model(library, THIRD)
    found = missing(library)
    assert [(each.model.sha256, each.model.since) for each in found] == [(SHA, 9), (THIRD, None)]
    assert [place.path for place in found[0].model.places] == ["/n/b", "/m/a"]


def test_prune_forgets_what_has_been_gone_for_long_enough(library: Library) -> None:
    lost(library, SHA, days=91)
    lost(library, OTHER, days=89, path="/m/b")
    put_model(library, THIRD)
    report = prune(library, 90 * DAY, force=True)
    assert [each.sha256 for each in report.forgotten] == [SHA]
    assert models.all_ids(library) == [OTHER, THIRD]
    assert report.backup is not None
    assert [row[0] for row in dump(report.backup)["models"]] == [SHA, OTHER, THIRD]


def test_nothing_to_prune_makes_no_backup(library: Library) -> None:
    put_model(library)
    assert prune(library, 0) == ((), 0, None, False)


@pytest.mark.parametrize(("present", "refused"), [(8, True), (9, False)])
def test_more_than_a_tenth_of_the_library_is_refused(library: Library, present: int, refused: bool) -> None:
    lost(library)
    for number in range(present):
        put_model(library, f"{number:064}")
    if not refused:
        assert len(prune(library, 0).forgotten) == 1
        return
    before = dump(library.path)
    with pytest.raises(Refused) as raised:
        prune(library, 0)
    assert raised.value.code == "too_many"
    assert dump(library.path) == before
    with library.rehearsal():
        assert prune(library, 0, force=True).too_many
    assert len(prune(library, 0, force=True).forgotten) == 1


def test_a_drive_that_is_off_keeps_its_models(shelf: Shelf) -> None:
    write_model(shelf.loras / "gone.safetensors")
    write_model(shelf.loras / "kept.safetensors")
    shelf.scan()
    (shelf.loras / "gone.safetensors").unlink()
    shelf.scan()
    away = unplug(shelf.loras)
    for empty in (False, True):
        if empty:
            shelf.loras.mkdir()
        report = prune(shelf.library, 0, force=True)
        assert (report.forgotten, report.kept_offline) == ((), 1)
        assert [each.offline for each in missing(shelf.library)] == [True]
    shelf.loras.rmdir()
    away.rename(shelf.loras)
    assert len(prune(shelf.library, 0, force=True).forgotten) == 1


def test_a_dry_run_tells_the_same_and_does_nothing(library: Library) -> None:
    lost(library)
    before = dump(library.path)
    with library.rehearsal():
        rehearsed = prune(library, 0, force=True)
    assert dump(library.path) == before
    done = prune(library, 0, force=True)
    assert rehearsed.forgotten == done.forgotten


def test_what_a_model_leaves_behind_goes_and_what_others_need_stays(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "one.safetensors")
    write_bytes(shelf.loras / "one.cm-info.json", b'{"ModelName":"n","ModelDescription":"d"}')
    other = write_model(shelf.loras / "other.safetensors")
    write_bytes(shelf.loras / "other.cm-info.json", b'{"ModelName":"o","ModelDescription":"e"}')
    shelf.scan()
    report = forget(shelf.library, [Target(sha256=sha256)])
    assert report.forgotten[0].paths == (str(shelf.loras / "one.safetensors"),)
    rows = dump(shelf.library.path)
    for table in ("models", "files", "contents", "headers", "given", "findings", "hashes"):
        assert {value for row in rows[table] for value in row if value in (sha256, other)} <= {other}, table
    assert [row[1] for row in rows["sidecars"]] == ["other.cm-info.json"]
    assert shelf.told()["added"] == 1
    model = models.get(shelf.library, sha256)
    assert model is not None
    assert model.description == "d"


def test_a_conflict_about_a_forgotten_model_is_ready_to_import(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "one.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="mine")
    put_pending(shelf.library, "/m/theirs", sha256=sha256, notes="theirs")
    forget(shelf.library, [Target(sha256=sha256)])
    assert dump(shelf.library.path)["contents"] != []
    from mlib.services.importing.importer import import_pending, list_waiting

    assert [wait.reason for wait in list_waiting(shelf.library)] == ["ready"]
    import_pending(shelf.library)
    assert shelf.user_data(sha256)[0] == {"notes": "theirs"}


def test_a_pending_import_can_be_forgotten(library: Library) -> None:
    put_pending(library, tags_=["a"])
    report = forget(library, [Target(pending_id=1), Target(pending_id=1)])
    assert [(each.pending_id, each.name) for each in report.forgotten] == [(1, "file.safetensors")]
    assert (pending.ids(library), dump(library.path)["tags"]) == ([], [])


def test_forgotten_content_that_waited_leaves_nothing_behind(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors", "same")
    write_model(shelf.loras / "copy.safetensors", "same")
    shelf.scan(stage=True)
    one, other = shelf.waiting()
    forget(shelf.library, [Target(pending_id=one.id)])
    assert shelf.library.one("SELECT sha256 FROM contents") == (sha256,)  # the other still needs it
    forget(shelf.library, [Target(pending_id=other.id)])
    assert statistics.orphaned_facts(shelf.library) == 0
