"""No name, tag or metadata reaches a terminal with control characters in force, or stops the program."""

from __future__ import annotations

import io
import json
import os
import sys
import unicodedata
from contextlib import redirect_stderr, redirect_stdout
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.cli import output
from mlib.core.errors import MlibError
from mlib.core.text import displayable, visible

if TYPE_CHECKING:
    from collections.abc import Callable

_BIDI_CONTROLS = {"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"}
_MARKS = "\u061c\u200e\u200f"

#: Any text a program can hold: names of any bytes, JSON with half of a surrogate pair, and all of Unicode.
surrogates = st.text(st.characters(categories=["Cs"]), max_size=5)
controls = st.text(st.characters(categories=["Cc", "Cf", "Zl", "Zp"]), max_size=5)
anything = st.lists(st.text() | surrogates | controls | st.binary().map(os.fsdecode), max_size=4).map("".join)
#: Characters that belong to no format and yet show nothing.
unseen = "".join(
    map(chr, (0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, *range(0x180B, 0x1810), 0x2065, 0x3164, 0xFFA0))
)
unseen += "".join(map(chr, (*range(0xFFF0, 0xFFF9), *range(0xE0000, 0xE1000))))
plain = st.text(st.characters(exclude_categories=["Cc", "Cf", "Cs", "Zl", "Zp"], exclude_characters=unseen))


def steers(character: str) -> bool:
    return (
        unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp")
        or unicodedata.bidirectional(character) in _BIDI_CONTROLS
        or character in _MARKS
    )


def written(write: Callable[..., None], *arguments: Any) -> bytes:
    """What a writer of the output sends, on either stream; both are pipes."""
    out, err = io.BytesIO(), io.BytesIO()
    errors = io.TextIOWrapper(err, encoding="ascii", write_through=True)
    with redirect_stdout(io.TextIOWrapper(out, write_through=True)), redirect_stderr(errors):
        output.prepare()
        write(*arguments)
        assert sys.stdout is not None
        return out.getvalue() + err.getvalue()


@given(anything)
def test_visible_text_steers_nothing_and_can_be_encoded(text: str) -> None:
    shown = visible(text)
    assert not any(map(steers, shown))
    assert shown.encode().decode() == shown


@given(plain)
def test_plain_text_stays_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert displayable(text) == text


@given(anything)
def test_what_is_visible_stays_as_it_is(text: str) -> None:
    assert visible(visible(text)) == visible(text)


@given(anything)
def test_a_name_can_always_be_kept_and_text_is_kept_exactly(text: str) -> None:
    kept = displayable(text)
    assert kept.encode().decode() == kept
    if not any("\ud800" <= character <= "\udfff" for character in text):
        assert kept == text


@given(st.lists(anything, max_size=3))
def test_lines_are_one_line_each_and_steer_nothing(texts: list[str]) -> None:
    lines = written(output.write_lines, texts).decode().split("\n")
    assert lines == [*map(visible, texts), ""]


@given(st.lists(st.lists(anything, min_size=1, max_size=3), max_size=3))
def test_rows_have_the_cells_they_were_given(rows: list[list[str]]) -> None:
    lines = written(output.write_rows, rows).decode().split("\n")[:-1]
    assert [line.split("\t") for line in lines] == [[visible(cell) for cell in row] for row in rows]


@given(st.lists(anything, max_size=3))
def test_bare_values_are_written_whatever_they_hold(texts: list[str]) -> None:
    assert written(output.write_values, texts).count(b"\n") == sum(t.count("\n") for t in texts) + len(texts)


@given(st.binary().map(os.fsdecode))
def test_a_path_comes_out_of_a_pipe_as_the_bytes_it_is(path: str) -> None:
    assert written(output.write_values, [path]) == os.fsencode(path) + b"\n"


@given(st.dictionaries(anything, anything | st.lists(anything, max_size=2), max_size=3))
def test_json_is_exact_and_steers_nothing(document: dict[str, Any]) -> None:
    text = written(output.write_json, document).decode()
    assert json.loads(text) == joined(document)
    assert not any(map(steers, text.removesuffix("\n")))


def joined(value: Any) -> Any:
    """The document as JSON has it: two halves of a surrogate pair that meet are one character."""
    return json.loads(json.dumps(value))


@pytest.mark.parametrize("as_json", [False, True])
@given(message=anything, hint=st.none() | anything)
def test_an_error_is_told_whatever_is_in_it(as_json: bool, message: str, hint: str | None) -> None:
    error = MlibError("code", message, hint=hint)
    text = written(lambda: output.fail(error, as_json=as_json)).decode()
    assert len(text.splitlines()) == (1 if as_json or not hint else 2)
    assert not any(map(steers, text.replace("\n", "")))


@given(anything)
def test_a_note_is_one_line(message: str) -> None:
    text = written(output.note, message).decode()
    assert len(text.splitlines()) == 1
    assert not any(map(steers, text.removesuffix("\n")))
