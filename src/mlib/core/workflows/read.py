"""Reading a workflow, whatever it is kept in."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from mlib.core.jsontext import MAX_DEPTH, depth
from mlib.core.workflows.canvas import is_canvas, needs_of_canvas
from mlib.core.workflows.embedded import LONGEST, PNG, is_webp, texts_of_png, texts_of_webp
from mlib.core.workflows.errors import WorkflowError
from mlib.core.workflows.need import Need, merged
from mlib.core.workflows.prompt import is_prompt, needs_of_prompt

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

#: Extensions of files that may hold a workflow.
EXTENSIONS = frozenset({".json", ".png", ".webp"})


def read_workflow(file: BinaryIO, size: int) -> tuple[Need, ...]:
    """The models that a workflow of `size` bytes names, each once; nothing is believed of its file name.

    Takes JSON in UI or API format, alone or as it is sent to a server, and PNG or WebP images with either or
    both inside. Raises WorkflowError; the message is a line.
    """
    head = file.read(12)
    if head[:8] == PNG:
        return _of_image(texts_of_png(file, size))
    if is_webp(head):
        return _of_image(texts_of_webp(file, size))
    if size > LONGEST:
        raise WorkflowError("too_large", f"a workflow of more than {LONGEST >> 20} MB is not read")
    file.seek(0)
    return _of_documents([_parsed(_decoded(file.read(LONGEST + 1)))])


def _of_image(texts: dict[str, str]) -> tuple[Need, ...]:
    """Other programs keep other things under the same names, so that one of the two being JSON is enough."""
    documents, failure = [], None
    for text in texts.values():
        try:
            documents.append(_parsed(text))
        except WorkflowError as error:
            failure = error if text.lstrip()[:1] == "{" else failure
    if not documents:
        raise failure or WorkflowError("not_a_workflow", "there is no workflow in the image")
    return _of_documents(documents)


def _of_documents(documents: list[Any]) -> tuple[Need, ...]:
    # The form for editing goes first: it knows where to get a model, and which nodes are bypassed.
    found = [_needs(document) for document in documents]
    known = [needs for needs in found if needs is not None]
    if not known:
        raise WorkflowError("not_a_workflow", "it holds no workflow")
    return merged(need for needs in known for need in needs)


def _needs(document: Any) -> Iterator[Need] | None:
    if is_canvas(document):
        return needs_of_canvas(document)
    if is_prompt(document):
        return needs_of_prompt(document)
    inner = _wrapped(document)
    return None if not inner else (need for each in inner for need in _needs(each) or ())


def _wrapped(document: Any) -> list[Any]:
    """The workflows in what is sent to a server, the one for editing first."""
    if not isinstance(document, dict):
        return []
    extra = document.get("extra_data")
    info = extra.get("extra_pnginfo") if isinstance(extra, dict) else None
    candidates = [info.get("workflow") if isinstance(info, dict) else None]
    candidates += [document.get("workflow"), document.get("prompt")]
    return [each for each in candidates if is_canvas(each) or is_prompt(each)]


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise WorkflowError("not_a_workflow", "it is neither JSON nor a PNG or WebP image") from None


def _parsed(text: str) -> Any:
    try:
        document = json.loads(text)
    except RecursionError:
        raise WorkflowError("bad_json", "its JSON is nested too deeply") from None
    except ValueError as error:
        raise WorkflowError("bad_json", f"it is no JSON: {str(error)[:200]}") from None
    if text.count("[") + text.count("{") > MAX_DEPTH and depth(document) > MAX_DEPTH:
        raise WorkflowError("bad_json", "its JSON is nested too deeply")
    return document
