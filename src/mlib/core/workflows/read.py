"""Reading a workflow, whatever it is kept in."""

from __future__ import annotations

import codecs
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.jsontext import MAX_DEPTH, depth
from mlib.core.workflows.canvas import is_canvas, needs_of_canvas
from mlib.core.workflows.errors import WorkflowError
from mlib.core.workflows.media import LONGEST, kind_of, text_in_svg, texts_of
from mlib.core.workflows.mentions import mentions
from mlib.core.workflows.need import Need, merged
from mlib.core.workflows.prompt import is_prompt, needs_of_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from mlib.core.workflows.mentions import Mentions

#: Extensions of files that may hold a workflow: those that ComfyUI's front end opens, and that its nodes and
#: widespread packs save.
EXTENSIONS = frozenset(
    (
        *(".json", ".jsonc", ".png", ".apng", ".webp", ".jpg", ".jpeg", ".avif", ".svg"),
        *(".mp4", ".m4v", ".mov", ".webm", ".mkv", ".flac", ".mp3", ".ogg", ".opus", ".glb", ".latent"),
    )
)

#: How deep inside of another document a workflow is looked for; `/history` has it at the fifth level.
_DEEPEST = 8
#: Objects and lists that are looked into on the way, and JSON in strings that is read.
_MOST_LOOKED_AT = 200_000
_MOST_TEXTS = 2000
#: Strings are matched so that what looks like a comment in one is kept. Each step is linear.
_STRING = r'"(?:[^"\\]++|\\.?)*+"?'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*+|/\*.*?(?:\*/|\Z)", re.DOTALL)
_LAST_COMMA = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
_LFS_POINTER = b"version https://git-lfs.github.com/spec/"
_APPLE_DOUBLE = b"\0\x05\x16\x07"


class Contents(NamedTuple):
    """What a file holds: the models its workflows need, each once, and what else they say."""

    needs: tuple[Need, ...]
    mentions: Mentions


def read_workflow(file: BinaryIO, size: int) -> tuple[Need, ...]:
    """The models that the workflows in `size` bytes name, each once; nothing is believed of the file name.

    Takes JSON (UI or API format, alone, in a list, as it is sent to a server or as `/history` and `/queue`
    give it, with comments) and images, videos, sounds and scenes with it inside. Raises WorkflowError; the
    message is a line.
    """
    return _needs_of(_workflows(file, size))


def read_contents(file: BinaryIO, size: int) -> Contents:
    """Like `read_workflow`, with all that may mean a model beside."""
    found = _workflows(file, size)
    return Contents(_needs_of(found), mentions(found))


def _needs_of(found: list[Any]) -> tuple[Need, ...]:
    return merged(need for each in found for need in _needs(each))


def _needs(document: Any) -> Iterator[Need]:
    return needs_of_canvas(document) if is_canvas(document) else needs_of_prompt(document)


def _workflows(file: BinaryIO, size: int) -> list[Any]:
    """The workflows in a file, those for editing first: they know where to get a model and what is off."""
    head = file.read(12)
    if head.startswith(_APPLE_DOUBLE):
        raise WorkflowError(
            "apple_double", "it is what macOS keeps beside a file (AppleDouble), not a workflow"
        )
    kind = kind_of(head)
    if kind is not None:
        documents = _of_texts(kind, texts_of(kind, file, size))
    else:
        if size > LONGEST:
            raise WorkflowError("too_large", f"a workflow of more than {LONGEST >> 20} MB is not read")
        file.seek(0)
        text = _decoded(file.read(LONGEST + 1))
        if text.lstrip().startswith("<"):
            kind = "svg"
            documents = _of_texts(kind, [text_in_svg(text)])
        else:
            documents = [_parsed(text)]
    found = [each for document in documents for each in _within(document)]
    if not found:
        raise WorkflowError("not_a_workflow", "it holds no workflow", kind or "json")
    return sorted(found, key=is_canvas, reverse=True)


def _of_texts(kind: str, texts: list[str]) -> list[Any]:
    """Other programs keep other things under the same names, so that one of them being JSON is enough."""
    documents, failure = [], None
    for text in texts:
        try:
            documents.append(_parsed(text))
        except WorkflowError as error:
            failure = error if text.lstrip()[:1] == "{" else failure
    if not documents:
        raise failure or WorkflowError("not_a_workflow", f"there is no workflow in the {kind} file", kind)
    return documents


def _within(document: Any) -> Iterator[Any]:
    """The workflows in a document: itself, or whatever is one in it, in strings of JSON too."""
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
        raise WorkflowError("empty_file", "it is empty")
    if data.startswith(_LFS_POINTER):
        raise WorkflowError("lfs_pointer", "Git LFS has not fetched it: it is only a pointer (git lfs pull)")
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):  # as PowerShell writes
        return data.decode("utf-16", "replace")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        if data.lstrip()[:1] in {
            b"{",
            b"[",
        }:  # as an editor of another century saved it: most names are ASCII
            return data.decode("latin-1")
        raise WorkflowError(
            "not_a_workflow",
            "it is neither JSON nor an image, video or sound that can hold a workflow",
            "binary",
        ) from None


def _parsed(text: str) -> Any:
    try:
        document = _loaded(text)
    except RecursionError:
        raise WorkflowError("bad_json", "its JSON is nested too deeply") from None
    except ValueError as error:
        raise WorkflowError("bad_json", f"it is not JSON: {str(error)[:200]}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and depth(document) > MAX_DEPTH:
        raise WorkflowError("bad_json", "its JSON is nested too deeply")
    return document


def _loaded(text: str) -> Any:
    """JSON, also with the comments and last commas that people's editors allow."""
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
