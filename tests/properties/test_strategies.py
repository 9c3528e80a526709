"""Promise 1: under no strategy does anything empty take the place of what was typed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.properties.test_meta import leaves_of, shadowed, trees

from mlib.core.records import TEXT_FIELDS
from mlib.core.tag_spelling import distinct
from mlib.services.importing.importer import (
    ConflictStrategy,
    UserData,
    differences,
    merge_user_data,
    override_user_data,
    resolve_conflict,
)

if TYPE_CHECKING:
    from mlib.core.jsontext import Json

blanks = st.recursive(
    st.sampled_from(["", None]),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("abc"), inner, max_size=2),
    max_leaves=4,
)
labels = st.lists(st.sampled_from(["SDXL", "sdxl", "Ärger", "ärger", "a, b", "flux"]), max_size=4).map(
    distinct
)
texts = st.dictionaries(st.sampled_from(TEXT_FIELDS), st.sampled_from(["mine", "yours"]))
user_data = st.builds(UserData, text=texts, tags=labels, meta=trees)
empty_data = st.builds(UserData, meta=st.dictionaries(st.sampled_from("abc"), blanks, max_size=3))
strategies = st.sampled_from(ConflictStrategy)

Combine = Callable[[UserData, UserData], UserData]
combinations = pytest.mark.parametrize("combine", [merge_user_data, override_user_data])

#: Those that leave a conflict standing.
BYSTANDERS = (ConflictStrategy.REPORT, ConflictStrategy.IGNORE, ConflictStrategy.DELETE)


def everything(data: UserData) -> dict[tuple[str, ...], Json]:
    """All that is not empty, tags by their folded form."""
    return {
        **{("text", name): value for name, value in data.text.items()},
        **{("tag", key): shown for key, shown in data.tags.items()},
        **{("meta", *path): leaf for path, leaf in leaves_of(dict(data.meta)).items()},
    }


@given(user_data, user_data)
def test_merging_changes_nothing_that_was_there(existing: UserData, incoming: UserData) -> None:
    assert everything(existing).items() <= everything(merge_user_data(existing, incoming)).items()


@given(user_data, user_data)
def test_merging_takes_all_there_was_room_for(existing: UserData, incoming: UserData) -> None:
    kept, offered, result = (
        everything(existing),
        everything(incoming),
        everything(merge_user_data(existing, incoming)),
    )
    for path, value in offered.items():
        if path not in kept and not shadowed(path, kept):
            assert result[path] == value


@given(user_data, user_data)
def test_overriding_takes_all_that_comes_in(existing: UserData, incoming: UserData) -> None:
    assert everything(incoming).items() <= everything(override_user_data(existing, incoming)).items()


@given(user_data, user_data)
def test_overriding_keeps_what_the_incoming_leaves_empty(existing: UserData, incoming: UserData) -> None:
    offered, result = everything(incoming), everything(override_user_data(existing, incoming))
    for path, value in everything(existing).items():
        others_win = path[0] == "tag" and incoming.tags
        if path not in offered and not shadowed(path, offered) and not others_win:
            assert result[path] == value


@given(user_data, user_data)
def test_no_differences_are_left_after_overriding(existing: UserData, incoming: UserData) -> None:
    assert differences(override_user_data(existing, incoming), incoming) == ()


@combinations
@given(existing=user_data, incoming=user_data)
def test_nothing_is_made_up(combine: Combine, existing: UserData, incoming: UserData) -> None:
    sources = [everything(existing), everything(incoming)]
    for path, value in everything(combine(existing, incoming)).items():
        assert any(source.get(path) == value for source in sources)


@combinations
@given(existing=user_data, incoming=user_data)
def test_a_second_time_changes_nothing(combine: Combine, existing: UserData, incoming: UserData) -> None:
    once = combine(existing, incoming)
    assert combine(once, incoming) == once


@given(user_data, empty_data, strategies)
def test_an_empty_import_changes_nothing_and_is_no_conflict(
    existing: UserData, incoming: UserData, strategy: ConflictStrategy
) -> None:
    assert not incoming
    assert resolve_conflict(existing, incoming, strategy) == existing
    assert everything(merge_user_data(existing, incoming)) == everything(existing)
    assert everything(override_user_data(existing, incoming)) == everything(existing)


@given(empty_data, user_data, strategies)
def test_a_model_nobody_said_anything_about_takes_all_unless_known_models_are_left_alone(
    existing: UserData, incoming: UserData, strategy: ConflictStrategy
) -> None:
    result = resolve_conflict(existing, incoming, strategy)
    if strategy is ConflictStrategy.IGNORE and differences(existing, incoming):
        assert result is None
        return
    assert result is not None
    assert everything(result) == everything(incoming)


@given(user_data, user_data, strategies)
def test_a_conflict_is_a_difference_from_what_somebody_typed_and_only_bystanders_leave_it_standing(
    existing: UserData, incoming: UserData, strategy: ConflictStrategy
) -> None:
    conflict = bool(existing or strategy is ConflictStrategy.IGNORE)
    conflict = conflict and differences(existing, incoming) != ()
    assert (resolve_conflict(existing, incoming, strategy) is None) == (conflict and strategy in BYSTANDERS)


@given(user_data, user_data, strategies)
def test_where_nothing_differs_nothing_changes(
    existing: UserData, incoming: UserData, strategy: ConflictStrategy
) -> None:
    both = override_user_data(existing, incoming)
    assert resolve_conflict(both, incoming, strategy) == both


@given(user_data)
def test_nothing_differs_from_itself(data: UserData) -> None:
    assert differences(data, data) == ()


@given(user_data, user_data)
def test_differences_name_what_is_missing_or_other_and_nothing_else(
    existing: UserData, incoming: UserData
) -> None:
    differs = differences(existing, incoming)
    for name in TEXT_FIELDS:
        assert (name in differs) == (name in incoming.text and existing.text.get(name) != incoming.text[name])
    assert ("tags" in differs) == bool(incoming.tags.keys() - existing.tags.keys())
