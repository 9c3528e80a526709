"""Making models of pending imports: the strategies, field by field, and what one batch may never do."""

from __future__ import annotations

import json
import os
from contextlib import closing
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.libraries import BEFORE, OTHER, SHA, THIRD, dump, put_model, put_pending

from mlib.core.errors import MlibError, NotFound
from mlib.core.tag_spelling import distinct
from mlib.db import files, models, pending, tags
from mlib.db.library import open_library
from mlib.services.importing.importer import (
    ConflictStrategy,
    UserData,
    differences,
    import_pending,
    merge_user_data,
    override_user_data,
    resolve_conflict,
)

if TYPE_CHECKING:
    from mlib.db.library import Library

REPORT, OVERRIDE, MERGE, IGNORE, DELETE = ConflictStrategy
every_strategy = pytest.mark.parametrize("strategy", list(ConflictStrategy))

#: For each thing a person can say: what the model says, and what the pending import says.
SAYINGS: dict[str, tuple[Any, Any]] = {
    "name": ("mine", "theirs"),
    "type": ("vae", "checkpoints"),
    "base_model": ("SDXL 1.0", "Flux.1 dev"),
    "description": ("my words", "their words"),
    "notes": ("my notes", "their notes"),
    "tags": (["mine"], ["theirs"]),
    "meta": ({"key": "mine"}, {"key": "theirs"}),
}
every_field = pytest.mark.parametrize("field", list(SAYINGS))


def said(field: str, value: Any) -> dict[str, Any]:
    """Keyword arguments by which put_model and put_pending say this."""
    if field == "tags":
        return {"tags_": value}
    return {"meta_json": json.dumps(value)} if field == "meta" else {field: value}


def holds(library: Library, field: str, sha256: str = SHA) -> Any:
    """What the model says now."""
    if field == "tags":
        return list(tags.of_model(library, sha256))
    if field == "meta":
        return json.loads(models.meta(library, sha256) or "{}")
    return getattr(models.get(library, sha256), field)


