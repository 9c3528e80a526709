"""Workflows as a person edits them ("UI format"): nodes with widgets, subgraphs, and groups made one node.

Sources: workflow JSON schema 0.4 and 1.0 of the ComfyUI frontend; `properties.models` of Comfy-Org's
templates. A node of a subgraph's id stands for all in it; `mode` 2 is muted, 4 is bypassed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.workflows.loaders import declared_type, folder_type
from mlib.core.workflows.need import LONGEST_NAME, Need, is_model_value, plain_name
from mlib.core.workflows.widgets import Value, named_by, values_of

if TYPE_CHECKING:
    from collections.abc import Iterator

_SWITCHED_OFF = (2, 4)
_GROUP = re.compile(r"workflow[>/](.+)", re.DOTALL)
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f]{1,2000}", re.IGNORECASE)
_LONGEST_ID = 64
_LONGEST_LEAD = 400
_SHA256 = re.compile(r"(?:0x)?([0-9a-f]{64})", re.IGNORECASE)


class _Part(NamedTuple):
    """A list of nodes to read: the ids that lead to it, and whether anything in it would run."""

    nodes: list[Any]
    lead: str
    off: bool


class _Around(NamedTuple):
    """What a node may refer to: subgraphs by id, groups by name, and the models named inside of subgraphs."""

    subgraphs: dict[str, dict[str, Any]]
    groups: dict[str, Any]
    said: frozenset[str]


def is_canvas(document: Any) -> bool:
    """Whether this is a workflow in UI format."""
    return isinstance(document, dict) and isinstance(document.get("nodes"), list)


def needs_of_canvas(document: dict[str, Any]) -> Iterator[Need]:
    """What its nodes name, those inside of subgraphs and groups too, each subgraph read once."""
    subgraphs = _subgraphs(document)
    groups = _mapping(_mapping(document.get("extra")).get("groupNodes"))
    around = _Around(subgraphs, groups, _said(subgraphs))
    for part in _parts(document, subgraphs):
        for node in part.nodes:
            if not (isinstance(node, dict) and isinstance(node.get("type"), str)):
                continue
            node_id = f"{part.lead}{_plain(node.get('id'))}"
            off = part.off or node.get("mode") in _SWITCHED_OFF
            for need in _of_node(node, around):
                yield need._replace(
                    nodes=(node_id,), classes=(node["type"][:_LONGEST_ID],), bypassed=off or need.bypassed
                )
    yield from _declared(document.get("models"))


def _subgraphs(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every subgraph by its id; older files keep some inside of others."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [document]
    while waiting:
        for each in _list(_mapping(waiting.pop().get("definitions")).get("subgraphs")):
            if isinstance(each, dict):
                found.setdefault(_plain(each.get("id")), each)
                waiting.append(each)
    return found


def _parts(document: dict[str, Any], subgraphs: dict[str, dict[str, Any]]) -> Iterator[_Part]:
    """The nodes of the workflow, and of each subgraph once: as part of what runs, where it is any."""
    unread: dict[str | None, Any] = {None: document}
    unread.update(subgraphs)
    running: list[tuple[str | None, str]] = [(None, "")]
    resting: list[tuple[str | None, str]] = []
    while running or resting:
        off = not running
        key, lead = (running or resting).pop()
        if key not in unread:
            continue
        part = _Part(_list(unread.pop(key).get("nodes")), lead, off)
        yield part
        for node in part.nodes:
            if isinstance(node, dict) and isinstance(node.get("type"), str) and node["type"] in unread:
                queue = resting if off or node.get("mode") in _SWITCHED_OFF else running
                queue.append((node["type"], f"{lead[-_LONGEST_LEAD:]}{_plain(node.get('id'))}:"))
    for definition in unread.values():  # no node stands for it
        yield _Part(_list(definition.get("nodes")), "", True)


def _of_node(node: dict[str, Any], around: _Around) -> Iterator[Need]:
    kind: str = node["type"]
    if kind in around.subgraphs:
        yield from _of_instance(node, around)
    elif (group := _GROUP.fullmatch(kind)) and isinstance(around.groups.get(group[1]), dict):
        yield from _of_group(node, _list(around.groups[group[1]].get("nodes")))
    else:
        yield from _of_plain(node)


def _of_plain(node: dict[str, Any]) -> Iterator[Need]:
    """What a node's widgets name. What is declared for another model, chosen earlier, does not count."""
    declared = list(_declared(_mapping(node.get("properties")).get("models")))
    widgets = node.get("widgets_values")
    if widgets is None:
        yield from declared
        return
    for need in named_by(node["type"], _values(node)):
        like = [each for each in declared if each.name == need.name]
        if like:
            best = next((each for each in like if each.type == need.type), like[0])
            yield need._replace(type=best.type or need.type, url=best.url, hash=best.hash)
        else:
            yield need


