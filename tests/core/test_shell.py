"""Commands that are pasted: a shell takes each word for what it is, and a terminal shows nothing else."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.shells import words_of

from mlib.cli.output import command_line
from mlib.core.text import library_option, quoted, visible

WORDS = [
    "plain",
    "it's",
    "new\nline",
    "50%\t-n \\033",
    "\x1b[1m'",
    "\udcff\u00fc \u202e",
    "-\r",
    "end\n",
    "$(x)\x07`y`",
]


@pytest.mark.parametrize("shell", ["sh", "bash"])
def test_a_shell_takes_a_word_for_what_it_is(shell: str) -> None:
    command = " ".join(map(quoted, WORDS))
    assert words_of(command, shell=shell) == WORDS
    assert words_of(command_line(library_option("a\nb")), shell=shell) == ["--library", "a\nb"]


def test_a_word_that_needs_nothing_is_left_as_it_is() -> None:
    assert [quoted(word) for word in ("/m/a.ckpt", "a b", "\u00fc")] == ["/m/a.ckpt", "'a b'", "'\u00fc'"]


@given(st.binary(max_size=20))
def test_nothing_in_it_is_unfit_for_a_terminal(name: bytes) -> None:
    word = os.fsdecode(name)
    assert word.endswith("\n") or visible(quoted(word)) == quoted(word)
