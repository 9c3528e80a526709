"""Layout for a terminal: width of text in cells, wrapped pages, tables and bars.

Widths are counted in cells: wide East Asian characters take two, combining ones none. All text is made
`visible` first, so that no name or metadata can send control characters to the terminal.
"""

from __future__ import annotations

import os
import shutil
import textwrap
import unicodedata
from typing import TYPE_CHECKING, NamedTuple

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence


# --- Width and line breaking

#: Unicode categories that may not begin a line (closing) or end one (opening).
_CLOSING = frozenset({"Pe", "Pf", "Po", "Lm", "Mn", "Mc", "Me", "Cf"})
_OPENING = frozenset({"Ps", "Pi", "Cf"})


def cell_width(text: str) -> int:
    """The width of `text` in terminal cells: wide characters take two, combining ones none."""
    if text.isascii():
        return len(text)
    return sum(cells_of(character) for character in text)


def cells_of(character: str) -> int:
    """The width of one character."""
    if unicodedata.combining(character) or unicodedata.category(character) in ("Mn", "Me", "Cf"):
        return 0
    return 2 if unicodedata.east_asian_width(character) in "WF" else 1


def lines_of(text: str, width: int) -> Iterator[str]:
    """Break `text` into lines of at most `width` cells, at spaces and between wide characters.

    A longer word of narrow characters is not broken.
    """
    line, room = "", width
    for piece in _pieces(text):
        cells = cell_width(piece.rstrip())
        if line and cells > room:
            yield line.rstrip()
            line, room = "", width
        line += piece
        room -= cell_width(piece)
    if line.strip():
        yield line.rstrip()


def _pieces(text: str) -> Iterator[str]:
    """The parts between which a line may be broken, each with its trailing spaces."""
    piece = ""
    for character in text:
        if piece and _may_part(piece[-1], character):
            yield piece
            piece = ""
        piece += character
    if piece:
        yield piece


def _may_part(before: str, after: str) -> bool:
    if before.isspace() or after.isspace():
        return not after.isspace()
    if cells_of(before) < 2 and cells_of(after) < 2:
        return False
    return unicodedata.category(after) not in _CLOSING and unicodedata.category(before) not in _OPENING


# --- Pages: headings and labelled, wrapped text

#: Widest page: longer lines are hard to read.
WIDTH = 100


def section(entries: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Labelled texts, with a label column as wide as the longest."""
    room = max((len(label) for label, _ in entries), default=0)
    for label, text in entries:
        yield from entry(label, text, room=max(room, 12))


def heading(text: str) -> str:
    """A heading, bold if the terminal allows colour; `text` must be `visible` already."""
    return f"\x1b[1m{text}\x1b[0m" if output.has_colour() else text


def entry(label: str, value: str, *, room: int = 12) -> Iterator[str]:
    """A labelled text, wrapped; `room` is the width of the label column."""
    lead = f"  {label:<{room}} "
    width = max(min(shutil.get_terminal_size().columns, WIDTH), 40)
    for line in value.split("\n"):
        yield from _wrapped(visible(line), width, lead) or [lead.rstrip()]
        lead = " " * len(lead)


def _wrapped(line: str, width: int, lead: str) -> list[str]:
    if not line.isascii() and cell_width(line) != len(line):
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


# --- Tables

_GAP = "  "


class Column(NamedTuple):
    """A table column; `right` aligns numbers, `shrinks` allows it to be truncated if space is short."""

    title: str
    right: bool = False
    shrinks: bool = False


def write_table(columns: Sequence[Column], rows: Iterable[Sequence[str]]) -> None:
    """Print a table fitted to the terminal, or tab-separated, untruncated rows without titles in a pipe."""
    if not output.is_terminal():
        output.write_rows(rows)
        return
    cells = [[visible(cell) for cell in row] for row in rows]
    if not cells:
        return
    titles = [column.title.upper() for column in columns]
    widths = [max(cell_width(row[at]) for row in (titles, *cells)) for at in range(len(columns))]
    _fit(widths, columns, shutil.get_terminal_size().columns)
    lines = [heading(_line(titles, widths, columns))]
    lines += [_line(row, widths, columns) for row in cells]
    output.write_safe(lines)


def shortened(text: str, width: int) -> str:
    """Truncate `text` to `width` cells with an ellipsis; an absolute path keeps its end."""
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
    """Shrink the widest columns that may shrink until the row fits."""
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


# --- Bars

#: Maximum width of a name and minimum width of a bar, in cells.
_NAME, _BAR = 30, 5


class Bar(NamedTuple):
    """A row of a bar chart: name, cells of its columns, and the amount its bar shows."""

    name: str
    cells: tuple[str, ...]
    amount: int


def bar_section(
    title: str, bars: Sequence[Bar], *, heads: Sequence[str] = (), shown: int | None = None
) -> list[str]:
    """A heading (with column headings, if any) and one line for each of the first `shown` bars."""
    rows = bars[:shown]
    names = [shortened(visible(bar.name), _NAME) for bar in rows]
    room = max([*map(cell_width, names), cell_width(title) - 2 if heads else 0])
    columns = zip(*(bar.cells for bar in rows), strict=True)
    widths = [max(map(len, column)) for column in columns]
    if heads:
        widths = [max(width, len(head)) for width, head in zip(widths, heads, strict=True)]
    left = max(
        min(shutil.get_terminal_size().columns, WIDTH) - room - sum(widths) - 2 * len(widths) - 5, _BAR
    )
    longest = max(bar.amount for bar in rows) or 1
    lines = ["", heading(title)]
    if heads:
        lines[-1] += " " * (room + 2 - cell_width(title)) + _aligned(heads, widths)
    for name, bar in zip(names, rows, strict=True):
        drawn = "#" * max(round(left * bar.amount / longest), 1 if bar.amount else 0)
        filled = name + " " * (room - cell_width(name))
        lines.append(f"  {filled}{_aligned(bar.cells, widths)}  {drawn}".rstrip())
    if len(bars) > len(rows):
        lines.append(f"  and {fmt.number(len(bars) - len(rows))} more")
    return lines


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "".join(f"  {cell:>{width}}" for cell, width in zip(cells, widths, strict=True))