def _of_instance(node: dict[str, Any], around: _Around) -> Iterator[Need]:
    """What a subgraph's node names that is not in the subgraph: a widget brought out of it and changed."""
    types: dict[str | int, str] = {}
    for inner in map(_mapping, _list(around.subgraphs[node["type"]].get("nodes"))):
        for name in [
            _mapping(_mapping(each).get("widget")).get("name") for each in _list(inner.get("inputs"))
        ]:
            if isinstance(name, str) and (found := folder_type(str(inner.get("type")), name)):
                types[name] = found
    for value in _values(node):
        if value.text in around.said:
            continue
        for need in named_by(node["type"], [value]):
            yield need._replace(type=need.type or types.get(value.widget))


def _of_group(node: dict[str, Any], nodes: list[Any]) -> Iterator[Need]:
    """What a group's node names: its widgets are those of the nodes in it, one after another."""
    inner = [
        need
        for each in map(_mapping, nodes)
        if isinstance(each.get("type"), str)
        for need in named_by(each["type"], values_of(each.get("widgets_values")))
    ]
    own = list(named_by(node["type"], _values(node)))
    by_name = {need.name: need.type for need in inner}
    for place, need in enumerate(own):
        kind = inner[place].type if len(inner) == len(own) else by_name.get(need.name)
        yield need._replace(type=need.type or kind)
    if not own:
        yield from inner


def _values(node: dict[str, Any]) -> list[Value]:
    """A node's widgets by name where the file says their names too, else by place.

    The values beside the names may be older ones (one of the official templates): ComfyUI does not read them.
    """
    named, widgets = node.get("widgets_values_named"), node.get("widgets_values")
    if isinstance(named, dict) and isinstance(widgets, list) and len(named) == len(widgets):
        return values_of(dict(zip(named, widgets, strict=True)))
    return values_of(widgets if isinstance(widgets, (list, dict)) else ())


def _declared(entries: Any) -> Iterator[Need]:
    """`{name, url, directory, hash, hash_type}` as templates say where a model comes from."""
    for entry in map(_mapping, _list(entries)):
        name, url, directory = (entry.get(key) for key in ("name", "url", "directory"))
        if not (isinstance(name, str) and 0 < len(name) <= LONGEST_NAME):
            continue
        digits = _SHA256.fullmatch(str(entry.get("hash"))) if _is_sha256(entry) else None
        yield Need(
            plain_name(name),
            declared_type(directory) if isinstance(directory, str) else None,
            form="file" if is_model_value(name) else "stem",
            url=url if isinstance(url, str) and _URL.fullmatch(url) else None,
            hash=digits[1].lower() if digits else None,
        )


def _is_sha256(entry: dict[str, Any]) -> bool:
    return str(entry.get("hash_type") or "SHA256").upper().replace("-", "") == "SHA256"


def _said(subgraphs: dict[str, dict[str, Any]]) -> frozenset[str]:
    """Every model that a node inside of a subgraph names."""
    inner = [
        node
        for definition in subgraphs.values()
        for node in map(_mapping, _list(definition.get("nodes")))
        if node.get("type") not in subgraphs
    ]
    texts = (value.text for node in inner for value in _values(node))
    return frozenset(text for text in texts if is_model_value(text))


def _mapping(value: Any) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _plain(identifier: Any) -> str:
    return str(identifier)[:_LONGEST_ID] if isinstance(identifier, (int, str)) else ""
