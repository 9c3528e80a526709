"""Inspect a model file by its header alone: format, kind, base model, usage, and findings."""

from __future__ import annotations

import functools
import os
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from mlib.core.disk.compare import stat_of
from mlib.core.disk.storage import expect_file, open_for_reading
from mlib.core.formats.header import Finding, Header
from mlib.core.formats.reader import name_findings, read_header
from mlib.core.kinds.bases import UNKNOWN, belongs_in, is_misplaced, nouns
from mlib.core.kinds.claims import read_claims, reconcile
from mlib.core.kinds.usage import Usage, WeightFigures, figures, how_to_use

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from typing import BinaryIO

    from mlib.core.formats.header import Tensor
    from mlib.core.kinds.rules import Verdict
    from mlib.core.records import Stat


#: Findings about a file's name and folder, which change when it moves.
PLACE_CODES = frozenset({"wrong_extension", "misplaced"})


class Inspection(NamedTuple):
    """What content is, independent of its name. If undetermined, `base_model` is "" and `kind` unknown.

    `evidence` gives the reasons, one per line: what decided, then what contradicts it.
    """

    header: Header
    kind: str
    base_model: str
    evidence: tuple[str, ...]
    usage: Usage

    @property
    def findings(self) -> tuple[Finding, ...]:
        """The findings about the content, wherever the file is."""
        return tuple(finding for finding in self.header.findings if finding.code not in PLACE_CODES)


def inspect_file(path: str) -> tuple[Inspection, Stat]:
    """Inspect the file at `path`; also return its stat at that time. Reads headers only. Raises OSError."""
    expect_file(os.stat(path), path)
    with open_for_reading(path) as file:
        status = os.fstat(file.fileno())
        expect_file(status, path)
        inspection = inspect(file, status.st_size, name=os.path.basename(path))
    return inspection, stat_of(status)


def inspect(file: BinaryIO, size: int, *, name: str) -> Inspection:
    """Inspect an open file of `size` bytes called `name`. Leaves the position undefined. Raises OSError."""
    return conclude(read_header(file, size, name=name))


def conclude(header: Header) -> Inspection:
    """Classify a header, read now or stored earlier. Never raises."""
    verdict, known = _shown(header.tensors)
    testimony = read_claims(header.metadata)
    conclusion = reconcile(verdict, testimony)
    evidence = [verdict.evidence] if verdict.evidence else []
    if verdict.kind == UNKNOWN or not verdict.bases:
        evidence += [f"{said.key} says {said.value}" for said in testimony.statements]
    return Inspection(
        header=header,
        kind=conclusion.kind,
        base_model=conclusion.base,
        evidence=(*evidence, *conclusion.disagreements),
        usage=how_to_use(header.metadata, known),
    )


# --- Remembering what the tensors decide: many files of one trainer have the same ones.

Result = TypeVar("Result")

#: So many layouts are remembered, each of so many tensors at most.
_LAYOUTS = 16
_MAX_TENSORS = 5_000


def remembered(judge: Callable[[Sequence[Tensor]], Result]) -> Callable[[Sequence[Tensor]], Result]:
    """`judge`, answering from memory for the last few sequences of tensors it was asked about."""
    from_memory = functools.lru_cache(maxsize=_LAYOUTS)(judge)

    @functools.wraps(judge)
    def answer(tensors: Sequence[Tensor]) -> Result:
        return judge(tensors) if len(tensors) > _MAX_TENSORS else from_memory(tuple(tensors))

    return answer


@remembered
def _shown(tensors: Sequence[Tensor]) -> tuple[Verdict, WeightFigures]:
    """Classify by the tensors alone."""
    from mlib.core.kinds.rules import (
        classify,
        outline,  # deferred: loads all the rules
    )

    outlined = outline(tensors)
    return classify(outlined), figures(outlined)


def place_findings(format_: str, kind: str, *, name: str, folder_type: str | None) -> tuple[Finding, ...]:
    """The findings about a file's place: its name, and the type of the folder it is in."""
    findings = list(name_findings(format_, name))
    if folder_type is not None and is_misplaced(kind, folder_type):
        types = sorted(belongs_in(kind))
        if format_ != "gguf":  # these folders only load GGUF
            types = [each for each in types if not each.endswith("_gguf")]
        where = " or ".join(f"{each}/" for each in types)
        one, many = nouns(kind)
        message = f"this is {one}, but it is in {folder_type}/; ComfyUI loads {many} from {where}"
        findings.append(Finding("misplaced", message))
    return tuple(findings)
