"""What a sidecar says of its model, whoever wrote it."""

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
    """What one sidecar says; what it does not say is "" or empty.

    `name` is what a person would call the model, its `version` with it. `type` is a folder key of ComfyUI.
    `base_model` is as its writer spells it. `description` is plain text, or the Markdown of a Markdown file.
    `source_url` is a page of the web. `hashes` are claims about the model's file in lower-case hex, by
    `sha256`, `autov1`, `autov3`, `sha256_12`, `crc32`, `blake3`; where the sidecar tells of several files and
    does not show which of them is the model's, `other_sha256` are the SHA-256 of all; where several models
    share it, `other_hashes` are the claims about the files of the others. `cut` names the fields that were
    too long to be kept whole.
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
        """Whether it says nothing at all."""
        return not any(getattr(self, name) for name in self._fields if name not in ("kind", "cut"))


# --- A sidecar's word in the form in which a library keeps it, and back.


def packed(sidecar: Sidecar) -> str:
    """As JSON, without what it does not say."""
    said = {name: value for name, value in sidecar._asdict().items() if value not in ("", (), {}, None)}
    return json.dumps(said, ensure_ascii=True)


def unpacked(text: str) -> Sidecar:
    """The Sidecar that `packed` made this of; what another version kept beside it is passed over."""
    said: dict[str, Any] = json.loads(text)
    kept: dict[str, Any] = {
        name: tuple(value) if isinstance(value, list) else value
        for name, value in said.items()
        if name in Sidecar._fields
    }
    return Sidecar(**kept)
