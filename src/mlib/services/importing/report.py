"""What the importer answers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlib.services.importing.strategies import UserData


@dataclass(frozen=True, slots=True)
class Imported:
    """A pending import that became a model, or part of one; `change` is created, updated or unchanged.

    `id` is None where a sidecar was taken over.
    """

    id: int | None
    sha256: str
    change: str


@dataclass(frozen=True, slots=True)
class Conflict:
    """A pending import, or with id None a sidecar, and the model it is about, with what they disagree on."""

    id: int | None
    sha256: str
    path: str
    pending: UserData
    existing: UserData
    differs: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Failed:
    """A pending import, or a row on its way to become one, that could not be used."""

    id: int | None
    path: str
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A pending import whose content no scan has seen yet."""

    id: int
    path: str


@dataclass(slots=True)
class ImportReport:
    """What became of every pending import asked for; of sidecars `ignored` holds the model's SHA-256."""

    success: list[Imported] = field(default_factory=list)
    conflict: list[Conflict] = field(default_factory=list)
    ignored: list[int | str] = field(default_factory=list)
    deleted: list[int] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    backup: str | None = None

    @property
    def total(self) -> int:
        lists = (self.success, self.conflict, self.ignored, self.deleted, self.failed, self.waiting)
        return sum(len(entries) for entries in lists)

    def add(self, other: ImportReport) -> None:
        """Take in what a later batch answered."""
        self.success += other.success
        self.conflict += other.conflict
        self.ignored += other.ignored
        self.deleted += other.deleted
        self.failed += other.failed
        self.waiting += other.waiting
