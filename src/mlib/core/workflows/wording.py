"""Models that a prompt names in its text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from mlib.core.workflows.need import Need, is_model_value, plain_name

if TYPE_CHECKING:
    from collections.abc import Iterator

#: `embedding:NAME` up to a space, comma, weight or bracket, as ComfyUI's tokenizer takes it (sd1_clip.py).
#: In other letters it is no embedding to it.
_EMBEDDING = re.compile(r"(?<![\w-])embedding:([^\s,:()\[\]{}<>|\"]{1,1024})")
#: `<lora:NAME:WEIGHT>`, as A1111 writes it and several node packs read it; Impact's may have the weight of
#: every block behind it (`LBW=…`).
_LORA = re.compile(r"<(?:lora|lyco):([^<>:\n]{1,1024})(?::[^<>]{0,1024})?>", re.IGNORECASE)


def named_in_text(text: str, *, with_loras: bool) -> Iterator[Need]:
    """The embeddings that a text names, and the LoRAs where the node reads such tags."""
    if "embedding:" in text:
        for match in _EMBEDDING.finditer(text):
            yield _need(match[1].rstrip(".;!?"), "embeddings")
    if with_loras and "<l" in text.lower():
        for match in _LORA.finditer(text):
            yield _need(match[1].strip(), "loras")


def _need(name: str, kind: str) -> Need:
    # ComfyUI looks for an embedding in every subfolder (sd1_clip.py `load_embed`); LoRA tags are looked up by
    # the end of the name (Impact's wildcards.py `resolve_lora_name`, rgthree's and LoRA Manager's).
    return Need(plain_name(name), kind, form="file" if is_model_value(name) else "stem", by_end=True)
