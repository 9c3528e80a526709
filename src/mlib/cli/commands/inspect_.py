"""`mlib inspect`."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlib.cli import output
from mlib.cli import output as fmt
from mlib.cli.options import JsonOption  # noqa: TC001 - Typer reads it
from mlib.core.errors import FINISHED_WITH_PROBLEMS, MlibError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from mlib.services.inspecting import Inspected


def inspect_(
    files: Annotated[list[str], typer.Argument(metavar="FILE...", help="Any files, in the library or not.")],
    as_json: JsonOption = False,
) -> None:
    """Identify files from their headers alone.

    Needs no library, runs nothing and writes nothing. Exits with 3 if a file has a serious finding, or if one
    of several cannot be read.
    """
    shown: list[dict[str, Any]] = []
    troubled = False
    for number, (path, found) in enumerate(_found(files)):
        if isinstance(found, MlibError):
            troubled = True
            if as_json:
                from mlib import documents

                shown.append(documents.unreadable_document(path, found, output.worded(found.hint)))
            output.note(f"problem: {found.message}")
            continue
        troubled = troubled or found.is_serious
        if as_json:
            from mlib import documents

            shown.append(documents.inspected_document(found))
        elif output.is_terminal():
            output.write_safe(([""] if number else []) + list(_page(found)))
        else:
            output.write_rows(_rows(found))
    if as_json:
        output.write_json(shown[0] if len(files) == 1 else shown)
    if troubled:
        raise typer.Exit(FINISHED_WITH_PROBLEMS)


def _found(files: Sequence[str]) -> Iterator[tuple[str, Inspected | MlibError]]:
    """The result or error for each file. Raises the error if it is the only file."""
    from mlib.services.inspecting import inspect_each

    for path, found in inspect_each(files):
        if isinstance(found, MlibError) and len(files) == 1:
            raise found
        yield path, found


def _rows(each: Inspected) -> Iterator[tuple[str, ...]]:
    from mlib.cli import views

    yield "path", each.path
    yield "size_bytes", str(each.size_bytes)
    yield "base_model", each.inspection.base_model
    yield from views.pending_rows(each.about)
    for path in each.companions:
        yield "companion", path
    for path in each.silent:
        yield "silent_sidecar", path
    for path, message in each.unread:
        yield "unread", path, message


def _page(each: Inspected) -> Iterator[str]:
    from mlib.cli import views
    from mlib.cli.layout import entry, heading, section
    from mlib.core.text import visible

    known = each.about
    yield heading(visible(each.path))
    yield heading("what it is")
    for label, text in views.what_it_is(known):
        yield from entry(label, text)
    yield from entry("size", fmt.exact_size(each.size_bytes))
    if use := list(views.how_to_use(known)):
        yield heading("how to use it")
        for label, text in use:
            yield from entry(label, text)
    if each.companions or each.unread:
        yield heading("companions")
        for path in each.companions:
            silent = " (no usable information)" if path in each.silent else ""
            yield f"  {visible(os.path.basename(path))}{silent}"
        for path, message in each.unread:
            yield from entry("unread", f"{path}: {message}")
    if known.findings:
        yield heading("findings")
        yield from section(list(views.findings(known)))
