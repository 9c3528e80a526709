"""A model that a workflow names."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Literal, NamedTuple

from mlib.core.comfyui import MODEL_EXTENSIONS
from mlib.core.text import displayable

if TYPE_CHECKING:
    from collections.abc import Iterable

#: How a name stands for a file: `file` as it is, `stem` without its extension, `folder` for all below it.
Form = Literal["file", "stem", "folder"]

#: A text that is longer, or of several lines, is a prompt and no name.
LONGEST_NAME = 1024

#: Nodes that only pass a name on: whether its loader runs is not theirs to say.
_PASSING_ON = "Primitive"
_CONTROL = re.compile("[\0-\x1f\x7f]")


class Need(NamedTuple):
    """A model by the name a loader is given, with `/` between folders.

    `type` is a folder key of ComfyUI, None where the node is not known. `nodes` are ids as ComfyUI runs
    them: `57:12` is node 12 of the subgraph that node 57 stands for. `hash` is a SHA-256. `bypassed` holds if
    no node that names it would run.
    """

    name: str
    type: str | None = None
    form: Form = "file"
    nodes: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    url: str | None = None
    hash: str | None = None
    bypassed: bool = False


def is_model_value(value: object) -> bool:
    """Whether a value given to a node can be the name of a model file: it ends like one, and is no link."""
    if not isinstance(value, str) or len(value) > LONGEST_NAME:
        return False
    stem, dot, extension = value.rpartition(".")
    if not (stem and dot and f".{extension.lower()}" in MODEL_EXTENSIONS):
        return False
    return stem[-1] not in "/\\" and "://" not in value and not _CONTROL.search(value)


def plain_name(value: str) -> str:
    """A name as this program keeps it: `/` between folders, and bytes that a file name can have."""
    name = value.replace("\\", "/")
    while name.startswith("./"):
        name = name[2:]
    try:
        os.fsencode(name)
    except UnicodeEncodeError:
        return displayable(name)
    return name


def merged(needs: Iterable[Need]) -> tuple[Need, ...]:
    """Each model once, in the order first named; what is of no known type joins its like that is of one."""
    found: dict[tuple[str, str | None, Form], Need] = {}
    for need in needs:
        if not os.path.basename(need.name):
            continue  # `./` and the like
        key = (need.name, need.type, need.form)
        found[key] = _joined(found[key], need) if key in found else need
    for need in [each for each in found.values() if each.type is None]:
        like = [key for key in found if key[0] == need.name and key[1] is not None and key[2] == need.form]
        if like:
            del found[need.name, None, need.form]
            for key in like:
                joined = _joined(found[key], need)
                if all(name.startswith(_PASSING_ON) for name in need.classes):
                    joined = joined._replace(bypassed=found[key].bypassed)
                found[key] = joined
    return tuple(found.values())


def _joined(one: Need, other: Need) -> Need:
    return one._replace(
        nodes=tuple(dict.fromkeys(one.nodes + other.nodes)),
        classes=tuple(dict.fromkeys(one.classes + other.classes)),
        url=one.url or other.url,
        hash=one.hash or other.hash,
        bypassed=one.bypassed and other.bypassed,
    )
