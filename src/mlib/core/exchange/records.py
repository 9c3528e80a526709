"""What the lines of an export say, as records."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from mlib.core.models import Content, Model, OtherHashes, Pending, Root

FORMAT = "mlib-export"
VERSION = 1


class BadLineError(Exception):
    """A line says something that cannot be taken over."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class Place(NamedTuple):
    """A path at which the model lies or lay, as the library that was exported had it.

    `since` and `hashed_at` are set if that library had seen it there, and then seen it gone. `root` is the
    path of the root it belongs to, `given` the fields that sidecars filled there. `present` is only known
    where the rows themselves are read: it is true of one machine, and no line tells it.
    """

    path: str
    root: str | None = None
    since: int | None = None
    hashed_at: int | None = None
    given: frozenset[str] = frozenset()
    present: bool = False


class Facts(NamedTuple):
    """What the content says of itself; each finding is a code, a message and whether it is serious."""

    content: Content | None = None
    hashes: OtherHashes | None = None
    findings: tuple[tuple[str, str, bool], ...] = ()


class Exported(NamedTuple):
    """One line: a model, or a pending import, with all that belongs to it.

    `meta_json` is the text of an object, or None.
    """

    record: Model | Pending
    tags: tuple[str, ...]
    meta_json: str | None
    facts: Facts
    places: tuple[Place, ...] = ()

    @property
    def present(self) -> list[str]:
        """The paths at which the model lies now."""
        return [place.path for place in self.places if place.present]


class Header(NamedTuple):
    """The first line. `records` is how many others there are; what was made by hand need not say."""

    version: int
    roots: tuple[Root, ...] = ()
    records: int | None = None
