"""Turns the cells of an older manager's database into values, whatever type they were stored as."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlib.db.untrusted_tables import Cell

_PATH_LENGTH = 32_767  # the longest path any system takes
_SHOWN_LENGTH = 300
_NUMBER_LENGTH = 40
_LARGEST_SIZE = 2**63 - 1
_SECONDS_BELOW = 10**11  # as milliseconds this is 1973, as seconds the year 5138
_YEAR_2100 = 4_102_444_800_000


class UnusableCellError(Exception):
    """A cell the row cannot do without holds nothing usable."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


def to_text(cell: Cell, what: str) -> str:
    """Read a cell as text: a blob is decoded, a number spelled, NULL is empty; errors call it `what`."""
    if cell is None:
        return ""
    if isinstance(cell, bytes):
        try:
            return cell.decode()
        except UnicodeDecodeError:
            raise UnusableCellError("bad_text", f"its {what} is not UTF-8 text") from None
    return str(cell)


def to_path(cell: Cell) -> str:
    """Read a path as `os.fsdecode` would: a file's name need not be UTF-8, and the walk gives it so."""
    text = cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else to_text(cell, "path")
    if "\0" in text:
        raise UnusableCellError("bad_path", "its path has a NUL character in it")
    if len(text) > _PATH_LENGTH:
        raise UnusableCellError("bad_path", f"its path is {len(text)} characters long")
    return text


def to_shown(cell: Cell) -> str:
    """Read a path only to show it, cut where it is too long; never fails."""
    text = cell.decode("utf-8", "surrogateescape") if isinstance(cell, bytes) else to_text(cell, "path")
    return text[:_SHOWN_LENGTH]


def to_size(cell: Cell) -> int | None:
    """Read a size in bytes; None if it cannot be one."""
    number = _number(cell)
    return number if number is not None and 0 <= number <= _LARGEST_SIZE else None


def to_milliseconds(cell: Cell) -> int | None:
    """Read a time given in milliseconds or in seconds; None if it is unset or beyond the year 2100."""
    number = _number(cell)
    if number is None or number <= 0:
        return None
    if number < _SECONDS_BELOW:
        number *= 1000
    return number if number < _YEAR_2100 else None


def _number(cell: Cell) -> int | None:
    if isinstance(cell, bytes):
        if len(cell) > _NUMBER_LENGTH:
            return None
        try:
            cell = float(cell) if b"." in cell else int(cell)
        except ValueError:
            return None
    try:
        return None if cell is None else int(cell)
    except (OverflowError, ValueError):  # infinity
        return None
