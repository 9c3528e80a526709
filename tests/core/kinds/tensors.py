"""Tensors for tests, written short."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from mlib.core.formats.header import Tensor

_HEADERS = Path(__file__).parents[2] / "data" / "minimal_headers.json"


@dataclass(frozen=True)
class Minimal:
    """The least that makes one rule hold, and what is to be answered."""

    rule: str
    kind: str
    bases: tuple[str, ...]
    tensors: tuple[Tensor, ...]


def tensors(*names: str) -> list[Tensor]:
    """Small tensors of these names; a name may carry its shape after a space: `img_in.weight 3072,64`."""
    made = []
    for text in names:
        name, _, shape = text.partition(" ")
        made.append(Tensor(name, "F16", tuple(int(length) for length in (shape or "8,8").split(","))))
    return made


def minimal_headers() -> list[Minimal]:
    return [
        Minimal(
            rule=row["rule"],
            kind=row["kind"],
            bases=tuple(row["bases"]),
            tensors=tuple(Tensor(name, "F16", tuple(shape)) for name, shape in row["tensors"].items()),
        )
        for row in json.loads(_HEADERS.read_text(encoding="utf-8"))
    ]


def minimal(rule: str) -> list[Tensor]:
    """The tensors of that rule's minimal header."""
    return next(list(header.tensors) for header in minimal_headers() if header.rule == rule)
