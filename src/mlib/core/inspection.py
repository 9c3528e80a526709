"""What a model file is, from its header alone: format, kind, base model, use, and what is wrong with it."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple

from mlib.core.disk.compare import stat_of
from mlib.core.disk.storage import expect_file, open_for_reading
from mlib.core.formats.header import Finding, Header
from mlib.core.formats.reader import name_findings, read_header
from mlib.core.kinds.bases import UNKNOWN, belongs_in, is_misplaced, nouns
from mlib.core.kinds.claims import read_claims, reconcile
from mlib.core.kinds.rules import outline, remembered
from mlib.core.kinds.usage import Usage, WeightFigures, figures, how_to_use

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from mlib.core.formats.header import Tensor
    from mlib.core.kinds.rules import Verdict
    from mlib.core.records import Stat


#: Findings about a file's name and folder, which change when it moves.
PLACE_CODES = frozenset({"wrong_extension", "misplaced"})


class Inspection(NamedTuple):
    """What content is, whatever it is called. `base_model` is empty and `kind` unknown where nothing tells.

    `evidence` says why, a line each: what decided first, then what contradicts it.
    """

    header: Header
    kind: str
    base_model: str
    evidence: tuple[str, ...]
    usage: Usage

    @property
    def findings(self) -> tuple[Finding, ...]:
        """What is wrong with the content, wherever it lies."""
        return tuple(finding for finding in self.header.findings if finding.code not in PLACE_CODES)


def inspect_file(path: str) -> tuple[Inspection, Stat]:
    """Inspect the file at `path`, and its stat as it was meanwhile. Reads headers only. Raises OSError."""
    expect_file(os.stat(path), path)
    with open_for_reading(path) as file:
        status = os.fstat(file.fileno())
        expect_file(status, path)
        inspection = inspect(file, status.st_size, name=os.path.basename(path))
    return inspection, stat_of(status)


def inspect(file: BinaryIO, size: int, *, name: str) -> Inspection:
    """Inspect an open file of `size` bytes called `name`. Leaves the position anywhere. Raises OSError."""
    return conclude(read_header(file, size, name=name))


def conclude(header: Header) -> Inspection:
    """What a header, read now or kept from before, means. Never raises."""
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


@remembered
def _shown(tensors: Sequence[Tensor]) -> tuple[Verdict, WeightFigures]:
    """What the tensors alone tell."""
    from mlib.core.kinds.rules import classify  # and all the rules: what inspects nothing does without

    outlined = outline(tensors)
    return classify(outlined), figures(outlined)


def place_findings(format_: str, kind: str, *, name: str, folder_type: str | None) -> tuple[Finding, ...]:
    """What is wrong with the place of a file: its name, and the folder of this type that it lies in."""
    findings = list(name_findings(format_, name))
    if folder_type is not None and is_misplaced(kind, folder_type):
        types = sorted(belongs_in(kind))
        if format_ != "gguf":  # what is for those alone helps nobody else
            types = [each for each in types if not each.endswith("_gguf")]
        where = " or ".join(f"{each}/" for each in types)
        one, many = nouns(kind)
        message = f"this is {one}, but it is in {folder_type}/; ComfyUI loads {many} from {where}"
        findings.append(Finding("misplaced", message))
    return tuple(findings)
