"""Inspect any file, in the library or not: its kind, companions and findings."""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

from mlib.core.comfyui.folders import TYPE_FOLDERS, canonical_type
from mlib.core.content_record import About
from mlib.core.disk.walk import reason
from mlib.core.errors import MlibError, NotFound
from mlib.core.inspection import Inspection, inspect_file, place_findings
from mlib.core.sidecars.companions import SIDECAR_KINDS, beside, neighbours
from mlib.core.sidecars.filling import with_sidecars
from mlib.core.sidecars.parse import read_sidecar
from mlib.core.sidecars.record import SidecarError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.sidecars.companions import Neighbours
    from mlib.core.sidecars.record import Sidecar

#: Directories whose listings are kept, where files come from many.
LISTINGS = 16


@dataclass(frozen=True, slots=True)
class Inspected:
    """A file, its header's meaning, its companions' paths, and what its sidecars say, the most trusted first.

    `silent` are paths of sidecars that say nothing, `unread` those that could not be read, with the reason.
    """

    path: str
    size_bytes: int
    inspection: Inspection
    findings: tuple[Finding, ...]
    companions: tuple[str, ...]
    sidecars: tuple[Sidecar, ...]
    silent: tuple[str, ...]
    unread: tuple[tuple[str, str], ...]

    @property
    def is_serious(self) -> bool:
        return any(finding.serious for finding in self.findings)

    @property
    def about(self) -> About:
        """What was just read from the file."""
        return About(
            format=self.inspection.header.format,
            kind=self.inspection.kind,
            base_model=self.inspection.base_model,
            evidence=self.inspection.evidence,
            usage=self.inspection.usage,
            findings=tuple((None, finding) for finding in self.findings),
            header=self.inspection.header,
            sidecars=self.sidecars,
        )


def inspect_each(paths: Sequence[str]) -> Iterator[tuple[str, Inspected | MlibError]]:
    """What each file is, or why that cannot be told. Of many files each directory is listed once."""
    listed = lru_cache(maxsize=LISTINGS)(neighbours) if len(paths) > 1 else None
    for path in paths:
        try:
            yield path, inspect(path, listed=listed)
        except MlibError as error:
            yield path, error


def inspect(path: str, *, listed: Callable[[str], Neighbours] | None = None) -> Inspected:
    """All that the bytes at `path` and its sidecars say; only headers are read.

    `listed` is for `beside` to ask. Raises NotFound where nothing is, MlibError where it is no file or
    cannot be read.
    """
    if not path:  # whose absolute path would be that of the current directory
        raise NotFound("no_such_path", "a file name cannot be empty")
    absolute = os.path.abspath(path)
    try:
        inspection, stat = inspect_file(absolute)
    except (FileNotFoundError, NotADirectoryError):
        raise NotFound("no_such_path", f"no such file: {path}") from None
    except IsADirectoryError:
        raise MlibError("not_a_file", f"is a directory: {path}", hint="name files in it") from None
    except (OSError, ValueError) as error:
        why = reason(error) if isinstance(error, OSError) else "not a valid file name"
        raise MlibError("unreadable", f"cannot read {path}: {why}") from None
    companions = beside(absolute, listed=listed)
    directory, name = os.path.split(absolute)
    wrong = place_findings(
        inspection.header.format, inspection.kind, name=name, folder_type=_folder_type(absolute)
    )
    sidecars: list[Sidecar] = []
    silent: list[str] = []
    unread: list[tuple[str, str]] = []
    for companion in companions:
        if companion.kind in SIDECAR_KINDS:
            at = os.path.join(directory, companion.name)
            try:
                sidecar = read_sidecar(at, kind=companion.kind, model_name=name)
            except FileNotFoundError:
                continue
            except SidecarError as error:
                if error.code != "wrong_kind":
                    unread.append((at, str(error)))
            else:
                if sidecar.is_empty:
                    silent.append(at)
                else:
                    sidecars.append(sidecar)
    return Inspected(
        path=absolute,
        size_bytes=stat.size_bytes,
        inspection=inspection._replace(usage=with_sidecars(inspection.usage, sidecars)),
        findings=(*inspection.findings, *wrong),
        companions=tuple(os.path.join(directory, companion.name) for companion in companions),
        sidecars=tuple(sidecars),
        silent=tuple(silent),
        unread=tuple(unread),
    )


def _folder_type(path: str) -> str | None:
    """The type of the folder that a file lies in, if it lies in a `models` folder as ComfyUI has it."""
    for folder in _ancestors(path):
        if os.path.basename(os.path.dirname(folder)) == "models":
            name = canonical_type(os.path.basename(folder))
            return name if name in TYPE_FOLDERS else None
    return None


def _ancestors(path: str) -> Iterator[str]:
    while (parent := os.path.dirname(path)) != path:
        yield parent
        path = parent
