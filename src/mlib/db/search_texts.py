"""Conditions of a statement, and the comparison of texts within them.

What folds to ASCII is compared by SQLite itself; the rest by a function of ours that folds both sides.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.query.matching import common, folded
from mlib.core.query.terms import Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.db.library import Library

#: SQLite's LIKE takes no longer patterns (50,000 bytes unless it was built otherwise).
_LONG = 10_000


class Condition(NamedTuple):
    """An expression that is 0 or 1, never NULL, and the values for its question marks, in order."""

    sql: str
    parameters: tuple[Any, ...] = ()


def always() -> Condition:
    """What everything meets."""
    return Condition("1")


def never() -> Condition:
    """What nothing meets."""
    return Condition("0")


def every(conditions: Iterable[Condition]) -> Condition:
    """All of them. What says nothing is left out: SQLite would no longer see that an index serves."""
    return _joined(" AND ", [each for each in conditions if each != always()]) or always()


def any_of(conditions: Iterable[Condition]) -> Condition:
    """At least one of them."""
    return _joined(" OR ", [each for each in conditions if each != never()]) or never()


def negation(condition: Condition) -> Condition:
    """The contrary."""
    return Condition(f"NOT ({condition.sql})", condition.parameters)


def is_text(value: str) -> bool:
    """Whether SQLite can be given this: the stray bytes of a path that is no UTF-8 it cannot."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


class Texts:
    """Comparisons of columns with texts in one library; texts that need our function are numbered here.

    A path must be made text (`'' || path`) before it comes here: LIKE may pass over bytes.
    """

    def __init__(self, library: Library) -> None:
        self._wanted: list[str] = []
        library.teach("query_has", self._has, arguments=2)
        library.teach("query_is", self._is, arguments=2)

    def compared(self, column: str, value: Value) -> Condition:
        """Whether a column of text holds what a value of how has, is, none or any wants."""
        if value.how == "none":
            return Condition(f"({column} = '')")
        if value.how == "any":
            return Condition(f"({column} != '')")
        wanted = folded(value.text)
        if wanted.isascii() and len(wanted) < _LONG:
            # LIKE folds ASCII, and is four times as fast as comparing with lower().
            pattern = re.sub(r"([\\%_])", r"\\\1", wanted)
            return Condition(
                f"({column} LIKE ? ESCAPE '\\')", (pattern if value.how == "is" else f"%{pattern}%",)
            )
        self._wanted.append(wanted)
        name = "query_is" if value.how == "is" else "query_has"
        call = f"{name}(CAST({column} AS BLOB), ?)"
        if is_text(wanted):
            # Only what is not ASCII itself needs to be looked at: its bytes are more than its characters.
            call = f"(length(CAST({column} AS BLOB)) > length({column}) AND {call})"
        return Condition(call, (len(self._wanted) - 1,))

    def hints(self, column: str, value: Value) -> Iterator[Condition]:
        """What a column of JSON text must hold if a text in it is to be found: cheaper than reading it."""
        wanted = folded(value.text)
        if not wanted.isascii():
            yield Condition(f"(instr({column}, '\\u') > 0)")
        elif json.dumps(wanted) == f'"{wanted}"':
            yield self.compared(column, Value("has", wanted))

    def _has(self, stored: bytes | None, number: int) -> bool:
        wanted = self._wanted[number]
        return wanted in common(_text(stored), wanted)

    def _is(self, stored: bytes | None, number: int) -> bool:
        wanted = self._wanted[number]
        return wanted == common(_text(stored), wanted)


def _text(stored: bytes | None) -> str:
    return (stored or b"").decode("utf-8", "surrogateescape")


def _joined(word: str, parts: list[Condition]) -> Condition | None:
    """All in one, as a tree: SQLite reads `a OR b OR c` as nested, and allows a depth of 1,000."""
    if len(parts) < 2:
        return parts[0] if parts else None
    half = len(parts) // 2
    left, right = _joined(word, parts[:half]), _joined(word, parts[half:])
    assert left is not None
    assert right is not None
    return Condition(f"({left.sql}{word}{right.sql})", left.parameters + right.parameters)
