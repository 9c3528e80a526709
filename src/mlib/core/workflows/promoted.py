"""Widgets of a subgraph's nodes that its own node brings out: what is chosen outside is what counts.

An input of the subgraph has the links that lead from it (`linkIds`); a widget inside that one of them ends at
is fed from outside (workflow JSON schema 1.0 of the ComfyUI frontend).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.workflows.need import is_model_value, plain_name
from mlib.core.workflows.shape import mapping, members, nodes_in, plain_id, values_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlib.core.workflows.widgets import Value


#: Widgets that one input may feed; real ones feed two or three.
_MOST_FED = 50


class Widget(NamedTuple):
    """A widget of a node inside of a subgraph; `text` is the model it names by itself, if any."""

    subgraph: str
    node_id: str
    node_class: str
    name: str
    text: str | None


def widgets_within(definitions: Mapping[str, dict[str, Any]]) -> dict[tuple[str, str], list[Widget]]:
    """By subgraph and name outside, the widgets inside that are fed from there."""
    found: dict[tuple[str, str], list[Widget]] = {}
    for subgraph, definition in definitions.items():
        outer = {
            link: each["name"]
            for each in map(mapping, members(definition.get("inputs")))
            if isinstance(each.get("name"), str)
            for link in members(each.get("linkIds"))
            if isinstance(link, int)
        }
        for node in nodes_in(definition) if outer else ():
            texts = _models_of(node)
            for each in map(mapping, members(node.get("inputs"))):
                link, name = each.get("link"), mapping(each.get("widget")).get("name")
                if isinstance(link, int) and isinstance(name, str) and link in outer:
                    text = texts.get(name, texts.get(None))
                    widget = Widget(subgraph, plain_id(node.get("id")), node["type"], name, text)
                    widgets = found.setdefault((subgraph, outer[link]), [])
                    if len(widgets) < _MOST_FED:
                        widgets.append(widget)
    return found


def _models_of(node: dict[str, Any]) -> dict[str | None, str]:
    """The models a node names, by widget; where no names are kept, the only one stands for all (None)."""
    values = [value for value in values_in(node) if is_model_value(value.text)]
    if len(values) == 1 and isinstance(values[0].widget, int):
        return {None: values[0].text}
    return {value.widget: value.text for value in values if isinstance(value.widget, str)}


def replaced(
    within: Mapping[tuple[str, str], list[Widget]], instances: list[dict[str, Any]]
) -> set[tuple[str, str, str]]:
    """The (subgraph, node id, model) that every node standing for the subgraph replaces by another."""
    standing: dict[str, int] = {}
    times: dict[Widget, int] = {}
    for instance in instances:
        kind: str = instance["type"]
        standing[kind] = standing.get(kind, 0) + 1
        for widget, _ in _chosen(within, instance):
            times[widget] = times.get(widget, 0) + 1
    return {
        (widget.subgraph, widget.node_id, plain_name(widget.text))
        for widget, count in times.items()
        if widget.text is not None and count == standing[widget.subgraph]
    }


def _chosen(
    within: Mapping[tuple[str, str], list[Widget]], instance: dict[str, Any]
) -> Iterator[tuple[Widget, Value]]:
    """The widgets inside for which a subgraph's node gives another model than they name themselves."""
    for value in values_in(instance):
        if isinstance(value.widget, str) and is_model_value(value.text):
            for widget in within.get((instance["type"], value.widget), ()):
                if widget.text != value.text:
                    yield widget, value