class TestStrategies:
    """The model is known with other user data."""

    @every_field
    def test_report_leaves_both_and_lists_the_conflict(self, library: Library, field: str) -> None:
        mine, theirs = SAYINGS[field]
        put_model(library, **said(field, mine))
        pending_id = put_pending(library, **said(field, theirs))
        before = dump(library.path)
        (conflict,) = import_pending(library).conflict
        assert (conflict.id, conflict.sha256) == (pending_id, SHA)
        assert conflict.differs == (("meta.key",) if field == "meta" else (field,))
        assert dump(library.path) == before

    @every_field
    def test_override_lets_the_import_win(self, library: Library, field: str) -> None:
        mine, theirs = SAYINGS[field]
        put_model(library, **said(field, mine))
        put_pending(library, **said(field, theirs))
        (done,) = import_pending(library, strategy=OVERRIDE).success
        assert done.change == "updated"
        assert holds(library, field) == theirs
        assert pending.ids(library) == []

    @every_field
    def test_merge_keeps_what_the_model_says_and_unites_the_tags(self, library: Library, field: str) -> None:
        mine, theirs = SAYINGS[field]
        put_model(library, **said(field, mine))
        put_pending(library, **said(field, theirs))
        assert len(import_pending(library, strategy=MERGE).success) == 1
        assert holds(library, field) == ([*mine, *theirs] if field == "tags" else mine)
        assert pending.ids(library) == []

    @every_field
    def test_merge_fills_what_is_empty(self, library: Library, field: str) -> None:
        other = "notes" if field != "notes" else "description"
        put_model(library, **said(other, "mine"))
        put_pending(library, **said(field, SAYINGS[field][1]))
        (done,) = import_pending(library, strategy=MERGE).success
        assert done.change == "updated"
        assert holds(library, field) == SAYINGS[field][1]
        assert holds(library, other) == "mine"

    @every_field
    def test_ignore_leaves_both(self, library: Library, field: str) -> None:
        mine, theirs = SAYINGS[field]
        put_model(library, **said(field, mine))
        pending_id = put_pending(library, **said(field, theirs))
        before = dump(library.path)
        report = import_pending(library, strategy=IGNORE)
        assert report.ignored == [pending_id]
        assert dump(library.path) == before

    @every_field
    def test_ignore_leaves_a_model_of_which_nothing_is_said(self, library: Library, field: str) -> None:
        put_model(library)
        pending_id = put_pending(library, **said(field, SAYINGS[field][1]))
        before = dump(library.path)
        assert import_pending(library, strategy=IGNORE).ignored == [pending_id]
        assert dump(library.path) == before

    @every_field
    def test_delete_drops_the_import_and_leaves_the_model(self, library: Library, field: str) -> None:
        mine, theirs = SAYINGS[field]
        put_model(library, **said(field, mine))
        pending_id = put_pending(library, **said(field, theirs))
        report = import_pending(library, strategy=DELETE)
        assert report.deleted == [pending_id]
        assert holds(library, field) == mine
        assert pending.ids(library) == []

    @every_strategy
    @every_field
    def test_empty_never_overwrites(self, library: Library, field: str, strategy: ConflictStrategy) -> None:
        """Promise 1: what the import has nothing to say about stays, whatever the strategy."""
        mine = SAYINGS[field][0]
        put_model(library, **said(field, mine))
        put_pending(library, **said(field, {} if field == "meta" else [] if field == "tags" else ""))
        (done,) = import_pending(library, strategy=strategy).success
        assert done.change == "unchanged"
        assert holds(library, field) == mine

    def test_override_keeps_the_fields_the_import_is_silent_about(self, library: Library) -> None:
        put_model(library, notes="mine", tags_=["kept"], meta_json='{"a":{"b":1},"c":2}')
        put_pending(library, description="theirs", meta_json='{"a":{"d":""},"c":3}')
        import_pending(library, strategy=OVERRIDE)
        assert holds(library, "notes") == "mine"
        assert holds(library, "description") == "theirs"
        assert holds(library, "tags") == ["kept"]
        assert holds(library, "meta") == {"a": {"b": 1}, "c": 3}

    def test_merge_fills_metadata_leaf_by_leaf(self, library: Library) -> None:
        put_model(library, meta_json='{"prompts":{"positive":"mine","negative":""}}')
        put_pending(library, meta_json='{"prompts":{"positive":"theirs","negative":"blurry"},"seed":7}')
        import_pending(library, strategy=MERGE)
        assert holds(library, "meta") == {"prompts": {"positive": "mine", "negative": "blurry"}, "seed": 7}

    def test_tags_are_one_whatever_their_case_and_the_models_spelling_stays(self, library: Library) -> None:
        put_model(library, tags_=["Flux"])
        put_pending(library, tags_=["FLUX", "new"])
        import_pending(library, strategy=MERGE)
        assert holds(library, "tags") == ["Flux", "new"]


