"""Taking over what sidecars say when asked to: the strategies, and what is never taken."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.core.sidecars.sidecar_files import as_bytes
from tests.libraries import dump
from tests.tools import write_bytes, write_model

from mlib.db import models, tags
from mlib.services.describing import detail
from mlib.services.importing.from_sidecars import import_sidecars
from mlib.services.importing.importer import ConflictStrategy, ImportReport
from mlib.services.resolving import Target
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from tests.services.shelf import Shelf

STRATEGIES = [each for each in ConflictStrategy if each is not ConflictStrategy.DELETE]
OTHER = "ab" * 32


@pytest.fixture
def sha256(shelf: Shelf) -> str:
    """A model that the library knows without its sidecars, which were laid beside it since."""
    made = write_model(shelf.loras / "ink.safetensors")
    shelf.scan()
    sidecar(shelf)
    return made


def sidecar(shelf: Shelf, stem: str = "ink", **fields: Any) -> None:
    """Write a sidecar that says something for every field."""
    document = {"ModelName": "Ink Wash", "BaseModel": "SDXL 1.0", "ModelDescription": "Theirs."}
    write_bytes(
        shelf.loras / f"{stem}.cm-info.json", as_bytes({**document, "Tags": ["ink", "wash"], **fields})
    )
    write_bytes(shelf.loras / f"{stem}.json", as_bytes({"sd version": "", "notes": "their notes"}))


def run(
    shelf: Shelf, strategy: ConflictStrategy = ConflictStrategy.REPORT, *shas: str, **options: Any
) -> ImportReport:
    return import_sidecars(
        shelf.library, shas or None, strategy=strategy, **{"keep_backup": False, **options}
    )


def text(shelf: Shelf, sha256: str) -> tuple[str, ...]:
    model = models.get(shelf.library, sha256)
    assert model is not None
    return model.name, model.base_model, model.description, model.notes


def told(report: ImportReport) -> dict[str, int]:
    parts = {
        "conflict": len(report.conflict), "ignored": len(report.ignored), "failed": len(report.failed),
        **{
            change: sum(entry.change == change for entry in report.success)
            for change in ("created", "updated", "unchanged")
        },
    }  # fmt: skip
    return {name: count for name, count in parts.items() if count}


class TestEmpty:
    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_every_strategy_fills_what_is_empty(
        self, shelf: Shelf, sha256: str, strategy: ConflictStrategy
    ) -> None:
        assert told(run(shelf, strategy)) == {"updated": 1}
        assert text(shelf, sha256) == ("Ink Wash", "SDXL 1.0", "Theirs.", "their notes")
        assert tags.of_model(shelf.library, sha256) == ("ink", "wash")
        model = models.get(shelf.library, sha256)
        assert model is not None
        assert model.edited == frozenset(), "nobody typed it"

    @pytest.mark.parametrize(
        "strategy", [ConflictStrategy.REPORT, ConflictStrategy.MERGE, ConflictStrategy.OVERRIDE]
    )
    @pytest.mark.usefixtures("sha256")
    def test_twice_is_once(self, shelf: Shelf, strategy: ConflictStrategy) -> None:
        run(shelf, strategy)
        before = dump(shelf.library.path)
        assert told(run(shelf, strategy)) == {"unchanged": 1}
        assert dump(shelf.library.path) == before

    def test_a_scan_afterwards_changes_nothing(self, shelf: Shelf, sha256: str) -> None:
        run(shelf)
        before = text(shelf, sha256), tags.of_model(shelf.library, sha256)
        shelf.scan()
        assert (text(shelf, sha256), tags.of_model(shelf.library, sha256)) == before

    def test_what_a_scan_filled_is_updated(self, shelf: Shelf, sha256: str) -> None:
        """By every strategy: nobody typed it."""
        shelf.scan()
        sidecar(shelf, ModelDescription="Newer.")
        assert told(run(shelf)) == {"updated": 1}
        assert text(shelf, sha256)[2] == "Newer."

    def test_another_spelling_of_a_tag_is_no_change(self, shelf: Shelf, sha256: str) -> None:
        shelf.edit(sha256, tag=("Ink", "WASH"))
        run(shelf, ConflictStrategy.OVERRIDE)
        assert told(run(shelf, ConflictStrategy.OVERRIDE)) == {"unchanged": 1}

    def test_a_copy_without_sidecars_does_not_hide_those_of_another(self, shelf: Shelf) -> None:
        made = write_model(shelf.loras / "a.safetensors", "same")
        write_model(shelf.vae / "b.safetensors", "same")
        shelf.scan()
        write_bytes(shelf.vae / "b.txt", b"Theirs.")
        run(shelf)
        assert text(shelf, made)[2] == "Theirs."


class TestConflict:
    @pytest.fixture
    def typed(self, shelf: Shelf, sha256: str) -> str:
        shelf.edit(sha256, name="Mine", notes="my notes", tag=("mine",), put=("a=1",))
        return sha256

    def test_report_lists_it_and_fills_the_rest(self, shelf: Shelf, typed: str) -> None:
        (conflict,) = run(shelf).conflict
        assert conflict.id is None
        assert (conflict.sha256, conflict.path) == (typed, str(shelf.loras / "ink.safetensors"))
        assert set(conflict.differs) == {"name", "notes"}
        assert conflict.pending.text["name"] == "Ink Wash"
        assert conflict.existing.text["name"] == "Mine"
        assert text(shelf, typed) == ("Mine", "SDXL 1.0", "Theirs.", "my notes")
        assert tags.of_model(shelf.library, typed) == ("mine",)

    def test_merge_keeps_it_and_unites_the_tags(self, shelf: Shelf, typed: str) -> None:
        assert told(run(shelf, ConflictStrategy.MERGE)) == {"updated": 1}
        assert text(shelf, typed) == ("Mine", "SDXL 1.0", "Theirs.", "my notes")
        assert tags.of_model(shelf.library, typed) == ("ink", "mine", "wash")

    def test_override_takes_the_sidecar_s_word(self, shelf: Shelf, typed: str) -> None:
        assert told(run(shelf, ConflictStrategy.OVERRIDE)) == {"updated": 1}
        assert text(shelf, typed) == ("Ink Wash", "SDXL 1.0", "Theirs.", "their notes")
        assert tags.of_model(shelf.library, typed) == ("ink", "wash")
        assert models.meta(shelf.library, typed) == '{"a":1}'

    def test_override_never_empties(self, shelf: Shelf) -> None:
        """Empty never overwrites non-empty."""
        made = write_model(shelf.loras / "b.safetensors")
        shelf.scan()
        shelf.edit(made, name="Mine", notes="my notes", tag=("mine",))
        write_bytes(shelf.loras / "b.txt", b"Theirs.")
        run(shelf, ConflictStrategy.OVERRIDE, made)
        assert text(shelf, made) == ("Mine", "", "Theirs.", "my notes")
        assert tags.of_model(shelf.library, made) == ("mine",)

    def test_ignore_leaves_the_model_alone(self, shelf: Shelf, typed: str) -> None:
        before = dump(shelf.library.path)
        report = run(shelf, ConflictStrategy.IGNORE)
        assert (told(report), report.ignored) == ({"ignored": 1}, [typed])
        assert dump(shelf.library.path) == before

    def test_override_keeps_a_backup_first(self, shelf: Shelf, typed: str) -> None:
        report = run(shelf, ConflictStrategy.OVERRIDE, keep_backup=True)
        assert report.backup is not None
        assert ("Mine", "my notes") in [
            (row[1], row[6]) for row in dump(report.backup)["models"] if row[0] == typed
        ]

    @pytest.mark.parametrize("strategy", ["report", "merge", "ignore"])
    def test_the_others_need_none(self, shelf: Shelf, typed: str, strategy: str) -> None:
        assert run(shelf, ConflictStrategy(strategy), typed, keep_backup=True).backup is None

    @pytest.mark.parametrize("strategy", STRATEGIES)
    @pytest.mark.usefixtures("typed")
    def test_a_rehearsal_answers_the_same_and_writes_nothing(
        self, shelf: Shelf, strategy: ConflictStrategy
    ) -> None:
        write_model(shelf.loras / "other.safetensors")
        shelf.scan()
        sidecar(shelf, "other", ModelName="Other")
        before = dump(shelf.library.path)
        with shelf.library.rehearsal():
            rehearsed = run(shelf, strategy)
        assert dump(shelf.library.path) == before
        assert run(shelf, strategy) == rehearsed


class TestForeign:
    @pytest.fixture
    def foreign(self, shelf: Shelf) -> str:
        made = write_model(shelf.loras / "ink.safetensors")
        shelf.scan()
        sidecar(shelf, Hashes={"SHA256": OTHER})
        os.unlink(shelf.loras / "ink.json")
        return made

    def test_report_lists_it_and_believes_nothing(self, shelf: Shelf, foreign: str) -> None:
        (conflict,) = run(shelf).conflict
        assert conflict.differs == ("sha256",)
        assert text(shelf, foreign) == ("ink.safetensors", "", "", "")

    @pytest.mark.parametrize("strategy", ["merge", "ignore"])
    def test_others_believe_nothing(self, shelf: Shelf, foreign: str, strategy: str) -> None:
        assert told(run(shelf, ConflictStrategy(strategy))) == {"unchanged": 1}
        assert text(shelf, foreign) == ("ink.safetensors", "", "", "")
        assert tags.of_model(shelf.library, foreign) == ()

    def test_override_believes_it(self, shelf: Shelf, foreign: str) -> None:
        """Somebody said so."""
        assert told(run(shelf, ConflictStrategy.OVERRIDE)) == {"updated": 1}
        assert text(shelf, foreign)[0] == "Ink Wash"

    def test_a_copy_s_right_sidecar_is_found_behind_the_wrong_one(self, shelf: Shelf, foreign: str) -> None:
        write_model(shelf.loras / "deeper" / "copied.safetensors", "ink.safetensors")
        shelf.scan()
        write_bytes(shelf.loras / "deeper" / "copied.txt", b"Right.")
        assert told(run(shelf)) == {"updated": 1}
        assert text(shelf, foreign)[2] == "Right."


class TestWhich:
    def test_only_the_models_asked_for(self, shelf: Shelf, sha256: str) -> None:
        other = write_model(shelf.loras / "other.safetensors")
        shelf.scan(paths=[str(shelf.loras / "other.safetensors")])
        sidecar(shelf, "other", ModelName="Other One")
        before = text(shelf, sha256)
        assert told(run(shelf, ConflictStrategy.REPORT, other, other)) == {"updated": 1}
        assert (text(shelf, other)[0], text(shelf, sha256)) == ("Other One", before)

    def test_a_model_whose_file_is_missing_is_left_alone(self, shelf: Shelf, sha256: str) -> None:
        """Its sidecars still lie there, and may be about what comes next."""
        before = text(shelf, sha256)
        shelf.edit(sha256, notes="mine")
        (shelf.loras / "ink.safetensors").unlink()
        write_model(shelf.loras / "other.safetensors")
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("mlib.services.scanning.sidecar_changes.read_news", lambda *_: [])
            shelf.scan()
        report = run(shelf, ConflictStrategy.OVERRIDE)
        assert told(report) == {}
        assert text(shelf, sha256) == (*before[:3], "mine")

    def test_a_model_without_sidecars_is_not_told_of(self, shelf: Shelf) -> None:
        write_model(shelf.loras / "alone.safetensors")
        shelf.scan()
        assert run(shelf).total == 0

    def test_a_broken_one_is_told_and_the_others_are_read(self, shelf: Shelf, sha256: str) -> None:
        write_bytes(shelf.loras / "ink.metadata.json", b"{")
        report = run(shelf)
        assert [(os.path.basename(each.path), each.code) for each in report.failed] == [
            ("ink.metadata.json", "not_json")
        ]
        assert text(shelf, sha256)[0] == "Ink Wash"

    @pytest.mark.parametrize("what", ["fifo", "directory", "broken link", "loop"])
    def test_what_is_no_file_is_passed_over_as_a_scan_does(
        self, shelf: Shelf, sha256: str, what: str
    ) -> None:
        path = shelf.loras / "ink.md"
        match what:
            case "fifo":
                os.mkfifo(path)
            case "directory":
                path.mkdir()
            case "broken link":
                path.symlink_to("nowhere")
            case _:
                path.symlink_to(path.name)
        assert run(shelf).failed == []
        assert text(shelf, sha256)[0] == "Ink Wash"


FIELDS = ("name", "base_model", "description", "notes")


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    strategy=st.sampled_from([each for each in STRATEGIES if each is not ConflictStrategy.OVERRIDE]),
    typed=st.dictionaries(st.sampled_from(FIELDS), st.sampled_from(["mine", "x y"]), max_size=4),
    own=st.sets(st.sampled_from(["a", "ink", "z"])),
    scan_between=st.booleans(),
)
def test_nothing_typed_is_ever_lost_but_by_override(
    shelf: Shelf, strategy: ConflictStrategy, typed: dict[str, str], own: set[str], scan_between: bool
) -> None:
    """Promise 1, whatever was typed."""
    path = shelf.loras / "ink.safetensors"
    made = write_model(path)
    shelf.scan()
    sidecar(shelf)
    emptied = dict.fromkeys(FIELDS, "")
    had = tags.of_model(shelf.library, made)
    update(shelf.library, [Target(sha256=made)], parse_edit(text=emptied, untag=had))
    update(shelf.library, [Target(sha256=made)], parse_edit(text=typed, tag=sorted(own)))
    if scan_between:
        shelf.scan()
    run(shelf, strategy)
    model = models.get(shelf.library, made)
    assert model is not None
    assert {name: getattr(model, name) for name in typed} == typed
    assert own <= set(tags.of_model(shelf.library, made))


class TestAdvice:
    """What is no field of a model, but told of it, is taken over too."""

    def test_trigger_words_and_source_are_those_of_now(self, shelf: Shelf, sha256: str) -> None:
        shelf.scan()
        sidecar(shelf, TrainedWords=["inkwsh"], SourceUrl="https://a.example/ink")
        run(shelf)
        said, _ = detail(shelf.library, Target(sha256=sha256)).sidecars
        assert (said.trigger_words, said.source_url) == (("inkwsh",), "https://a.example/ink")
        before = dump(shelf.library.path)
        shelf.scan()
        after = dump(shelf.library.path)
        assert {name for name in before if before[name] != after[name]} <= {"roots"}

    def test_what_it_filled_follows_the_sidecar_later(self, shelf: Shelf, sha256: str) -> None:
        shelf.scan()
        sidecar(shelf, ModelDescription="Newer.")
        run(shelf)
        sidecar(shelf, ModelDescription="Newest of all.")
        shelf.scan()
        assert text(shelf, sha256)[2] == "Newest of all."

    def test_a_finding_comes_and_goes(self, shelf: Shelf, sha256: str) -> None:
        shelf.scan()
        sidecar(shelf, Hashes={"SHA256": "ab" * 32})
        run(shelf)
        target = Target(sha256=sha256)
        assert [each.code for _, each in detail(shelf.library, target).findings] == ["sidecar_mismatch"]
        sidecar(shelf, Hashes={"SHA256": sha256})
        run(shelf)
        assert detail(shelf.library, target).findings == ()


class TestTwoModelsOfOneStem:
    @pytest.fixture
    def shas(self, shelf: Shelf) -> tuple[str, str]:
        shas = write_model(shelf.loras / "ink.safetensors"), write_model(shelf.loras / "ink.gguf")
        shelf.scan()
        return shas

    @pytest.mark.parametrize("strategy", STRATEGIES)
    def test_the_one_that_it_is_not_about_gets_nothing(
        self, shelf: Shelf, shas: tuple[str, str], strategy: ConflictStrategy
    ) -> None:
        document = {"ModelName": "Ink Wash", "Hashes": {"SHA256": shas[0]}}
        write_bytes(shelf.loras / "ink.cm-info.json", as_bytes(document))
        assert told(run(shelf, strategy)) == {"updated": 1}
        assert (text(shelf, shas[0])[0], text(shelf, shas[1])[0]) == ("Ink Wash", "ink.gguf")

    def test_one_about_neither_is_a_conflict_of_both(self, shelf: Shelf, shas: tuple[str, str]) -> None:
        document = {"ModelName": "Ink Wash", "Hashes": {"SHA256": "0f" * 32}}
        write_bytes(shelf.loras / "ink.cm-info.json", as_bytes(document))
        assert told(run(shelf)) == {"conflict": 2}
        assert text(shelf, shas[0])[0] == "ink.safetensors"
