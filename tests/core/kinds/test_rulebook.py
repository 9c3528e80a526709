"""What the words of a rule mean: each alone, on tensors made for it."""

from __future__ import annotations

from typing import Any

import pytest
from tests.core.kinds.tensors import tensors

from mlib.core.formats.header import Tensor
from mlib.core.kinds import rules
from mlib.core.kinds.rulebook import read_groups
from mlib.core.kinds.rules import outline


@pytest.fixture
def holds(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Whether a rule that asks this holds of tensors with these names and shapes."""

    def ask(condition: dict[str, Any], *names: str | Tensor) -> bool:
        group = {"kind": "vae", "prefixes": ["", "p."], "rules": [{"id": "it", **condition}]}
        monkeypatch.setattr(rules, "shipped_rules", lambda: read_groups([group]))
        made = [tensors(name)[0] if isinstance(name, str) else name for name in names]
        return rules.classify(outline(made)).rule == "it"

    return ask


@pytest.mark.parametrize(
    ("condition", "names", "expected"),
    [
        ({"has": ["a"]}, ["a 4"], True),
        ({"has": ["a"], "lacks": ["b*"]}, ["a 4", "p.b"], True),
        ({"has": ["a"], "lacks": ["b*"]}, ["a 4", "bc"], False),
        ({"size": {"a[0]": 4}}, ["a 4,8"], True),
        ({"size": {"a[0]": [4, 5]}}, ["p.a 5,8"], True),
        ({"size": {"a[0]": 4}}, ["a 5,8"], False),
        ({"size": {"a[2]": 4}}, ["a 4,4"], False),
        ({"size": {"{a,b}[0]": 4}}, ["a 4,8", "b 4"], True),
        ({"size": {"{a,b}[0]": 4}}, ["a 4,8", "b 5"], False),
        ({"size": {"*.w[0]": 4}}, ["x.w 4", "y.w 4"], True),
        ({"size": {"*.w[0]": 4}}, ["x.w 4", "y.w 5"], False),
        ({"size": {"a[axes]": 4}}, ["a 8,4,3,3"], True),
        ({"size": {"a[axes]": 4}}, ["a 8,4,3,3,3"], False),
        ({"has": ["b"], "fits": {"a[0]": 4}}, ["b"], True),
        ({"has": ["b"], "fits": {"a[0]": 4}}, ["b", "a 4"], True),
        ({"has": ["b"], "fits": {"a[0]": 4}}, ["b", "a 5"], False),
        ({"has": ["blocks.*"], "last": {"blocks": 29}}, ["blocks.0.w", "blocks.29.w"], True),
        ({"has": ["blocks.*"], "last": {"blocks": 29}}, ["blocks.0.w", "blocks.30.w"], False),
        ({"last": {"blocks": [30, 39]}}, ["p.blocks.30.w"], True),
        ({"last": {"blocks": [30, 39]}}, ["p.blocks.29.w"], False),
        ({"last": {"blocks": [30, 39]}}, ["blocks.40.w"], False),
        ({"last": {"blocks": [30, 39]}}, ["blocks.w"], False),
        ({"any": [{"has": ["a"]}, {"size": {"b[0]": 4}}]}, ["b 4"], True),
        ({"any": [{"has": ["a"]}, {"size": {"b[0]": 4}}]}, ["b 5"], False),
    ],
)
def test_a_rule_holds_or_not(holds: Any, condition: dict[str, Any], names: list[str], expected: bool) -> None:
    assert holds(condition, *names) is expected
    assert holds(condition, *reversed(names)) is expected


@pytest.mark.parametrize("dtype", ["U8", "I32"])
def test_the_shape_of_packed_numbers_is_not_seen(holds: Any, dtype: str) -> None:
    packed = Tensor("a", dtype, (4, 1))
    assert not holds({"size": {"a[0]": 4}}, packed)
    assert not holds({"size": {"a[axes]": 2}}, packed)
    assert holds({"has": ["a"], "fits": {"a[0]": 8}}, packed)
