"""A library that knows two folders, and what a scan of them has to say."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.tools import safetensors, write_model

from mlib.core.events import Emit, silent
from mlib.db import files, models, pending, tags
from mlib.services.resolving import Target
from mlib.services.scanning.request import ScanReport, ScanRequest
from mlib.services.scanning.run import scan
from mlib.services.updating import parse_edit, update

if TYPE_CHECKING:
    from pathlib import Path

    from mlib.core.records import Pending
    from mlib.db.library import Library

#: Bytes of a file that `write_model` makes unless it is told another size.
SIZE = len(safetensors("any"))


@dataclass(frozen=True)
class Shelf:
    """`loras` and `vae` are roots of these types, remembered by `library`, empty at first."""

    library: Library
    loras: Path
    vae: Path

    def scan(self, *, emit: Emit = silent, **request: Any) -> ScanReport:
        """What `mlib scan` does; without roots named, of all that are remembered."""
        return scan(self.library, ScanRequest(**request), emit=emit)

    def told(self, **request: Any) -> dict[str, float]:
        """What a scan reports."""
        return told(self.scan(**request))

    def add_root(self, kind: str, folder: Path) -> None:
        """Let the library know one more folder."""
        folder.mkdir(parents=True, exist_ok=True)
        self.scan(roots=[f"{kind}={folder}"])

    def at(self, path: Path) -> str | None:
        """The SHA-256 of the model that is present at a path."""
        rows = files.at_path(self.library, str(path))
        return next((row.sha256 for row in rows if row.missing_since is None), None)

    def places(self, sha256: str) -> dict[str, bool]:
        """Where a model lies (True) or lay (False)."""
        return {row.path: row.missing_since is None for row in files.of_model(self.library, sha256)}

    def waiting(self) -> list[Pending]:
        """Every pending import, oldest first."""
        found = [pending.get(self.library, pending_id) for pending_id in pending.ids(self.library)]
        return [entry for entry in found if entry is not None]

    def name_and_type(self, sha256: str) -> tuple[str, str]:
        model = models.get(self.library, sha256)
        assert model is not None
        return model.name, model.type

    def edit(self, sha256: str, *, tag: tuple[str, ...] = (), put: tuple[str, ...] = (), **text: str) -> None:
        """What `mlib update` does."""
        update(self.library, [Target(sha256=sha256)], parse_edit(text=text, tag=tag, put=put))

    def user_data(self, sha256: str) -> tuple[object, ...]:
        """Everything a person may have typed about a model, and whether it was typed."""
        model = models.get(self.library, sha256)
        assert model is not None
        typed = {name: getattr(model, name) for name in model.edited - {"tags"}}
        return typed, tags.of_model(self.library, sha256), models.meta(self.library, sha256)


def told(report: ScanReport) -> dict[str, float]:
    """All that a report counts, but what is none; `read` is in files of the ordinary SIZE."""
    counts: dict[str, float] = {name: count for name, count in report.counts.items() if name != "pending"}
    counts |= {
        "missing": report.missing,
        "pending": report.pending,
        "skipped": len(report.skipped),
        "problems": len(report.problems),
        "offline": len(report.offline_roots),
        "guarded": len(report.guarded_roots),
        "conflicts": report.conflicts,
        "read": report.hashed_bytes / SIZE,
    }
    return {name: count for name, count in counts.items() if count}


def codes(report: ScanReport) -> list[tuple[str, str]]:
    """The file name and code of everything that was a problem, and of everything left alone."""
    found = [*report.problems, *report.skipped]
    return sorted((os.path.basename(problem.path), problem.code) for problem in found)


def fill(folder: Path, count: int) -> list[Path]:
    """So many models of different content in a folder."""
    paths = [folder / f"{folder.name}-{n}.safetensors" for n in range(count)]
    for path in paths:
        write_model(path)
    return paths


def remove(paths: list[Path]) -> None:
    """Remove these files."""
    for path in paths:
        path.unlink()


def unplug(folder: Path) -> Path:
    """What a drive leaves behind that is switched off: nothing. Where its files are meanwhile."""
    return folder.rename(folder.with_name(f"{folder.name}-away"))
