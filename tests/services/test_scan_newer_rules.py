"""What an older version has kept is judged anew by the next scan, once, and nothing is hashed for it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from tests.libraries import dump
from tests.model_files import safetensors
from tests.services.shelf import unplug
from tests.tools import write_bytes

from mlib.core.events import Event, Judging
from mlib.core.records import RULES_VERSION
from mlib.db import contents, models
from mlib.services.describing import detail
from mlib.services.resolving import Target
from mlib.services.scanning import reinspection

if TYPE_CHECKING:
    from pathlib import Path

    from tests.services.shelf import Shelf

CAPTIONS = {"ss_tag_frequency": json.dumps({"10_abc": {"1girl": 20, "solo": 19}})}


def lora(path: Path, number: int = 0) -> str:
    return write_bytes(
        path,
        safetensors(
            {"x.lora_down.weight": 8, "x.lora_up.weight": 8, f"n{number}.alpha": 1}, metadata=CAPTIONS
        ),
    )


def words(shelf: Shelf, sha256: str) -> list[str]:
    content = contents.get(shelf.library, sha256)
    assert content is not None
    listed: list[str] = json.loads(content.usage_json)["trigger_words"]
    return listed


def notes(shelf: Shelf, sha256: str) -> str:
    model = models.get(shelf.library, sha256)
    assert model is not None
    return model.notes


def age(shelf: Shelf) -> None:
    """Make of the library what the version before would have kept."""
    with shelf.library.transaction():
        for sha256, text in shelf.library.all("SELECT sha256, usage_json FROM contents"):
            usage = {**json.loads(text), "trigger_words": ["1girl", "solo"]}
            shelf.library.execute(
                "UPDATE contents SET usage_json = ? WHERE sha256 = ?", [json.dumps(usage), sha256]
            )
        shelf.library.execute("DELETE FROM db_meta WHERE key = 'judged'")
        # It knew no such names: whatever ended in .json and belonged to no model.
        shelf.library.execute("UPDATE sidecars SET kind = 'orphan', sidecar_json = NULL")
        shelf.library.execute("DELETE FROM given")
        shelf.library.execute("UPDATE models SET notes = ''")


@pytest.fixture
def old(shelf: Shelf) -> str:
    """A library that an older version made, of one LoRA with rgthree's note beside it."""
    sha256 = lora(shelf.loras / "a.safetensors")
    note = {"userNote": "mine", "trainedWords": [{"word": "abc style", "user": True}]}
    write_bytes(shelf.loras / "a.safetensors.rgthree-info.json", json.dumps(note).encode())
    shelf.scan()
    assert (words(shelf, sha256), notes(shelf, sha256)) == (["abc"], "mine")
    age(shelf)
    return sha256


def test_captions_become_captions_and_sidecars_are_read_and_no_file_is(shelf: Shelf, old: str) -> None:
    assert words(shelf, old) == ["1girl", "solo"]
    assert shelf.told() == {"unchanged": 1}  # `read` would be there
    assert words(shelf, old) == ["abc"]
    assert notes(shelf, old) == "mine"
    said = detail(shelf.library, Target(sha256=old)).sidecars
    assert [each.trigger_words for each in said] == [("abc style",)]
    assert shelf.library.all("SELECT word FROM trigger_words") == [("abc",)]


@pytest.mark.usefixtures("old")
def test_it_is_done_once(shelf: Shelf, monkeypatch: pytest.MonkeyPatch) -> None:
    shelf.scan()
    monkeypatch.setattr(reinspection, "judge_by_newer_rules", lambda *_: pytest.fail("once more"))
    shelf.scan()


def test_a_new_library_has_nothing_to_judge_anew(shelf: Shelf) -> None:
    told: list[Event] = []
    lora(shelf.loras / "a.safetensors")
    shelf.scan(emit=told.append)
    lora(shelf.loras / "b.safetensors", 1)
    shelf.scan(emit=told.append)
    assert not any(isinstance(each, Judging) for each in told)


@pytest.mark.usefixtures("old")
def test_a_dry_run_judges_nothing(shelf: Shelf) -> None:
    before = dump(shelf.library.path)
    shelf.scan(dry_run=True)
    assert dump(shelf.library.path) == before


def test_what_a_newer_version_judged_is_left(shelf: Shelf, old: str) -> None:
    with shelf.library.transaction():
        contents.note_judged(shelf.library, contents.JudgedVersion(RULES_VERSION + 1, None))
    shelf.scan()
    assert words(shelf, old) == ["1girl", "solo"]


def test_what_is_missing_or_on_a_drive_that_is_off_is_judged_too(shelf: Shelf, old: str) -> None:
    away = unplug(shelf.loras)
    shelf.scan()
    assert words(shelf, old) == ["abc"]
    away.rename(shelf.loras)
    shelf.scan()
    assert notes(shelf, old) == "mine"  # its sidecar was read as soon as it was there


def test_where_it_is_cut_off_the_next_scan_goes_on(
    shelf: Shelf, old: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shas = sorted([old, *(lora(shelf.loras / f"{n}.safetensors", n) for n in range(1, 5))])
    shelf.scan()
    age(shelf)
    monkeypatch.setattr(reinspection, "REINSPECTED_AT_ONCE", 2)
    judged: list[Judging] = []

    def stop(event: Event) -> None:
        if isinstance(event, Judging):
            judged.append(event)
            raise KeyboardInterrupt

    assert shelf.scan(emit=stop).interrupted is not None
    assert judged == [Judging(2, 5)]
    assert [words(shelf, each) for each in shas] == [["abc"]] * 2 + [["1girl", "solo"]] * 3
    shelf.scan(emit=lambda event: judged.append(event) if isinstance(event, Judging) else None)
    assert [words(shelf, each) for each in shas] == [["abc"]] * 5
    assert [each.done for each in judged] == [2, 2, 3, 3]


def test_a_finding_that_was_known_is_not_told_as_news(shelf: Shelf) -> None:
    sha256 = write_bytes(
        shelf.loras / "page.safetensors", b"<!DOCTYPE html><title>Sign in</title>" + bytes(99)
    )
    assert shelf.scan().findings
    age(shelf)
    assert shelf.scan().findings == []
    age(shelf)
    with shelf.library.transaction():
        shelf.library.execute("DELETE FROM findings WHERE sha256 = ?", [sha256])
    assert [each.serious for _, each in shelf.scan().findings] == [True]


def test_typed_words_stay_as_they_are(shelf: Shelf, old: str) -> None:
    shelf.edit(old, base_model="my own", notes="typed", tag=("kept",))
    before = shelf.user_data(old)
    shelf.scan()
    assert shelf.user_data(old) == before


def test_reinspect_reads_sidecars_again(shelf: Shelf, old: str) -> None:
    shelf.scan()
    with shelf.library.transaction():
        shelf.library.execute("UPDATE sidecars SET sidecar_json = NULL")
    shelf.scan()
    assert detail(shelf.library, Target(sha256=old)).sidecars == ()
    shelf.scan(reinspect=True)
    assert len(detail(shelf.library, Target(sha256=old)).sidecars) == 1
