"""Queries as a language: whatever is typed is read or refused, and what is printed reads the same."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from hypothesis import example, given
from hypothesis import strategies as st

from mlib.core.errors import WrongUsage
from mlib.core.query import FIELDS, Query, Term, Value, parse, printed, split

if TYPE_CHECKING:
    from mlib.core.query import How

#: Text of what the grammar is made of, and of what it is not.
SCRAPS = st.sampled_from(
    [
        "-",
        ",",
        ":",
        '"',
        "'",
        "\\",
        "=",
        "<",
        ">",
        "..",
        "*",
        " ",
        "\t",
        "none",
        "yes",
        "2GB",
        "30d",
        "2026-01",
        "tag",
        "type",
        "size:",
        "added:",
        "base:",
        "sha:",
        "missing:",
        "files:",
        "a",
        "é",
        "ß",
        "\udcff",
        "\x00",
        "1",
    ]
)
TYPED = st.one_of(st.text(max_size=20), st.lists(SCRAPS, max_size=12).map("".join))
TEXTS = st.text(min_size=1, max_size=8).filter(lambda text: text.strip())
SIZES = st.sampled_from(["0", "1kB", "1.5GB", "2TiB"])
MOMENTS = st.sampled_from(["2026", "2026-01-31", "12h", "30d", "2026-01-31T18:00"])


def value_of(how: How, text: str) -> Value:
    return Value(how, text)


def amounts(ends: st.SearchStrategy[str]) -> st.SearchStrategy[Value]:
    compared = st.builds(value_of, st.sampled_from(["=", "<", "<=", ">", ">="]), ends)
    return (
        compared
        | st.builds(lambda end: Value("..", end), ends)
        | st.builds(lambda end: Value("..", "", end), ends)
    )


def values(field: str) -> st.SearchStrategy[Value]:
    kind = FIELDS.get(field, "word")
    emptiness = st.sampled_from([Value("none"), Value("any")])
    return {
        "word": st.builds(partial(value_of, "has"), TEXTS),
        "part": emptiness | st.builds(value_of, st.sampled_from(["has", "is"]), TEXTS),
        "whole": emptiness | st.builds(partial(value_of, "is"), TEXTS.map(lambda text: text.strip() + "!")),
        "digits": st.builds(partial(value_of, "has"), st.text("0123456789abcdef", min_size=1, max_size=64)),
        "flag": st.sampled_from([Value("yes"), Value("no")]),
        "size": amounts(SIZES) | st.just(Value("none")),
        "moment": amounts(MOMENTS),
        "count": amounts(st.sampled_from(["0", "1", "12"])),
    }[kind]


TERMS = st.sampled_from(["", *FIELDS]).flatmap(
    lambda field: st.builds(
        Term,
        st.just(field),
        st.lists(values(field), min_size=1, max_size=3, unique=True).map(tuple),
        st.booleans(),
    )
)
QUERIES = st.lists(st.lists(TERMS, min_size=1, max_size=3).map(tuple), max_size=3).map(
    lambda groups: Query(tuple(groups))
)


@given(TYPED)
@example("-" * 3000)
@example('"' + "\\" * 9)
@example("added:-1d..--1d")
@example("size:1..2..3")
def test_whatever_is_typed_is_understood_or_refused(text: str) -> None:
    try:
        query = parse(text)
    except WrongUsage as error:
        refusal: WrongUsage | None = error
    else:
        refusal = None
        assert parse(printed(query)) == query
        assert printed(parse(printed(query))) == printed(query)
    assert refusal is None or (refusal.code == "bad_query" and refusal.hint)


@given(QUERIES)
def test_a_query_says_what_it_means(query: Query) -> None:
    assert parse(printed(query)) == query


@given(st.lists(TYPED, max_size=4))
def test_words_of_a_command_line_are_read_like_one_string_of_them(texts: list[str]) -> None:
    try:
        # A quote or a backslash at the end of one word must not reach into the next.
        apart = [split(text) for text in texts]
        query = parse(texts)
    except WrongUsage:
        return
    assert sum(map(len, apart)) >= sum(map(len, query.groups))
    if not any("\\" in text for text in texts):
        assert parse(" ".join(texts)) == query
