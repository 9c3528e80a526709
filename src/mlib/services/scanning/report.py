"""What a scan is asked, and what it answers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Protocol

from mlib.db.library import Library

if TYPE_CHECKING:
    from mlib.core.formats.header import Finding
    from mlib.core.models import Problem

#: Every way a file that was seen can be accounted for; each file is counted once.
OUTCOMES = ("unchanged", "added", "moved", "copied", "replaced", "restored", "pending")


class ScanRequest(NamedTuple):
    """Where to look (ComfyUI folders, YAML files, TYPE=DIR roots; none: what is remembered) and how.

    `paths` limits the scan to these files and subtrees. `stage` leaves new content in pending_import.
    `rehash` believes no stat. `reinspect` judges every file anew, from its kept header where there is one,
    and reads every sidecar again.
    `jobs` is the number of files read at once from one disk. `accept_missing`
    marks files as missing where a guard would rather not. `dry_run` reads and writes nothing: new files count
    as added, or with `stage` as pending, without being hashed. `find_comfyui` finds a ComfyUI to fall back on
    where nothing is remembered.
    """

    comfyui: Sequence[str] = ()
    extra_paths: Sequence[str] = ()
    roots: Sequence[str] = ()
    paths: Sequence[str] = ()
    stage: bool = False
    rehash: bool = False
    reinspect: bool = False
    jobs: int | None = None
    accept_missing: bool = False
    dry_run: bool = False
    find_comfyui: Callable[[], str | None] = lambda: None


@dataclass(slots=True)
class ScanReport:
    """What a scan did. `guarded_roots` are those it refused to mark anything missing in.

    `silent` are paths of sidecars that it read and that say nothing.
    `passed_over` are the bins, snapshots and version folders that it did not look into.
    """

    counts: Counter[str] = field(default_factory=Counter)
    scanned: int = 0
    missing: int = 0
    skipped: list[Problem] = field(default_factory=list)
    passed_over: list[str] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    offline_roots: list[str] = field(default_factory=list)
    guarded_roots: list[str] = field(default_factory=list)
    pending_ids: list[int] = field(default_factory=list)
    conflicts: int = 0
    findings: list[tuple[str, Finding]] = field(default_factory=list)
    added: list[str] = field(default_factory=list)
    hashed_bytes: int = 0
    reinspected: int = 0
    silent: list[str] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: BaseException | None = None

    @property
    def serious(self) -> list[tuple[str, Finding]]:
        """The findings that say that a file cannot be used as it is; only news of them are in the report."""
        return [(path, finding) for path, finding in self.findings if finding.serious]

    @property
    def pending(self) -> int:
        """How much waits; in a dry run, how much would."""
        return len(self.pending_ids) or self.counts["pending"]


class ImportOutcome(Protocol):
    """What scan needs of an import report."""

    @property
    def conflict(self) -> Sequence[object]: ...

    @property
    def success(self) -> Sequence[object]: ...


#: The import service, given to a scan by its caller: services do not know each other.
Importer = Callable[[Library, Sequence[int]], ImportOutcome]
