from __future__ import annotations

import copy

import pytest

from mlib.core import meta
from mlib.core.errors import WrongUsage
from mlib.core.jsontext import MAX_DEPTH, Json, Number, dump, parse


def tree(text: str) -> meta.Meta:
    value = parse(text)
    assert isinstance(value, dict)
    return value


SAMPLE = """{"prompts": {"positive": "cat", "negative": ""}, "rating": 4, "modelspec.title": "T",
             "modelspec": {"author": "A"}, "extra": null, "tags": ["a"]}"""


@pytest.mark.parametrize(
    ("dotted", "value"),
    [
        ("rating", Number("4")),
        ("prompts.positive", "cat"),
        ("prompts", {"positive": "cat", "negative": ""}),
        ("extra", None),
        ("modelspec.title", "T"),
        ("modelspec.author", "A"),
    ],
)
def test_read_follows_the_dots(dotted: str, value: Json) -> None:
    assert meta.read(tree(SAMPLE), dotted) == value


@pytest.mark.parametrize(
    "dotted", ["", ".", "nope", "prompts.nope", "rating.x", "extra.x", "tags.0", "prompts."]
)
def test_read_of_an_absent_key_is_a_key_error(dotted: str) -> None:
    with pytest.raises(KeyError):
        meta.read(tree(SAMPLE), dotted)


def test_the_longest_literal_key_is_read_first() -> None:
    both = tree('{"a": {"b": {"c": 1}}, "a.b": {"c": 2}, "a.b.c": 3}')
    assert meta.read(both, "a.b.c") == Number("3")
    assert meta.read(meta.drop(both, "a.b.c"), "a.b.c") == Number("2")
    assert meta.read(tree('{"a.b": {"x": 1}, "a": {"b": {"c": 2}}}'), "a.b.c") == Number("2")


def test_put_replaces_and_creates_objects_on_the_way() -> None:
    assert dump(meta.put(tree('{"a":1,"b":2}'), "a", "x")) == '{"a":"x","b":2}'
    assert meta.put({}, "a.b.c", Number("1")) == {"a": {"b": {"c": Number("1")}}}
    assert meta.put(tree('{"a": {"b": 1}}'), "a.c", None) == {"a": {"b": Number("1"), "c": None}}


def test_put_prefers_an_existing_literal_key() -> None:
    assert (
        dump(meta.put(tree('{"modelspec.title":"T"}'), "modelspec.title", "U")) == '{"modelspec.title":"U"}'
    )
    assert dump(meta.put(tree('{"a.b":{"c":1}}'), "a.b.d", "U")) == '{"a.b":{"c":1,"d":"U"}}'
    assert dump(meta.put(tree('{"a.b":1}'), "a.c", "U")) == '{"a.b":1,"a":{"c":"U"}}'


@pytest.mark.parametrize("dotted", ["", ".", "a.", ".a", "a..b", " ", "a. .b"])
def test_put_refuses_an_empty_key_or_part(dotted: str) -> None:
    with pytest.raises(WrongUsage) as caught:
        meta.put({}, dotted, "x")
    assert caught.value.code == "bad_key"


@pytest.mark.parametrize(
    "existing", ['{"a": 1}', '{"a": null}', '{"a": [{}]}', '{"a": "text"}', '{"a.b": 1}']
)
def test_put_refuses_to_replace_what_is_no_object(existing: str) -> None:
    before = tree(existing)
    with pytest.raises(WrongUsage) as caught:
        meta.put(before, "a.b.c", "x")
    assert caught.value.code == "bad_key"
    assert caught.value.exit_code == 2
    assert before == tree(existing)


def test_put_refuses_what_could_not_be_read_back() -> None:
    key = ".".join("k" * MAX_DEPTH)
    deepest = meta.put({}, key, "x")
    assert meta.read(tree(dump(deepest)), key) == "x"
    for dotted, value in ((f"{key}.k", "x"), (key, []), ("a." * 100_000 + "a", "x")):
        with pytest.raises(WrongUsage) as caught:
            meta.put({}, dotted, value)
        assert caught.value.code == "bad_key"


def test_drop_removes_the_key_and_the_objects_it_leaves_empty() -> None:
    assert meta.drop(tree('{"a": {"b": {"c": 1}}, "d": {}}'), "a.b.c") == {"d": {}}
    assert meta.drop(tree('{"a": {"b": {"c": 1}, "x": ""}}'), "a.b.c") == {"a": {"x": ""}}
    assert meta.drop(tree('{"a": {"b": 1}, "a.b": 2}'), "a.b") == {"a": {"b": Number("1")}}
    assert meta.drop(tree('{"a": {"b": 1}}'), "a") == {}


@pytest.mark.parametrize("dotted", ["", "nope", "a.nope", "a.b.c", "a.", "e.x"])
def test_drop_of_an_absent_key_changes_nothing(dotted: str) -> None:
    before = tree('{"a": {"b": 1}, "e": {}}')
    assert meta.drop(before, dotted) == before


def test_no_function_changes_its_input() -> None:
    existing, incoming = (
        tree(SAMPLE),
        tree('{"prompts": {"negative": "dog", "x": {"y": 1}}, "extra": {"z": 1}}'),
    )
    before = copy.deepcopy((existing, incoming))
    meta.put(existing, "prompts.positive", "x")
    meta.put(existing, "prompts.new.key", "x")
    meta.drop(existing, "prompts.positive")
    meta.fill(existing, incoming)
    meta.override(existing, incoming)
    meta.differing(existing, incoming)
    assert (existing, incoming) == before


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1.10", Number("1.10")),
        (" 7 ", Number("7")),
        ("true", True),
        ("null", None),
        ('"7"', "7"),
        ('{"a": [1]}', {"a": [Number("1")]}),
        ("", ""),
        ("some text", "some text"),
        ("007", "007"),
        ("True", "True"),
        ("NaN", "NaN"),
        ("-Infinity", "-Infinity"),
        ('{"cut', '{"cut'),
        ("https://a.example/?b=1", "https://a.example/?b=1"),
        ("[" * 5000 + "]" * 5000, "[" * 5000 + "]" * 5000),
        ("caf\udce9", "caf\udce9"),
    ],
)
def test_a_set_value_is_json_where_it_can_be(text: str, value: Json) -> None:
    got = meta.value_of(text)
    assert got == value
    assert type(got) is type(value)


