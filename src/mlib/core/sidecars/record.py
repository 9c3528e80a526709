"""The record of what a sidecar says about its model, and its JSON form in the library."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core.errors import MlibError

if TYPE_CHECKING:
    from collections.abc import Mapping


class SidecarError(MlibError):
    """A sidecar cannot be read.

    `code` is one of too_large, not_a_file, unreadable, not_json, not_yaml, not_text, wrong_kind.
    """


class Sidecar(NamedTuple):
    """What one sidecar says; fields that it does not have are "" or empty.

    `name` is what a person would call the model, including the `version`. `type` is a ComfyUI folder key.
    `base_model` is spelled as in the sidecar. `description` is plain text, or Markdown from a Markdown file.
    `source_url` is a web page. `hashes` are claims about the model's file in lower-case hex, by `sha256`,
    `autov1`, `autov3`, `sha256_12`, `crc32`, `blake3`. If the sidecar lists several files without showing
    which is the model's, `other_sha256` has the SHA-256 of each; if several models share the sidecar,
    `other_hashes` has the claims about the others' files. `cut` names the fields that were too long to keep
    whole.
    """

    kind: str
    name: str = ""
    version: str = ""
    type: str = ""
    base_model: str = ""
    trigger_words: tuple[str, ...] = ()
    description: str = ""
    tags: tuple[str, ...] = ()
    notes: str = ""
    negative_text: str = ""
    preferred_weight: float | None = None
    author: str = ""
    source_url: str = ""
    hashes: Mapping[str, str] = {}
    other_sha256: tuple[str, ...] = ()
    other_hashes: tuple[Mapping[str, str], ...] = ()
    cut: tuple[str, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether no field is set."""
        return not any(getattr(self, name) for name in self._fields if name not in ("kind", "cut"))


# --- Packing for the library


def packed(sidecar: Sidecar) -> str:
    """Pack as JSON, without empty fields."""
    said = {name: value for name, value in sidecar._asdict().items() if value not in ("", (), {}, None)}
    return json.dumps(said, ensure_ascii=True)


def unpacked(text: str) -> Sidecar:
    """Undo `packed`; fields of other versions are ignored."""
    said: dict[str, Any] = json.loads(text)
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in said.items()
        if name in Sidecar._fields
    }
    return Sidecar(**kept)
