"""Find the models named in a workflow's JSON, in API format or UI format.

API format is what ComfyUI runs: `{"3": {"class_type": …, "inputs": {…}}}`. UI format is what a person edits:
nodes with widgets, subgraphs, and groups of nodes. `needs` says which nodes load models.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.workflows.needs import (
    APPROXIMATE_VAES,
    LONGEST_NAME,
    Need,
    declared_type,
    fetches,
    folder_type,
    folders_named,
    is_model_value,
    last_part,
    lists,
    looks_by_end,
    named_in_text,
    names_in,
    names_nothing,
    plain_name,
    type_of_file,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from mlib.core.workflows.needs import Form


# --- Values of one node, in either format

#: Nesting levels searched in a widget's value.
_DEPTH = 8
_NOT_A_FOLDER = frozenset({"", "None", "none"})
#: Class name prefixes of ComfyUI's own nodes whose text is a prompt.
PROMPT = "CLIPTextEncode"


class WidgetValue(NamedTuple):
    """A text given to a node: its widget by name or position, whether it is switched off, and its key if it
    is in an object."""

    widget: str | int
    text: str
    off: bool
    key: str | None = None


def values_of(widgets: Any) -> list[WidgetValue]:
    """Every text in a node's widgets or inputs (a list or an object), including nested ones."""
    members = widgets.items() if isinstance(widgets, dict) else enumerate(widgets or ())
    return [found for widget, value in members for found in _texts(widget, value)]


def named_by(node_class: str, values: list[WidgetValue]) -> Iterator[Need]:
    """The models that these values of a node name, with `nodes` and `classes` empty."""
    by_end = looks_by_end(node_class)
    automatic = fetches(node_class)
    # LoRA Manager stores its rows as objects; the text beside them repeats them.
    rows = by_end and any(value.key == "name" for value in values)
    for value in values:
        if names_nothing(node_class, value.widget):
            continue
        found = _row(node_class, value) if rows else _of_value(node_class, value, alone=len(values) == 1)
        for need in found:
            yield need._replace(bypassed=value.off, by_end=by_end or need.by_end, automatic=automatic)


def _row(node_class: str, value: WidgetValue) -> Iterator[Need]:
    if value.key == "name" and value.text:
        form: Form = "file" if is_model_value(value.text) else "stem"
        name = plain_name(value.text.replace("\\", "/"))  # as `get_lora_info` does
        yield Need(name, folder_type(node_class, value.widget) or "loras", form)
    elif value.key is None:
        yield from _files(node_class, value)


def _of_value(node_class: str, value: WidgetValue, *, alone: bool) -> Iterator[Need]:
    kind = folder_type(node_class, value.widget)
    in_text = list(named_in_text(value.text, with_loras=not node_class.startswith(PROMPT)))
    # A prompt may end like a file name: with an embedding's, or by chance.
    is_prompt = kind is None and bool(in_text or node_class.startswith(PROMPT))
    files = [] if is_prompt else list(_files(node_class, value))
    if files:
        yield from files
    elif folders := folders_named(node_class, None if alone else value.widget):
        if value.text not in _NOT_A_FOLDER:
            # If there are several, report a missing file for the first.
            yield Need(plain_name(value.text), folders[0], form="folder")
    elif value.text in APPROXIMATE_VAES and kind == "vae":
        for part in ("encoder", "decoder"):
            yield Need(f"{value.text}_{part}", "vae_approx", form="stem")
    else:
        yield from in_text


def _files(node_class: str, value: WidgetValue) -> Iterator[Need]:
    for name in names_in(value.text):
        kind = type_of_file(node_class, value.widget, name)
        yield Need(plain_name(name), kind, listed=lists(node_class, kind, name))


def _texts(widget: str | int, value: Any) -> Iterator[WidgetValue]:
    level = [(value, False, None)]
    for _ in range(_DEPTH):
        inner: list[Any] = []
        for each, off, key in level:
            if isinstance(each, str):
                yield WidgetValue(widget, each, off, key)
            elif isinstance(each, dict):
                # rgthree's Power Lora Loader uses `on`, LoRA Manager `active`.
                disabled = off or each.get("on") is False or each.get("active") is False
                inner += [(member, disabled, str(name)) for name, member in each.items()]
            elif isinstance(each, list):
                inner += [(member, off, key) for member in each]
        level = inner
        if not level:
            return