class TestNoConflict:
    @every_strategy
    def test_an_unknown_model_is_created_with_all_that_was_said(
        self, library: Library, strategy: ConflictStrategy
    ) -> None:
        words: dict[str, Any] = {}
        for field, (_, theirs) in SAYINGS.items():
            words |= said(field, theirs)
        pending_id = put_pending(library, **words)
        (done,) = import_pending(library, strategy=strategy).success
        assert (done.id, done.sha256, done.change) == (pending_id, SHA, "created")
        assert {field: holds(library, field) for field in SAYINGS} == {f: SAYINGS[f][1] for f in SAYINGS}
        assert pending.ids(library) == []

    @pytest.mark.parametrize("strategy", [each for each in ConflictStrategy if each is not IGNORE])
    @every_field
    def test_a_model_nobody_said_anything_about_adopts_the_words(
        self, library: Library, field: str, strategy: ConflictStrategy
    ) -> None:
        put_model(library)
        put_pending(library, **said(field, SAYINGS[field][1]))
        (done,) = import_pending(library, strategy=strategy).success
        assert done.change == "updated"
        assert holds(library, field) == SAYINGS[field][1]

    @every_strategy
    def test_a_second_copy_is_just_another_file(self, library: Library, strategy: ConflictStrategy) -> None:
        put_model(library, notes="mine", tags_=["kept"])
        put_pending(library, "/m/copy.safetensors", seen=True)
        (done,) = import_pending(library, strategy=strategy).success
        assert done.change == "unchanged"
        assert [row.path for row in files.of_model(library, SHA)] == ["/m/copy.safetensors"]
        model = models.get(library, SHA)
        assert model is not None
        assert (model.name, model.notes, model.updated_at) == ("file.safetensors", "mine", BEFORE)

    @every_strategy
    def test_the_same_words_again_are_no_conflict(self, library: Library, strategy: ConflictStrategy) -> None:
        put_model(library, notes="same", tags_=["One"], meta_json='{"n":1.10}')
        put_pending(library, notes="same", tags_=["one"], meta_json='{"n":1.1}')
        (done,) = import_pending(library, strategy=strategy).success
        assert done.change == "unchanged"

    def test_a_name_taken_from_the_file_is_no_users_word(self, library: Library) -> None:
        """The import's name was read off its path: it does not contend with the one that was typed."""
        put_model(library, name="typed")
        put_pending(library, "/m/other-name.safetensors")
        assert import_pending(library, strategy=OVERRIDE).success[0].change == "unchanged"
        assert holds(library, "name") == "typed"


class TestFiles:
    @every_strategy
    def test_a_path_whose_bytes_were_read_is_a_file_of_the_model(
        self, library: Library, strategy: ConflictStrategy
    ) -> None:
        put_model(library, notes="mine")
        put_pending(library, "/m/seen.safetensors", seen=True, notes="theirs")
        import_pending(library, strategy=strategy)
        (row,) = files.of_model(library, SHA)
        assert (row.path, row.missing_since) == ("/m/seen.safetensors", None)

    @every_strategy
    def test_a_path_only_an_older_manager_vouches_for_is_never_present(
        self, library: Library, strategy: ConflictStrategy
    ) -> None:
        put_model(library, notes="mine")
        put_pending(library, "C:\\models\\claimed.safetensors", notes="theirs")
        import_pending(library, strategy=strategy)
        assert all(row.missing_since is not None for row in files.of_model(library, SHA))

    def test_a_path_that_held_other_content_holds_it_no_more(self, library: Library) -> None:
        """Promise 4: one path is one model, the older one stays and is missing there."""
        put_pending(library, "/m/one.safetensors", sha256=OTHER, seen=True)
        import_pending(library)
        put_pending(library, "/m/one.safetensors", sha256=SHA, seen=True)
        import_pending(library)
        here = {row.sha256: row.missing_since for row in files.at_path(library, "/m/one.safetensors")}
        assert here[SHA] is None
        assert here[OTHER] is not None

    def test_without_a_hash_it_waits(self, library: Library) -> None:
        pending_id = put_pending(library, sha256=None, notes="mine")
        before = dump(library.path)
        report = import_pending(library)
        assert [entry.id for entry in report.waiting] == [pending_id]
        assert dump(library.path) == before


