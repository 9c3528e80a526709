"""Workflows as ComfyUI runs them ("API format"): `{"3": {"class_type": …, "inputs": {…}}}`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlib.core.workflows.widgets import named_by, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.workflows.need import Need


def is_prompt(document: Any) -> bool:
    """Whether this is a workflow in API format: an object with at least one node in it."""
    return isinstance(document, dict) and any(_is_node(node) for node in document.values())


def needs_of_prompt(document: dict[str, Any]) -> Iterator[Need]:
    """What its nodes name. Nodes that would not run are not in this form."""
    for node_id, node in document.items():
        if _is_node(node):
            inputs = node.get("inputs")
            values = values_of(inputs if isinstance(inputs, dict) else {})
            for need in named_by(node["class_type"], values):
                yield need._replace(nodes=(str(node_id),), classes=(node["class_type"],))


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str)
