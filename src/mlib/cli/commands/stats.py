"""`mlib stats`."""

from __future__ import annotations

import shutil
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.cli.options import JsonOption, LibraryOption, open_for

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from mlib.db.statistics import Figures
    from mlib.services.counting import Counted

#: Rows of a section on a terminal.
_SHOWN = 12


class By(StrEnum):
    """What can be asked for in full."""

    type = "type"
    base = "base"
    tag = "tag"
    root = "root"


def stats(
    ctx: typer.Context,
    by: Annotated[By | None, typer.Option(help="Only this, in full and with every row.")] = None,
    as_json: JsonOption = False,
    library: LibraryOption = None,
) -> None:
    """Add up models, files and bytes.

    By type, base model, tag and root. Bytes are those of present files; unique bytes count a hard-linked
    file once; what can be freed is what copies take beyond one.
    """
    from mlib.services.counting import count

    with open_for(ctx, library, mode="read") as opened:
        counted = count(opened, tags_in_full=by is By.tag)
    if as_json:
        output.write_json(_document(counted))
    elif output.is_terminal():
        output.write_tame(_page(counted, by))
    else:
        output.write_rows(_rows(counted, by))


def _document(counted: Counted) -> dict[str, Any]:
    tags: list[dict[str, Any]] = [{"tag": name, "models": models} for name, models in counted.tags]
    if counted.tags_in_full is not None:
        tags = [{"tag": name, **_figures(figures)} for name, figures in counted.tags_in_full.items()]
    return {
        "total": {**_figures(counted.total), "pending": counted.pending},
        "types": [{"type": name, **_figures(figures)} for name, figures in counted.types.items()],
        "base_models": [
            {"base_model": name, **_figures(figures)} for name, figures in counted.base_models.items()
        ],
        "tags": tags,
        "roots": [
            {
                "path": root.path,
                "type": root.type,
                "files": root.files,
                "bytes": root.size_bytes,
                "missing": root.missing,
            }
            for root in counted.roots
        ],
        "findings": [
            {"code": code, "models": models, "serious": serious} for code, models, serious in counted.findings
        ],
    }


def _figures(figures: Figures) -> dict[str, int]:
    return {
        "models": figures.models,
        "files": figures.files,
        "bytes": figures.size_bytes,
        "unique_bytes": figures.unique_bytes,
        "duplicates": figures.duplicates,
        "freeable_bytes": figures.freeable_bytes,
        "missing": figures.missing,
    }


def _rows(counted: Counted, by: By | None) -> Iterable[tuple[str, ...]]:
    """What, name, models, files, bytes, unique bytes, duplicates, freeable bytes, missing."""
    if by is None:
        yield ("total", "", *map(str, counted.total))
    for what, groups in (
        ("type", counted.types),
        ("base", counted.base_models),
        ("tag", counted.tags_in_full or {}),
    ):
        if by in (None, what):
            yield from ((what, name, *map(str, figures)) for name, figures in groups.items())
    if by is None:
        yield from (("tag", name, str(models)) for name, models in counted.tags)
    if by in (None, By.root):
        for root in counted.roots:
            cells = (str(root.files), str(root.size_bytes), "", "", "", str(root.missing))
            yield ("root", root.path or "", "", *cells)
    if by is None:
        yield from (("finding", code, str(models)) for code, models, _ in counted.findings)


def _page(counted: Counted, by: By | None) -> list[str]:
    total = counted.total
    lines: list[str] = []
    if by is None:
        lines.append(
            f"{fmt.plural(total.models, 'model')}, {fmt.plural(total.files, 'file')}, "
            f"{fmt.size(total.unique_bytes)}"
        )
        for amount, words in (
            (total.missing, f"{fmt.number(total.missing)} missing"),
            (
                total.duplicates,
                f"{fmt.plural(total.duplicates, 'copy', 'copies')}: {fmt.size(total.freeable_bytes)} to free",
            ),
            (counted.pending, f"{fmt.number(counted.pending)} pending"),
        ):
            if amount:
                lines.append(f"  {words}")
    shown = _SHOWN if by is None else None
    for what, title, groups in (
        (By.type, "type", counted.types),
        (By.base, "base model", counted.base_models),
        (By.tag, "tag", counted.tags_in_full or {}),
    ):
        if by in (None, what) and groups:
            bars = [
                (name or "unknown", fmt.size(figures.unique_bytes), figures.models, figures.unique_bytes)
                for name, figures in groups.items()
            ]
            lines += _section(title, bars, shown)
    if by is None and counted.tags:
        lines += _section("tag", [(name, "", models, models) for name, models in counted.tags], shown)
    if by in (None, By.root) and counted.roots:
        roots = [
            (root.path or "no root", fmt.size(root.size_bytes), root.files, root.size_bytes)
            for root in counted.roots
        ]
        lines += _section("root (files)", roots, shown)
    if by is None and counted.findings:
        lines += _section(
            "finding", [(code, "", models, models) for code, models, _ in counted.findings], shown
        )
    return lines


def _section(title: str, bars: Sequence[tuple[str, str, int, int]], shown: int | None) -> list[str]:
    """A heading, and for each row its name, size, count and a bar as long as its share of the longest."""
    from mlib.cli.cells import cell_width
    from mlib.cli.pages import heading
    from mlib.cli.tables import shortened
    from mlib.core.text import visible

    width = min(shutil.get_terminal_size().columns, 100)
    rows = bars[:shown]
    names = [shortened(visible(name), 30) for name, *_ in rows]
    room = max(cell_width(name) for name in names)
    longest = max(value for *_, value in rows) or 1
    counts = [fmt.number(count) for _, _, count, _ in rows]
    most = max(map(len, counts))
    left = max(width - room - most - 17, 5)
    lines = ["", heading(title)]
    for name, counted, (_, size, _, value) in zip(names, counts, rows, strict=True):
        bar = "#" * max(round(left * value / longest), 1 if value else 0)
        lines.append(
            f"  {name}{' ' * (room - cell_width(name))}  {counted:>{most}}  {size:>8}  {bar}".rstrip()
        )
    if len(bars) > len(rows):
        lines.append(f"  and {fmt.number(len(bars) - len(rows))} more")
    return lines
