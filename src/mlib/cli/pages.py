"""The parts of a page for a person: headings and labelled, wrapped text. Our own marks are the only ones."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from mlib.cli import output
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

#: Widest page: longer lines are hard to read.
WIDTH = 100


def section(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Labelled texts, their labels in a column as wide as the longest."""
    room = max((len(label) for label, _ in entries), default=0)
    for label, text in entries:
        yield from entry(label, text, room=max(room, 12))


def heading(text: str) -> str:
    """A heading, bold where colour is welcome; `text` must be visible already."""
    return f"\x1b[1m{text}\x1b[0m" if output.has_colour() else text


def entry(label: str, value: str, *, room: int = 12) -> Iterator[str]:
    """A labelled text, wrapped; `room` is what the labels of a section get."""
    lead = f"  {label:<{room}} "
    width = max(min(shutil.get_terminal_size().columns, WIDTH), 40)
    for line in value.split("\n"):
        yield from _wrapped(visible(line), width, lead) or [lead.rstrip()]
        lead = " " * len(lead)


def _wrapped(line: str, width: int, lead: str) -> list[str]:
    if not line.isascii():
        from mlib.cli.cells import cell_width, lines_of

        if cell_width(line) != len(line):
            parts = list(lines_of(line, width - len(lead)))
            return [lead + parts[0], *(" " * len(lead) + part for part in parts[1:])] if parts else []
    return textwrap.wrap(
        line,
        width,
        initial_indent=lead,
        subsequent_indent=" " * len(lead),
        break_long_words=False,
        break_on_hyphens=False,
    )
