"""Write user data into the sidecar that most managers read: LoRA Manager's `STEM.metadata.json`.

Everything else in an existing sidecar stays, in its order and to the last digit. What a scan found or another
sidecar said is not written. Source: LoRA Manager's schema of `.metadata.json`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import jsontext
from mlib.core.jsontext import Members, Number
from mlib.core.records import TAGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from mlib.core.jsontext import Json
    from mlib.core.records import Model

#: LoRA Manager's names for our fields.
_NAMES = {
    "name": "model_name", "base_model": "base_model", "notes": "notes", "description": "modelDescription",
    TAGS: "tags",
}  # fmt: skip
_MODEL_TYPES = {"checkpoints": "checkpoint", "diffusion_models": "diffusion_model", "embeddings": "embedding"}
#: Characters that add nothing to a text.
_NOTHING = ("", "unknown")


class Written(NamedTuple):
    """The text of a sidecar, and our names of the fields in it that now come from the library."""

    text: str
    fields: frozenset[str]


class NotOursToChangeError(Exception):
    """The existing file is not a sidecar of this kind."""


def sidecar_name(file_name: str) -> str:
    """The sidecar's name for a model file."""
    return f"{os.path.splitext(file_name)[0]}.metadata.json"


def typed_words(model: Model, tags: Sequence[str]) -> dict[str, Json]:
    """The user data that a sidecar has a field for, by our names, without empty values."""
    words: dict[str, Json] = {
        "name": model.name,
        "base_model": model.base_model,
        "notes": model.notes,
        "description": model.description,
        TAGS: list(tags),
    }
    return {field: value for field, value in words.items() if value and field in model.edited}


def merged_text(
    before: str | None, model: Model, words: Mapping[str, Json], *, path: str, mtime: float
) -> Written:
    """Render the sidecar of the model file at `path`; `before` is its current text, if it exists.

    `words` are the model's `typed_words`. Raises NotOursToChangeError if `before` is not a JSON object.
    """
    document = _parsed(before)
    fields: set[str] = set()
    if before is None:
        stem = os.path.splitext(os.path.basename(path))[0]
        _set_facts(document, model, stem, path=path, mtime=mtime)
    for field, value in words.items():
        if not _equal(_get(document, _NAMES[field]), value):
            _set(document, _NAMES[field], value)
            fields.add(field)
    if before is not None and not fields:
        return Written(before, frozenset())
    if _is_empty(_get(document, "sha256")):
        _set(document, "sha256", model.sha256)
    return Written(jsontext.dump(document), frozenset(fields))


def _set_facts(document: Members, model: Model, stem: str, *, path: str, mtime: float) -> None:
    facts: dict[str, Any] = {
        "file_name": stem,
        "model_name": stem,
        "file_path": path.replace(os.sep, "/"),
        "size": model.size_bytes or 0,
        "modified": Number(f"{mtime:.3f}"),
        "sha256": model.sha256,
        "base_model": "Unknown",
        "preview_url": "",
        "preview_nsfw_level": 0,
        "notes": "",
        "from_civitai": False,
        "civitai": {},
        "tags": [],
        "modelDescription": "",
    }
    if model.type in _MODEL_TYPES:
        facts["model_type"] = _MODEL_TYPES[model.type]
    for key, value in facts.items():
        _set(document, key, value)


def _parsed(text: str | None) -> Members:
    try:
        document = Members() if text is None else jsontext.parse_pairs(text)
    except jsontext.NotJson as error:
        raise NotOursToChangeError(str(error)) from error
    if not isinstance(document, Members):
        raise NotOursToChangeError("not a JSON object")
    return document


def _get(document: Members, key: str) -> Json:
    """The value of a key; of equal keys the last counts, as for all readers."""
    return next((value for name, value in reversed(document) if name == key), None)


def _set(document: Members, key: str, value: Json) -> None:
    for at in range(len(document) - 1, -1, -1):
        if document[at][0] == key:
            document[at] = (key, value)
            return
    document.append((key, value))


def _is_empty(value: Json) -> bool:
    if isinstance(value, str):
        return value.strip().lower() in _NOTHING
    return value is None or (isinstance(value, (list, tuple)) and not value)


def _equal(held: Json, value: Json) -> bool:
    if isinstance(held, (list, tuple)) and isinstance(value, (list, tuple)):
        return list(held) == list(value)
    return type(held) is type(value) and held == value
