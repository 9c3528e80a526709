"""`mlib stats`."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.layout import Bar, bar_section
from mlib.cli.options import JsonOption, LibraryOption, open_session

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from mlib.db.statistics import Totals
    from mlib.services.counting import Counted

#: Maximum number of rows of a section on a terminal.
_SHOWN = 12
#: Columns of --by: heading, value, format.
_COLUMNS: tuple[tuple[str, Callable[[Totals], int], Callable[[int], str]], ...] = (
    ("models", lambda figures: figures.models, fmt.number),
    ("files", lambda figures: figures.files, fmt.number),
    ("size", lambda figures: figures.unique_bytes, fmt.size),
    ("copies", lambda figures: figures.duplicates, fmt.number),
    ("to free", lambda figures: figures.freeable_bytes, fmt.size),
    ("missing", lambda figures: figures.missing, fmt.number),
    ("findings", lambda figures: figures.findings, fmt.number),
)


class By(StrEnum):
    """The values of --by."""

    type = "type"
    base = "base"
    tag = "tag"
    root = "root"


_TITLES = {By.type: "type", By.base: "base model", By.tag: "tag", By.root: "root"}


def stats(
    ctx: typer.Context,
    by: Annotated[By | None, typer.Option(help="Show only this breakdown, with every row.")] = None,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Show totals: models, files and bytes.

    By type, base model, tag and root. Bytes count present files only; unique bytes count hard links once;
    what can be freed is the size of all copies beyond the first.
    """
    with open_session(ctx, library) as session:
        counted = session.stats(tags_in_full=by is By.tag, roots_in_full=by is By.root)
    if as_json:
        from mlib import documents

        output.write_json(documents.stats_document(counted))
    elif output.is_terminal():
        output.write_safe(_page(counted, by))
    else:
        output.write_rows(_rows(counted, by))


def _groups(counted: Counted, by: By) -> list[tuple[str, Totals]]:
    if by is By.root:
        full = counted.roots_in_full or {}
        return [(root.path or "", full[root.id]) for root in counted.roots if root.id in full]
    groups = {By.type: counted.types, By.base: counted.base_models, By.tag: counted.tags_in_full or {}}[by]
    return list(groups.items())


def _rows(counted: Counted, by: By | None) -> Iterable[tuple[str, ...]]:
    """Section, name, models, files, bytes, unique bytes, duplicates, freeable bytes, missing, findings."""
    if by is not None:
        yield from ((str(by), name, *map(str, figures)) for name, figures in _groups(counted, by))
        return
    yield ("total", "", *map(str, counted.total))
    for each in (By.type, By.base):
        yield from ((str(each), name, *map(str, figures)) for name, figures in _groups(counted, each))
    yield from (("tag", name, str(models)) for name, models in counted.tags)
    for root in counted.roots:
        cells = (str(root.files), str(root.size_bytes), "", "", "", str(root.missing))
        yield ("root", root.path or "", "", *cells)
    yield from (("finding", code, str(models)) for code, models, _ in counted.findings)


def _page(counted: Counted, by: By | None) -> list[str]:
    if by is not None:
        return _in_full(_TITLES[by], _groups(counted, by))
    total = counted.total
    amounts = (
        fmt.plural(total.models, "model"),
        fmt.plural(total.files, "file"),
        fmt.size(total.unique_bytes),
    )
    lines = [", ".join(amounts), *(f"  {words}" for words in _remarks(counted))]
    by_bytes = [(each, _groups(counted, each)) for each in (By.type, By.base)]
    sections = [
        (_TITLES[each], [_bar(name, figures.models, figures.unique_bytes) for name, figures in groups])
        for each, groups in by_bytes
    ]
    sections += [
        ("tag", [Bar(name, (fmt.number(models), ""), models) for name, models in counted.tags]),
        (
            "root (files)",
            [_bar(root.path or "no root", root.files, root.size_bytes) for root in counted.roots],
        ),
        ("finding", [Bar(code, (fmt.number(models), ""), models) for code, models, _ in counted.findings]),
    ]
    return lines + [
        line for title, bars in sections if bars for line in bar_section(title, bars, shown=_SHOWN)
    ]


def _remarks(counted: Counted) -> Iterable[str]:
    total = counted.total
    if total.missing:
        yield f"{fmt.number(total.missing)} missing"
    if total.duplicates:
        copies = fmt.plural(total.duplicates, "copy", "copies")
        yield f"{copies}: {fmt.size(total.freeable_bytes)} can be freed"
    if counted.pending:
        yield f"{fmt.number(counted.pending)} pending"


def _bar(name: str, count: int, size: int) -> Bar:
    return Bar(name or "unknown", (fmt.number(count), fmt.size(size)), size)


def _in_full(title: str, groups: Sequence[tuple[str, Totals]]) -> list[str]:
    """One row for each group, without columns that are zero throughout."""
    columns = [
        column for column in _COLUMNS if column[0] == "models" or any(column[1](each) for _, each in groups)
    ]
    bars = [
        Bar(name or "unknown", tuple(tell(get(each)) for _, get, tell in columns), each.unique_bytes)
        for name, each in groups
    ]
    return bar_section(title, bars, heads=[head for head, _, _ in columns]) if bars else []
