"""Recording, telling, undoing: what was said since is never overwritten, what was found since stays."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from tests.libraries import (
    BEFORE,
    OTHER,
    SHA,
    dump,
    known_file,
    put_files,
    put_model,
    put_pending,
    recorded_rows,
)
from tests.tools import hint_of, write_model

from mlib.core.errors import NotFound, Refused
from mlib.core.jsontext import Number
from mlib.core.records import Root
from mlib.db import contents, files, history, models, pending, roots, statistics, tags
from mlib.services.cleaning import clean_meta
from mlib.services.forgetting import forget
from mlib.services.history.log_entries import log
from mlib.services.history.undo import undo
from mlib.services.importing.importer import ConflictStrategy, import_pending
from mlib.services.resolving import Target
from mlib.services.root_registry import add_roots
from mlib.services.tagging import rename
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tests.services.shelf import Shelf

    from mlib.db.library import Library

ONE = Target(sha256=SHA)


def edit(library: Library, target: Target = ONE, *, tag: Sequence[str] = (), untag: Sequence[str] = (),
         put: Sequence[str] = (), **text: str) -> None:  # fmt: skip
    with history.recording(library, "update"):
        update(library, [target], parse_edit(text=text, tag=tag, untag=untag, put=put))


def changed(library: Library, entry: int) -> list[tuple[str, Any, Any]]:
    """What the log tells of one entry."""
    (told,) = [told for told in log(library) if told.entry.id == entry]
    return [(change.field, change.before, change.after) for change in told.changes]


def notes(library: Library) -> str:
    model = models.get(library, SHA)
    assert model is not None
    return model.notes


def test_the_log_tells_fields_not_rows(library: Library) -> None:
    put_model(library, tags_=["old"], meta_json='{"a":{"b":1.10},"keep":[]}')
    edit(library, name="mine", tag=["new, er"], untag=["old"], put=["a.b=2", "c.d=x"])
    assert sorted(changed(library, 1), key=repr) == [
        ("meta.a.b", Number("1.10"), Number("2")),
        ("meta.c.d", None, "x"),
        ("name", "file.safetensors", "mine"),
        ("tags", "old", None),
        ("tags", None, "new, er"),
    ]


def test_a_log_of_a_model_tells_only_of_it(library: Library) -> None:
    put_model(library, SHA)
    put_model(library, OTHER)
    edit(library, notes="mine")
    edit(library, Target(sha256=OTHER), notes="other")
    with history.recording(library, "update both"):
        update(library, [ONE, Target(sha256=OTHER)], parse_edit(text={"name": "same"}))
    told = log(library, [ONE])
    assert [(each.entry.id, each.models) for each in told] == [(3, 1), (1, 1)]
    assert {change.sha256 for each in told for change in each.changes} == {SHA}
    assert [each.models for each in log(library, limit=1)] == [2]


def test_what_changes_nothing_is_no_entry(library: Library) -> None:
    put_model(library, notes="mine", tags_=["a"])
    before = dump(library.path)
    edit(library, notes="mine", tag=["A"])
    assert dump(library.path) == before


def test_what_comes_to_nothing_is_no_entry(library: Library) -> None:
    put_model(library, notes="mine")
    with history.recording(library, "to and fro"):
        update(library, [ONE], parse_edit(text={"notes": "other"}, tag=["a"]))
        update(library, [ONE], parse_edit(text={"notes": "mine"}, untag=["a"]))
        with library.transaction():
            library.execute("UPDATE models SET updated_at = ?, edited = 'notes'", [BEFORE])
    assert log(library) == []


def test_what_came_and_went_is_not_told(library: Library) -> None:
    """However many there were: their metadata would stand twice in the history of each import."""
    with history.recording(library, "import --from"):
        ids = [put_pending(library, f"/m/{n}", sha256=f"{n:064x}", meta_json='{"a":1}') for n in range(600)]
        import_pending(library, ids[:-1])
    (told,) = log(library)
    assert (told.models, told.pending) == (599, 1)
    left = library.all("SELECT DISTINCT subject FROM changes WHERE table_name LIKE 'pending%'")
    assert left == [(f"pending:{ids[-1]}",)]
    with history.recording(library, "scan"), library.transaction():
        for pending_id in [put_pending(library, f"/n/{n}", sha256=f"{n:064x}") for n in range(600)]:
            pending.remove(library, pending_id)
    assert [each.entry.id for each in log(library)] == [told.entry.id]


def test_what_went_and_came_is_told_as_what_changed(library: Library) -> None:
    put_model(library, notes="mine")
    with history.recording(library, "x"), library.transaction():
        library.execute("DELETE FROM models")
        put_model(library, notes="other")
    assert changed(library, 1) == [("notes", "mine", "other")]
    undo(library)
    assert notes(library) == "mine"


def test_a_rehearsal_and_a_rollback_leave_no_entry(library: Library) -> None:
    put_model(library)
    with library.rehearsal(), history.recording(library, "x"):
        update(library, [ONE], parse_edit(text={"notes": "mine"}))
    assert (log(library), notes(library)) == ([], "")
    with suppress(KeyError), history.recording(library, "x"), library.transaction():
        update(library, [ONE], parse_edit(text={"notes": "other"}))
        raise KeyError
    assert (log(library), notes(library)) == ([], "")


def test_what_was_done_before_a_failure_is_recorded(library: Library) -> None:
    put_model(library)
    with suppress(KeyError), history.recording(library, "x"):
        update(library, [ONE], parse_edit(text={"notes": "mine"}))
        raise KeyError
    assert changed(library, 1) == [("notes", "", "mine")]
    undo(library)
    assert notes(library) == ""


def test_scans_are_no_entries(shelf: Shelf) -> None:
    write_model(shelf.loras / "one.safetensors")
    shelf.scan()
    assert log(shelf.library) == []


def test_undo_goes_back_step_by_step_and_an_undone_undo_does_it_again(library: Library) -> None:
    put_model(library)
    for word in ("one", "two", "three"):
        edit(library, notes=word)
    undo(library)
    assert notes(library) == "two"
    undo(library)
    assert notes(library) == "one"
    undo(library, 5)  # the undo of the second
    assert notes(library) == "two"
    assert [(each.entry.id, each.entry.undone) for each in log(library)][3:] == [
        (3, True),
        (2, False),
        (1, False),
    ]
    undo(library)
    undo(library)
    assert notes(library) == ""
    with pytest.raises(NotFound) as raised:
        undo(library)
    assert raised.value.code == "nothing_to_undo"


def test_one_thing_can_be_undone_beneath_another(library: Library) -> None:
    put_model(library)
    edit(library, notes="mine", tag=["a"])
    edit(library, name="called", tag=["b"])
    undo(library, 1)
    model = models.get(library, SHA)
    assert model is not None
    assert (model.notes, model.name, sorted(model.edited)) == ("", "called", ["name", "tags"])
    assert tags.of_model(library, SHA) == ("b",)


def test_what_was_typed_since_is_not_overwritten_and_the_later_entry_is_named(library: Library) -> None:
    put_model(library)
    edit(library, notes="first")
    edit(library, notes="second")
    before = dump(library.path)
    with pytest.raises(Refused) as raised:
        undo(library, 1)
    assert (raised.value.code, hint_of(raised.value)) == ("changed_since", "`mlib undo 2` first")
    assert dump(library.path) == before


def test_twice_is_refused(library: Library) -> None:
    put_model(library)
    edit(library, notes="x")
    undo(library)
    undo(library, 2)
    undo(library, 3)
    with pytest.raises(Refused) as raised:
        undo(library, 1)
    assert (raised.value.code, hint_of(raised.value)) == (
        "already_undone",
        "`mlib undo 2` does it again",
    )


def test_an_entry_that_left_nothing_to_take_back_is_undone_once_too(library: Library) -> None:
    put_model(library, SHA, tags_=["style"])
    for old, new in (("style", "Style"), ("Style", "style")):
        with history.recording(library, "tags rename"):
            rename(library, old, new)
    with library.rehearsal():
        undo(library, 1)
    undo(library, 1)
    assert tags.of_model(library, SHA) == ("style",)
    with pytest.raises(Refused) as raised:
        undo(library, 1)
    assert (raised.value.code, hint_of(raised.value)) == ("already_undone", "`mlib undo 3` does it again")


def test_an_unknown_entry_is_not_found(library: Library) -> None:
    with pytest.raises(NotFound) as raised:
        undo(library, 7)
    assert raised.value.code == "no_such_entry"


def test_facts_that_changed_since_are_no_obstacle(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "one.safetensors")
    shelf.scan()
    edit(shelf.library, Target(sha256=sha256), name="called", notes="mine")
    edit(shelf.library, Target(sha256=sha256), name="")
    (shelf.loras / "one.safetensors").rename(shelf.loras / "two.safetensors")
    shelf.scan()
    assert shelf.name_and_type(sha256) == ("two.safetensors", "loras")
    undo(shelf.library)
    assert shelf.name_and_type(sha256) == ("called", "loras")
    undo(shelf.library)
    assert shelf.user_data(sha256) == ({}, (), None)
    assert list(shelf.places(sha256)) == [str(shelf.loras / "two.safetensors")]


def test_cleaned_metadata_is_not_brought_back_by_halves(library: Library) -> None:
    put_model(library)
    edit(library, put=["a=1"])
    with library.transaction():
        models.put_meta(library, SHA, '{"a":1,"images":["data:image/png;base64,iVBORw0KGgoAAAANSUhEUg"]}')
    clean_meta(library)
    with pytest.raises(Refused) as raised:
        undo(library)
    assert raised.value.code == "cleaning_is_not_undone"
    with pytest.raises(Refused) as raised:
        undo(library, 1)
    assert raised.value.code == "changed_since"
    assert "clean-meta" in hint_of(raised.value)


def test_an_undone_forget_brings_all_of_a_model_back(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "one.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="mine", tag=("a",), put=("k=1",))
    before = recorded_rows(shelf.library)
    with history.recording(shelf.library, "forget"):
        forget(shelf.library, [Target(sha256=sha256)])
    gone = recorded_rows(shelf.library)
    for table in ("models", "files", "contents", "headers", "model_meta", "model_tags", "tags", "given"):
        assert gone[table] == [], table
    undo(shelf.library)
    assert recorded_rows(shelf.library) == before
    assert contents.header(shelf.library, sha256) is not None
    assert shelf.told() == {"unchanged": 1}


def test_a_forgotten_model_that_was_found_again_gets_back_what_was_said(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "one.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="mine", tag=("a",), put=("k=1",))
    said = shelf.user_data(sha256)
    with history.recording(shelf.library, "forget"):
        forget(shelf.library, [Target(sha256=sha256)])
    (shelf.loras / "one.safetensors").rename(shelf.loras / "two.safetensors")
    assert shelf.told()["added"] == 1
    undo(shelf.library)
    assert shelf.user_data(sha256) == said
    assert shelf.name_and_type(sha256)[0] == "two.safetensors"
    assert shelf.places(sha256)[str(shelf.loras / "two.safetensors")]
    assert shelf.told(rehash=True).get("problems") is None


def test_a_forgotten_model_that_was_described_anew_is_left_alone(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "one.safetensors")
    shelf.scan()
    shelf.edit(sha256, notes="mine")
    with history.recording(shelf.library, "forget"):
        forget(shelf.library, [Target(sha256=sha256)])
    shelf.scan()
    edit(shelf.library, Target(sha256=sha256), notes="anew")
    with pytest.raises(Refused) as raised:
        undo(shelf.library, 1)
    assert hint_of(raised.value) == "`mlib undo 2` first"
    assert shelf.user_data(sha256)[0] == {"notes": "anew"}


def test_an_undone_import_takes_what_scans_have_found_of_its_models_with_it(shelf: Shelf) -> None:
    sha256 = write_model(shelf.loras / "a.safetensors")
    with history.recording(shelf.library, "import --from"):
        put_pending(shelf.library, "/elsewhere/a.safetensors", sha256=sha256)
        import_pending(shelf.library)
    shelf.scan()
    undo(shelf.library)
    assert models.all_ids(shelf.library) == []
    assert statistics.orphaned_facts(shelf.library) == 0


def test_an_undone_import_waits_again_though_a_scan_has_seen_its_file_move(shelf: Shelf) -> None:
    write_model(shelf.loras / "one.safetensors")
    shelf.scan(stage=True)
    with history.recording(shelf.library, "import"):
        import_pending(shelf.library)
    (shelf.loras / "one.safetensors").rename(shelf.loras / "two.safetensors")
    shelf.scan()
    undo(shelf.library)
    assert models.all_ids(shelf.library) == []
    assert [entry.name for entry in shelf.waiting()] == ["one.safetensors"]
    shelf.scan()
    assert shelf.at(shelf.loras / "two.safetensors") is not None


@pytest.mark.parametrize("strategy", list(ConflictStrategy))
def test_an_import_is_undone_exactly(library: Library, strategy: ConflictStrategy) -> None:
    put_model(library, notes="mine", tags_=["a"], meta_json='{"k":1}')
    put_pending(library, seen=True, notes="theirs", tags_=["b"], meta_json='{"k":2,"l":3}')
    put_pending(library, "/m/new", sha256=OTHER, seen=True, notes="new")
    before = recorded_rows(library)
    with history.recording(library, "import"):
        import_pending(library, strategy=strategy, keep_backup=False)
    undo(library)
    assert recorded_rows(library) == before


def test_a_model_that_was_tagged_since_its_import_is_not_removed(library: Library) -> None:
    put_pending(library, seen=True)
    with history.recording(library, "import"):
        import_pending(library)
    edit(library, tag=["mine"])
    with pytest.raises(Refused) as raised:
        undo(library, 1)
    assert hint_of(raised.value) == "`mlib undo 2` first"


@pytest.mark.parametrize("added", [{"tag": ["mine"]}, {"put": ["k=1"]}])
def test_a_model_that_came_with_tags_and_metadata_is_not_removed_with_others(
    library: Library, added: dict[str, Sequence[str]]
) -> None:
    put_pending(library, seen=True, tags_=["theirs"], meta_json='{"k":0,"l":0}')
    with history.recording(library, "import"):
        import_pending(library)
    edit(library, tag=added.get("tag", ()), put=added.get("put", ()))
    with pytest.raises(Refused):
        undo(library, 1)
    assert models.get(library, SHA) is not None


def test_names_that_are_no_text_come_back_as_they_were(library: Library) -> None:
    put_model(library)
    row = known_file("/m/\udcff\udc80", missing_since=5)
    put_files(library, row)
    with history.recording(library, "forget"):
        forget(library, [ONE])
    undo(library)
    assert files.of_model(library, SHA) == [row]


def test_a_file_that_others_replaced_comes_back_as_missing(library: Library) -> None:
    put_model(library)
    put_files(library, known_file("/m/a"))
    with history.recording(library, "forget"):
        forget(library, [ONE])
    put_model(library, OTHER)
    put_files(library, known_file("/m/a", OTHER))
    undo(library)
    (mine,) = files.of_model(library, SHA)
    assert mine.missing_since is not None


def test_a_tag_that_was_renamed_keeps_what_got_the_new_name_since(library: Library) -> None:
    put_model(library, SHA, tags_=["old"])
    put_model(library, OTHER)
    with history.recording(library, "tags rename"):
        rename(library, "old", "new")
    edit(library, Target(sha256=OTHER), tag=["new"])
    undo(library, 1)
    assert (tags.of_model(library, SHA), tags.of_model(library, OTHER)) == (("old",), ("new",))


def test_a_root_with_files_found_since_is_not_forgotten(library: Library, tmp_path: Path) -> None:
    with history.recording(library, "roots add"):
        add_roots(library, [f"loras={tmp_path}"])
    (root,) = roots.all_roots(library)
    put_model(library)
    put_files(library, known_file(f"{tmp_path}/a", root_id=root.id))
    with pytest.raises(Refused) as raised:
        undo(library)
    assert raised.value.code == "changed_since"
    assert roots.all_roots(library) == [root]


def test_another_type_of_a_root_is_told_and_taken_back(library: Library, tmp_path: Path) -> None:
    add_roots(library, [f"loras={tmp_path}"])
    with history.recording(library, "roots add"):
        add_roots(library, [f"vae={tmp_path}"])
    (change,) = undo(library).changes
    assert change == (None, None, str(tmp_path), "type", "vae", "loras")
    assert [root.type for root in roots.all_roots(library)] == ["loras"]


def test_a_root_that_was_remembered_anew_is_not_remembered_twice(library: Library, tmp_path: Path) -> None:
    with library.transaction():
        roots.remember(library, [Root("loras", str(tmp_path), "user")])
    with history.recording(library, "x"), library.transaction():
        roots.forget(library, 1)
    with library.transaction():
        roots.remember(library, [Root("vae", "/elsewhere", "user"), Root("loras", str(tmp_path), "user")])
    undo(library)
    assert [(root.type, root.path) for root in roots.all_roots(library)] == [
        ("vae", "/elsewhere"),
        ("loras", str(tmp_path)),
    ]


def test_the_history_does_not_grow_for_ever(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    put_model(library)
    monkeypatch.setattr(history, "KEPT_ENTRIES", 3)
    for number in range(5):
        edit(library, notes=str(number))
    assert len(log(library)) == 5  # none is old enough
    with library.transaction():
        library.execute("UPDATE entries SET at = 5 WHERE id <> 4")
    edit(library, notes="last")
    assert [told.entry.id for told in log(library)] == [6, 5, 4, 3]
    assert library.all("SELECT count(*) FROM changes WHERE entry_id < 3") == [(0,)]


def test_a_staged_entry_that_came_anew_makes_room(library: Library) -> None:
    put_pending(library, seen=True, notes="mine")
    with history.recording(library, "forget"):
        forget(library, [Target(pending_id=1)])
    put_pending(library, seen=True)
    undo(library)
    assert pending.ids(library) == [1]
    with history.recording(library, "forget"):
        forget(library, [Target(pending_id=1)])
    put_pending(library, notes="anew")
    with pytest.raises(Refused):
        undo(library)
