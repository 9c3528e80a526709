"""The parts of a workflow in UI format, whatever stands in their place."""

from __future__ import annotations

from typing import Any

from mlib.core.workflows.widgets import Value, values_of

_LONGEST_ID = 64


def mapping(value: Any) -> dict[str, Any]:
    """An object, or an empty one where there is something else."""
    return value if isinstance(value, dict) else {}


def members(value: Any) -> list[Any]:
    """A list, or an empty one where there is something else."""
    return value if isinstance(value, list) else []


def nodes_in(level: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a workflow, a subgraph or a group that have a class."""
    return [node for node in map(mapping, members(level.get("nodes"))) if isinstance(node.get("type"), str)]


def plain_id(identifier: Any) -> str:
    """An id as text, of a bearable length."""
    return str(identifier)[:_LONGEST_ID] if isinstance(identifier, (int, str)) else ""


def values_in(node: dict[str, Any]) -> list[Value]:
    """A node's widgets by name where the file says their names too, else by place.

    The values beside the names may be older ones (one of the official templates): ComfyUI does not read them.
    """
    named, widgets = node.get("widgets_values_named"), node.get("widgets_values")
    if isinstance(named, dict) and isinstance(widgets, list) and len(named) == len(widgets):
        return values_of(dict(zip(named, widgets, strict=True)))
    return values_of(widgets if isinstance(widgets, (list, dict)) else ())
