from __future__ import annotations

import json
import sqlite3
import sys
from contextlib import closing

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.core.jsontext import MAX_DEPTH, Json, Members, NotJson, Number, Raw, depth, dump, parse, parse_pairs

LITERALS = [
    "0",
    "-0",
    "1.10",
    "1E5",
    "1e-400",
    "9007199254740993",
    "9" * 5000,
    "NaN",
    "Infinity",
    "-Infinity",
]


@pytest.mark.parametrize("literal", LITERALS)
def test_a_number_keeps_its_literal(literal: str) -> None:
    value = parse(f'{{"a": [{literal}]}}')
    assert value == {"a": [Number(literal)]}
    assert dump(value) == f'{{"a":[{literal}]}}'


def test_a_number_is_never_equal_to_the_text_of_it() -> None:
    assert parse("1") != parse('"1"')
    assert parse('"1"') != parse("1")
    assert parse("1") == Number("1")
    assert parse('{"a": 1}') != {"a": "1"}
    assert len({Number("1"), "1"}) == 2


def test_objects_are_dicts_of_which_the_last_equal_key_wins() -> None:
    assert parse('{"b": 1, "a": null, "b": true}') == {"b": True, "a": None}


def test_pairs_keep_order_and_duplicate_keys() -> None:
    text = '{"b":1,"a":{},"b":[{"x":"y","x":1.0}]}'
    value = parse_pairs(text)
    assert isinstance(value, Members)
    assert [key for key, _ in value] == ["b", "a", "b"]
    assert dump(value) == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "{",
        "{'a': 1}",
        '{"a": 1,}',
        "[1] 2",
        "nul",
        "01",
        "+1",
        "1.",
        '"cut',
        '"line\nbreak"',
        '"\\x"',
        '"\\u12"',
        "\ufeff{}",
        "\x00",
        "{1: 2}",
        "[" * 100_000,
        '{"a":' * 100_000,
        "[" * 100_000 + "]" * 100_000,
    ],
)
def test_anything_else_is_not_json(text: str) -> None:
    with pytest.raises(NotJson):
        parse(text)
    with pytest.raises(NotJson):
        parse_pairs(text)


def test_levels_beyond_the_limit_are_not_json() -> None:
    deepest = "[" * MAX_DEPTH + "]" * MAX_DEPTH
    assert depth(parse(deepest)) == MAX_DEPTH
    assert dump(parse(deepest)) == deepest
    with pytest.raises(NotJson, match="deep"):
        parse(f"[{deepest}]")
    with pytest.raises(NotJson, match="deep"):
        parse('{"a":' + deepest + "}")


def test_brackets_without_depth_are_accepted() -> None:
    wide = "[" + ",".join(["[]", "{}"] * 5 * MAX_DEPTH) + "]"
    assert dump(parse(wide)) == wide
    assert parse(json.dumps("[" * 5 * MAX_DEPTH)) == "[" * 5 * MAX_DEPTH


@given(st.text())
def test_no_text_raises_anything_but_notjson(text: str) -> None:
    try:
        parse(text)
    except NotJson:
        return
    json.loads(text, parse_int=str)


@given(st.text(alphabet='[]{}",:0-.eE1tfn\\u \ud800a'))
def test_nothing_like_json_raises_anything_but_notjson(text: str) -> None:
    try:
        value = parse(text)
    except NotJson:
        return
    assert parse(dump(value)) == value


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "null"),
        (True, "true"),
        (False, "false"),
        (7, "7"),
        (-0.5, "-0.5"),
        (10**30, "1" + "0" * 30),
        (float("nan"), "NaN"),
        ("", '""'),
        ({}, "{}"),
        ([], "[]"),
        ((), "[]"),
        (Members(), "{}"),
        (({"a": (1, 2)},), '[{"a":[1,2]}]'),
    ],
)
def test_ordinary_values_are_dumped_compactly(value: Json, text: str) -> None:
    assert dump(value) == text


def test_raw_text_is_embedded_as_it_is() -> None:
    stored = '{"a":1.10, "a":[ ]}'
    assert dump({"meta": Raw(stored), "n": 1}) == '{"meta":' + stored + ',"n":1}'


def test_text_stays_readable() -> None:
    assert dump("角色 ✨ é \x7f") == '"角色 ✨ é \x7f"'
    assert dump('a"b\\c\n\x00\x1b') == r'"a\"b\\c\n\u0000\u001b"'


@pytest.mark.parametrize("text", ["\udc80", "caf\udce9.safetensors ✨", "\ude00\ud83d"])
def test_lone_surrogates_are_escaped_and_come_back(text: str) -> None:
    value: dict[str, Json] = {text: [text]}
    written = dump(value)
    assert parse(written) == value
    with closing(sqlite3.connect(":memory:")) as db:
        assert db.execute("select ?", (written,)).fetchone() == (written,)


@pytest.mark.parametrize("value", [b"bytes", {1, 2}, object(), {1: 2}, {"a": [b""]}])
def test_what_json_cannot_say_is_a_type_error(value: object) -> None:
    with pytest.raises(TypeError):
        dump(value)  # type: ignore[arg-type]


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


@given(values)
def test_dump_writes_what_the_standard_module_reads(value: Json) -> None:
    assert json.loads(dump(value)) == value


@given(values)
def test_dump_and_parse_are_inverse(value: Json) -> None:
    once = parse(dump(value))
    assert parse(dump(once)) == once


def test_depth_counts_enclosing_containers() -> None:
    nested: list[tuple[Json, int]] = [
        ("x", 0),
        (None, 0),
        ([], 1),
        ({}, 1),
        ({"a": 1}, 1),
        ([[], {"a": [()]}], 4),
    ]
    for value, levels in nested:
        assert depth(value) == levels
    assert depth(Members([("a", []), ("b", Members([("c", "x")]))])) == 2


def test_depth_needs_no_stack() -> None:
    nested: Json = []
    for _ in range(10 * sys.getrecursionlimit()):
        nested = [nested]
    assert depth(nested) == 10 * sys.getrecursionlimit() + 1
