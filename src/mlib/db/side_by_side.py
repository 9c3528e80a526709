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

    They come one after the other where a second connection cannot be had.
    """
    with library.reading(), library.beside() as other:
        if other is None:
            return first(library), second(library)
        beside = _Beside(other, second)
        beside.start()
        try:
            found = first(library)
        except BaseException:  # Ctrl-C too: nobody waits for the other one's result any more
            other.interrupt()
            raise
        finally:
            beside.join()
    return found, beside.result()


class _Beside(threading.Thread, Generic[_Second]):
    """A read on its own connection; what it raised is raised where its result is asked for."""

    def __init__(self, library: Library, read: Callable[[Library], _Second]) -> None:
        super().__init__(daemon=True)
        self._library = library
        self._read = read
        self._found: list[_Second] = []
        self._error: BaseException | None = None

    def run(self) -> None:
        try:
            self._found.append(self._read(self._library))
        except BaseException as error:  # noqa: BLE001 - it is raised again by result()
            self._error = error

    def result(self) -> _Second:
        if self._error is not None:
            raise self._error
        return self._found[0]
