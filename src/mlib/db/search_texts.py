"""Conditions of a statement, and the comparison of texts within them.

What folds to ASCII is compared by SQLite itself; the rest by a function of ours that folds both sides.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.query.matching import common, folded

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from mlib.core.query.terms import Value
    from mlib.db.library import Library


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
    """All of them."""
    return _joined(" AND ", conditions)


def any_of(conditions: Iterable[Condition]) -> Condition:
    """At least one of them."""
    return _joined(" OR ", conditions)


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
    """Comparisons of columns with texts in one library; texts that need our function are numbered here."""

    def __init__(self, library: Library) -> None:
        self._wanted: list[str] = []
        library.teach("query_has", self._has, arguments=2)
        library.teach("query_is", self._is, arguments=2)

    def compared(self, column: str, value: Value) -> Condition:
        """Whether a column (text, or a path that may be bytes) holds what a value of how has, is, none or
        any wants."""
        if value.how == "none":
            return Condition(f"({column} = '')")
        if value.how == "any":
            return Condition(f"({column} != '')")
        wanted = folded(value.text)
        if wanted.isascii():
            sql = f"(lower({column}) = ?)" if value.how == "is" else f"(instr(lower({column}), ?) > 0)"
            return Condition(sql, (wanted,))
        self._wanted.append(wanted)
        name = "query_is" if value.how == "is" else "query_has"
        return Condition(f"{name}(CAST({column} AS BLOB), ?)", (len(self._wanted) - 1,))

    def hints(self, column: str, value: Value) -> Iterator[Condition]:
        """What a column of JSON text must hold if a text in it is to be found: cheaper than reading it."""
        wanted = folded(value.text)
        if not wanted.isascii():
            yield Condition(f"(instr({column}, '\\u') > 0)")
        elif json.dumps(wanted) == f'"{wanted}"':
            yield Condition(f"(instr(lower({column}), ?) > 0)", (wanted,))

    def _has(self, stored: bytes | None, number: int) -> bool:
        wanted = self._wanted[number]
        return wanted in common(_text(stored), wanted)

    def _is(self, stored: bytes | None, number: int) -> bool:
        wanted = self._wanted[number]
        return wanted == common(_text(stored), wanted)


def _text(stored: bytes | None) -> str:
    return (stored or b"").decode("utf-8", "surrogateescape")


def _joined(word: str, conditions: Iterable[Condition]) -> Condition:
    parts = list(conditions)
    if len(parts) == 1:
        return parts[0]
    parameters = tuple(value for part in parts for value in part.parameters)
    return Condition("(" + word.join(part.sql for part in parts) + ")", parameters)
