"""The parts of a page for a person: headings and labelled, wrapped text. Our own marks are the only ones."""

from __future__ import annotations

import shutil
import textwrap
from typing import TYPE_CHECKING

from mlib.cli import output
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Widest page: longer lines are hard to read.
WIDTH = 100


def heading(text: str) -> str:
    """A heading, bold where colour is welcome; `text` must be visible already."""
    return f"\x1b[1m{text}\x1b[0m" if output.has_colour() else text


def entry(label: str, value: str) -> Iterator[str]:
    """A labelled text, wrapped."""
    lead = f"  {label:<12} "
    width = max(min(shutil.get_terminal_size().columns, WIDTH), 40)
    for line in value.split("\n"):
        yield from textwrap.wrap(
            visible(line),
            width,
            initial_indent=lead,
            subsequent_indent=" " * len(lead),
            break_long_words=False,
            break_on_hyphens=False,
        ) or [lead.rstrip()]
        lead = " " * len(lead)
