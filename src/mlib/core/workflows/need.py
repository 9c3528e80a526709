"""A model that a workflow names."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui import MODEL_EXTENSIONS
from mlib.core.text import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

#: How a name stands for a file: `file` as it is, `stem` without its extension, `folder` for all below it.
Form = Literal["file", "stem", "folder"]

#: A text that is longer is a prompt and no name.
LONGEST_NAME = 1024
#: A text that is longer is not looked at for a list of names.
_LONGEST_LIST = 64 << 10
_BETWEEN_NAMES = re.compile(r"[\n\r,;]")
_AROUND_NAME = " \t\"'[]"

#: Nodes that only pass a name on: whether its loader runs is not theirs to say.
_PASSING_ON = "Primitive"
_CONTROL = re.compile("[\0-\x1f\x7f]")


class Need(NamedTuple):
    """A model by the name a loader is given, as it is written.

    `type` is a folder key of ComfyUI or of a node pack, None where the node is not known. `nodes` are ids as
    ComfyUI runs them: `57:12` is node 12 of the subgraph that node 57 stands for. `hash` is a SHA-256.
    `bypassed` holds if no node that names it would run, `by_end` if the node also takes a file in a subfolder
    whose name ends so, `automatic` if the node downloads the model by itself. Where not `listed`, the node
    lists no files with this extension, and so finds none.
    """

    name: str
    type: str | None = None
    form: Form = "file"
    nodes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    url: str | None = None
    hash: str | None = None
    bypassed: bool = False
    by_end: bool = False
    automatic: bool = False
    listed: bool = True


def is_model_value(value: object) -> bool:
    """Whether a value given to a node can be the name of a model file: it ends like one, and is no link."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return False
    stem, dot, extension = value.rpartition(".")
    if not (stem and dot and f".{extension.lower()}" in MODEL_EXTENSIONS):
        return False
    return stem[-1] not in "/\\" and "://" not in value and not _CONTROL.search(value)


def names_in(text: str) -> list[str]:
    """The model files that a value names: it is one name, or a list with commas or a name a line."""
    if len(text) <= _LONGEST_LIST:
        parts = [part.strip(_AROUND_NAME) for part in _BETWEEN_NAMES.split(text)]
        parts = [part for part in parts if part]
        if (len(parts) > 1 or text != text.strip()) and all(map(is_model_value, parts)):
            return parts
    return [text] if is_model_value(text) else []


def plain_name(value: str) -> str:
    """A name of bytes that a file name can have; nothing else in it is changed."""
    try:
        os.fsencode(value)
    except UnicodeEncodeError:
        return displayable(value)
    return value


def last_part(name: str) -> str:
    """What comes after the last slash of either kind."""
    return name.replace("\\", "/").rpartition("/")[2]


_Key = tuple[str, "str | None", Form, bool]


def merged(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Each model once, in the order first named; what is of no known type joins its like that is of one."""
    groups: dict[_Key, list[Need]] = {}
    for need in needs:
        if last_part(need.name):  # `./` and the like are no names
            groups.setdefault((need.name, need.type, need.form, need.listed), []).append(need)
    found = {key: _joined(group) for key, group in groups.items()}
    typed: dict[tuple[str, Form], list[_Key]] = {}
    for key in found:
        if key[1] is not None:
            typed.setdefault((key[0], key[2]), []).append(key)
    for need in [each for each in found.values() if each.type is None]:
        for key in typed.get((need.name, need.form), ()):
            found.pop((need.name, None, need.form, need.listed), None)
            joined = _joined([found[key], need])
            if all(name.startswith(_PASSING_ON) for name in need.classes):
                joined = joined._replace(bypassed=found[key].bypassed)
            found[key] = joined
    return tuple(found.values())


def _joined(needs: Sequence[Need]) -> Need:
    """Needs of one name, type and form as one."""
    return needs[0]._replace(
        nodes=tuple(dict.fromkeys(node for need in needs for node in need.nodes)),
        classes=tuple(dict.fromkeys(name for need in needs for name in need.classes)),
        url=next((need.url for need in needs if need.url), None),
        hash=next((need.hash for need in needs if need.hash), None),
        bypassed=all(need.bypassed for need in needs),
        by_end=all(need.by_end for need in needs),
        automatic=all(need.automatic for need in needs),
    )
