"""Asking before anything is destroyed."""

from __future__ import annotations

import io

import pytest

from mlib.cli.options import confirm
from mlib.core.errors import Refused


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def at_a_terminal(monkeypatch: pytest.MonkeyPatch, answer: str) -> Terminal:
    shown = Terminal()
    monkeypatch.setattr("sys.stdin", Terminal(answer))
    monkeypatch.setattr("sys.stderr", shown)
    return shown


def test_yes_asks_nobody() -> None:
    confirm("forget 3 models", yes=True)


def test_without_a_terminal_it_refuses_and_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    with pytest.raises(Refused, match="this would forget 3 models") as refusal:
        confirm("forget 3 models", yes=False)
    assert refusal.value.code == "needs_yes"


@pytest.mark.parametrize("answer", ["y\n", "YES\n", " y \n"])
def test_a_person_may_say_yes(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    shown = at_a_terminal(monkeypatch, answer)
    confirm("forget 3 models", yes=False)
    assert shown.getvalue() == "forget 3 models? [y/N] "


@pytest.mark.parametrize("answer", ["", "\n", "n\n", "yessir\n"])
def test_anything_else_is_no(monkeypatch: pytest.MonkeyPatch, answer: str) -> None:
    at_a_terminal(monkeypatch, answer)
    with pytest.raises(Refused, match="nothing was done"):
        confirm("forget 3 models", yes=False)


def test_what_is_said_after_no_answer_begins_a_line(monkeypatch: pytest.MonkeyPatch) -> None:
    shown = at_a_terminal(monkeypatch, "")
    with pytest.raises(Refused):
        confirm("forget 3 models", yes=False)
    assert shown.getvalue() == "forget 3 models? [y/N] \n"


@pytest.mark.parametrize("what", [KeyboardInterrupt, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "no text")])
def test_neither_ctrl_c_nor_what_is_no_text_is_a_yes(
    monkeypatch: pytest.MonkeyPatch, what: type[BaseException] | BaseException
) -> None:
    shown = at_a_terminal(monkeypatch, "")

    def read() -> str:
        raise what

    monkeypatch.setattr("sys.stdin.readline", read)
    with pytest.raises((KeyboardInterrupt, Refused)):
        confirm("forget 3 models", yes=False)
    assert shown.getvalue().endswith("[y/N] \n")
