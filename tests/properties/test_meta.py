"""Promise 1: no merge, edit or comparison of metadata lets an empty value take the place of a typed one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlib.core import meta
from mlib.core.errors import WrongUsage
from mlib.core.jsontext import Json, Number, dump, parse

keys = st.sampled_from(["a", "b", "c", "a.b", "b.c", "a.b.c"])
leaves = st.sampled_from(["", None, "x", "y", False, True]) | st.sampled_from(
    ["0", "1", "1.0", "1.10", "-0", "1E2"]
).map(Number)
values = st.recursive(
    leaves, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(keys, inner, max_size=3), max_leaves=8
)
trees = st.dictionaries(keys, values, max_size=4)
dotted = st.lists(st.sampled_from("abcd"), min_size=1, max_size=4).map(".".join)


def leaves_of(value: Json, path: tuple[str, ...] = ()) -> dict[tuple[str, ...], Json]:
    """The non-empty leaves by path; lists are leaves."""
    if isinstance(value, dict):
        return {
            p: leaf for key, member in value.items() for p, leaf in leaves_of(member, (*path, key)).items()
        }
    return {} if meta.is_empty(value) else {path: value}


def shadowed(path: tuple[str, ...], others: dict[tuple[str, ...], Json]) -> bool:
    """A leaf above or below this path, so that both cannot be."""
    return any(path != p and (path[: len(p)] == p or p[: len(path)] == path) for p in others)


@given(trees, trees)
def test_fill_keeps_every_leaf_and_adds_those_there_was_room_for(
    existing: meta.Meta, incoming: meta.Meta
) -> None:
    kept, offered, result = leaves_of(existing), leaves_of(incoming), leaves_of(meta.fill(existing, incoming))
    assert kept.items() <= result.items()
    for path, leaf in offered.items():
        if path not in kept and not shadowed(path, kept):
            assert result[path] == leaf
    assert result.keys() <= kept.keys() | offered.keys()


@given(trees, trees)
def test_override_takes_every_offered_leaf_and_keeps_the_rest(
    existing: meta.Meta, incoming: meta.Meta
) -> None:
    kept, offered, result = (
        leaves_of(existing),
        leaves_of(incoming),
        leaves_of(meta.override(existing, incoming)),
    )
    assert offered.items() <= result.items()
    for path, leaf in kept.items():
        if path not in offered and not shadowed(path, offered):
            assert result[path] == leaf
    assert result.keys() <= kept.keys() | offered.keys()


@given(trees, trees)
def test_nothing_differs_after_override(existing: meta.Meta, incoming: meta.Meta) -> None:
    assert meta.differing(meta.override(existing, incoming), incoming) == []


@given(trees, trees)
def test_where_nothing_differs_override_changes_no_value(existing: meta.Meta, incoming: meta.Meta) -> None:
    merged = meta.override(existing, incoming)
    changed = meta.differing(existing, merged) or meta.differing(merged, existing)
    assert bool(changed) <= bool(meta.differing(existing, incoming))


@given(trees, trees)
def test_merging_twice_is_merging_once(existing: meta.Meta, incoming: meta.Meta) -> None:
    for merge in (meta.fill, meta.override):
        once = merge(existing, incoming)
        assert merge(once, incoming) == once


@given(trees)
def test_a_tree_gains_nothing_from_itself_or_from_nothing(existing: meta.Meta) -> None:
    for merge in (meta.fill, meta.override):
        assert merge(existing, existing) == existing
        assert merge(existing, {}) == existing
    assert meta.differing(existing, existing) == []


@given(trees, dotted, values)
def test_what_was_put_is_read_and_the_rest_stays(existing: meta.Meta, key: str, value: Json) -> None:
    try:
        changed = meta.put(existing, key, value)
    except WrongUsage:
        with pytest.raises(KeyError):
            meta.read(existing, key)
        return
    assert meta.read(changed, key) == value
    assert parse(dump(changed)) == changed
    after = leaves_of(changed)
    for path, leaf in leaves_of(existing).items():
        if not f"{'.'.join(path)}.".startswith(f"{key}."):
            assert after[path] == leaf


@given(trees, dotted)
def test_drop_takes_one_value_away_and_leaves_no_empty_parents(existing: meta.Meta, key: str) -> None:
    remaining = meta.drop(existing, key)
    gone = leaves_of(existing).keys() - leaves_of(remaining).keys()
    assert all(".".join(path) == key or ".".join(path).startswith(f"{key}.") for path in gone)
    try:
        meta.read(existing, key)
    except KeyError:
        assert remaining == existing
    else:
        assert remaining != existing


@given(dotted, st.sampled_from(["x", Number("1"), False]))
def test_a_new_key_put_and_dropped_leaves_nothing(key: str, value: Json) -> None:
    assert meta.drop(meta.put({}, key, value), key) == {}
