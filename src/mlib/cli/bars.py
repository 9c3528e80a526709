"""Amounts as bars, for a person: each as long as its share of the longest."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING, NamedTuple

from mlib.cli import format as fmt
from mlib.cli.cells import cell_width
from mlib.cli.pages import WIDTH, heading
from mlib.cli.tables import shortened
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Cells of a terminal that a name gets, and a bar at least.
_NAME, _BAR = 30, 5


class Bar(NamedTuple):
    """A name, what is told of it in columns, and the amount that its bar shows."""

    name: str
    cells: tuple[str, ...]
    amount: int


def section(
    title: str, bars: Sequence[Bar], *, heads: Sequence[str] = (), shown: int | None = None
) -> list[str]:
    """A heading, over the columns too if they have `heads`, and a line for each of the first bars."""
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
