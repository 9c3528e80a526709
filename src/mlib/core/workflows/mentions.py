"""Whatever a workflow says that may mean a model, for those who must not overlook one.

`need` holds what is sure to be loaded. Here is the rest: file names in any text, notes and titles too; words
that may be a file's name without its extension, or a folder's; and nodes that choose files by themselves.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from mlib.core.comfyui import NO_MODEL_EXTENSIONS
from mlib.core.workflows.loaders import Choice, choices, folder_type, is_known
from mlib.core.workflows.shape import mapping, nodes_in, values_in
from mlib.core.workflows.widgets import PROMPT, Value, values_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

#: A file name has at most 255 bytes.
LONGEST_FILE_NAME = 255
#: A text that is longer is no list of names; file names are found in it all the same.
_LONGEST_LIST = 64 << 10
#: File names looked for in one text.
_MOST_ENDINGS = 20_000

#: Where a text ends like a file: node packs keep models under extensions of their own (`.engine`, `.npz`).
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,11}(?![A-Za-z0-9])")
#: Lists of sockets and what joins them hold nothing chosen. Old files keep as the type of a socket all names
#: that could have been chosen: every model its author had. (In API format `inputs` is an object.)
_SOCKETS = frozenset({"inputs", "outputs", "links"})
#: A SHA-256, or as much of it as Civitai shows (AutoV2) and A1111 writes.
_HASH = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{10}(?:[0-9A-Fa-f]{2}|[0-9A-Fa-f]{54})?(?![0-9A-Za-z])")
#: An embedding as people write it in a prompt; ComfyUI takes lower case only.
_EMBEDDING = re.compile(r"embedding:([^\s,:()\[\]{}<>|\"]{1,255})", re.IGNORECASE)
_BETWEEN = re.compile(r"[\n\r,;|<>{}()\[\]]")
_AROUND = " \t\"'`*"
#: What most names of models have in them, and few other words.
_LIKE_A_NAME = re.compile(r"[\d/\\]")
#: `lora:NAME:0.8` and `NAME:0.8`: what stands before a name, and a weight after it.
_TAG = re.compile(r"(?:(?:lora|lyco|embedding|hypernet):)?(.*?)(?::-?[\d.]*)*", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Mentions:
    """What a workflow says beside its needs.

    `endings`: texts that end like a file that may be a model, at most 255 characters of each. `words`: values
    of nodes, or members of lists in them, that may be a name without its extension or the name of a folder.
    `hashes`: SHA-256s in lower case, or their first 10 or 12 digits. `choices`: what nodes choose from by
    themselves. `classes`: those of nodes of which is not known what they name.
    """

    endings: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    choices: set[Choice] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)

    def add(self, other: Mentions) -> None:
        """Take in what another workflow says."""
        self.endings |= other.endings
        self.words |= other.words
        self.hashes |= other.hashes
        self.choices |= other.choices
        self.classes |= other.classes


def mentions(documents: Iterable[Any]) -> Mentions:
    """What these workflows, in either format, say."""
    said = Mentions()
    for document in documents:
        for text in _texts(document):
            said.endings.update(_endings(text))
            said.hashes.update(match[0].lower() for match in _HASH.finditer(text))
            said.words.update(match[1].rstrip(".;!?") for match in _EMBEDDING.finditer(text))
        for node_class, values in _nodes(document):
            if not is_known(node_class):
                said.classes.add(node_class)
            said.choices.update(choices(node_class))
            for value in values:
                if _may_be_a_name(node_class, value):
                    said.words.update(_words(value.text))
    return said


def _texts(document: Any) -> Iterator[str]:
    """Every text in a document, keys too, but not what sockets say of themselves."""
    waiting = [document]
    while waiting:
        value = waiting.pop()
        if isinstance(value, str):
            yield value
        elif isinstance(value, dict):
            waiting += (
                inner for key, inner in value.items() if key not in _SOCKETS or isinstance(inner, dict)
            )
            yield from value
        elif isinstance(value, list):
            waiting += value


def _endings(text: str) -> Iterator[str]:
    if "." not in text:
        return
    for match in islice(_ENDING.finditer(text), _MOST_ENDINGS):
        if match[0].lower() in NO_MODEL_EXTENSIONS:
            continue
        name = text[max(0, match.end() - 3 * LONGEST_FILE_NAME) : match.end()]
        yield name[-LONGEST_FILE_NAME:]
        if "%" in name:
            yield unquote(name)[-LONGEST_FILE_NAME:]


def _nodes(document: dict[str, Any]) -> Iterator[tuple[str, list[Value]]]:
    """The class and the values of each node, in whatever part of the document it is."""
    waiting: list[Any] = [document]
    while waiting:
        level = mapping(waiting.pop())
        for node in nodes_in(level):
            yield node["type"], values_in(node)
        for node in level.values():
            if isinstance(node, dict) and isinstance(node.get("class_type"), str):
                yield node["class_type"], values_of(mapping(node.get("inputs")))
        inner = mapping(level.get("definitions")).get("subgraphs")
        waiting += inner if isinstance(inner, list) else ()
        waiting += mapping(mapping(level.get("extra")).get("groupNodes")).values()


def _may_be_a_name(node_class: str, value: Value) -> bool:
    """A prompt has words of its own, and so has the `type` of a text encoder (`flux`, `wan`)."""
    if node_class.startswith(PROMPT):
        return "<" in value.text
    return folder_type(node_class, value.widget) != "text_encoders"


def _words(text: str) -> Iterator[str]:
    """A text, what stands between commas and the like in it, and single words that look like a name."""
    if len(text) > _LONGEST_LIST:
        return
    parts = {text, *_BETWEEN.split(text), *filter(_LIKE_A_NAME.search, text.split())}
    for part in parts:
        match = _TAG.fullmatch(part.strip(_AROUND)[: 2 * LONGEST_FILE_NAME])
        word = match[1].strip(_AROUND) if match else ""
        if 0 < len(word) <= LONGEST_FILE_NAME:
            yield word