class TestBatch:
    @pytest.mark.parametrize("meta_json", ["[1]", '"text"', "{broken", "[" * 5000])
    def test_one_bad_row_is_one_entry_in_failed(self, library: Library, meta_json: str) -> None:
        first = put_pending(library, "/m/1", sha256=SHA)
        bad = put_pending(library, "/m/2", sha256=OTHER, meta_json=meta_json)
        last = put_pending(library, "/m/3", sha256=THIRD)
        report = import_pending(library)
        assert [(entry.id, entry.path) for entry in report.failed] == [(bad, "/m/2")]
        assert [entry.id for entry in report.success] == [first, last]
        assert pending.ids(library) == [bad]

    def test_every_entry_is_in_one_list_and_counted_once(self, library: Library) -> None:
        put_model(library, notes="mine")
        put_pending(library, "/m/conflict", notes="theirs")
        put_pending(library, "/m/copy", seen=True)
        put_pending(library, "/m/new", sha256=OTHER)
        put_pending(library, "/m/waits", sha256=None)
        put_pending(library, "/m/bad", sha256=THIRD, meta_json="[]")
        report = import_pending(library)
        assert [len(report.conflict), len(report.waiting), len(report.failed)] == [1, 1, 1]
        assert [entry.change for entry in report.success] == ["unchanged", "created"]
        assert report.total == 5

    def test_only_the_ids_asked_for_and_each_once(self, library: Library) -> None:
        first, second = put_pending(library, "/m/1"), put_pending(library, "/m/2", sha256=OTHER)
        assert import_pending(library, [second, second]).total == 1
        assert pending.ids(library) == [first]

    @every_strategy
    def test_an_unknown_id_stops_everything_before_it_begins(
        self, library: Library, strategy: ConflictStrategy
    ) -> None:
        known = put_pending(library)
        before = dump(library.path)
        with pytest.raises(NotFound, match="there is no pending import 99"):
            import_pending(library, [known, 99], strategy=strategy)
        assert dump(library.path) == before
        assert not os.path.exists(os.path.join(os.path.dirname(library.path), "backups"))

    @every_strategy
    def test_again_changes_nothing(self, library: Library, strategy: ConflictStrategy) -> None:
        put_model(library, notes="mine", tags_=["a"])
        put_pending(library, "/m/1", notes="theirs", tags_=["b"], seen=True)
        put_pending(library, "/m/2", sha256=OTHER, description="new", seen=True)
        put_pending(library, "/m/3", sha256=None)
        import_pending(library, strategy=strategy)
        before = dump(library.path)
        again = import_pending(library, strategy=strategy)
        assert not again.success
        assert not again.deleted
        assert dump(library.path) == before

    def test_two_entries_of_one_model_that_disagree_are_a_conflict(self, library: Library) -> None:
        first = put_pending(library, "/m/1", notes="one")
        second = put_pending(library, "/m/2", notes="two")
        report = import_pending(library)
        assert [entry.id for entry in report.success] == [first]
        assert [entry.id for entry in report.conflict] == [second]
        assert holds(library, "notes") == "one"

    def test_image_payloads_are_left_behind(self, library: Library) -> None:
        put_pending(library, meta_json='{"images":["/media/1.png"],"seed":12345678901234567890,"cfg":1.10}')
        import_pending(library)
        assert models.meta(library, SHA) == '{"images_count":1,"seed":12345678901234567890,"cfg":1.10}'

    @pytest.mark.parametrize("strategy", [OVERRIDE, DELETE])
    def test_what_can_lose_words_makes_a_backup_first(
        self, library: Library, strategy: ConflictStrategy
    ) -> None:
        put_model(library, notes="mine")
        put_pending(library, notes="theirs")
        before = dump(library.path)
        backup = import_pending(library, strategy=strategy).backup
        assert backup is not None
        assert dump(backup) == before

    @pytest.mark.parametrize("strategy", [REPORT, MERGE, IGNORE])
    def test_what_loses_nothing_makes_none(self, library: Library, strategy: ConflictStrategy) -> None:
        put_model(library, notes="mine")
        put_pending(library, notes="theirs")
        assert import_pending(library, strategy=strategy).backup is None

    def test_with_nothing_pending_there_is_nothing_to_back_up(self, library: Library) -> None:
        assert import_pending(library, strategy=DELETE).backup is None

    @every_strategy
    def test_a_failure_leaves_nothing_half_done(self, library: Library, strategy: ConflictStrategy) -> None:
        """Promise 1: a row is wholly imported or wholly pending, and so is all of its batch."""
        put_model(library, notes="mine", tags_=["kept"])
        put_pending(library, "/m/1", notes="theirs", tags_=["new"], seen=True)
        put_pending(library, "/m/2", sha256=OTHER, tags_=["newer"], seen=True)
        put_pending(library, "/m/3", sha256=THIRD)
        with library.transaction():
            library.execute(
                f"CREATE TRIGGER no_third BEFORE INSERT ON models WHEN NEW.sha256 = '{THIRD}'"
                " BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        before = dump(library.path)
        with pytest.raises(MlibError, match="no room"):
            import_pending(library, strategy=strategy)
        assert dump(library.path) == before

    def test_batches_that_were_finished_are_kept(self, library: Library) -> None:
        """Promise 11: what was committed before a failure stays, the rest is done by the next run."""
        with library.transaction():
            ids = [put_pending(library, f"/m/{n}", sha256=f"{n:064x}") for n in range(250)]
            library.execute(
                f"CREATE TRIGGER no_last BEFORE INSERT ON models WHEN NEW.sha256 = '{249:064x}'"
                " BEGIN SELECT RAISE(ABORT, 'no room'); END"
            )
        with pytest.raises(MlibError, match="no room"):
            import_pending(library)
        assert pending.ids(library) == ids[200:]
        with library.transaction():
            library.execute("DROP TRIGGER no_last")
        assert len(import_pending(library).success) == 50
        with closing(open_library(library.path, mode="read")) as opened:
            assert opened.one("SELECT count(*) FROM models") == (250,)


words = st.dictionaries(st.sampled_from(["name", "type", "notes"]), st.sampled_from("abc"), max_size=3)
labels = st.lists(st.sampled_from(["x", "X", "y", "straße", "STRASSE"]), max_size=3).map(distinct)
leaves: st.SearchStrategy[Any] = st.sampled_from(["", None, "a", "b", False])
trees = st.recursive(leaves, lambda inner: st.dictionaries(st.sampled_from("pqr"), inner, max_size=3))
user_data = st.builds(
    UserData, text=words, tags=labels, meta=st.dictionaries(st.sampled_from("pqr"), trees, max_size=3)
)


class TestResolvers:
    """The strategies as pure functions; promise 1 is that nothing non-empty becomes empty."""

    @given(user_data, user_data)
    def test_nothing_said_is_ever_emptied(self, existing: UserData, incoming: UserData) -> None:
        for strategy in ConflictStrategy:
            result = resolve_conflict(existing, incoming, strategy)
            if result is not None:
                assert result.text.keys() >= existing.text.keys()
                assert bool(result.tags) >= bool(existing.tags)
                assert bool(result) >= bool(existing)

    @given(user_data, user_data)
    def test_merge_only_adds(self, existing: UserData, incoming: UserData) -> None:
        result = merge_user_data(existing, incoming)
        assert not differences(result, existing)
        assert result.tags.keys() == existing.tags.keys() | incoming.tags.keys()

    @given(user_data, user_data)
    def test_override_takes_all_that_is_said(self, existing: UserData, incoming: UserData) -> None:
        assert not differences(override_user_data(existing, incoming), incoming)

    @given(user_data, user_data)
    def test_once_resolved_the_same_import_changes_nothing(
        self, existing: UserData, incoming: UserData
    ) -> None:
        for strategy in (MERGE, OVERRIDE):
            once = resolve_conflict(existing, incoming, strategy)
            assert once is not None
            assert resolve_conflict(once, incoming, strategy) == once

    @given(user_data)
    def test_silence_is_no_conflict(self, existing: UserData) -> None:
        for strategy in ConflictStrategy:
            assert resolve_conflict(existing, UserData(), strategy) == existing
