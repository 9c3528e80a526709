"""Which files a REF means: those of its model, or the one whose path it is."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.errors import NotFound, Refused, WrongUsage
from mlib.db import files
from mlib.services.filework.alike import each_once

if TYPE_CHECKING:
    from collections.abc import Sequence

    from mlib.core.models import KnownFile
    from mlib.db.library import Library
    from mlib.services.targets import Target


class Meant(NamedTuple):
    """A model and those of its present files that are meant."""

    sha256: str
    files: tuple[KnownFile, ...]


def files_meant(library: Library, target: Target, *, ref: str | None = None) -> Meant:
    """The present files of `target`; where the `ref` that led to it is a path, only the file at it.

    One that is seen at several paths, through linked folders, counts once.
    A link that is no file of the library but leads to one means nothing: it, or its target? Raises Refused
    (`no_file_of_it`), WrongUsage (`not_a_model`) for a pending import, NotFound (`no_file`).
    """
    if target.sha256 is None:
        raise WrongUsage("not_a_model", "a pending import has no files of its own; import it first")
    present = [row for row in files.of_model(library, target.sha256) if row.missing_since is None]
    if ref is not None and "\0" not in ref:
        here = {row.path: row for row in present}
        for path in _spellings(ref):
            if path in here:
                return Meant(target.sha256, (here[path],))
        if os.sep in ref or os.path.isfile(ref) or os.path.islink(ref):
            raise Refused(
                "no_file_of_it",
                f"the library knows no file at this path: {os.path.abspath(ref)}",
                hint="name the file itself, as `mlib show` lists it, or run `mlib scan`",
            )
    if not present:
        raise NotFound(
            "no_file", f"no file of it is present: {target.sha256[:16]}", hint="`mlib show` says where it was"
        )
    return Meant(target.sha256, tuple(each_once(present)))


def united(meant: Sequence[Meant]) -> list[Meant]:
    """The same with each model, and each of its files, once."""
    found: dict[str, dict[KnownFile, None]] = {}
    for each in meant:
        found.setdefault(each.sha256, {}).update(dict.fromkeys(each.files))
    return [Meant(sha256, tuple(rows)) for sha256, rows in found.items()]


def _spellings(ref: str) -> tuple[str, str]:
    """The paths `ref` may stand for: as it is, or with its directory's links followed; never its own."""
    absolute = os.path.abspath(ref)
    directory, name = os.path.split(absolute)
    return absolute, os.path.join(os.path.realpath(directory), name)
