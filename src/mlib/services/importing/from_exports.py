"""Import an export of mlib: each batch of lines is staged, imported and given its paths."""

from __future__ import annotations

import os
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from mlib.core import export_lines, times
from mlib.core.disk.walk import is_within
from mlib.core.errors import WrongUsage
from mlib.core.export_lines import BadLineError
from mlib.core.formats.header import Finding
from mlib.core.records import TAGS, TEXT_FIELDS, KnownFile, Model, Pending
from mlib.core.tag_spelling import distinct
from mlib.core.text import displayable
from mlib.db import contents, files, models, pending, roots, sidecars, tags
from mlib.db.exports import TooLong, lines_of, opened_export
from mlib.services.importing.importer import ConflictStrategy, ImportReport, import_pending
from mlib.services.importing.staging import PathMap, UnusableRow, map_record, map_root, merge_pending

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from mlib.core.export_lines import Exported, ExportedFacts, ExportedPlace
    from mlib.core.records import Root
    from mlib.db.library import Library


# --- Reading export lines in batches

#: Lines taken over in one transaction.
BATCH = 200


def first(numbered: Iterator[tuple[int, str | TooLong]]) -> str:
    """The first line; empty where there is none, or none that is text."""
    _, text = next(numbered, (1, ""))
    return text if isinstance(text, str) else ""


def usable(
    numbered: Iterable[tuple[int, str | TooLong]], expected: int | None, bad: list[UnusableRow]
) -> Iterator[Exported]:
    """What the lines say; those that cannot be used, and where some of the `expected` lack, go to `bad`."""
    lines = 0
    for number, text in numbered:
        lines += isinstance(text, TooLong) or bool(text.strip())
        if isinstance(text, TooLong):
            bad.append(UnusableRow("", "line_too_long", f"line {number}: {text.reason}"))
            continue
        if not text.strip():
            continue
        try:
            yield export_lines.exported_of(text)
        except BadLineError as error:
            bad.append(UnusableRow("", "bad_line", f"line {number}: {error.message}"))
    if lines < (expected or 0):
        message = f"the export ends after {lines:,} of {expected:,} records: make it, or copy it, again"
        bad.append(UnusableRow("", "cut_off", message))


def batches(every: Iterable[Exported]) -> Iterator[list[Exported]]:
    """So many at a time, but never one model twice: what a later line says of it is news to the earlier."""
    batch: list[Exported] = []
    known: set[str | None] = set()
    for exported in every:
        sha256 = None if isinstance(exported.record, Pending) else exported.record.sha256
        if len(batch) >= BATCH or (sha256 is not None and sha256 in known):
            yield batch
            batch, known = [], set()
        batch.append(exported)
        known.add(sha256)
    if batch:
        yield batch


@dataclass(slots=True)
class ExportReport:
    """What became of the models of an export, and what else it gave: pending imports (id, path), and roots
    where the library had none."""

    imported: ImportReport = field(default_factory=ImportReport)
    waiting: list[tuple[int, str]] = field(default_factory=list)
    roots: list[Root] = field(default_factory=list)
    bad: list[UnusableRow] = field(default_factory=list)
    backup: str | None = None


class _Staged(NamedTuple):
    """A line that is a pending import now; `is_alone` if nothing waited at its path before."""

    exported: Exported
    pending_id: int
    is_alone: bool


def import_export(
    library: Library,
    path: str,
    *,
    strategy: ConflictStrategy = ConflictStrategy.REPORT,
    moves: Sequence[PathMap] = (),
    keep_backup: bool = True,
) -> ExportReport:
    """Take over an export, or another library: models are imported, what waited there waits here.

    The paths it names are kept as places where the model was seen last, each with its beginning changed as
    `moves` says. With `ignore` models of this library stay as they are. Its roots are remembered by a
    library that has none. Each batch is one transaction. Twice is the same as once. A line that cannot be
    used is told and passed over; where lines are missing at the end, that is told too. Raises MlibError for
    a file that is no export, before the library is touched.
    """
    report = ExportReport()
    if os.path.exists(library.path) and os.path.samefile(path, library.path):
        raise WrongUsage("same_library", f"this is the library itself: {path}")
    with ExitStack() as stack:
        file = stack.enter_context(opened_export(path))
        numbered = lines_of(file)
        header = export_lines.header_of(first(numbered), path=path)
        if keep_backup and not models.is_empty(library):
            report.backup = library.backup("before-import")
        _take_roots(library, [map_root(root, moves) for root in header.roots], report)
        exported = usable(numbered, header.records, report.bad)
        for batch in batches(map_record(each, moves) for each in exported):
            _take_over(library, batch, strategy, path, report)
    return report


def check_export(path: str) -> None:
    """Raise MlibError for a file that is no export and no library that can be read."""
    with opened_export(path) as file:
        export_lines.header_of(first(lines_of(file)), path=path)


def _take_roots(library: Library, told: Sequence[Root], report: ExportReport) -> None:
    """A library that knows folders of its own keeps to them: another machine's would be offline for ever."""
    first: dict[str, Root] = {}
    for root in told:  # `moves` may have made one folder of two
        first.setdefault(root.path, root)
    with library.transaction():
        if told and not roots.all_roots(library):
            roots.remember(library, first.values())
            report.roots = roots.all_roots(library)


