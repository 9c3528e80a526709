"""`mlib update` as it is typed: rehearsals, many at once, and what it says."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.inprocess import mlib_here
from tests.libraries import BEFORE, OTHER, SHA, dump, put_model, put_pending
from tests.tools import mlib

from mlib.db import models

if TYPE_CHECKING:
    from mlib.db.library import Library


@pytest.fixture
def path(library: Library) -> Path:
    put_model(library, SHA, name="one", notes="old")
    put_model(library, OTHER, name="two")
    return Path(library.path)


EVERYTHING = [
    "--name", "n", "--type", "vae", "--base-model", "b", "--description", "d", "--notes", "n2",
    "--tag", "a, b", "--tag", "c", "--untag", "x", "--set", "k.l=1.10", "--unset", "m",
]  # fmt: skip


def test_everything_at_once(path: Path) -> None:
    mlib_here("update", "one", *EVERYTHING, library=path)
    shown = mlib_here("show", SHA, "--json", library=path).json
    assert [shown[key] for key in ("name", "type", "base_model", "description", "notes", "tags", "meta")] == [
        "n", "vae", "b", "d", "n2", ["a, b", "c"], {"k": {"l": 1.1}},
    ]  # fmt: skip


def test_a_dry_run_tells_the_same_and_writes_nothing(path: Path) -> None:
    before = dump(path)
    rehearsed = mlib_here("update", "one", "two", *EVERYTHING, "--dry-run", "--json", library=path).json
    assert dump(path) == before
    done = mlib_here("update", "one", "two", *EVERYTHING, "--json", library=path).json
    assert (rehearsed.pop("dry_run"), done.pop("dry_run")) == (True, False)
    for model in rehearsed["models"] + done["models"]:
        model.pop("updated_at")
    assert rehearsed == done


def test_twice_says_that_it_is_so_already(path: Path) -> None:
    first = mlib_here("update", "one", "--notes", "new", library=path)
    assert first.out == f"updated\t{SHA[:10]}\tone\tnotes\n"
    before = dump(path)
    second = mlib_here("update", "one", "--notes", "new", library=path)
    assert (second.out, second.err) == ("", "unchanged: 1\n")
    assert dump(path) == before


def test_updated_at_moves_only_with_a_change(path: Path, library: Library) -> None:
    mlib_here("update", "one", "--notes", "old", library=path)
    model = models.get(library, SHA)
    assert model is not None
    assert model.updated_at == BEFORE
    mlib_here("update", "one", "--notes", "new", library=path)
    model = models.get(library, SHA)
    assert model is not None
    assert model.updated_at > model.created_at == BEFORE


@pytest.mark.parametrize("field", ["name", "notes", "description", "base_model"])
def test_an_empty_text_clears(path: Path, field: str) -> None:
    option = f"--{field.replace('_', '-')}"
    mlib_here("update", "two", option, "typed", library=path)
    mlib_here("update", OTHER, option, "", library=path)
    shown = mlib_here("show", OTHER, "--json", library=path).json
    assert field not in shown["edited"]


def test_refs_may_come_from_standard_input(path: Path) -> None:
    done = mlib("update", "-", "--tag", "many", "--json", library=path, stdin=f"one\r\n\n{OTHER}\n".encode())
    assert done.json["updated"] == 2


def test_one_wrong_ref_changes_none(path: Path) -> None:
    before = dump(path)
    mlib_here("update", "one", "two", "three", "--notes", "new", library=path, code=5)
    assert dump(path) == before


def test_a_model_named_twice_is_changed_once(path: Path) -> None:
    assert mlib_here("update", "one", SHA, SHA[:8], "--tag", "x", "--json", library=path).json["updated"] == 1


def test_a_pending_import_is_named_by_its_number(path: Path, library: Library) -> None:
    put_pending(library, "/m/waits", sha256=None)
    assert mlib_here("update", "pending:1", "--notes", "typed", library=path).out == (
        "updated\tpending:1\twaits\tnotes\n"
    )


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ([], "nothing_to_do"),
        (["--type", "lorsa"], "unknown_type"),
        (["--set", "novalue"], "bad_set"),
        (["--set", "=x"], "bad_set"),
        (["--set", "a..b=x"], "bad_key"),
        (["--tag", " "], "bad_tag"),
        (["--name", "two\nlines"], "bad_text"),
        (["--notes", "\udcff"], "bad_text"),
        (["--set", "preview=data:image/png;base64,iVBORw0KGgo="], "image_payload"),
        (["--notes"], "usage"),
    ],
)
def test_what_cannot_be_is_wrong_usage_and_changes_nothing(path: Path, words: list[str], code: str) -> None:
    before = dump(path)
    failed = mlib_here("update", "one", "--json", *words, library=path, code=2)
    assert failed.error["code"] == code
    assert dump(path) == before


def test_a_mistyped_type_comes_with_a_hint(path: Path) -> None:
    failed = mlib_here("update", "one", "--type", "checkpiont", library=path, code=2)
    assert failed.err == "error: no such type: 'checkpiont'\nhint: did you mean checkpoints?\n"
