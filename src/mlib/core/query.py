"""The query language of `list` and `--query`: fields, amounts, splitting into terms, parsing and printing.

A query is any of its groups; a group is all of its terms; a term is any of its values. `db.search` turns a
Query into SQL, and matches text as `common` and `fold_text` define.
"""

from __future__ import annotations

import re
import unicodedata
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, NamedTuple, TypeAlias

from mlib.core.comfyui.folders import canonical_type
from mlib.core.errors import Hint, WrongUsage
from mlib.core.text import visible
from mlib.core.times import duration

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping


# --- Fields, and how each compares

#: `part` matches part of the text, `whole` all of it, `digits` its beginning; the rest are yes or no and
#: amounts.
Kind: TypeAlias = Literal["part", "whole", "digits", "flag", "size", "moment", "count"]

FIELDS: Mapping[str, Kind] = MappingProxyType({
    "type": "whole", "base": "part", "tag": "whole", "format": "whole", "kind": "whole", "path": "part",
    "root": "part", "name": "part", "notes": "part", "trigger": "part", "sha": "digits", "finding": "whole",
    "missing": "flag", "pending": "flag", "files": "count", "size": "size", "added": "moment",
    "updated": "moment",
})  # fmt: skip

#: Fields by the names of `show --json` and of its options.
ALIASES: Mapping[str, str] = MappingProxyType({
    "base_model": "base", "base-model": "base", "tags": "tag", "sha256": "sha", "findings": "finding",
    "size_bytes": "size", "created_at": "added", "updated_at": "updated", "trigger_words": "trigger",
})  # fmt: skip


# --- Amounts: sizes, counts and moments as intervals of integers

_SIZE = re.compile(r"([0-9]{1,15})(?:\.([0-9]{1,9}))?([kmgtp]?i?b?)", re.ASCII | re.IGNORECASE)
_COUNT = re.compile(r"[0-9]{1,15}", re.ASCII)
_AMOUNT_SPAN = re.compile(r"([0-9]{1,9}[hdwmy])", re.ASCII | re.IGNORECASE)
_DATE = re.compile(
    r"([0-9]{4})(?:-([0-9]{2})(?:-([0-9]{2})(?:T([0-9]{2}):([0-9]{2})(?::([0-9]{2}))?Z?)?)?)?",
    re.ASCII | re.IGNORECASE,
)
_POWERS = "kmgtp"
#: The largest integer of SQLite, and so the largest size.
_MOST = 2**62
_SECOND, _MINUTE, _AMOUNT_DAY = 1000, 60_000, 86_400_000

SIZES = "a size is a number with B, kB, MB, GB or TB (GiB and the like too), such as 1.5GB"
MOMENTS = "a moment is a date (2026, 2026-01, 2026-01-31) or an age (12h, 30d, 2w, 6m, 1y)"


class Interval(NamedTuple):
    """The integers from `low` up to but excluding `high`; None is unbounded."""

    low: int | None
    high: int | None


class _Period(NamedTuple):
    """The first millisecond, and the first one after the period; an age has no length."""

    start: int
    end: int
    is_age: bool = False


def interval(field: str, value: Value, now: int) -> Interval:
    """The bytes, files or milliseconds since the epoch that a value covers; ages count back from `now`.

    Raises WrongUsage (`bad_query`) if it is not an amount of this field.
    """
    if FIELDS[field] == "moment":
        return _moments(value, now)
    read = size if FIELDS[field] == "size" else _count
    low = read(value.text) if value.text else None
    high = read(value.until) if value.until else None
    if value.how == "..":
        if low is not None and high is not None and low > high:
            raise WrongUsage(
                "bad_query", f"{value.text} is more than {value.until}", hint="put the smaller value first"
            )
        return Interval(low, None if high is None else high + 1)
    assert low is not None
    return _compared(value.how, low, low + 1)


