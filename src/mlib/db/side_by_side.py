"""Two reads of one moment at once: SQLite works on another core while it works on this one."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

    from mlib.db.library import Library

_First = TypeVar("_First")
_Second = TypeVar("_Second")


def side_by_side(
    library: Library, first: Callable[[Library], _First], second: Callable[[Library], _Second]
) -> tuple[_First, _Second]:
    """What both reads give, of the same moment. Raises what either raises.

    They come one after the other where a second connection cannot be had. When the first fails the second is
    not waited for: it ends by itself, or with the command.
    """
    with library.reading():
        other = library.beside()
        if other is None:
            return first(library), second(library)
        beside = _Beside(other, second)
        beside.start()
        return first(library), beside.result()


class _Beside(threading.Thread, Generic[_Second]):
    """A read on its own connection; what it raised is raised where its result is asked for."""

    def __init__(self, library: Library, read: Callable[[Library], _Second]) -> None:
        super().__init__(daemon=True)
        self._library = library
        self._read = read
        self._found: list[_Second] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        # Closed here: from another thread that would be under the hands of a statement.
        with self._library:
            try:
                self._found.append(self._read(self._library))
            except BaseException as error:  # noqa: BLE001 - it is raised again by result()
                self._error = error

    def result(self) -> _Second:
        """What it read, as soon as it has."""
        self.join()
        if self._error is not None:
            raise self._error
        return self._found[0]