# --- Access to parts of a workflow that may have any type

_LONGEST_ID = 64


def mapping(value: Any) -> dict[str, Any]:
    """The value if it is an object, else an empty one."""
    return value if isinstance(value, dict) else {}


def members(value: Any) -> list[Any]:
    """The value if it is a list, else an empty one."""
    return value if isinstance(value, list) else []


def nodes_in(level: dict[str, Any]) -> list[dict[str, Any]]:
    """The nodes of a workflow, subgraph or group that have a class."""
    return [node for node in map(mapping, members(level.get("nodes"))) if isinstance(node.get("type"), str)]


def plain_id(identifier: Any) -> str:
    """An id as text of limited length."""
    return str(identifier)[:_LONGEST_ID] if isinstance(identifier, (int, str)) else ""


def values_in(node: dict[str, Any]) -> list[WidgetValue]:
    """A node's widgets by name if the file has their names, else by position.

    The list beside the named values may be outdated (as in one official template): ComfyUI ignores it.
    """
    named, widgets = node.get("widgets_values_named"), node.get("widgets_values")
    if isinstance(named, dict) and isinstance(widgets, list) and len(named) == len(widgets):
        return values_of(dict(zip(named, widgets, strict=True)))
    return values_of(widgets if isinstance(widgets, (list, dict)) else ())


# --- Promoted widgets: a subgraph's node sets the widgets inside, and its values win
#
# An input of the subgraph lists its outgoing links (`linkIds`); a widget inside at the end of one of them is
# set from outside (workflow JSON schema 1.0 of the ComfyUI frontend).

#: The most widgets that one input may set; real ones set two or three.
_MOST_FED = 50


class Widget(NamedTuple):
    """A widget of a node inside a subgraph; `text` is the model that it names itself, if any."""

    subgraph: str
    node_id: str
    node_class: str
    name: str
    text: str | None


def widgets_within(definitions: Mapping[str, dict[str, Any]]) -> dict[tuple[str, str], list[Widget]]:
    """The widgets set from outside, by subgraph and outside name."""
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
    """The models that a node names, by widget; under None if widgets have no names and there is only one."""
    values = [value for value in values_in(node) if is_model_value(value.text)]
    if len(values) == 1 and isinstance(values[0].widget, int):
        return {None: values[0].text}
    return {value.widget: value.text for value in values if isinstance(value.widget, str)}


def replaced(
    within: Mapping[tuple[str, str], list[Widget]], instances: list[dict[str, Any]]
) -> set[tuple[str, str, str]]:
    """The (subgraph, node id, model) triples that every instance of the subgraph replaces."""
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
) -> Iterator[tuple[Widget, WidgetValue]]:
    """The widgets inside for which an instance sets another model than they name themselves."""
    for value in values_in(instance):
        if isinstance(value.widget, str) and is_model_value(value.text):
            for widget in within.get((instance["type"], value.widget), ()):
                if widget.text != value.text:
                    yield widget, value


# --- UI format
#
# Sources: workflow JSON schema 0.4 and 1.0 of the ComfyUI frontend; `properties.models` of Comfy-Org's
# templates. A node whose type is a subgraph's id is an instance of it; `mode` 2 is muted, 4 is bypassed.

_SWITCHED_OFF = (2, 4)
_GROUP = re.compile(r"workflow[>/](.+)", re.DOTALL)
_URL = re.compile(r"https?://[^\s\x00-\x1f\x7f]{1,2000}", re.IGNORECASE)
_SHA256 = re.compile(r"(?:0x)?([0-9a-f]{64})", re.IGNORECASE)
_LONGEST_CLASS = 64
_LONGEST_LEAD = 400
_LONGEST_GROUP = 200


class _Part(NamedTuple):
    """Nodes to read: their subgraph (None: the workflow itself), the node ids that lead there, and whether
    none of it would run."""

    subgraph: str | None
    nodes: list[dict[str, Any]]
    lead: str
    off: bool


