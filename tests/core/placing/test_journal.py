"""The journal of what was done to files: what no mlib wrote is passed over, and told by its line."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from mlib.core.disk.journal import cut_off, foreign_lines, journal_path, last_file_action, noted

SHA = "a1" * 32
#: Lines of another program, of somebody's hand, and of a newer mlib.
FOREIGN = {
    "no moves": '{"id": "1a-2", "state": "begun", "command": "mv", "sha256": "s"}',
    "moves of another shape": '{"id":"1a-2","state":"begun","command":"m","sha256":"s","moves":["/a"]}',
    "a move without an end": '{"id":"1a-2","state":"begun","command":"m","sha256":"s","moves":[{"to":"/"}]}',
    "a path that is a number": (
        '{"id":"1a-2","state":"begun","command":"m","sha256":"s","moves":[{"from":"/a","to":1}]}'
    ),
    "a path with a zero byte": (
        '{"id":"1a-2","state":"begun","command":"m","sha256":"s","moves":[{"from":"/a","to":"/b\\u0000"}]}'
    ),
    "a path that is no name": (
        '{"id":"1a-2","state":"begun","command":"m","sha256":"s","moves":[{"from":"/a","to":"\\ud800"}]}'
    ),
    "a state of a newer mlib": '{"id": "1a-2", "state": "copied", "command": "mv"}',
    "an id that is a list": '{"id": ["1a-2"], "state": "done"}',
    "an id that is no moment": '{"id": "yesterday", "state": "done"}',
    "no object": "[1, 2]",
    "no JSON": "mv /a /b",
    "nested too deeply": "[" * 200_000,
    "a number without end": "9" * 100_000,
    "not UTF-8": "\udcff\udcfe",
    "moves to the trash of another shape": '{"id": "1a-2", "state": "done", "trashed": {"from": "/a"}}',
}


@pytest.fixture
def library(tmp_path: Path) -> str:
    """Where a library would be, with one action in its journal."""
    path = str(tmp_path / "library.db")
    with noted(path, "mv", sha256=SHA, moves=[("/m/a", "/m/b")]):
        pass
    return path


def add(library: str, line: str, *, end: str = "\n") -> None:
    with open(journal_path(library), "ab") as file:
        file.write(os.fsencode(line + end))


@pytest.mark.parametrize("line", FOREIGN.values(), ids=FOREIGN.keys())
def test_a_foreign_line_is_passed_over_and_told_by_its_number(library: str, line: str) -> None:
    action = last_file_action(library)
    assert action is not None
    add(library, line)
    assert (cut_off(library), last_file_action(library)) == (set(), action)
    with noted(library, "rename", sha256=SHA, moves=[("/m/b", "/m/c")]):
        assert cut_off(library) == {("/m/b", "/m/c")}
    again = last_file_action(library)
    assert again is not None
    assert again.moves == (("/m/b", "/m/c"),)
    assert foreign_lines(library) == [3]


@pytest.mark.parametrize("kept", [1, 4, 8, 20, 80])
def test_a_line_that_was_cut_off_is_not_foreign(library: str, kept: int) -> None:
    line = Path(journal_path(library)).read_text().splitlines()[0]
    add(library, line[:kept], end="")
    with noted(library, "mv", sha256=SHA, moves=[("/m/b", "/m/c")]):
        pass
    add(library, "\0" * 100)
    assert foreign_lines(library) == []


def test_what_a_newer_mlib_adds_to_an_entry_does_no_harm(library: str) -> None:
    more = {"id": "1b-2", "state": "begun", "command": "mv", "sha256": SHA, "reason": ["new"]}
    add(library, json.dumps(more | {"moves": [{"from": "/m/x", "to": "/m/y", "kind": "file"}]}))
    assert foreign_lines(library) == []
    assert cut_off(library) == {("/m/x", "/m/y")}


@pytest.mark.parametrize("kind", ["directory", "fifo", "loop", "none"])
def test_what_is_no_journal_is_never_waited_for(tmp_path: Path, kind: str) -> None:
    path = str(tmp_path / "library.db")
    place = Path(journal_path(path))
    if kind == "directory":
        place.mkdir()
    elif kind == "fifo":
        os.mkfifo(place)
    elif kind == "loop":
        place.symlink_to(place)
    assert (cut_off(path), last_file_action(path), foreign_lines(path)) == (set(), None, [])
