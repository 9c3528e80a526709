"""The `.json` that AUTOMATIC1111's web UI and Forge keep beside a model for what a person typed of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mlib.core.sidecars import values
from mlib.core.sidecars.record import Sidecar, SidecarError
from mlib.core.sidecars.values import Cuts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from mlib.core.jsontext import Json

_OWN_KEYS = frozenset(("sd version", "activation text", "preferred weight", "negative text"))
#: What it writes of checkpoints and embeddings; other programs seldom write both.
_COMMON_KEYS = ("description", "notes")


def a1111_json(document: Mapping[str, Json]) -> Sidecar:
    """What was typed of a model.

    Raises SidecarError `wrong_kind` for the file of another program: any configuration may have such a name.
    """
    common = all(isinstance(document.get(key), str) for key in _COMMON_KEYS)
    if not common and _OWN_KEYS.isdisjoint(document):
        raise SidecarError("wrong_kind", "it has none of the fields that A1111 writes")
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