def size(text: str) -> int:
    """The bytes of `1.5GB`, `700MiB`, `1000`; capped at the largest integer."""
    match = _SIZE.fullmatch(text)
    unit = match[3].lower().removesuffix("b") if match else ""
    if match is None or unit == "i":
        raise WrongUsage("bad_query", f"'{text}' is not a size", hint=SIZES)
    base = 1024 if unit.endswith("i") else 1000
    factor = base ** (_POWERS.index(unit[0]) + 1) if unit else 1
    fraction = match[2] or ""
    whole = int(match[1] + fraction) * factor // int("1" + "0" * len(fraction))
    return min(whole, _MOST)


def _count(text: str) -> int:
    if _COUNT.fullmatch(text) is None:
        raise WrongUsage(
            "bad_query", f"'{text}' is not a count", hint="a count is a whole number, such as files:>1"
        )
    return int(text)


def _compared(how: str, start: int, end: int) -> Interval:
    return {
        "=": Interval(start, end),
        "<": Interval(None, start),
        "<=": Interval(None, end),
        ">": Interval(end, None),
        ">=": Interval(start, None),
    }[how]


def _moments(value: Value, now: int) -> Interval:
    first = _period(value.text, now) if value.text else None
    last = _period(value.until, now) if value.until else None
    if value.how == "..":
        if first and last and first.is_age and last.is_age and first.start > last.start:
            first, last = last, first  # 7d..30d: people write the younger age first
        return Interval(None if first is None else first.start, None if last is None else last.end)
    assert first is not None
    if not first.is_age:
        return _compared(value.how, first.start, first.end)
    if value.how == "=":  # within the last seven days, not exactly seven days ago
        return Interval(first.start, None)
    # More than 30 days means earlier.
    turned = value.how.translate(str.maketrans("<>", "><"))
    return _compared(turned, first.start, first.end)


def _period(text: str, now: int) -> _Period:
    if match := _AMOUNT_SPAN.fullmatch(text):
        try:
            moment = now - duration(match[1])
        except WrongUsage as error:
            raise WrongUsage("bad_query", error.message, hint=MOMENTS) from None
        return _Period(moment, moment + 1, is_age=True)
    if match := _DATE.fullmatch(text):
        from datetime import UTC, datetime

        year, month, day, hour, minute, second = (int(part) if part else None for part in match.groups())
        assert year is not None
        try:
            start = datetime(year, month or 1, day or 1, hour or 0, minute or 0, second or 0, tzinfo=UTC)
            if day is not None:
                length = _AMOUNT_DAY if hour is None else _MINUTE if second is None else _SECOND
                return _Period(_milliseconds(start), _milliseconds(start) + length)
            years, months = divmod(year * 12 + (month or 1) - 1 + (12 if month is None else 1), 12)
            after = datetime(years, months + 1, 1, tzinfo=UTC) if years <= 9999 else None
            return _Period(_milliseconds(start), _milliseconds(after) if after else _MOST)
        except ValueError:
            pass
    raise WrongUsage("bad_query", f"'{text}' is not a date or an age", hint=MOMENTS)


def _milliseconds(moment: object) -> int:
    from datetime import UTC, datetime, timedelta

    assert isinstance(moment, datetime)
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


# --- Splitting into terms at white space, except in quotes or after a backslash

PLAIN, QUOTED, ESCAPED = "p", "q", "e"
_QUOTES = "\"'"
#: A quote may open only after these, where a value begins; elsewhere it is an apostrophe, or inches.
_BEFORE_VALUE = ":,=<>"
#: Characters that a backslash makes literal; at the beginning of a word it makes a keyword literal.
_ESCAPABLE = frozenset("\\\"'*,:=<>-.")


class Word(NamedTuple):
    """A term as typed: its characters, and a mark for each (PLAIN, QUOTED or ESCAPED)."""

    text: str
    marks: str

    def cut(self, start: int, end: int | None = None) -> Word:
        return Word(self.text[start:end], self.marks[start:end])

    def is_plain(self, at: int, character: str) -> bool:
        """Whether this character is at `at` and has its meaning in the grammar."""
        return self.text[at : at + 1] == character and self.marks[at] == PLAIN

    def parts(self, separator: str) -> list[Word]:
        """Split at the plain separators."""
        places = [
            at
            for at, character in enumerate(self.text)
            if self.is_plain(at, character) and character == separator
        ]
        starts, ends = [0, *(at + 1 for at in places)], [*places, len(self.text)]
        return [self.cut(start, end) for start, end in zip(starts, ends, strict=True)]


