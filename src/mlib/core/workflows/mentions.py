"""Read workflow files: the models that they need, and everything else in them that may mean a model.

Needs are sure to be loaded. Mentions are for callers that must not overlook a model: file names in any text,
including notes and titles; words that may be a file name without its extension or a folder's name; and nodes
that choose files themselves.
"""

from __future__ import annotations

import codecs
import json
import re
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote

from mlib.core.comfyui.folders import NO_MODEL_EXTENSIONS
from mlib.core.jsontext import MAX_DEPTH, depth
from mlib.core.workflows.graph import (
    PROMPT,
    WidgetValue,
    WorkflowError,
    is_canvas,
    is_prompt,
    mapping,
    needs_of_canvas,
    needs_of_prompt,
    nodes_in,
    values_in,
    values_of,
)
from mlib.core.workflows.media import LONGEST, kind_of, text_in_svg, texts_of
from mlib.core.workflows.needs import FolderChoice, Need, choices, folder_type, is_known, merged

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from typing import BinaryIO


#: A file name has at most 255 bytes.
LONGEST_FILE_NAME = 255
#: Longer text is not a list of names, but is still searched for file names.
_LONGEST_LIST = 64 << 10
#: The most file names taken from one text.
_MOST_ENDINGS = 20_000

#: Text that ends like a file: node packs use their own model extensions (`.engine`, `.npz`).
_ENDING = re.compile(r"\.[A-Za-z][A-Za-z0-9]{0,11}(?![A-Za-z0-9])")
#: Sockets and links contain no choices. In old files a socket's type lists all names that could have been
#: chosen: every model its author had. (In API format `inputs` is an object.)
_SOCKETS = frozenset({"inputs", "outputs", "links"})
#: A SHA-256, or its first digits as Civitai shows (AutoV2) and A1111 writes them.
_HASH = re.compile(r"(?<![0-9A-Za-z])[0-9A-Fa-f]{10}(?:[0-9A-Fa-f]{2}|[0-9A-Fa-f]{54})?(?![0-9A-Za-z])")
#: An embedding as people write it in a prompt; ComfyUI accepts only lower case.
_EMBEDDING = re.compile(r"embedding:([^\s,:()\[\]{}<>|\"]{1,255})", re.IGNORECASE)
_BETWEEN = re.compile(r"[\n\r,;|<>{}()\[\]]")
_AROUND = " \t\"'`*"
#: Characters that most model names contain, and few other words.
_LIKE_A_NAME = re.compile(r"[\d/\\]")
#: The prefix and the weight in `lora:NAME:0.8` and `NAME:0.8`.
_TAG = re.compile(r"(?:(?:lora|lyco|embedding|hypernet):)?(.*?)(?::-?[\d.]*)*", re.IGNORECASE | re.DOTALL)


@dataclass(slots=True)
class Mentions:
    """What a workflow says besides its needs.

    `endings`: texts that end like a model file, at most 255 characters of each. `words`: node values, or
    members of lists in them, that may be a name without its extension or a folder's name. `hashes`: SHA-256s
    in lower case, or their first 10 or 12 digits. `choices`: what nodes choose from themselves. `classes`:
    classes of nodes whose values are not understood.
    """

    endings: set[str] = field(default_factory=set)
    words: set[str] = field(default_factory=set)
    hashes: set[str] = field(default_factory=set)
    choices: set[FolderChoice] = field(default_factory=set)
    classes: set[str] = field(default_factory=set)

    def add(self, other: Mentions) -> None:
        """Merge another workflow's mentions."""
        self.endings |= other.endings
        self.words |= other.words
        self.hashes |= other.hashes
        self.choices |= other.choices
        self.classes |= other.classes


def mentions(documents: Iterable[Any]) -> Mentions:
    """Collect the mentions of these workflows, in either format."""
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
    """Every text in a document, including keys but without socket descriptions."""
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


def _nodes(document: dict[str, Any]) -> Iterator[tuple[str, list[WidgetValue]]]:
    """The class and the values of each node, wherever it is in the document."""
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


def _may_be_a_name(node_class: str, value: WidgetValue) -> bool:
    """Whether the value may name a model: not a prompt, nor the `type` of a text encoder (`flux`, `wan`)."""
    if node_class.startswith(PROMPT):
        return "<" in value.text
    return folder_type(node_class, value.widget) != "text_encoders"


def _words(text: str) -> Iterator[str]:
    """The text, its parts between commas and the like, and single words that look like a name."""
    if len(text) > _LONGEST_LIST:
        return
    parts = {text, *_BETWEEN.split(text), *filter(_LIKE_A_NAME.search, text.split())}
    for part in parts:
        match = _TAG.fullmatch(part.strip(_AROUND)[: 2 * LONGEST_FILE_NAME])
        word = match[1].strip(_AROUND) if match else ""
        if 0 < len(word) <= LONGEST_FILE_NAME:
            yield word


# --- Reading a workflow from any kind of file

#: Extensions of files that may contain a workflow: those that ComfyUI's front end opens, and those that its
#: nodes and common packs save.
EXTENSIONS = frozenset(
    (
        *(".json", ".jsonc", ".png", ".apng", ".webp", ".jpg", ".jpeg", ".avif", ".svg"),
        *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".flac", ".mp3", ".ogg", ".opus", ".glb", ".latent"),
    )
)

