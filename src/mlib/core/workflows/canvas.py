"""Workflows as a person edits them ("UI format"): nodes with widgets, subgraphs, and groups made one node.

Sources: workflow JSON schema 0.4 and 1.0 of the ComfyUI frontend; `properties.models` of Comfy-Org's
templates. A node of a subgraph's id stands for all in it; `mode` 2 is muted, 4 is bypassed.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.workflows.loaders import declared_type, folder_type, lists
from mlib.core.workflows.need import LONGEST_NAME, Need, is_model_value, last_part, plain_name
from mlib.core.workflows.promoted import Widget, replaced, widgets_within
from mlib.core.workflows.shape import mapping, members, nodes_in, plain_id, values_in
from mlib.core.workflows.widgets import named_by

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_SWITCHED_OFF = (2, 4)
_GROUP = re.compile(r"workflow[>/](.+)", re.DOTALL)
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f]{1,2000}", re.IGNORECASE)
_SHA256 = re.compile(r"(?:0x)?([0-9a-f]{64})", re.IGNORECASE)
_LONGEST_CLASS = 64
_LONGEST_LEAD = 400
_LONGEST_GROUP = 200


class _Part(NamedTuple):
    """Nodes to read: the subgraph they are of (None: the workflow itself), the ids that lead there, and
    whether nothing in it would run."""

    subgraph: str | None
    nodes: list[dict[str, Any]]
    lead: str
    off: bool


class _Around(NamedTuple):
    """What a node may refer to: subgraphs and groups by name, the widgets that subgraphs bring out, which
    models inside are replaced by what is chosen outside, and all models named inside."""

    subgraphs: dict[str, dict[str, Any]]
    groups: dict[str, list[Need]]
    within: dict[tuple[str, str], list[Widget]]
    replaced: set[tuple[str, str, str]]
    said: frozenset[str]


def is_canvas(document: Any) -> bool:
    """Whether this is a workflow in UI format. Other graphs (glTF) have nodes too, but none with a class."""
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        return False
    return bool(nodes_in(document)) or not (document["nodes"] or "asset" in document)


def needs_of_canvas(document: dict[str, Any]) -> Iterator[Need]:
    """What its nodes name, those inside of subgraphs and groups too, each subgraph read once.

    What the workflow says of its models as a whole (`models`, in older files) tells more of them, and makes
    no need: the list may be older than the nodes.
    """
    subgraphs = _subgraphs(document)
    around = _around(document, subgraphs)
    told = _Told(_declared(document.get("models")))
    for part in _parts(document, subgraphs):
        for node in part.nodes:
            own_id = plain_id(node.get("id"))
            off = part.off or node.get("mode") in _SWITCHED_OFF
            for need in _of_node(node, around):
                if part.subgraph is None or (part.subgraph, own_id, need.name) not in around.replaced:
                    yield told.of(need)._replace(
                        nodes=(part.lead + own_id,),
                        classes=(node["type"][:_LONGEST_CLASS],),
                        bypassed=off or need.bypassed,
                    )


def _subgraphs(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every subgraph by its id; older files keep some inside of others."""
    found: dict[str, dict[str, Any]] = {}
    waiting = [document]
    while waiting:
        for each in members(mapping(waiting.pop().get("definitions")).get("subgraphs")):
            if isinstance(each, dict):
                found.setdefault(plain_id(each.get("id")), each)
                waiting.append(each)
    return found


