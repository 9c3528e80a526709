"""Tensors for tests, written short."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mlib.core.formats.header import Tensor
from mlib.core.kinds.rulebook import FILES
from mlib.core.kinds.rules import Verdict, classify, outline
from mlib.core.kinds.usage import Usage, figures, how_to_use

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

_HEADERS = Path(__file__).parents[2] / "data" / "headers"


@dataclass(frozen=True)
class Minimal:
    """The least that makes one rule hold, and what is to be answered."""

    rule: str
    kind: str
    bases: tuple[str, ...]
    tensors: tuple[Tensor, ...]
    undecided: bool = False


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
            undecided=row.get("undecided", False),
        )
        for name in FILES
        for row in json.loads((_HEADERS / "minimal" / f"{name}.json").read_text(encoding="utf-8"))
    ]


def minimal(rule: str) -> list[Tensor]:
    """The tensors of that rule's minimal header."""
    return next(list(header.tensors) for header in minimal_headers() if header.rule == rule)


def judged(found: Sequence[Tensor]) -> Verdict:
    """What these tensors say the file is."""
    return classify(outline(found))


def used(metadata: Mapping[str, str], found: Sequence[Tensor]) -> Usage:
    """How to use a file with this metadata and these tensors."""
    return how_to_use(metadata, figures(outline(found)))
