"""What the values given to one node name, whichever form the workflow is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.workflows.loaders import (
    APPROXIMATE_VAES,
    fetches,
    folder_type,
    folders_named,
    lists,
    looks_by_end,
    names_nothing,
    type_of_file,
)
from mlib.core.workflows.need import Need, is_model_value, names_in, plain_name
from mlib.core.workflows.wording import named_in_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.core.workflows.need import Form

#: How deep the values of one widget are looked into.
_DEPTH = 8
_NOT_A_FOLDER = frozenset({"", "None", "none"})
#: How the classes of ComfyUI's own nodes begin whose text is a prompt.
PROMPT = "CLIPTextEncode"


class Value(NamedTuple):
    """A text given to a node: the widget it belongs to by name or place, whether it is switched off, and the
    key it has in an object, if it is in one."""

    widget: str | int
    text: str
    off: bool
    key: str | None = None


def values_of(widgets: Any) -> list[Value]:
    """Every text in a node's widgets or inputs (a list or an object), inside of lists and objects too."""
    members = widgets.items() if isinstance(widgets, dict) else enumerate(widgets or ())
    return [found for widget, value in members for found in _texts(widget, value)]


def named_by(node_class: str, values: list[Value]) -> Iterator[Need]:
    """The models that these values of a node name; `nodes` and `classes` are left empty."""
    by_end = looks_by_end(node_class)
    automatic = fetches(node_class)
    # LoRA Manager keeps its rows as objects; the text beside them says the same.
    rows = by_end and any(value.key == "name" for value in values)
    for value in values:
        if names_nothing(node_class, value.widget):
            continue
        found = _row(node_class, value) if rows else _of_value(node_class, value, alone=len(values) == 1)
        for need in found:
            yield need._replace(bypassed=value.off, by_end=by_end or need.by_end, automatic=automatic)


def _row(node_class: str, value: Value) -> Iterator[Need]:
    if value.key == "name" and value.text:
        form: Form = "file" if is_model_value(value.text) else "stem"
        name = plain_name(value.text.replace("\\", "/"))  # as `get_lora_info` does
        yield Need(name, folder_type(node_class, value.widget) or "loras", form)
    elif value.key is None:
        yield from _files(node_class, value)


def _of_value(node_class: str, value: Value, *, alone: bool) -> Iterator[Need]:
    kind = folder_type(node_class, value.widget)
    in_text = list(named_in_text(value.text, with_loras=not node_class.startswith(PROMPT)))
    # A prompt may end like a file name: in an embedding's, or by chance.
    is_prompt = kind is None and bool(in_text or node_class.startswith(PROMPT))
    files = [] if is_prompt else list(_files(node_class, value))
    if files:
        yield from files
    elif folders := folders_named(node_class, None if alone else value.widget):
        if value.text not in _NOT_A_FOLDER:
            # Where there are several, what is not found is told for the first.
            yield Need(plain_name(value.text), folders[0], form="folder")
    elif value.text in APPROXIMATE_VAES and kind == "vae":
        for part in ("encoder", "decoder"):
            yield Need(f"{value.text}_{part}", "vae_approx", form="stem")
    else:
        yield from in_text


def _files(node_class: str, value: Value) -> Iterator[Need]:
    for name in names_in(value.text):
        kind = type_of_file(node_class, value.widget, name)
        yield Need(plain_name(name), kind, listed=lists(node_class, kind, name))


def _texts(widget: str | int, value: Any) -> Iterator[Value]:
    level = [(value, False, None)]
    for _ in range(_DEPTH):
        inner: list[Any] = []
        for each, off, key in level:
            if isinstance(each, str):
                yield Value(widget, each, off, key)
            elif isinstance(each, dict):
                # rgthree's Power Lora Loader says `on`, LoRA Manager `active`.
                disabled = off or each.get("on") is False or each.get("active") is False
                inner += [(member, disabled, str(name)) for name, member in each.items()]
            elif isinstance(each, list):
                inner += [(member, off, key) for member in each]
        level = inner
        if not level:
            return
