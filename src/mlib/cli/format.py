"""Figures in a person's words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core import times

if TYPE_CHECKING:
    from mlib.core.models import Problem


def size(count: int | None) -> str:
    """Bytes as people say them (decimal units, as disks are sold)."""
    if count is None:
        return "unknown"
    if count < 1000:
        return f"{count} B"
    value = float(count)
    for unit in ("kB", "MB", "GB", "TB"):
        value /= 1000
        if value < 999.5 or unit == "TB":
            return (
                f"{value:.2f} {unit}"
                if value < 10
                else f"{value:.1f} {unit}"
                if value < 100
                else f"{value:.0f} {unit}"
            )
    return f"{count} B"


def exact_size(count: int | None) -> str:
    """Bytes as people say them, and to the last one."""
    return size(count) if count is None or count < 1000 else f"{size(count)} ({number(count)} bytes)"


def number(count: int) -> str:
    """A count with its thousands apart."""
    return f"{count:,}"


def count(value: int) -> str:
    """A count as people say it: 2,345, 860 M, 11.9 B."""
    for unit, size in (("T", 10**12), ("B", 10**9), ("M", 10**6)):
        if value >= 0.9995 * size:
            return f"{value / size:.3g} {unit}"
    return number(value)


def plural(count: int, noun: str, nouns: str | None = None) -> str:
    """`1 file`, `2 files`."""
    return f"{number(count)} {noun if count == 1 else nouns or noun + 's'}"


def problem(each: Problem) -> str:
    """What went wrong with which file, whose path may be in the message already."""
    return (
        f"problem: {each.message}" if each.path in each.message else f"problem: {each.path}: {each.message}"
    )


def dangling(link: str, *, dry_run: bool) -> str:
    """That a link leads nowhere since a file went, or would."""
    return f"a link {'would lead' if dry_run else 'leads'} nowhere {'then' if dry_run else 'now'}: {link}"


def folder_stays(folder: str, *, dry_run: bool) -> str:
    """That a folder of a model is left where it is, though the model went, or would."""
    return f"a folder of the model {'would stay' if dry_run else 'stays'} where it is: {folder}"


def moment(value: int | None) -> str:
    """A moment as a date and time in UTC."""
    text = times.iso(value)
    return "" if text is None else text.replace("T", " ").replace("Z", " UTC")
