"""The fields a query can ask for, and how each compares."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Mapping

#: `part`: a piece of the text will do; `whole`: all of it; `digits`: its beginning; the rest are amounts
#: and yes or no.
Kind: TypeAlias = Literal["part", "whole", "digits", "flag", "size", "moment", "count"]

FIELDS: Mapping[str, Kind] = MappingProxyType(
    {
        "type": "whole",
        "base": "part",
        "tag": "whole",
        "format": "whole",
        "kind": "whole",
        "path": "part",
        "root": "part",
        "name": "part",
        "notes": "part",
        "trigger": "part",
        "sha": "digits",
        "finding": "whole",
        "missing": "flag",
        "pending": "flag",
        "files": "count",
        "size": "size",
        "added": "moment",
        "updated": "moment",
    }
)

#: As `show --json` and its options spell them.
ALIASES: Mapping[str, str] = MappingProxyType(
    {
        "base_model": "base",
        "base-model": "base",
        "tags": "tag",
        "sha256": "sha",
        "findings": "finding",
        "size_bytes": "size",
        "created_at": "added",
        "updated_at": "updated",
        "trigger_words": "trigger",
    }
)