def _around(document: dict[str, Any], subgraphs: dict[str, dict[str, Any]]) -> _Around:
    within = widgets_within(subgraphs)
    inside = [node for definition in subgraphs.values() for node in nodes_in(definition)]
    instances = [node for node in (*nodes_in(document), *inside) if node["type"] in subgraphs]
    texts = (value.text for node in inside if node["type"] not in subgraphs for value in values_in(node))
    return _Around(
        subgraphs=subgraphs,
        groups={
            name: [
                need._replace(classes=(node["type"],))
                for node in nodes_in(group)
                for need in named_by(node["type"], values_in(node))
            ]
            for name, group in mapping(mapping(document.get("extra")).get("groupNodes")).items()
            if isinstance(group, dict)
        },
        within=within,
        replaced=replaced(within, instances),
        said=frozenset(text for text in texts if is_model_value(text)),
    )


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
        part = _Part(key, nodes_in(unread.pop(key)), lead, off)
        yield part
        for node in part.nodes:
            if node["type"] in unread:
                queue = resting if off or node.get("mode") in _SWITCHED_OFF else running
                queue.append((node["type"], f"{lead[-_LONGEST_LEAD:]}{plain_id(node.get('id'))}:"))
    for key, definition in unread.items():  # no node stands for it
        yield _Part(key, nodes_in(definition), "", True)


def _of_node(node: dict[str, Any], around: _Around) -> Iterator[Need]:
    kind: str = node["type"]
    if kind in around.subgraphs:
        yield from _of_instance(node, around)
    elif (group := _GROUP.fullmatch(kind)) and group[1] in around.groups:
        yield from _of_group(node, around.groups[group[1]])
    else:
        yield from _of_plain(node)


class _Told:
    """What is declared of models, to be found by their names."""

    def __init__(self, declared: Iterable[Need]) -> None:
        self.declared = list(declared)
        self._by_name = {each.name: each for each in reversed(self.declared)}
        self._exactly = {(each.name, each.type): each for each in reversed(self.declared)}

    def of(self, need: Need) -> Need:
        """The need with the type, URL and hash that are declared for its name, where they are."""
        name = last_part(need.name)
        best = self._exactly.get((need.name, need.type)) or self._by_name.get(need.name)
        best = best or self._exactly.get((name, need.type))
        if best is None:
            return need
        return need._replace(
            type=need.type or best.type, url=need.url or best.url, hash=need.hash or best.hash
        )


def _of_plain(node: dict[str, Any]) -> Iterator[Need]:
    """What a node's widgets name. What is declared for another model, chosen earlier, does not count."""
    told = _Told(_declared(mapping(node.get("properties")).get("models")))
    if node.get("widgets_values") is None:
        yield from told.declared
        return
    for need in named_by(node["type"], values_in(node)):
        yield told.of(need)


def _of_instance(node: dict[str, Any], around: _Around) -> Iterator[Need]:
    """What a subgraph's node chooses for the widgets it brings out, where they do not say the same."""
    for value in values_in(node):
        widgets = around.within.get((node["type"], value.widget)) if isinstance(value.widget, str) else None
        if widgets:
            changed = [widget for widget in widgets if widget.text != value.text]
            meant = {(widget.node_class, folder_type(widget.node_class, widget.name)) for widget in changed}
        else:
            meant = set() if value.text in around.said else {(node["type"], None)}
        for node_class, kind in sorted(meant, key=str):
            for need in named_by(node["type"], [value]):
                yield _read_by(need, node_class, need.type or kind)


def _of_group(node: dict[str, Any], inner: list[Need]) -> Iterator[Need]:
    """What a group's node names: its widgets are those of the nodes in it, one after another."""
    own = list(named_by(node["type"], values_in(node)))
    by_name = {} if len(inner) == len(own) else {need.name: need for need in inner[:_LONGEST_GROUP]}
    for place, need in enumerate(own):
        reader = inner[place] if len(inner) == len(own) else by_name.get(need.name)
        if reader is None:
            yield need
        else:
            yield _read_by(need, reader.classes[0], need.type or reader.type)
    if not own:
        yield from inner[:_LONGEST_GROUP]


def _read_by(need: Need, node_class: str, kind: str | None) -> Need:
    """What is named at a node that stands for others, as the one of them that reads it takes it."""
    return need._replace(type=kind, listed=lists(node_class, kind, need.name))


def _declared(entries: Any) -> Iterator[Need]:
    """`{name, url, directory, hash, hash_type}` as templates say where a model comes from."""
    for entry in map(mapping, members(entries)):
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
