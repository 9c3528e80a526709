"""What web UIs keep beside a model: A1111's `.json`, what others write under that name, SwarmUI's.

Sources: AUTOMATIC1111's web UI, modules/ui_extra_networks_user_metadata.py; SD.Next,
modules/civitai/download_civitai.py; SwarmUI, src/Text2Image/T2IModel.cs (ToNetObject); Stability AI's
ModelSpec 1.0.1.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from mlib.core.kinds.witness import testify
from mlib.core.sidecars import hashes, values
from mlib.core.sidecars.record import Sidecar, SidecarError
from mlib.core.sidecars.values import Cuts, text_of

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from mlib.core.jsontext import Json

_A1111_KEYS = frozenset(("sd version", "activation text", "preferred weight", "negative text"))
#: What A1111 writes of checkpoints and embeddings; other programs seldom write both.
_COMMON_KEYS = ("description", "notes")
#: What of Civitai's answer for a version no configuration has; besides that it names its model or its files.
_VERSION_KEYS = frozenset(("modelId", "baseModel", "trainedWords"))
_MODELSPEC = "modelspec."
#: What SwarmUI wrote before it put `modelspec.` before its keys.
_SWARM_KEYS = frozenset(("trigger_phrase", "usage_hint", "standard_width", "is_negative_embedding"))
#: Only there is what SwarmUI calls the hash of a model that of its tensors.
_WITH_HEADER = (".safetensors", ".sft")


def plain_json(document: Mapping[str, Json], *, model_name: str, digests: Collection[str]) -> Sidecar:
    """What a file says that is called like the model and ends in `.json`: its fields tell whose it is.

    Raises SidecarError `wrong_kind` for the file of another program: any configuration may have such a name.
    """
    from mlib.core.sidecars import civitai

    if isinstance(document.get("modelVersions"), list):
        return civitai.civitai_model(document, model_name=model_name, digests=digests)
    common = all(isinstance(document.get(key), str) for key in _COMMON_KEYS)
    if common or not _A1111_KEYS.isdisjoint(document):
        return _a1111_json(document)
    if any(key.startswith(_MODELSPEC) for key in document) or document.keys() >= _SWARM_KEYS:
        return swarm_json(document, model_name=model_name)
    if not _VERSION_KEYS.isdisjoint(document) and (
        isinstance(document.get("model"), dict) or isinstance(document.get("files"), list)
    ):
        return civitai.civitai_info(document, model_name=model_name)
    raise SidecarError("wrong_kind", "it has the fields of none of the programs that keep such files")


def _a1111_json(document: Mapping[str, Json]) -> Sidecar:
    """What was typed of a model in A1111 or Forge."""
    cuts = Cuts()
    words = values.split_at_commas(document.get("activation text"), "trigger_words", cuts)
    return Sidecar(
        kind="a1111_json",
        base_model=values.base_model(document.get("sd version"), cuts=cuts),
        trigger_words=values.trigger_words(words, "trigger_words", cuts),
        description=values.paragraphs(
            document.get("description"), "description", cuts, most=values.MAX_DESCRIPTION
        ),
        notes=values.paragraphs(document.get("notes"), "notes", cuts, most=values.MAX_NOTE),
        negative_text=values.plain(
            document.get("negative text"), "negative_text", cuts, most=values.MAX_NOTE
        ),
        preferred_weight=values.weight(document.get("preferred weight")),
        cut=tuple(cuts),
    )


def swarm_json(document: Mapping[str, Json], *, model_name: str) -> Sidecar:
    """SwarmUI's file: what was typed in its editor, in the words of ModelSpec.

    Its title may be the file's name. Its architecture is taken for a base model where that is one we know;
    its hash is that of the tensors.
    """
    cuts = Cuts()

    def said(key: str) -> Json:
        return document.get(_MODELSPEC + key, document.get(key))

    words = values.split_at_commas(said("trigger_phrase"), "trigger_words", cuts)
    architecture = text_of(said("architecture"))
    bases = (each.base for each in testify({"modelspec.architecture": architecture}).statements)
    digest = text_of(said("hash_sha256")).removeprefix("0x")
    is_of_tensors = os.path.splitext(model_name.lower())[1] in _WITH_HEADER
    return Sidecar(
        kind="swarm_json",
        name=values.line(said("title"), "name", cuts),
        base_model=next((base for base in bases if base), ""),
        trigger_words=values.trigger_words(words, "trigger_words", cuts),
        description=values.paragraphs(said("description"), "description", cuts, most=values.MAX_DESCRIPTION),
        tags=values.tag_names(values.listed(said("tags")), "tags", cuts),
        notes=values.plain(said("usage_hint"), "notes", cuts, most=values.MAX_NOTE),
        author=values.line(said("author"), "author", cuts),
        hashes=hashes.claimed({"autov3": digest[:12]}) if is_of_tensors and len(digest) == 64 else {},
        cut=tuple(cuts),
    )
