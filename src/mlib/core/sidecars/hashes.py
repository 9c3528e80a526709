"""The hashes that a sidecar claims for its model: only whole ones, and never those of another file.

Source of the names and lengths: Civitai's API; `sha256_12` is what Forge writes.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

from mlib.core.comfyui import MODEL_EXTENSIONS
from mlib.core.sidecars.values import MAX_NAME, items, text_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlib.core.jsontext import Json

#: Our names with their lengths in hex digits. AutoV2 is left out: it is how a SHA-256 begins.
LENGTHS = {"sha256": 64, "autov1": 8, "autov3": 12, "sha256_12": 12, "crc32": 8, "blake3": 64}
#: How the SHA-256 of nothing begins. Writers claim it where there was nothing to hash.
_NOTHING = "e3b0c44298fc"
_OF_SHA256 = frozenset(("sha256", "autov1", "autov3", "sha256_12"))
_HEX = re.compile(r"[0-9a-f]+")
#: Files of a version that are no model.
_NO_MODELS = frozenset(("archive", "config", "training data", "workflow"))


def claimed(hashes: Json) -> dict[str, str]:
    """The hashes of an object whose keys name them in any case."""
    found: dict[str, str] = {}
    for key, value in hashes.items() if isinstance(hashes, dict) else ():
        name = key.lower() if len(key) <= len("sha256_12") else ""
        if name in LENGTHS and (digits := digest(value, name)):
            found[name] = digits
    return {name: found[name] for name in LENGTHS if name in found}


def digest(value: Json, name: str) -> str:
    """A hash in lower case, or "" if it is none of that name or the hash of nothing."""
    digits = text_of(value).strip().lower() if len(text_of(value)) <= 80 else ""
    if len(digits) != LENGTHS[name] or not _HEX.fullmatch(digits):
        return ""
    return "" if name in _OF_SHA256 and digits.startswith(_NOTHING[: len(digits)]) else digits


def of_files(files: Json, model_name: str) -> tuple[Mapping[str, Json] | None, tuple[str, ...]]:
    """The entry of Civitai's `files` that is the model's file; else None, and the SHA-256 of all that may be.

    That is the one of the model's name, or else the primary one of those that have its extension.
    `model_name` may lack its extension, or be "".
    """
    models: list[Mapping[str, Json]] = [
        entry for entry in items(files) if isinstance(entry, dict) and is_model_file(entry)
    ]
    extension = _extension(model_name)
    alike = [entry for entry in models if extension in ("", _extension(_name(entry)))]
    named = [entry for entry in alike if _is_called(_name(entry), model_name)]
    if len(named) == 1:
        return named[0], ()
    candidates = named or alike
    primary = [entry for entry in candidates if entry.get("primary") is True]
    if len(primary) == 1:
        return primary[0], ()
    digests = (claimed(entry.get("hashes")).get("sha256", "") for entry in candidates or models)
    return None, tuple(dict.fromkeys(filter(None, digests)))


def is_model_file(entry: Json) -> bool:
    """Whether an entry of Civitai's `files` is about a model: an archive or a workflow is none."""
    return isinstance(entry, dict) and text_of(entry.get("type"))[:MAX_NAME].lower() not in _NO_MODELS


def _name(entry: Mapping[str, Json]) -> str:
    return text_of(entry.get("name"))[:MAX_NAME]


def _extension(name: str) -> str:
    extension = os.path.splitext(name)[1].lower()
    return extension if extension in MODEL_EXTENSIONS else ""


def _is_called(name: str, model_name: str) -> bool:
    ours, theirs = model_name.lower(), name.lower()
    return ours != "" and (theirs == ours or (not _extension(ours) and os.path.splitext(theirs)[0] == ours))
