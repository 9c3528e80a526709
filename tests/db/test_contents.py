"""What files say of themselves, row by row."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.libraries import OTHER, SHA, known_file, put_files, put_model

from mlib.core.formats.header import Finding
from mlib.core.records import Content, KnownFile
from mlib.core.text import visible
from mlib.db import contents

if TYPE_CHECKING:
    from mlib.db.library import Library

CONTENT = Content(SHA, "safetensors", "lora", "SDXL", ("first line", "second → line"), '{"rank":4}')
SERIOUS = Finding("html_page", "a web page was saved as a model", serious=True)
MILD = Finding("trailing_data", "4 bytes after the last tensor belong to none")
MISPLACED = Finding("misplaced", "it lies in vae")
NAMED = Finding("wrong_extension", "it is gguf")
CODES = ("misplaced", "wrong_extension")


def put(
    library: Library, *findings: Finding, content: Content = CONTENT, header: bytes | None = b"h"
) -> None:
    with library.transaction():
        contents.put(library, content, header=header, findings=findings)


def put_place(library: Library, file: KnownFile, *findings: Finding) -> None:
    with library.transaction():
        contents.put_place_findings(library, file, findings, codes=CODES)


def rows(library: Library) -> int:
    with closing(sqlite3.connect(library.path)) as db:
        count: int = db.execute("SELECT count(*) FROM findings").fetchone()[0]
        return count


@pytest.fixture
def model(library: Library) -> Library:
    """A model that is present at /m/a and missing at /m/b."""
    put_model(library)
    put_files(library, known_file("/m/a"), known_file("/m/b", missing_since=1))
    return library


class TestContent:
    def test_of_nothing_nothing_is_kept(self, library: Library) -> None:
        assert contents.get(library, SHA) is None
        assert contents.header(library, SHA) is None
        assert contents.findings(library, SHA) == []

    def test_comes_back_as_it_was(self, library: Library) -> None:
        put(library)
        assert contents.get(library, SHA) == CONTENT
        assert contents.header(library, SHA) == b"h"

    def test_without_evidence_has_none(self, library: Library) -> None:
        put(library, content=CONTENT._replace(evidence=(), kind="unknown", base_model=""))
        content = contents.get(library, SHA)
        assert content is not None
        assert content.evidence == ()

    def test_needs_no_model(self, library: Library) -> None:
        """A scan with --stage looks into files of which there is none yet."""
        put(library, SERIOUS)
        assert contents.findings(library, SHA) == [(None, SERIOUS)]

    def test_takes_the_place_of_what_was_kept(self, library: Library) -> None:
        put(library, SERIOUS, MILD)
        newer = CONTENT._replace(kind="vae", evidence=("third",), usage_json="{}")
        put(library, MILD, content=newer, header=b"newer")
        assert contents.get(library, SHA) == newer
        assert contents.header(library, SHA) == b"newer"
        assert contents.findings(library, SHA) == [(None, MILD)]

    def test_a_header_too_long_to_keep_takes_the_old_one_away(self, library: Library) -> None:
        put(library)
        put(library, header=None)
        assert contents.header(library, SHA) is None
        assert contents.get(library, SHA) == CONTENT

    def test_is_no_other_contents(self, library: Library) -> None:
        put(library, SERIOUS)
        put(library, MILD, content=CONTENT._replace(sha256=OTHER))
        assert contents.findings(library, SHA) == [(None, SERIOUS)]
        assert contents.findings(library, OTHER) == [(None, MILD)]


class TestFindings:
    def test_the_serious_come_first(self, model: Library) -> None:
        put(model, MILD, SERIOUS, Finding("a", "first by name"))
        assert [finding.code for _, finding in contents.findings(model, SHA)] == [
            "html_page",
            "a",
            "trailing_data",
        ]

    def test_of_one_code_there_may_be_several(self, model: Library) -> None:
        put(model, Finding("bad_header", "one", serious=True), Finding("bad_header", "two", serious=True))
        assert [finding.message for _, finding in contents.findings(model, SHA)] == ["one", "two"]

    def test_said_twice_is_kept_once(self, model: Library) -> None:
        put(model, MILD, MILD)
        assert contents.findings(model, SHA) == [(None, MILD)]

    def test_messages_are_kept_fit_to_be_shown(self, model: Library) -> None:
        put(model, Finding("bad_header", "a\x1b[31m\ud800\n\u202e", serious=True))
        ((_, finding),) = contents.findings(model, SHA)
        assert finding.message == "a\\x1b[31m\\ud800\\n\\u202e"

    @settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=50, deadline=None)
    @given(st.lists(st.builds(Finding, st.text(st.characters(codec="utf-8")), st.text(), st.booleans())))
    def test_whatever_is_found_comes_back(self, library: Library, found: list[Finding]) -> None:
        put(library, *found)
        kept = {(each.code, each.message) for _, each in contents.findings(library, SHA)}
        assert kept == {(each.code, visible(each.message)) for each in found}


class TestPlaces:
    def test_are_told_with_their_path(self, model: Library) -> None:
        put(model, SERIOUS)
        put_place(model, known_file("/m/a"), MISPLACED, NAMED)
        assert contents.findings(model, SHA) == [(None, SERIOUS), ("/m/a", MISPLACED), ("/m/a", NAMED)]

    def test_are_not_told_while_the_file_is_missing(self, model: Library) -> None:
        put_place(model, known_file("/m/b"), MISPLACED)
        assert contents.findings(model, SHA) == []
        put_files(model, known_file("/m/b"))
        assert contents.findings(model, SHA) == [("/m/b", MISPLACED)]

    def test_are_not_told_where_no_file_is_known(self, model: Library) -> None:
        put_place(model, known_file("/m/never"), MISPLACED)
        assert contents.findings(model, SHA) == []

    def test_are_not_those_of_other_content_at_the_same_path(self, model: Library) -> None:
        put_model(model, OTHER)
        put_files(model, known_file("/m/a", missing_since=1), known_file("/m/a", OTHER))
        put_place(model, known_file("/m/a", SHA), MISPLACED)
        assert contents.findings(model, SHA) == contents.findings(model, OTHER) == []

    def test_are_kept_in_place_of_what_was_kept_of_the_same_place(self, model: Library) -> None:
        put_place(model, known_file("/m/a"), MISPLACED, NAMED)
        put_place(model, known_file("/m/a"), NAMED)
        assert contents.findings(model, SHA) == [("/m/a", NAMED)]
        put_place(model, known_file("/m/a"))
        assert contents.findings(model, SHA) == []

    def test_leave_what_other_codes_say_of_the_place(self, model: Library) -> None:
        stale = Finding("sidecar_mismatch", "a.json is about another file")
        with model.transaction():
            contents.put_place_findings(model, known_file("/m/a"), [stale], codes=("sidecar_mismatch",))
        put_place(model, known_file("/m/a"), NAMED)
        put_place(model, known_file("/m/a"))
        assert contents.findings(model, SHA) == [("/m/a", stale)]

    def test_and_content_do_not_touch_each_other(self, model: Library) -> None:
        put(model, SERIOUS)
        put_place(model, known_file("/m/a"), NAMED)
        put(model)
        assert contents.findings(model, SHA) == [("/m/a", NAMED)]
        put(model, SERIOUS)
        put_place(model, known_file("/m/a"))
        assert contents.findings(model, SHA) == [(None, SERIOUS)]

    @pytest.mark.parametrize("path", [os.fsdecode(b"/m\xff/\xfe.ckpt"), "/m/角色.ckpt", "/a\n\x1b"])
    def test_may_have_any_name(self, library: Library, path: str) -> None:
        put_model(library)
        put_files(library, known_file(path))
        put_place(library, known_file(path), NAMED)
        assert contents.findings(library, SHA) == [(path, NAMED)]
        put_place(library, known_file(path))
        assert rows(library) == 0
