"""The words that contents are found by keep themselves, whoever writes a content."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.libraries import OTHER, SHA

from mlib.core.records import Content
from mlib.db import contents
from mlib.db.schema import STEPS, m005_trigger_words

if TYPE_CHECKING:
    from mlib.db.library import Library


def put(library: Library, sha256: str, *words: object) -> None:
    usage = json.dumps({"trigger_words": words, "title": "none of them"})
    with library.transaction():
        contents.put(library, Content(sha256, "safetensors", "lora", "", (), usage), header=None, findings=[])


def words(library: Library) -> list[tuple[str, str]]:
    return library.all("SELECT sha256, word FROM trigger_words ORDER BY sha256, word")


def test_a_content_brings_its_words(library: Library) -> None:
    put(library, SHA, "wtrclr", "été", "wtrclr")
    put(library, OTHER)
    assert words(library) == [(SHA, "wtrclr"), (SHA, "été")]


def test_judged_anew_it_has_the_new_ones(library: Library) -> None:
    put(library, SHA, "old", "same")
    put(library, SHA, "new", "same")
    assert words(library) == [(SHA, "new"), (SHA, "same")]


def test_forgotten_it_takes_them_along(library: Library) -> None:
    put(library, SHA, "one")
    put(library, OTHER, "two")
    with library.transaction():
        library.execute("DELETE FROM contents WHERE sha256 = ?", [SHA])
    assert words(library) == [(OTHER, "two")]


def test_a_library_made_before_gets_them(library: Library) -> None:
    put(library, SHA, "wtrclr", 7)
    with library.transaction():
        for name in ("insert", "update", "delete"):
            library.execute(f"DROP TRIGGER trigger_words_{name}")
        library.execute("DROP TABLE trigger_words")
        m005_trigger_words(library.database)
    assert words(library) == [(SHA, "wtrclr")]


def test_the_step_comes_before_those_that_were_made_after_it() -> None:
    names = [step.__name__ for step in STEPS]
    assert names == sorted(names)
