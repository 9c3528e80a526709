"""Tables on a terminal and in a pipe."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from mlib.cli import output
from mlib.cli.layout import Column, cell_width, shortened, write_table

if TYPE_CHECKING:
    import pytest

COLUMNS = (Column("name", shrinks=True), Column("size", right=True))
ROWS = [("ink\tsketch " * 10, "1 B"), ("漢字", "20 GB")]


def test_a_pipe_gets_whole_rows_and_no_titles(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    write_table(COLUMNS, ROWS)
    assert (
        capfdbinary.readouterr().out.decode()
        == f"{'ink' + chr(92) + 't' + 'sketch '}".join([""] * 11) + "\t1 B\n漢字\t20 GB\n"
    )


def test_a_terminal_gets_columns_that_fit(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    monkeypatch.setenv("COLUMNS", "30")
    monkeypatch.setenv("NO_COLOR", "1")
    write_table(COLUMNS, ROWS)
    lines = capfdbinary.readouterr().out.decode().splitlines()
    assert [cell_width(line) for line in lines] == [30, 30, 30]
    assert lines[0].split() == ["NAME", "SIZE"]
    assert "…" in lines[1]
    assert lines[2].startswith("漢字 ")
    assert lines[2].endswith(" 20 GB")


def test_an_empty_table_is_nothing(
    capfdbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(output, "is_terminal", lambda: True)
    write_table(COLUMNS, [])
    assert capfdbinary.readouterr().out == b""


@given(st.text(), st.integers(1, 40))
def test_what_is_shortened_fits(text: str, width: int) -> None:
    assert cell_width(shortened(text, width)) <= width
    assert shortened(text, cell_width(text)) == text or not text


def test_a_path_keeps_its_end() -> None:
    assert shortened("/models/loras/ink.safetensors", 17) == "…/ink.safetensors"
    assert shortened("/models/漢字.pt", 8) == "…漢字.pt"