def split(text: str) -> list[Word]:
    """Split a string into terms. Raises WrongUsage (`bad_query`) if a quote is not closed."""
    words: list[Word] = []
    open_word: list[tuple[str, str]] = []
    for character, mark in [*_marked(text), (" ", PLAIN)]:
        if mark == PLAIN and character.isspace():
            if open_word:
                words.append(Word("".join(c for c, _ in open_word), "".join(m for c, m in open_word if c)))
            open_word = []
        else:
            open_word.append((character, mark))
    return words


def _marked(text: str) -> Iterator[tuple[str, str]]:
    """Every character with its mark; an opening quote gives "", so that an empty quoted text is kept."""
    quote = ""
    escaped = starts = False
    typed = ""  # the plain beginning of the term; a space after anything else
    for character in text:
        if escaped:
            # Within a word, as in a Windows path, it is an ordinary character.
            if not (starts or character in _ESCAPABLE or character.isspace()):
                yield "\\", ESCAPED
            escaped, typed = False, " "
            yield character, ESCAPED
        elif character == "\\":
            escaped = True
            begins = typed in ("", "-") or typed[-1] in ",=<>" or typed.find(":") == len(typed) - 1
            starts = begins and not quote
        elif quote:
            if character == quote:
                quote = ""
            else:
                yield character, QUOTED
        elif character in _QUOTES and (typed in ("", "-") or typed[-1] in _BEFORE_VALUE):
            quote, typed = character, " "
            yield "", QUOTED
        else:
            typed = "" if character.isspace() else typed + character
            yield character, PLAIN
    if quote:
        raise WrongUsage(
            "bad_query",
            f"unclosed quote in the query: {visible(text)}",
            hint=f"close it with {quote}, or write \\{quote} for the character itself",
        )
    if escaped:  # a trailing backslash escapes nothing
        yield "\\", ESCAPED


# --- The parsed query, and printing it

#: How a value is compared. `has`: a part of the text (of a sha: its beginning); `is`: the whole of it;
#: `none`, `any`: empty or not; `yes`, `no`; `=` to `..`: an amount, or from `text` to `until`.
How: TypeAlias = Literal["has", "is", "none", "any", "yes", "no", "=", "<", "<=", ">", ">=", ".."]

#: Text that needs no quotes: none of its characters has a meaning.
_BARE = re.compile(r"\w[\w.+-]*")
_WORDS_WITH_A_MEANING = frozenset({"none", "yes", "no"})


class Value(NamedTuple):
    """One alternative of a term; an open end of a `..` range is ""."""

    how: How
    text: str = ""
    until: str = ""


class Term(NamedTuple):
    """One condition: any of the values in this field, or if that is "" in every field that words search."""

    field: str
    values: tuple[Value, ...]
    negated: bool = False


class Query(NamedTuple):
    """Any of the groups, each of which is all of its terms. Without groups everything matches."""

    groups: tuple[tuple[Term, ...], ...] = ()


def printed(query: Query) -> str:
    """Print a query as a person would type it; parsing that gives the same query."""
    return " , ".join(" ".join(map(_printed_term, group)) for group in query.groups)


def mentions(query: Query, field: str) -> bool:
    """Whether any term uses this field."""
    return any(term.field == field for group in query.groups for term in group)


def _printed_term(term: Term) -> str:
    values = ",".join(_printed_value(term.field, value) for value in term.values)
    return ("-" if term.negated else "") + (f"{term.field}:{values}" if term.field else values)


def _printed_value(field: str, value: Value) -> str:
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


# --- Parsing

