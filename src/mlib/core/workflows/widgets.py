"""What the values given to one node name, whichever form the workflow is in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.workflows.loaders import APPROXIMATE_VAES, FOLDER_LOADERS, NOTES, folder_type
from mlib.core.workflows.need import Need, is_model_value, plain_name
from mlib.core.workflows.wording import named_in_text

if TYPE_CHECKING:
    from collections.abc import Iterator

#: How deep the values of one widget are looked into.
_DEPTH = 8
_NOT_A_FOLDER = frozenset({"", "None", "none"})
#: How the classes of ComfyUI's own nodes begin whose text is a prompt.
_PROMPT = "CLIPTextEncode"


class Value(NamedTuple):
    """A text given to a node: the widget it belongs to by name or place, and whether it is switched off."""

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
    if node_class in NOTES:
        return
    entries = [value for value in values if value.key == "name" and node_class.endswith("(LoraManager)")]
    for value in entries:
        name = plain_name(value.text)
        form = "file" if is_model_value(value.text) else "stem"
        yield Need(name, folder_type(node_class, value.widget), form=form, bypassed=value.off)  # type: ignore[arg-type]
    for value in values:
        if entries and value.key == "name":
            continue
        kind = folder_type(node_class, value.widget)
        tags = not (entries or node_class.startswith(_PROMPT))
        named = list(named_in_text(value.text, with_loras=tags))
        # A prompt may end like a file name: in an embedding's, or by chance.
        is_prompt = kind is None and bool(named or node_class.startswith(_PROMPT))
        if is_model_value(value.text) and not is_prompt:
            yield Need(plain_name(value.text), kind, bypassed=value.off)
        elif node_class in FOLDER_LOADERS and value.text not in _NOT_A_FOLDER:
            yield Need(plain_name(value.text), FOLDER_LOADERS[node_class], form="folder", bypassed=value.off)
        elif value.text in APPROXIMATE_VAES and kind == "vae":
            for part in ("encoder", "decoder"):
                yield Need(f"{value.text}_{part}", "vae_approx", form="stem", bypassed=value.off)
        else:
            yield from (need._replace(bypassed=value.off) for need in named)


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
