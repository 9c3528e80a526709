"""Editing what a person says about models."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.libraries import (
    BEFORE,
    OTHER,
    SHA,
    dump,
    known_file,
    put_files,
    put_model,
    put_pending,
    scan_roots,
)
from tests.tools import write_model

from mlib.core.errors import NotFound, WrongUsage
from mlib.db import models, pending, tags
from mlib.db.library import open_library
from mlib.services.resolving import Target
from mlib.services.updating import UpdateReport, parse_edit, update

if TYPE_CHECKING:
    from mlib.core.records import Model
    from mlib.db.library import Library

IMAGE = "data:image/png;base64," + "iVBORw0KGgoAAAANSUhEUgAA" * 20
TEXT = {
    "name": "My name",
    "type": "vae",
    "base_model": "SDXL 1.0",
    "description": "Two\nlines",
    "notes": "It's good",
}


def edit(library: Library, *targets: Target, **changes: Any) -> UpdateReport:
    """Make these changes to the targets; by default to the one model."""
    text = {name: value for name, value in changes.items() if name in TEXT}
    others = {name: value for name, value in changes.items() if name not in TEXT}
    return update(library, targets or [Target(sha256=SHA)], parse_edit(text=text, **others))


def model(library: Library, sha256: str = SHA) -> Model:
    found = models.get(library, sha256)
    assert found is not None
    return found


def meta(library: Library, sha256: str = SHA) -> Any:
    return json.loads(models.meta(library, sha256) or "null")


class TestText:
    @pytest.mark.parametrize("field", list(TEXT))
    def test_each_field_is_kept_as_typed_and_known_as_typed(self, library: Library, field: str) -> None:
        put_model(library)
        report = edit(library, **{field: TEXT[field]})
        assert report.updated == {Target(sha256=SHA): (field,)}
        assert getattr(model(library), field) == TEXT[field]
        assert model(library).edited == {field}

    @pytest.mark.parametrize("field", list(TEXT))
    def test_an_empty_text_clears(self, library: Library, field: str) -> None:
        put_model(library, **TEXT)
        edit(library, **{field: ""})
        assert field not in model(library).edited
        assert field in ("name", "type") or getattr(model(library), field) == ""

    def test_name_and_type_fall_back_to_the_files(self, library: Library, tmp_path: Any) -> None:
        sha256 = write_model(tmp_path / "r/real-name.safetensors")
        scan_roots(library, f"loras={tmp_path}/r")
        target = Target(sha256=sha256)
        edit(library, target, name="typed", type="vae")
        edit(library, target, name="", type="")
        assert (model(library, sha256).name, model(library, sha256).type) == (
            "real-name.safetensors",
            "loras",
        )

    def test_a_model_without_a_file_keeps_name_and_type(self, library: Library) -> None:
        put_model(library, name="only name", type="vae")
        edit(library, name="", type="")
        assert (model(library).name, model(library).type) == ("only name", "vae")

    @pytest.mark.parametrize(
        ("given", "kept"),
        [("  around \n", "around"), ("e\u0301", "é"), ("a\r\nb", "a\nb"), ("[red]", "[red]")],
    )
    def test_text_is_trimmed_and_in_one_normal_form(self, library: Library, given: str, kept: str) -> None:
        put_model(library)
        edit(library, notes=given)
        assert model(library).notes == kept

    @pytest.mark.parametrize(
        ("given", "kept"), [("lora", "loras"), ("unet", "diffusion_models"), ("CLIP", "text_encoders")]
    )
    def test_a_type_may_be_given_by_its_other_names(self, library: Library, given: str, kept: str) -> None:
        put_model(library)
        edit(library, type=given)
        assert model(library).type == kept

    def test_an_unknown_type_is_refused_with_a_hint(self, library: Library) -> None:
        put_model(library)
        with pytest.raises(WrongUsage, match="no such type: 'lorsa'") as caught:
            edit(library, type="lorsa")
        assert caught.value.hint is not None
        assert "loras" in caught.value.hint
        assert model(library).type == "loras"

    def test_a_type_of_a_folder_of_ones_own_is_known(self, library: Library, tmp_path: Any) -> None:
        write_model(tmp_path / "r/a.safetensors")
        scan_roots(library, f"my_models={tmp_path}/r")
        put_model(library)
        edit(library, type="my_models")
        assert model(library).type == "my_models"

    @pytest.mark.parametrize(
        "text", [{"notes": "a\0b"}, {"notes": "\udcff"}, {"name": "two\nlines"}, {"base_model": "a\rb"}]
    )
    def test_what_is_no_text_is_refused(self, text: dict[str, str]) -> None:
        with pytest.raises(WrongUsage):
            parse_edit(text=text)


class TestTags:
    @pytest.mark.parametrize("tag", ["a, b", "two words", "50%", "o'brien", "-dash", "角色", "[red]", "a\\b"])
    def test_a_tag_comes_out_as_it_was_typed(self, library: Library, tag: str) -> None:
        put_model(library)
        edit(library, tag=[tag])
        assert tags.of_model(library, SHA) == (tag,)

    @pytest.mark.parametrize(
        ("first", "second"),
        [("Flux", "fLUX"), ("straße", "STRASSE"), ("é", "E\u0301"), ("a b", " a  b "), ("É", "é")],
    )
    def test_two_spellings_are_one_tag_and_the_first_stays(
        self, library: Library, first: str, second: str
    ) -> None:
        put_model(library, tags_=[first])
        assert edit(library, tag=[second]).updated == {}
        assert len(tags.of_model(library, SHA)) == 1
        assert edit(library, untag=[second]).updated == {Target(sha256=SHA): ("tags",)}
        assert tags.of_model(library, SHA) == ()

    def test_adding_and_removing_leave_the_others(self, library: Library) -> None:
        put_model(library, tags_=["keep", "drop"])
        edit(library, tag=["new"], untag=["drop", "never there"])
        assert tags.of_model(library, SHA) == ("keep", "new")

    def test_a_tag_nobody_bears_is_forgotten_with_its_spelling(self, library: Library) -> None:
        put_model(library, tags_=["FLUX"])
        edit(library, untag=["flux"])
        edit(library, tag=["Flux"])
        assert tags.of_model(library, SHA) == ("Flux",)

    @pytest.mark.parametrize("tag", ["", "  \n", "a\0b", "x" * 201, "\udcff"])
    def test_what_is_no_tag_is_refused(self, tag: str) -> None:
        with pytest.raises(WrongUsage):
            parse_edit(text={}, tag=[tag])

    def test_ten_thousand_characters_are_no_tag(self) -> None:
        with pytest.raises(WrongUsage, match="longer than 200"):
            parse_edit(text={}, tag=["x" * 10_000])


class TestMeta:
    @pytest.mark.parametrize(
        ("assignment", "expected"),
        [
            ("a.b=1", {"a": {"b": 1}}),
            ("a=text", {"a": "text"}),
            ("a=", {"a": ""}),
            ('a="1"', {"a": "1"}),
            ("a=x=y", {"a": "x=y"}),
            ("a=[1,2]", {"a": [1, 2]}),
            ('a={"b":null}', {"a": {"b": None}}),
            ("a=NaN", {"a": "NaN"}),
        ],
    )
    def test_a_value_is_json_or_text(self, library: Library, assignment: str, expected: Any) -> None:
        put_model(library)
        edit(library, put=[assignment])
        assert meta(library) == expected

    @pytest.mark.parametrize("number", ["12345678901234567890123", "1.10", "-0", "1E5"])
    def test_a_number_is_kept_to_the_letter(self, library: Library, number: str) -> None:
        put_model(library, meta_json='{"z":1.10,"a":2}')
        edit(library, put=[f"n={number}"])
        assert models.meta(library, SHA) == '{"z":1.10,"a":2,"n":' + number + "}"

    def test_unset_takes_one_key_and_leaves_its_neighbours(self, library: Library) -> None:
        put_model(library, meta_json='{"a":{"b":1,"c":2},"modelspec.title":"t"}')
        edit(library, drop=["a.b", "modelspec.title", "not.there"])
        assert meta(library) == {"a": {"c": 2}}

    def test_the_last_key_gone_leaves_no_metadata(self, library: Library) -> None:
        put_model(library, meta_json='{"a":{"b":1}}')
        edit(library, drop=["a.b"])
        assert models.meta(library, SHA) is None

    @pytest.mark.parametrize("assignment", ["", "=", "=1", "nothing", " =1"])
    def test_what_assigns_nothing_is_refused(self, assignment: str) -> None:
        with pytest.raises(WrongUsage, match="KEY=VALUE"):
            parse_edit(text={}, put=[assignment])

    @pytest.mark.parametrize("assignment", ["a..b=1", "a.=1", "n.x=1"])
    def test_a_key_that_leads_nowhere_is_refused(self, library: Library, assignment: str) -> None:
        put_model(library, meta_json='{"n":1}')
        with pytest.raises(WrongUsage):
            edit(library, put=[assignment])
        assert meta(library) == {"n": 1}

    @pytest.mark.parametrize("assignment", [f"pic={IMAGE}", f'images=["{IMAGE}"]', "preview=/media/1.png"])
    def test_image_data_is_refused(self, library: Library, assignment: str) -> None:
        put_model(library)
        with pytest.raises(WrongUsage, match="metadata cannot hold image data"):
            edit(library, put=[assignment])
        assert meta(library) is None


class TestManyAndTwice:
    def test_all_of_the_models_or_none(self, library: Library) -> None:
        put_model(library, SHA)
        put_model(library, OTHER, meta_json='{"n":1}')
        before = dump(library.path)
        with pytest.raises(WrongUsage):
            edit(library, Target(sha256=SHA), Target(sha256=OTHER), notes="new", put=["n.x=1"])
        assert dump(library.path) == before

    def test_a_model_that_went_away_stops_all_of_it(self, library: Library) -> None:
        put_model(library, SHA)
        with pytest.raises(NotFound):
            edit(library, Target(sha256=SHA), Target(sha256=OTHER), notes="new")
        assert model(library).notes == ""

    def test_only_what_changes_is_reported(self, library: Library) -> None:
        put_model(library, SHA, notes="same")
        put_model(library, OTHER)
        report = edit(library, Target(sha256=SHA), Target(sha256=OTHER), notes="same")
        assert report.updated == {Target(sha256=OTHER): ("notes",)}
        assert report.unchanged == [Target(sha256=SHA)]

    def test_twice_is_once(self, library: Library) -> None:
        put_model(library)
        changes: dict[str, Any] = {
            **TEXT,
            "tag": ["a, b"],
            "untag": ["c"],
            "put": ["k.l=1.10"],
            "drop": ["m"],
        }
        assert list(edit(library, **changes).updated) == [Target(sha256=SHA)]
        assert model(library).updated_at > BEFORE
        before = dump(library.path)
        assert edit(library, **changes).unchanged == [Target(sha256=SHA)]
        assert dump(library.path) == before

    def test_a_pending_import_is_edited_alike(self, library: Library) -> None:
        pending_id = put_pending(library, sha256=None, tags_=["old"], meta_json='{"a":1}', seen=False)
        edit(
            library,
            Target(pending_id=pending_id),
            **TEXT,
            tag=["new"],
            untag=["old"],
            put=["b=2"],
            drop=["a"],
        )
        entry = pending.get(library, pending_id)
        assert entry is not None
        assert {name: getattr(entry, name) for name in TEXT} == TEXT
        assert (entry.tags, entry.meta_json) == (("new",), '{"b":2}')
        assert entry.edited == TEXT.keys()

    def test_editing_a_pending_import_keeps_what_was_seen_of_its_file(self, library: Library) -> None:
        pending_id = put_pending(library, "/m/seen", seen=True)
        edit(library, Target(pending_id=pending_id), notes="typed")
        entry = pending.get(library, pending_id)
        assert entry is not None
        assert entry.observed == known_file("/m/seen")

    def test_files_are_no_matter_of_an_edit(self, library: Library) -> None:
        put_model(library)
        put_files(library, known_file("/m/a"))
        before = dump(library.path)["files"]
        edit(library, **TEXT)
        assert dump(library.path)["files"] == before


tag_lists = st.lists(st.sampled_from(["x", "X", "é", "e\u0301", "a, b", "straße", "STRASSE"]), max_size=4)


@settings(deadline=None, max_examples=50)
@given(before=tag_lists, tag=tag_lists, untag=tag_lists)
def test_parsed_tags_obey_set_arithmetic(before: list[str], tag: list[str], untag: list[str]) -> None:
    """(before - untag) | tag, by folded form, whatever the spellings."""

    def keys(names: list[str] | tuple[str, ...]) -> set[str]:
        return {name.casefold().replace("e\u0301", "é") for name in names}

    with open_library("/nonexistent/library.db", mode="dry_run") as library:
        put_model(library, tags_=before)
        edit(library, tag=tag, untag=untag)
        assert keys(tags.of_model(library, SHA)) == (keys(before) - keys(untag)) | keys(tag)
