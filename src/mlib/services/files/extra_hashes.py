"""Compute the hashes that a scan does not, for any file, and store those of models."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass, field
from importlib.util import find_spec
from typing import TYPE_CHECKING

from mlib.core.disk.storage import until_it_stands_still
from mlib.core.disk.walk import reason
from mlib.core.errors import MlibError, NotFound
from mlib.core.events import Emit, HashingAdvanced, HashingStarted, silent
from mlib.core.hashes import AUTOV3_DIGITS, Hashes, compute
from mlib.core.records import OtherHashes, Problem
from mlib.db import contents, files, models

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.db.library import Library

#: Progress is told this often, in seconds.
TICK = 0.1


@dataclass(frozen=True, slots=True)
class Digest:
    """The hashes of one file; `path` is None where what is kept was enough."""

    path: str | None
    hashes: Hashes

    @property
    def by_name(self) -> dict[str, str | None]:
        """The hashes as users know them by name, AutoV3 as short as it is quoted; None where not known."""
        found = self.hashes
        return {
            "sha256": found.sha256,
            "autov1": found.autov1,
            "autov2": found.autov2,
            "autov3": found.autov3[:AUTOV3_DIGITS] if found.autov3 else None,
            "sha256_12": found.sha256_12,
            "crc32": found.crc32,
            "blake3": found.blake3,
            "xxh3_128": found.xxh3,
        }


@dataclass(slots=True)
class DigestReport:
    """What was computed or known, and the models whose files could not be read or are not what they were."""

    digests: list[Digest] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)


def digest_files(paths: Iterable[str], *, emit: Emit = silent) -> DigestReport:
    """Hash these files in every way.

    Raises NotFound, or MlibError for what is no file, where there is but one; of several, those that are none
    are told and the others are read: a person who types `*` means the files.
    """
    named = list(paths)
    report = DigestReport()
    sizes: dict[str, int] = {}
    for path in named:
        try:
            sizes[path] = _size(path)
        except MlibError as error:
            if len(named) == 1:
                raise
            report.problems.append(Problem(path, error.code, error.message))
    tell = _Told(emit, len(sizes), sum(sizes.values()))
    for path in sizes:
        found = _compute(path, tell, report)
        if found is not None:
            report.digests.append(Digest(os.path.abspath(path), found))
    return report


def _size(path: str) -> int:
    try:
        status = os.stat(path)
    except (OSError, ValueError):
        raise NotFound("no_such_path", f"no such file: {path}") from None
    if not stat.S_ISREG(status.st_mode):
        raise MlibError("not_a_file", f"not a file: {path}")
    return status.st_size


def digest_models(
    library: Library, shas: Iterable[str] | None, *, dry_run: bool = False, emit: Emit = silent
) -> DigestReport:
    """Compute and keep what is not known of these models, or of all; each is kept as soon as it is known.

    A dry run computes it too, and keeps nothing.

    A file whose content is not its model's any more is a problem: the next scan will see what it is.
    """
    wanted = (
        contents.incomplete(library, with_blake3=find_spec("blake3") is not None)
        if shas is None
        else list(shas)
    )
    report = DigestReport()
    places = {sha256: _present(library, sha256) for sha256 in wanted}
    known_sizes = {sha256: place[1] for sha256, place in places.items() if place is not None}
    tell = _Told(emit, len(known_sizes), sum(known_sizes.values()))
    for sha256 in wanted:
        place = places[sha256]
        if place is None:
            model = models.get(library, sha256)
            name = model.name if model else sha256
            report.problems.append(Problem(name, "no_file", "none of its files is present"))
            continue
        found = _compute(place[0], tell, report)
        if found is None:
            continue
        if found.sha256 != sha256:
            message = "it changed since the last scan; the next scan reads it"
            report.problems.append(Problem(place[0], "changed", message))
            continue
        if not dry_run:
            kept = OtherHashes(found.autov1, found.autov3, found.crc32, found.blake3)
            with library.transaction():
                contents.put_hashes(library, sha256, kept)
        report.digests.append(Digest(place[0], found))
    return report


def _present(library: Library, sha256: str) -> tuple[str, int] | None:
    for row in files.of_model(library, sha256):
        if row.missing_since is None and os.path.isfile(row.path):
            return row.path, row.stat.size_bytes if row.stat else 0
    return None


class _Told:
    """How far the reading has come, told now and then."""

    def __init__(self, emit: Emit, count: int, size: int) -> None:
        self.emit = emit
        self.read = 0
        self.told_at = 0.0
        if count:
            emit(HashingStarted(count, size))

    def advance(self, count: int) -> None:
        self.read += count
        if time.monotonic() - self.told_at > TICK:
            self.told_at = time.monotonic()
            self.emit(HashingAdvanced(self.read, None))


def _compute(path: str, tell: _Told, report: DigestReport) -> Hashes | None:
    try:
        found = until_it_stands_still(lambda: compute(path, advance=tell.advance))
    except OSError as error:
        report.problems.append(Problem(path, "unreadable", f"cannot read it: {reason(error)}"))
        return None
    if found is None:
        report.problems.append(Problem(path, "changing", "kept changing while it was read"))
    return found