class _Around(NamedTuple):
    """What a node may refer to: subgraphs and groups by name, promoted widgets, the models inside that
    instances replace, and all models named inside."""

    subgraphs: dict[str, dict[str, Any]]
    groups: dict[str, list[Need]]
    within: dict[tuple[str, str], list[Widget]]
    replaced: set[tuple[str, str, str]]
    said: frozenset[str]


def is_canvas(document: Any) -> bool:
    """Whether this is a workflow in UI format. Other graphs (glTF) have nodes too, but without a class."""
    if not isinstance(document, dict) or not isinstance(document.get("nodes"), list):
        return False
    return bool(nodes_in(document)) or not (document["nodes"] or "asset" in document)


def needs_of_canvas(document: dict[str, Any]) -> Iterator[Need]:
    """The models that its nodes name, including nodes in subgraphs and groups; each subgraph is read once.

    The workflow's own list (`models`, in older files) adds details but no needs: it may be older than the
    nodes.
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
    """Every subgraph by its id; in older files some are nested in others."""
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
    """The nodes of the workflow, and of each subgraph once, as part of what runs if possible."""
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
    for key, definition in unread.items():  # without an instance
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
    """Declared details of models, looked up by name."""

    def __init__(self, declared: Iterable[Need]) -> None:
        self.declared = list(declared)
        self._by_name = {each.name: each for each in reversed(self.declared)}
        self._exactly = {(each.name, each.type): each for each in reversed(self.declared)}

    def of(self, need: Need) -> Need:
        """Complete a need with the type, URL and hash declared for its name."""
        name = last_part(need.name)
        best = self._exactly.get((need.name, need.type)) or self._by_name.get(need.name)
        best = best or self._exactly.get((name, need.type))
        if best is None:
            return need
        return need._replace(
            type=need.type or best.type, url=need.url or best.url, hash=need.hash or best.hash
        )


def _of_plain(node: dict[str, Any]) -> Iterator[Need]:
    """The models that a node's widgets name. Declarations for a model chosen earlier are ignored."""
    told = _Told(_declared(mapping(node.get("properties")).get("models")))
    if node.get("widgets_values") is None:
        yield from told.declared
        return
    for need in named_by(node["type"], values_in(node)):
        yield told.of(need)


def _of_instance(node: dict[str, Any], around: _Around) -> Iterator[Need]:
    """The models that an instance sets for promoted widgets, if they differ from what those name."""
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
    """The models that a group node names: its widgets are those of its inner nodes in order."""
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
    """A need named at an instance or group node, as the inner node that loads it understands it."""
    return need._replace(type=kind, listed=lists(node_class, kind, need.name))


def _declared(entries: Any) -> Iterator[Need]:
    """Read the `{name, url, directory, hash, hash_type}` entries that give a model's origin in templates."""
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


# --- API format, and the error for files that are not workflows


class WorkflowError(Exception):
    """The file cannot be read as a workflow.

    `code` is stable: `not_a_workflow`, `bad_json`, `bad_image`, `too_large`, `empty_file`, `lfs_pointer`,
    `apple_double`. `kind` says what the file is instead: `json`, `png`, `mp4` …
    """

    def __init__(self, code: str, message: str, kind: str = "") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.kind = kind


def is_prompt(document: Any) -> bool:
    """Whether this is a workflow in API format: an object with at least one node."""
    return isinstance(document, dict) and any(_is_node(node) for node in document.values())


def needs_of_prompt(document: dict[str, Any]) -> Iterator[Need]:
    """The models that its nodes name. This format has no nodes that would not run."""
    for node_id, node in document.items():
        if _is_node(node):
            inputs = node.get("inputs")
            values = values_of(inputs if isinstance(inputs, dict) else {})
            for need in named_by(node["class_type"], values):
                yield need._replace(nodes=(str(node_id),), classes=(node["class_type"],))


def _is_node(node: Any) -> bool:
    return isinstance(node, dict) and isinstance(node.get("class_type"), str)
