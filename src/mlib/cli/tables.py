"""Tables: columns that a person can read, or the same rows untruncated for a script."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, NamedTuple

from mlib.cli import output, pages
from mlib.cli.cells import cell_width, cells_of
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

_GAP = "  "


class Column(NamedTuple):
    """How a column stands on a terminal: figures right; what shrinks gives way to the rest."""

    title: str
    right: bool = False
    shrinks: bool = False


def write_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """On a terminal a table as wide as it; else tab-separated rows, whole and without titles."""
    if not output.is_terminal():
        output.write_rows(rows)
        return
    cells = [[visible(cell) for cell in row] for row in rows]
    if not cells:
        return
    titles = [column.title.upper() for column in columns]
    widths = [max(cell_width(row[at]) for row in (titles, *cells)) for at in range(len(columns))]
    _fit(widths, columns, shutil.get_terminal_size().columns)
    lines = [pages.heading(_line(titles, widths, columns))]
    lines += [_line(row, widths, columns) for row in cells]
    output.write_tame(lines)


def shortened(text: str, width: int) -> str:
    """`text` in at most `width` cells, with an ellipsis for the rest; of a path the end is kept."""
    if cell_width(text) <= width:
        return text
    if text.startswith(os.sep):
        return "…" + _beginning(text[::-1], width - 1)[::-1]
    return _beginning(text, width - 1) + "…"


def _beginning(text: str, room: int) -> str:
    kept = ""
    for character in text:
        room -= cells_of(character)
        if room < 0:
            break
        kept += character
    return kept


def _fit(widths: list[int], columns: Sequence[Column], room: int) -> None:
    """Take what is too much from the widest columns that may shrink."""
    excess = sum(widths) + len(_GAP) * (len(widths) - 1) - room
    giving = [at for at, column in enumerate(columns) if column.shrinks]
    while excess > 0 and giving:
        widest = max(giving, key=lambda at: widths[at])
        if widths[widest] <= max(cell_width(columns[widest].title), 8):
            return
        widths[widest] -= 1
        excess -= 1


def _line(row: Sequence[str], widths: Sequence[int], columns: Sequence[Column]) -> str:
    parts = []
    for text, width, column in zip(row, widths, columns, strict=True):
        cell = shortened(text, width)
        blank = " " * (width - cell_width(cell))
        parts.append(blank + cell if column.right else cell + blank)
    return _GAP.join(parts).rstrip()
