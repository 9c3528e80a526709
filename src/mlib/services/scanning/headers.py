"""Read the headers of new files before anything is written, and keep what they say."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mlib.core import times
from mlib.core.content_record import content_of
from mlib.core.formats.header import pack
from mlib.core.inspection import inspect_file
from mlib.core.records import Problem
from mlib.db import contents, models
from mlib.services.deriving import judge_places

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlib.core.formats.header import Finding
    from mlib.core.inspection import Inspection
    from mlib.core.records import Content, KnownFile, Root
    from mlib.db.library import Library


@dataclass(frozen=True, slots=True)
class InspectedContent:
    """What one content was found to be, ready to be kept."""

    content: Content
    header: bytes | None
    findings: tuple[Finding, ...]


def inspect_files(
    library: Library,
    rows: Iterable[KnownFile],
    inspected: Mapping[str, Inspection],
    problems: list[Problem],
) -> dict[str, InspectedContent]:
    """What these contents are, by SHA-256: those just `inspected`, and those of which nothing is kept yet.

    A file that changed or went away meanwhile is left to the next scan.
    """
    looked: dict[str, InspectedContent] = {}
    for row in rows:
        if row.sha256 in looked:
            continue
        if row.sha256 in inspected:
            looked[row.sha256] = looked_at(row.sha256, inspected[row.sha256])
            continue
        if contents.get(library, row.sha256) is not None:
            continue
        inspection = inspected_now(row, problems)
        if inspection is not None:
            looked[row.sha256] = looked_at(row.sha256, inspection)
    return looked


def inspected_now(row: KnownFile, problems: list[Problem]) -> Inspection | None:
    """What a known file's header means; None if it is not what it was, or cannot be read.

    A reader that fails in a way that nobody foresaw is a problem, for it is a fault of ours.
    """
    try:
        inspection, status = inspect_file(row.path)
    except OSError:
        return None
    except Exception as error:  # noqa: BLE001 - it is told, and must not end a scan of all other files
        message = f"hashed, but its header could not be understood ({type(error).__name__}: {error})"
        problems.append(Problem(row.path, "not_inspected", message))
        return None
    return inspection if status == row.stat else None


def looked_at(sha256: str, inspection: Inspection) -> InspectedContent:
    """An inspection in the form in which it is kept."""
    return InspectedContent(content_of(sha256, inspection), pack(inspection.header), inspection.findings)


def keep(
    library: Library, rows: Sequence[KnownFile], looked: Mapping[str, InspectedContent], roots: Sequence[Root]
) -> list[tuple[str, Finding]]:
    """Keep what was found out and judge the places of these files; part of a transaction.

    What is wrong with content and places that this is news of, each with a path.
    """
    where = {row.sha256: row.path for row in reversed(rows)}
    found: list[tuple[str, Finding]] = []
    for each in looked.values():
        before = contents.get(library, each.content.sha256)
        known = {
            finding.code for path, finding in contents.findings(library, each.content.sha256) if path is None
        }
        contents.put(library, each.content, header=each.header, findings=each.findings)
        fill_base_model(library, each.content, before)
        found += [(where[each.content.sha256], f) for f in each.findings if f.code not in known]
    return found + judge_places(library, rows, roots)


def fill_base_model(library: Library, content: Content, before: Content | None) -> None:
    """A base model that nobody typed is what the header shows, and follows it when better rules see more."""
    model = models.get(library, content.sha256)
    if model is None or "base_model" in model.edited or model.base_model == content.base_model:
        return
    if model.base_model in ("", before.base_model if before else ""):
        changed = model._replace(base_model=content.base_model, updated_at=model.updated_at or times.now())
        models.put(library, [changed])
