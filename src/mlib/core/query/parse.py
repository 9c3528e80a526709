"""Reading a query."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlib.core.comfyui import canonical_type
from mlib.core.errors import WrongUsage
from mlib.core.query.amounts import MOMENTS, SIZES, interval
from mlib.core.query.fields import ALIASES, FIELDS
from mlib.core.query.splitting import ESCAPED, PLAIN, Word, split
from mlib.core.query.terms import Query, Term, Value
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable

    from mlib.core.query.terms import How

_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):")
_AMOUNT = re.compile(r"(<=|>=|<|>|=)?(.+)", re.DOTALL)
_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_FLAGS: dict[str, How] = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no"}
_COMPARISONS: dict[str, How] = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
#: What is shown of a kind that no rule knows. (Spelled here: the rules take long to import.)
_UNKNOWN_KIND = "unknown"
#: Parts of a query: SQLite takes no statement of any length.
_MOST = 1_000
_HINT = "see `mlib help query`"


def parse(texts: str | Iterable[str]) -> Query:
    """A query from one string, or from the words of a command line, each of which may hold several terms.

    Raises WrongUsage (`bad_query`) and nothing else, and names the term that is wrong.
    """
    groups: list[list[Term]] = [[]]
    for text in [texts] if isinstance(texts, str) else texts:
        for word in split(text):
            before, core, behind = _without_commas(word)
            groups += [[]] if before else []
            if core is not None:
                groups[-1].append(_term(core))
            groups += [[]] if behind else []
    if len(groups) == 1 and not groups[0]:
        return Query()
    if not all(groups):
        raise WrongUsage("bad_query", "there is nothing on one side of a ','", hint="a , b finds a or b")
    if sum(len(term.values) for group in groups for term in group) > _MOST:
        raise WrongUsage(
            "bad_query",
            f"the query has more than {_MOST:,} parts",
            hint="commands that take REFs read any number of them from standard input: '-'",
        )
    return Query(tuple(map(tuple, groups)))


def _without_commas(word: Word) -> tuple[bool, Word | None, bool]:
    """The word without a comma at its ends: between terms it parts groups."""
    if word.text == "," and word.marks == PLAIN:
        return True, None, False
    before = word.is_plain(0, ",")
    word = word.cut(1) if before else word
    behind = word.text != "" and word.is_plain(len(word.text) - 1, ",")
    return before, word.cut(0, -1) if behind else word, behind


def _term(word: Word) -> Term:
    rest, negated = word, False
    if word.is_plain(0, "-"):
        rest, negated = word.cut(1), True
        if not rest.text:
            raise WrongUsage(
                "bad_query", "'-' has nothing to negate", hint="-word, -field:value; '\\-' for a dash"
            )
    field = ""
    match = _FIELD.match(rest.text)
    if match and set(rest.marks[: match.end()]) == {PLAIN}:
        field = _field(match[1], word)
        rest = rest.cut(match.end())
    values = [_value(field, part, word) for part in rest.parts(",")]
    return Term(field, tuple(dict.fromkeys(values)), negated)


def _field(name: str, word: Word) -> str:
    lower = name.lower()
    field = ALIASES.get(lower, lower)
    if field in FIELDS:
        return field
    from difflib import get_close_matches

    near = get_close_matches(lower, FIELDS, n=1)
    advice = f"did you mean {near[0]}:? " if near else ""
    raise _wrong(
        word,
        f"there is no field '{name}'",
        hint=f"{advice}fields: {', '.join(FIELDS)}; in quotes it is a word",
    )


def _value(field: str, part: Word, word: Word) -> Value:
    if not part.text.strip():
        if not field:
            raise _wrong(word, "an empty text finds nothing", hint=_HINT)
        wants = "yes or no" if FIELDS[field] == "flag" else "a value"
        advice = _HINT if FIELDS[field] == "flag" else f"{field}:none finds what has none; {_HINT}"
        raise _wrong(word, f"{field}: wants {wants}", hint=advice)
    kind = FIELDS[field] if field else "part"
    if not field:
        return Value("has", part.text)
    if kind == "flag":
        return _flag(field, part, word)
    if kind == "digits":
        return _digits(part, word)
    if kind in ("part", "whole"):
        return _text(field, part, word)
    return _amount(field, part, word)


def _text(field: str, part: Word, word: Word) -> Value:
    if set(part.marks) == {PLAIN}:
        if part.text.lower() == "none":
            return Value("none")
        if part.text == "*":
            return Value("any")
    how: How = "is" if FIELDS[field] == "whole" else "has"
    text = part.text
    if text[0] == "=" and part.marks[0] != ESCAPED:
        how, text = "is", text[1:]
    if field == "type":
        text = canonical_type(text)
    if field == "kind" and text.lower() == _UNKNOWN_KIND:
        return Value("none")
    if not text.strip():
        raise _wrong(word, f"{field}: wants a value behind the '='", hint=f"{field}:none finds what has none")
    return Value(how, text)


def _flag(field: str, part: Word, word: Word) -> Value:
    how = _FLAGS.get(part.text.lower())
    if how is None:
        raise _wrong(word, f"{field}: wants yes or no", hint=f"{field}:yes or {field}:no")
    return Value(how)


def _digits(part: Word, word: Word) -> Value:
    digits = part.text.lower()
    if not _HEX.fullmatch(digits):
        raise _wrong(
            word, "sha: wants the first digits of a sha256", hint="digits are 0 to 9 and a to f, at most 64"
        )
    return Value("has", digits)


def _amount(field: str, part: Word, word: Word) -> Value:
    text = part.text.strip()
    if FIELDS[field] == "size" and text.lower() == "none":
        return Value("none")
    if ".." in text:
        low, _, high = text.partition("..")
        value = Value("..", _canonical(low), _canonical(high))
    else:
        match = _AMOUNT.fullmatch(text)
        assert match is not None
        value = Value(_COMPARISONS[match[1] or "="], _canonical(match[2]))
    if not (value.text or value.until):
        example = "size:1GB.." if FIELDS[field] == "size" else "added:30d.."
        raise _wrong(word, "a range wants at least one end", hint=f"such as {example}; {_HINT}")
    try:
        interval(field, value, 0)
    except WrongUsage as error:
        raise _wrong(
            word, error.message, hint=error.hint or (SIZES if FIELDS[field] == "size" else MOMENTS)
        ) from None
    return value


def _canonical(amount: str) -> str:
    """Without the minus that beets puts before an age."""
    return amount.strip().removeprefix("-") if amount[-1:] in "hdwmy" else amount.strip()


def _wrong(word: Word, message: str, *, hint: str) -> WrongUsage:
    return WrongUsage(
        "bad_query", f"in the query, '{visible(word.text)}': {visible(message)}", hint=visible(hint)
    )