def _take_over(
    library: Library,
    batch: Sequence[Exported],
    strategy: ConflictStrategy,
    path: str,
    report: ExportReport,
) -> None:
    leave_known = strategy is ConflictStrategy.IGNORE
    with library.transaction():
        known = roots.all_roots(library)
        staged: dict[int, _Staged] = {}
        left: set[str | None] = set()
        for exported in batch:
            sha256 = exported.record.sha256
            if leave_known and sha256 is not None and models.get(library, sha256) is not None:
                left.add(sha256)
            else:
                _keep_facts(library, exported)
            if isinstance(exported.record, Pending):
                entry, _ = _put(library, exported.record, "", report)
                report.waiting.append((entry, exported.record.path))
                continue
            where = f"sha256 {exported.record.sha256[:10]}"
            pending_id, is_alone = _put(library, _entry(exported, source=path), where, report)
            staged[pending_id] = _Staged(exported, pending_id, is_alone)
        outcome = import_pending(library, list(staged), strategy=strategy, keep_backup=False)
        report.imported.add(outcome)
        now = times.now()  # the same for all, or their order would hang on the clock
        changes = {each.id: each.change for each in outcome.success if each.id is not None}
        for each in staged.values():
            model = each.exported.record
            assert isinstance(model, Model)
            if model.sha256 in left or models.get(library, model.sha256) is None:
                continue
            change = changes.get(each.pending_id)
            if change is not None:
                _complete(library, each.exported, is_new=change == "created" and each.is_alone)
            for place in each.exported.places:
                _keep_place(library, model.sha256, place, known, is_new=change == "created", now=now)


def _entry(exported: Exported, *, source: str) -> Pending:
    """A model as a pending import: what a person said of it, and the first place where it was seen."""
    model = exported.record
    assert isinstance(model, Model)
    from_sidecars = TAGS not in model.edited and any(TAGS in place.given for place in exported.places)
    return Pending(
        path=exported.places[0].path if exported.places else "",
        source=displayable(source),
        sha256=model.sha256,
        name=model.name,
        type=model.type,
        base_model=model.base_model,
        description=model.description,
        notes=model.notes,
        size_bytes=model.size_bytes,
        created_at=model.created_at,
        edited=model.edited.intersection(TEXT_FIELDS),
        meta_json=exported.meta_json,
        tags=() if from_sidecars else exported.tags,
    )


def _put(library: Library, entry: Pending, where: str, report: ExportReport) -> tuple[int, bool]:
    whole, differs = merge_pending(library, entry)
    pending_id = pending.put(library, whole)
    if differs:
        message = f"conflicts with the pending import at this path: {', '.join(differs)}"
        report.bad.append(UnusableRow(entry.path, "differs", f"{where}: {message}" if where else message))
    return pending_id, whole.id is None


def _keep_facts(library: Library, exported: Exported) -> None:
    """What the content says of itself, until a scan has read it: what is known here already stands."""
    sha256, facts = exported.record.sha256, exported.facts
    if sha256 is None:
        return
    if facts.content is not None and contents.get(library, sha256) is None:
        contents.put(library, facts.content, header=None, findings=_findings(facts))
    if facts.hashes is not None:
        known = contents.hashes_of(library, sha256)
        told = facts.hashes._asdict()
        lacking = {
            name: value for name, value in told.items() if value and not (known and getattr(known, name))
        }
        if lacking:
            contents.put_hashes(
                library, sha256, facts.hashes._replace(**dict.fromkeys(told.keys() - lacking))
            )


def _findings(facts: ExportedFacts) -> list[Finding]:
    return [Finding(code, message, serious) for code, message, serious in facts.findings]


def _complete(library: Library, exported: Exported, *, is_new: bool) -> None:
    """A new model is what the line says, times and all; one that was known gets what it has none of."""
    told = exported.record
    assert isinstance(told, Model)
    model = models.get(library, told.sha256)
    assert model is not None
    if TAGS not in model.edited and exported.tags and not tags.of_model(library, told.sha256):
        tags.set_of_model(library, told.sha256, distinct(exported.tags))  # those that sidecars gave there
    if is_new:
        models.put(library, [told])
        return
    lacking: dict[str, Any] = {
        name: getattr(told, name)
        for name in ("base_model", "description", "notes")
        if name not in model.edited and not getattr(model, name) and getattr(told, name)
    }
    if lacking:
        models.put(library, [model._replace(**lacking, updated_at=times.now())])


def _keep_place(
    library: Library, sha256: str, place: ExportedPlace, known: Sequence[Root], *, is_new: bool, now: int
) -> None:
    """Somebody's word for where the model lay: a file that is missing until a scan finds it."""
    here = next((row for row in files.at_path(library, place.path) if row.sha256 == sha256), None)
    if here is not None and not (is_new and here.hashed_at is None):
        return
    directory, name = os.path.split(place.path)
    row = KnownFile(
        directory=directory,
        name=name,
        sha256=sha256,
        root_id=_root_id(place, known),
        stat=None,
        xxh3=None,
        hashed_at=place.hashed_at,
        racy=True,
        missing_since=now if place.since is None else place.since,
    )
    files.put(library, [row])
    if place.given and not sidecars.filled_at(library, directory, name, sha256):
        sidecars.put_filled(library, directory, name, sha256, place.given)


def _root_id(place: ExportedPlace, known: Sequence[Root]) -> int | None:
    """The root it belonged to, if that is known here; else the innermost that holds its path."""
    if place.root is None:
        return None
    holding = [root for root in known if is_within(place.path, root.path)]
    named = [root for root in known if root.path == place.root]
    root = next(iter(named), None) or max(holding, key=lambda root: len(root.path), default=None)
    return None if root is None else root.id