@pytest.mark.parametrize("text", ['""', "null", "{}", "[]", '[""]', '{"a": {"b": [null, ""]}}'])
def test_nothing_but_empties_is_empty(text: str) -> None:
    assert meta.is_empty(parse(text))


@pytest.mark.parametrize("text", ["0", "false", "-0", '" "', "[0]", '{"a": {"b": [null, false]}}'])
def test_zero_and_false_are_not_empty(text: str) -> None:
    assert not meta.is_empty(parse(text))


def test_fill_takes_only_what_is_absent_or_empty() -> None:
    existing = tree(
        '{"note": "mine", "n": 0, "p": {"pos": "", "neg": "bad", "more": []}, "l": [1], "e": null}'
    )
    incoming = tree(
        '{"note": "x", "n": 5, "p": {"pos": "cat", "neg": "y", "z": 1}, "l": [1, 2], "e": "E", "w": ""}'
    )
    assert dump(meta.fill(existing, incoming)) == (
        '{"note":"mine","n":0,"p":{"pos":"cat","neg":"bad","more":[],"z":1},"l":[1],"e":"E"}'
    )


def test_override_takes_every_leaf_that_is_not_empty() -> None:
    existing = tree('{"note": "mine", "n": 5, "p": {"pos": "", "neg": "bad"}, "l": [1], "keep": {"x": 1}}')
    incoming = tree(
        '{"note": "", "n": 0, "p": {"pos": "cat", "neg": null}, "l": [2], "keep": {}, "new": false}'
    )
    assert dump(meta.override(existing, incoming)) == (
        '{"note":"mine","n":0,"p":{"pos":"cat","neg":"bad"},"l":[2],"keep":{"x":1},"new":false}'
    )


def test_an_object_and_a_text_at_one_key_are_not_mixed() -> None:
    text, nested = tree('{"p": "text"}'), tree('{"p": {"pos": "cat"}}')
    assert meta.fill(text, nested) == text
    assert meta.fill(nested, text) == nested
    assert meta.override(text, nested) == nested
    assert meta.override(nested, text) == text
    assert meta.override(text, tree('{"p": {"pos": ""}}')) == text
    assert meta.fill(tree('{"p": ""}'), nested) == nested


def test_differing_names_the_leaves_that_are_lacking_or_other() -> None:
    existing = tree('{"same": "s", "n": 1.10, "l": [1, {"a": 2}], "p": {"pos": "cat"}, "t": "1", "b": true}')
    incoming = tree(
        '{"same": "s", "n": 1.1, "l": [1.0, {"a": 2}], "p": {"pos": "dog", "neg": "", "deep": {"x": 0}},'
        ' "t": 1, "b": 1, "e": null, "new": [0]}'
    )
    assert meta.differing(existing, incoming) == ["p.pos", "p.deep.x", "t", "b", "new"]


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("1", "1.0", True),
        ("1E5", "100000", True),
        ("0.1", "0.10000000000000000001", False),
        ("9007199254740993", "9007199254740992", False),
        ("-0", "0", True),
        ("NaN", "NaN", True),
        ("NaN", "0", False),
        ("1E999999999", "1", False),
        ("1E99999999999999999999999", "1", False),
        ("1E99999999999999999999999", "1E99999999999999999999999", True),
        ('"a"', '"a"', True),
        ("[1,2]", "[2,1]", False),
        ("[1]", "[1,2]", False),
        ('[{"a":1,"b":2}]', '[{"b":2.0,"a":1}]', True),
        ('[{"a":1}]', '[{"a":1,"b":2}]', False),
        ('["1"]', "[1]", False),
        ("true", "1", False),
    ],
)
def test_equality_is_by_value_and_kind(one: str, other: str, *, equal: bool) -> None:
    left, right = tree(f'{{"k": {one}}}'), tree(f'{{"k": {other}}}')
    assert (meta.differing(left, right) == []) is equal
    assert (meta.differing(right, left) == []) is equal


def test_python_numbers_compare_with_literals() -> None:
    assert meta.differing({"a": 1, "b": 1.5, "c": [10**20]}, tree('{"a": 1.0, "b": 1.50, "c": [1E20]}')) == []
    assert meta.differing({"a": True, "b": True}, {"a": Number("1"), "b": 1}) == ["a", "b"]


def test_the_deepest_trees_are_handled() -> None:
    levels = MAX_DEPTH - 1
    lists = tree('{"a":' + "[" * levels + "1" + "]" * levels + "}")
    objects = tree('{"k":' * MAX_DEPTH + "1" + "}" * MAX_DEPTH)
    empties = tree('{"k":' * MAX_DEPTH + '""' + "}" * MAX_DEPTH)
    key = ".".join("k" * MAX_DEPTH)
    assert not meta.is_empty(lists)
    assert meta.differing(lists, copy.deepcopy(lists)) == []
    assert meta.differing(empties, objects) == [key]
    assert meta.fill(empties, objects) == objects
    assert meta.override(objects, empties) == objects
    assert meta.read(objects, key) == Number("1")
    assert meta.drop(objects, key) == {}