_FIELD = re.compile(r"([A-Za-z][A-Za-z0-9_-]*):")
_AMOUNT = re.compile(r"(<=|>=|<|>|=)?(.+)", re.DOTALL)
_HEX = re.compile(r"[0-9a-f]{1,64}", re.ASCII)
_FLAGS: dict[str, How] = {"yes": "yes", "true": "yes", "1": "yes", "no": "no", "false": "no", "0": "no"}
_COMPARISONS: dict[str, How] = {"=": "=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
#: The name shown for an unrecognised kind, repeated here because importing the rules is slow.
_UNKNOWN_KIND = "unknown"
#: The most parts of a query: SQLite limits the length of a statement.
_MOST_TERMS = 1_000
_HINT = Hint("see {}", ("help", "query"))


def parse(texts: str | Iterable[str]) -> Query:
    """Parse a string, or the words of a command line, each of which may contain several terms.

    Raises only WrongUsage (`bad_query`), naming the term that is wrong.
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
        raise WrongUsage("bad_query", "a ',' needs a term on both sides", hint="a , b finds a or b")
    if sum(len(term.values) for group in groups for term in group) > _MOST_TERMS:
        raise WrongUsage(
            "bad_query",
            f"the query has more than {_MOST_TERMS:,} parts",
            hint="commands that take REFs read any number of them from standard input: '-'",
        )
    return Query(tuple(map(tuple, groups)))


def _without_commas(word: Word) -> tuple[bool, Word | None, bool]:
    """Strip plain commas from both ends of a word: between terms they separate groups."""
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
        f"unknown field '{name}'",
        hint=f"{advice}fields: {', '.join(FIELDS)}; in quotes it is searched for as text",
    )


def _value(field: str, part: Word, word: Word) -> Value:
    if not part.text.strip():
        if not field:
            raise _wrong(word, "empty search text", hint=_HINT)
        wants = "yes or no" if FIELDS[field] == "flag" else "a value"
        advice = (
            _HINT if FIELDS[field] == "flag" else Hint("{}:none finds models without one; {}", field, _HINT)
        )
        raise _wrong(word, f"{field}: needs {wants}", hint=advice)
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
        raise _wrong(word, f"{field}: needs a value after '='", hint=f"{field}:none finds models without one")
    return Value(how, text)


def _flag(field: str, part: Word, word: Word) -> Value:
    how = _FLAGS.get(part.text.lower())
    if how is None:
        raise _wrong(word, f"{field}: needs yes or no", hint=f"{field}:yes or {field}:no")
    return Value(how)


def _digits(part: Word, word: Word) -> Value:
    digits = part.text.lower()
    if not _HEX.fullmatch(digits):
        raise _wrong(
            word, "sha: needs the first digits of a SHA-256", hint="digits are 0 to 9 and a to f, at most 64"
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
        raise _wrong(word, "a range needs at least one end", hint=Hint("such as {}; {}", example, _HINT))
    try:
        interval(field, value, 0)
    except WrongUsage as error:
        raise _wrong(
            word, error.message, hint=error.hint or (SIZES if FIELDS[field] == "size" else MOMENTS)
        ) from None
    return value


def _canonical(amount: str) -> str:
    """Drop the minus that beets writes before an age."""
    return amount.strip().removeprefix("-") if amount[-1:] in "hdwmy" else amount.strip()


def _wrong(word: Word, message: str, *, hint: str | Hint) -> WrongUsage:
    said = f"in the query, '{visible(word.text)}': {visible(message)}"
    return WrongUsage("bad_query", said, hint=visible(hint) if isinstance(hint, str) else hint)


# --- Comparing text


def fold_text(text: str) -> str:
    """Normalise text for case-insensitive comparison (Unicode's caseless matching, D145)."""
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text).casefold()
    return unicodedata.normalize("NFC", unicodedata.normalize("NFD", decomposed))


def common(text: str, wanted: str) -> str:
    """`text` as compared with the folded `wanted`: if that is ASCII, only ASCII letters are folded.

    SQLite can do that itself, ten times as fast.
    """
    if not wanted.isascii():
        return fold_text(text)
    return text.lower() if text.isascii() else "".join(c.lower() if c.isascii() else c for c in text)
