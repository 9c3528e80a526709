"""A query as it was understood, and as it is written."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple, TypeAlias

from mlib.core.query.fields import FIELDS

#: How a value is compared. `has`: a part of the text (of a sha: its beginning); `is`: the whole of it;
#: `none`, `any`: empty or not; `yes`, `no`; `=` to `..`: an amount, or from `text` to `until`.
How: TypeAlias = Literal["has", "is", "none", "any", "yes", "no", "=", "<", "<=", ">", ">=", ".."]

#: What needs no quotes: nothing in it could be taken for more than its letters.
_BARE = re.compile(r"\w[\w.+-]*")
_WORDS_WITH_A_MEANING = frozenset({"none", "yes", "no"})


class Value(NamedTuple):
    """One alternative of a term; an end of a `..` that is open is empty."""

    how: How
    text: str = ""
    until: str = ""


class Term(NamedTuple):
    """One condition: any of the values, in this field or, where that is "", wherever words are looked for."""

    field: str
    values: tuple[Value, ...]
    negated: bool = False


class Query(NamedTuple):
    """Any of the groups, each all of its terms. Without a group everything is meant."""

    groups: tuple[tuple[Term, ...], ...] = ()


def printed(query: Query) -> str:
    """The query as a person would type it; it parses to itself."""
    return " , ".join(" ".join(map(_term, group)) for group in query.groups)


def mentions(query: Query, field: str) -> bool:
    """Whether any term asks for this field."""
    return any(term.field == field for group in query.groups for term in group)


def _term(term: Term) -> str:
    values = ",".join(_value(term.field, value) for value in term.values)
    return ("-" if term.negated else "") + (f"{term.field}:{values}" if term.field else values)


def _value(field: str, value: Value) -> str:
    how, text, until = value
    if how in ("none", "yes", "no"):
        return how
    if how == "any":
        return "*"
    if how == "..":
        return f"{text}..{until}"
    if how in ("=", "<", "<=", ">", ">="):
        return text if how == "=" else how + text
    sign = "=" if how == "is" and FIELDS[field] == "part" else ""
    return sign + _quoted(text)


def _quoted(text: str) -> str:
    if _BARE.fullmatch(text) and text.lower() not in _WORDS_WITH_A_MEANING:
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return '"' + ("\\" if escaped.startswith("=") else "") + escaped + '"'