#: Levels of another document searched for a workflow; `/history` has it at the fifth.
_DEEPEST = 8
#: The most objects and lists searched, and the most JSON strings parsed.
_MOST_LOOKED_AT = 200_000
_MOST_TEXTS = 2000
#: Match strings too, so that a comment inside one is kept. All steps are linear.
_STRING = r'"(?:[^"\\]++|\\.?)*+"?'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*+|/\*.*?(?:\*/|\Z)", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_APPLE_DOUBLE = b"\0\x05\x16\x07"


class WorkflowContents(NamedTuple):
    """A file's content: the models that its workflows need, each once, and their mentions."""

    needs: tuple[Need, ...]
    mentions: Mentions


def read_workflow(file: BinaryIO, size: int) -> tuple[Need, ...]:
    """Read the models that the workflows in a file of `size` bytes need, each once; its name does not matter.

    Accepts JSON (UI or API format, alone, in a list, as sent to a server or as `/history` and `/queue` return
    it, with comments) and images, video, audio and 3D scenes with embedded workflows. Raises WorkflowError;
    the message is one line.
    """
    return _needs_of(_workflows(file, size))


def read_contents(file: BinaryIO, size: int) -> WorkflowContents:
    """Like `read_workflow`, with the mentions."""
    found = _workflows(file, size)
    return WorkflowContents(_needs_of(found), mentions(found))


def _needs_of(found: list[Any]) -> tuple[Need, ...]:
    return merged(need for each in found for need in _needs(each))


def _needs(document: Any) -> Iterator[Need]:
    return needs_of_canvas(document) if is_canvas(document) else needs_of_prompt(document)


def _workflows(file: BinaryIO, size: int) -> list[Any]:
    """The workflows in a file, UI format first: it says where to get a model and what is switched off."""
    head = file.read(12)
    if head.startswith(_APPLE_DOUBLE):
        raise WorkflowError("apple_double", "a macOS AppleDouble file, not a workflow")
    kind = kind_of(head)
    if kind is not None:
        documents = _of_texts(kind, texts_of(kind, file, size))
    else:
        if size > LONGEST:
            raise WorkflowError("too_large", f"larger than {LONGEST >> 20} MB")
        file.seek(0)
        text = _decoded(file.read(LONGEST + 1))
        if text.lstrip().startswith("<"):
            kind = "svg"
            documents = _of_texts(kind, [text_in_svg(text)])
        else:
            documents = [_parsed(text)]
    found = [each for document in documents for each in _within(document)]
    if not found:
        raise WorkflowError("not_a_workflow", "not a workflow", kind or "json")
    return sorted(found, key=is_canvas, reverse=True)


def _of_texts(kind: str, texts: list[str]) -> list[Any]:
    """The workflows in these texts; one valid text is enough, as other programs use the same names."""
    documents, failure = [], None
    for text in texts:
        try:
            documents.append(_parsed(text))
        except WorkflowError as error:
            failure = error if text.lstrip()[:1] == "{" else failure
    if not documents:
        raise failure or WorkflowError("not_a_workflow", f"no workflow in the {kind} file", kind)
    return documents


def _within(document: Any) -> Iterator[Any]:
    """The workflows in a document: the document itself, or those nested in it, also in JSON strings."""
    level, seen, texts = [document], 0, 0
    for _ in range(_DEEPEST):
        inner: list[Any] = []
        for value in level:
            seen += 1
            if seen > _MOST_LOOKED_AT:
                return
            if is_canvas(value) or is_prompt(value):
                yield value
            elif isinstance(value, dict):
                inner += value.values()
            elif isinstance(value, list):
                inner += value
            elif isinstance(value, str) and value.lstrip()[:1] in {"{", "[", '"'} and texts < _MOST_TEXTS:
                texts += 1
                try:
                    inner.append(_parsed(value))
                except WorkflowError:
                    continue
        level = inner


def _decoded(data: bytes) -> str:
    if not data:
        raise WorkflowError("empty_file", "the file is empty")
    if data.startswith(_LFS_POINTER):
        raise WorkflowError("lfs_pointer", "only a Git LFS pointer: run git lfs pull")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if data.lstrip()[:1] in {
            b"{",
            b"[",
        }:  # an old encoding: most names are ASCII anyway
            return data.decode("latin-1")
        raise WorkflowError(
            "not_a_workflow",
            "neither JSON nor an image, video or audio file that can hold a workflow",
            "binary",
        ) from None


def _parsed(text: str) -> Any:
    try:
        document = _loaded(text)
    except RecursionError:
        raise WorkflowError("bad_json", "the JSON is nested too deeply") from None
    except ValueError as error:
        raise WorkflowError("bad_json", f"not JSON: {str(error)[:200]}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and depth(document) > MAX_DEPTH:
        raise WorkflowError("bad_json", "the JSON is nested too deeply")
    return document


def _loaded(text: str) -> Any:
    """Parse JSON, also with the comments and trailing commas that editors allow."""
    try:
        return json.loads(text)
    except ValueError as error:
        plain = _COMMENT.sub(_kept_string, text)
        plain = _LAST_COMMA.sub(_kept_string, plain)
        if plain == text:
            raise
        try:
            return json.loads(plain)
        except ValueError:
            raise error from None


def _kept_string(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else " "
