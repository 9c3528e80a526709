"""What `--json` prints: every report and record as a document, for each face the same.

Pure functions: no library is asked and nothing on the disk is looked at. Keys are a contract; they are only
ever added. The module is loaded only where a document is asked for.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Protocol

from mlib.core import jsontext, meta, times
from mlib.core.errors import NotFound, WrongUsage
from mlib.core.text import visible

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from mlib.core.content_record import About
    from mlib.core.errors import MlibError
    from mlib.core.formats.header import Finding
    from mlib.core.records import KnownFile, Root
    from mlib.core.sidecars.record import Sidecar
    from mlib.db.list_rows import Listed
    from mlib.db.restoring import Backup
    from mlib.db.statistics import RootTotals, Totals
    from mlib.db.tags import TagCount
    from mlib.services.backing_up import RestoreReport
    from mlib.services.cleaning import CleanReport
    from mlib.services.counting import Counted
    from mlib.services.describing import Detail, FilePlace
    from mlib.services.diagnosing import Diagnosis
    from mlib.services.exporting import ExportCount, SidecarExport
    from mlib.services.files.duplicating import Action, CopyGroup, DuplicatesReport
    from mlib.services.files.extra_hashes import DigestReport
    from mlib.services.files.moving import MoveReport
    from mlib.services.files.trashing import Removed, TrashedBefore, TrashReport
    from mlib.services.files.verifying import VerifyReport
    from mlib.services.forgetting import ForgetReport, ForgottenModel, Missing
    from mlib.services.history.log_entries import DescribedEntry, FieldChange
    from mlib.services.history.undo import UndoReport
    from mlib.services.importing.importer import ImportReport, UserData, WaitReason
    from mlib.services.inspecting import Inspected
    from mlib.services.listing import Located
    from mlib.services.root_registry import AddReport, RemoveReport, RootReport
    from mlib.services.scanning.request import ScanReport
    from mlib.services.tagging import TagReport
    from mlib.services.updating import UpdateReport
    from mlib.services.workflows.checking import CheckReport, NeedAnswer
    from mlib.services.workflows.unused import UnusedReport

Document = dict[str, Any]


# --- Problems and errors


class _Problem(Protocol):
    """Whatever says of a path what went wrong there."""

    @property
    def path(self) -> str | None: ...
    @property
    def code(self) -> str: ...
    @property
    def message(self) -> str: ...


def problem_document(problem: _Problem) -> Document:
    """What went wrong with which file."""
    return {"path": problem.path, "code": problem.code, "message": problem.message}


def finding_document(finding: Finding) -> Document:
    """What the owner of a file should know."""
    return {"code": finding.code, "message": finding.message, "serious": finding.serious}


def failure_document(error: MlibError, hint: str | None) -> Document:
    """An error that stopped the command, with its hint in the words of the face."""
    return {"error": _error(error, hint)}


def _error(error: MlibError, hint: str | None) -> Document:
    return {"code": error.code, "message": error.message, "hint": hint}


# --- Models and files: `show`, `inspect`, `list`


def model_document(detail: Detail) -> Document:
    """The object of `show --json`."""
    model, entry = detail.model, detail.pending
    document: Document = {
        "sha256": model.sha256 or None,
        "name": model.name,
        "type": model.type,
        "base_model": model.base_model,
        "size_bytes": model.size_bytes,
        "description": model.description,
        "notes": model.notes,
        "tags": list(detail.tags),
        "present": detail.present,
        "created_at": times.iso(model.created_at),
        "updated_at": times.iso(model.updated_at),
        "files": [_file(place.file, place.loader_name, offline=place.offline) for place in detail.places],
        "hashes": detail.hashes_by_name,
        "meta": jsontext.Raw(detail.meta_json or "{}"),
        "edited": sorted(model.edited),
        "pending": entry is not None,
        **_about(detail.about(with_header=True)),
        "same_weights": [
            {"sha256": other.sha256, "name": other.name, "path": other.path} for other in detail.same_weights
        ],
        "companions": list(detail.companions),
        "silent_sidecars": list(detail.silent),
        "sets": [
            {
                "kind": each.kind,
                "name": each.name,
                "parts": list(each.parts),
                "missing": list(each.missing),
                "listed_by": list(each.listed_by),
            }
            for each in detail.sets
        ],
    }
    if entry is not None:
        document |= {
            "id": entry.id,
            "path": entry.path,
            "source": entry.source,
            "claimed_hash": entry.claimed_hash,
        }
    return document


def field_document(detail: Detail, name: str) -> Any:
    """One field as the document of a model has it, or made of that (`show --field`).

    Raises WrongUsage for a field that does not exist, NotFound for the path of a model that is nowhere now.
    """
    name = name.strip().replace("-", "_")
    if name.startswith("meta."):
        return _meta_value(detail, name.removeprefix("meta."))
    there = [place for place in detail.places if place.is_there]
    if name == "paths":
        return [place.file.path for place in there]
    if name in ("path", "loader_name"):
        return _path_value(detail, there, name)
    document = model_document(detail)
    values = {**document, **document["hashes"]}
    if name in values:
        return values[name]
    fields = ", ".join([*document, "path", "paths", "loader_name", "meta.KEY", *document["hashes"]])
    raise WrongUsage("unknown_field", f"unknown field '{name}'", hint=f"fields: {fields}")


def _path_value(detail: Detail, there: list[FilePlace], name: str) -> str:
    if there:
        return there[0].file.path if name == "path" else there[0].loader_name or ""
    if detail.pending is not None and name == "path":
        return detail.pending.path
    if detail.offline:
        raise NotFound(
            "no_file",
            f"no file of the model is present now: {visible(detail.model.name)}",
            hint=f"is a drive off? it was last seen at {visible(detail.places[0].file.path)}",
        )
    raise NotFound("no_file", f"no file of the model is present: {visible(detail.model.name)}")


def _meta_value(detail: Detail, key: str) -> Any:
    document = jsontext.parse(detail.meta_json or "{}")
    try:
        return meta.read(document if isinstance(document, dict) else {}, key)
    except KeyError:
        raise NotFound("no_such_key", f"the metadata has no '{key}'") from None


def update_document(report: UpdateReport, *, dry_run: bool) -> Document:
    """What `update` changed, with each model (`report.details`) as it is then."""
    return {
        "updated": len(report.updated),
        "unchanged": len(report.unchanged),
        "models": [
            {**model_document(detail), "changed": list(report.updated.get(target, ()))}
            for target, detail in report.details.items()
        ],
        "dry_run": dry_run,
    }


def list_document(found: Iterable[tuple[Listed, Sequence[Located]]]) -> list[jsontext.Raw]:
    """The list of `list --json`: each model as text at once, so that it can be very long."""
    return [jsontext.Raw(jsontext.dump(listed_document(row, files))) for row, files in found]


def listed_document(row: Listed, files: Sequence[Located]) -> Document:
    """An object of `list --json`: the keys of `show --json` that cost little, and no free metadata."""
    document: Document = {
        "sha256": row.sha256,
        "name": row.name,
        "type": row.type,
        "base_model": row.base_model,
        "size_bytes": row.size_bytes,
        "description": row.description,
        "notes": row.notes,
        "tags": list(row.tags),
        "present": any(file.missing_since is None for file in row.files),
        "created_at": times.iso(row.created_at),
        "updated_at": times.iso(row.updated_at),
        "files": [_file(each.file, each.loader_name, offline=each.offline) for each in files],
        "pending": row.pending_id is not None,
        "kind": row.kind or None,
        "format": row.format or None,
        "trigger_words": list(row.trigger_words),
        "findings": list(row.findings),
    }
    return document if row.pending_id is None else {**document, "id": row.pending_id}


def inspected_document(found: Inspected) -> Document:
    """The object of `inspect --json`."""
    return {
        "path": found.path,
        "size_bytes": found.size_bytes,
        "base_model": found.inspection.base_model,
        **_about(found.about),
        "companions": list(found.companions),
        "silent_sidecars": list(found.silent),
        "unread": [{"path": path, "message": message} for path, message in found.unread],
    }


def unreadable_document(path: str, error: MlibError, hint: str | None) -> Document:
    """What stands in the place of a file that could not be inspected."""
    return {"path": os.path.abspath(path), "error": _error(error, hint)}


def _file(file: KnownFile, loader_name: str | None, *, offline: bool) -> Document:
    """`present` is what scans have found, `offline` that it is not there now all the same."""
    return {
        "path": file.path,
        "loader_name": loader_name,
        "present": file.missing_since is None,
        "offline": offline,
        "missing_since": times.iso(file.missing_since),
        "size_bytes": file.stat.size_bytes if file.stat else None,
        "mtime": times.iso(file.stat.mtime_ns // 1_000_000) if file.stat else None,
    }


def _about(about: About | None) -> Document:
    """The keys that tell of content; unknown is null or empty."""
    if about is None:
        empty: Document = {"kind": None, "kind_evidence": [], "format": None, "trigger_words": []}
        return {**empty, "findings": [], "header": {}, "sidecars": []}
    return {
        "kind": about.kind,
        "kind_evidence": list(about.evidence),
        "format": about.format,
        "trigger_words": list(about.usage.trigger_words),
        "findings": [{**finding_document(finding), "path": path} for path, finding in about.findings],
        "header": _header(about),
        "sidecars": [_sidecar(sidecar) for sidecar in about.sidecars],
    }


def _header(about: About) -> Document:
    usage = about.usage
    document: Document = {
        "base_model": about.base_model,
        "title": usage.title,
        "author": usage.author,
        "license": usage.license,
        "resolution": usage.resolution,
        "rank": usage.rank,
        "alpha": usage.alpha,
        "precision": usage.precision,
        "parameters": usage.parameters,
        "dtypes": dict(usage.dtypes),
        "frequent_tags": dict(usage.frequent_tags),
        "trained_on": {
            "name": usage.trained_on,
            "sha256": usage.trained_on_sha256 or None,
            "hash": usage.trained_on_hash or None,
            "model": dict(about.trained_on) or None,
        },
    }
    if about.header is not None:
        document["tensors"] = len(about.header.tensors)
        document["details"] = dict(about.header.details)
        document["metadata"] = (
            dict(about.header.metadata) if about.is_kept else _without_images(about.header.metadata)
        )
    return document


def _without_images(metadata: Mapping[str, str]) -> jsontext.Raw:
    from mlib.core.payloads import strip_images

    return jsontext.Raw(strip_images(jsontext.dump(dict(metadata))).text)


def _sidecar(sidecar: Sidecar) -> Document:
    """All of it, but for what was not said."""
    document: Document = {
        "kind": sidecar.kind,
        "name": sidecar.name,
        "version": sidecar.version,
        "type": sidecar.type,
        "base_model": sidecar.base_model,
        "trigger_words": list(sidecar.trigger_words),
        "description": sidecar.description,
        "tags": list(sidecar.tags),
        "notes": sidecar.notes,
        "negative_text": sidecar.negative_text,
        "preferred_weight": sidecar.preferred_weight,
        "author": sidecar.author,
        "source_url": sidecar.source_url,
        "hashes": dict(sidecar.hashes),
    }
    return {key: value for key, value in document.items() if value not in ("", [], {}, None)}


# --- Reports of scans and imports


def scan_document(report: ScanReport, *, dry_run: bool) -> Document:
    """What a scan found."""
    counts = {name: report.counts[name] for name in ("unchanged", "added", "moved", "copied", "replaced")}
    return {
        "scanned": report.scanned,
        **counts,
        "missing": report.missing,
        "restored": report.counts["restored"],
        "pending": report.pending,
        "pending_ids": report.pending_ids,
        "skipped": len(report.skipped),
        "hashed_bytes": report.hashed_bytes,
        "seconds": round(report.seconds, 3),
        "offline_roots": report.offline_roots,
        "problems": [problem_document(problem) for problem in report.problems],
        "guarded_roots": report.guarded_roots,
        "skipped_files": [problem_document(problem) for problem in report.skipped],
        "passed_over": report.passed_over,
        "conflicts": report.conflicts,
        "findings": [{"path": path, **finding_document(finding)} for path, finding in report.findings],
        "silent_sidecars": report.silent,
        "interrupted": report.interrupted is not None,
        "dry_run": dry_run,
    }


def import_document(report: ImportReport, *, dry_run: bool) -> Document:
    """What became of each pending import."""
    return {
        "total": report.total,
        "success": [{"id": e.id, "sha256": e.sha256, "change": e.change} for e in report.success],
        "conflict": [
            {
                "id": e.id,
                "sha256": e.sha256,
                "path": e.path,
                "pending": _user_data(e.pending),
                "existing": _user_data(e.existing),
                "differs": list(e.differs),
            }
            for e in report.conflict
        ],
        "ignored": list(report.ignored),
        "deleted": list(report.deleted),
        "failed": [{"id": e.id, **problem_document(e)} for e in report.failed],
        "waiting": [{"id": e.id, "path": e.path} for e in report.waiting],
        "backup": report.backup,
        "dry_run": dry_run,
    }


def _user_data(data: UserData) -> Document:
    return {**data.text, "tags": list(data.tags.values()), "meta": dict(data.meta)}


def pending_document(wait: WaitReason) -> Document:
    """A pending import, and why it waits."""
    entry = wait.entry
    return {
        "id": entry.id,
        "path": entry.path,
        "name": entry.name,
        "type": entry.type,
        "source": entry.source,
        "sha256": entry.sha256,
        "size_bytes": entry.size_bytes,
        "created_at": times.iso(entry.created_at),
        "reason": str(wait.reason),
        "model": wait.model,
        "differs": list(wait.differs),
    }


# --- Roots, tags, statistics


def root_document(found: RootReport) -> Document:
    """A folder that is scanned, and what is known in it."""
    return {
        **_root(found.root),
        "state": found.standing,
        "files": found.holding.files,
        "models": found.holding.models,
        "size_bytes": found.holding.size_bytes,
        "missing": found.holding.missing,
        "last_seen": times.iso(found.holding.seen_at),
    }


def roots_added_document(report: AddReport, *, dry_run: bool) -> Document:
    """The folders that `roots add` remembered."""
    return {
        "added": [_root(root) for root in report.added],
        "known": [_root(root) for root in report.known],
        "problems": [problem_document(problem) for problem in report.problems],
        "dry_run": dry_run,
    }


def root_removed_document(report: RemoveReport, *, dry_run: bool) -> Document:
    """The folder that `roots remove` no longer scans."""
    return {
        "removed": _root(report.root),
        "missing": report.missing,
        "elsewhere": report.elsewhere,
        "dry_run": dry_run,
    }


def _root(root: Root) -> Document:
    return {"id": root.id, "type": root.type, "path": root.path, "origin": root.origin}


def tag_document(tag: TagCount) -> Document:
    """A tag, and how many bear it."""
    return {"tag": tag.name, "models": tag.models, "pending": tag.pending}


def tag_changed_document(report: TagReport, *, dry_run: bool) -> Document:
    """What `tags rename` and `tags delete` did."""
    return {**report._asdict(), "dry_run": dry_run}


def stats_document(counted: Counted) -> Document:
    """Models, files and bytes, added up."""
    tags: list[Document] = [{"tag": name, "models": models} for name, models in counted.tags]
    if counted.tags_in_full is not None:
        tags = [{"tag": name, **_figures(figures)} for name, figures in counted.tags_in_full.items()]
    return {
        "total": {**_figures(counted.total), "pending": counted.pending},
        "types": [{"type": name, **_figures(figures)} for name, figures in counted.types.items()],
        "base_models": [
            {"base_model": name, **_figures(figures)} for name, figures in counted.base_models.items()
        ],
        "tags": tags,
        "roots": [_root_figures(root, counted) for root in counted.roots],
        "findings": [
            {"code": code, "models": models, "serious": serious} for code, models, serious in counted.findings
        ],
    }


def _root_figures(root: RootTotals, counted: Counted) -> Document:
    full = {} if counted.roots_in_full is None else _figures(counted.roots_in_full[root.id])
    told = {"files": root.files, "bytes": root.size_bytes, "missing": root.missing}
    return {"path": root.path, "type": root.type, **full, **told}


def _figures(figures: Totals) -> dict[str, int]:
    return {
        "models": figures.models,
        "files": figures.files,
        "bytes": figures.size_bytes,
        "unique_bytes": figures.unique_bytes,
        "duplicates": figures.duplicates,
        "freeable_bytes": figures.freeable_bytes,
        "missing": figures.missing,
        "findings": figures.findings,
    }


# --- Files: hash, verify, duplicates, move, trash


def hash_document(report: DigestReport) -> Document:
    """Every hash of each file."""
    return {
        "hashed": [{"path": digest.path, **digest.by_name} for digest in report.digests],
        "problems": [problem_document(problem) for problem in report.problems],
    }


def verify_document(report: VerifyReport, *, deep: bool, dry_run: bool) -> Document:
    """What was checked, and a list for each state in which a file may be found."""
    lists: Document = {
        str(state): [{"sha256": each.sha256, "path": each.path, "message": each.message} for each in found]
        for state, found in report.by_state.items()
    }
    return {
        "checked": report.checked,
        "ok": report.ok,
        **lists,
        "skipped": report.skipped,
        "offline_roots": sorted(report.offline),
        "offline_files": report.offline.total(),
        "bytes_read": report.bytes_read,
        "seconds": round(report.seconds, 3),
        "deep": deep,
        "dry_run": dry_run,
        "interrupted": report.interrupted is not None,
    }


def duplicates_document(
    report: DuplicatesReport, action: Action | None, *, dry_run: bool, same_weights: bool
) -> Document:
    """Models stored more than once, and what was done with the copies."""
    return {
        "groups": [_group(group, "autov3" if same_weights else "sha256") for group in report.groups],
        "freeable_bytes": sum(group.freeable_bytes for group in report.groups),
        "action": action,
        "done": [
            {"path": copy.row.path, "sha256": copy.row.sha256, "to": target} for copy, target in report.done
        ],
        "left_alone": [group.key for group in report.left_alone],
        "needed": [
            {"path": each.copy.row.path, "sha256": each.copy.row.sha256, "reason": each.reason}
            for each in report.needed
        ],
        "failed": [problem_document(problem) for problem in report.failed],
        "freed_bytes": report.freed_bytes,
        "dangling_links": report.links,
        "left_folders": report.folders,
        "dry_run": dry_run,
    }


def _group(group: CopyGroup, key: str) -> Document:
    return {
        key: group.key,
        "name": group.name,
        "size_bytes": max(copy.stat.size_bytes for copy in group.copies),
        "freeable_bytes": group.freeable_bytes,
        "perhaps_one_file": list(group.perhaps_one),
        "files": [
            {
                "path": copy.row.path,
                "sha256": copy.row.sha256,
                "size_bytes": copy.stat.size_bytes,
                "mtime": times.iso(copy.stat.mtime_ns // 1_000_000),
                "device": copy.stat.device,
                "inode": copy.stat.inode,
                "links": copy.links,
            }
            for copy in group.copies
        ],
    }


def move_document(report: MoveReport, *, dry_run: bool) -> Document:
    """The files that `mv` and `rename` moved."""
    return {
        "moved": [
            {
                "sha256": each.sha256,
                "path": each.place.path,
                "moves": [{"from": source, "to": target} for source, target in each.moves],
                "left": list(each.shared),
                "left_folders": list(each.folders),
                "in_root": each.place.root is not None,
                "dangling_links": list(each.links),
            }
            for each in report.moved
        ],
        "failed": [problem_document(problem) for problem in report.failed],
        "copied_bytes": report.copied_bytes,
        "perhaps_not_exclusive": report.unproven,
        "dry_run": dry_run,
    }


def trash_document(report: TrashReport, before: Sequence[TrashedBefore], *, dry_run: bool) -> Document:
    """The files that went to the trash, and those that were there already."""
    return {
        "trashed": [_removed(each) for each in report.removed],
        "failed": [problem_document(problem) for problem in report.failed],
        "already_trashed": [
            {"sha256": each.sha256, "path": each.path, "trashed_to": each.target} for each in before
        ],
        "size_bytes": sum(each.size_bytes for each in report.removed),
        "dry_run": dry_run,
    }


def _removed(removed: Removed) -> Document:
    return {
        "sha256": removed.row.sha256,
        "path": removed.row.path,
        "trashed_to": removed.target,
        "size_bytes": removed.size_bytes,
        "companions": [{"path": each.source, "trashed_to": each.target} for each in removed.companions],
        "left": list(removed.shared),
        "left_folders": list(removed.folders),
        "dangling_links": list(removed.links),
        "bytes_at": removed.bytes_at,
    }


# --- Missing and forgotten models


def missing_document(found: Missing) -> Document:
    """A model without a file, and where it lay."""
    model = found.model
    return {
        "sha256": model.sha256,
        "name": model.name,
        "type": model.type,
        "size_bytes": model.size_bytes,
        "missing_since": times.iso(model.since),
        "path": model.places[0].path if model.places else None,
        "paths": [place.path for place in model.places],
        "offline": found.offline,
    }


def forget_document(report: ForgetReport, *, dry_run: bool) -> Document:
    """What `forget` and `prune` forgot."""
    return {
        "forgotten": [_forgotten(each) for each in report.forgotten],
        "kept_offline": report.kept_offline,
        "backup": report.backup,
        "dry_run": dry_run,
    }


def _forgotten(each: ForgottenModel) -> Document:
    about = {"sha256": each.sha256} if each.sha256 is not None else {"pending_id": each.pending_id}
    return {
        **about,
        "name": each.name,
        "missing_since": times.iso(each.missing_since),
        "present": bool(each.paths),
    }


# --- Workflows


def workflow_document(report: CheckReport) -> Document:
    """What workflows need, and what of it is there."""
    return {
        "files": [
            {
                "path": file.path,
                "needs": [_need(answer) for answer in file.answers],
                "left_out": file.left_out,
                "problem": None
                if file.problem is None
                else {"code": file.problem.code, "message": file.problem.message},
            }
            for file in report.files
        ],
        **{str(state): count for state, count in report.counts.items()},
    }


def _need(answer: NeedAnswer) -> Document:
    need, places = answer.need, answer.match.places
    return {
        "name": need.name,
        "type": need.type,
        "form": need.form,
        "state": answer.match.state,
        "sha256": (places[0].sha256 or None) if places else None,
        "path": places[0].path if places else None,
        "paths": [place.path for place in places],
        "hash": need.hash,
        "hash_matches": answer.is_as_meant,
        "suggestions": [
            {
                "sha256": each.place.sha256,
                "path": each.place.path,
                "type": each.place.type,
                "loader_name": each.place.loader_name,
                "why": each.why,
            }
            for each in answer.suggestions
        ],
        "url": need.url,
        "nodes": list(need.nodes),
        "classes": list(need.classes),
        "bypassed": need.bypassed,
        "listed": need.listed,
    }


def unused_document(report: UnusedReport) -> Document:
    """The models that no workflow names."""
    return {
        "models": [
            {
                "sha256": each.sha256,
                "name": each.name,
                "type": each.type,
                "size_bytes": each.size_bytes,
                "disk_bytes": each.disk_bytes,
                "paths": list(each.paths),
                "offline": list(each.offline),
                "set": each.set_name,
            }
            for each in report.models
        ],
        "unused": len(report.models),
        "examined": report.examined,
        "disk_bytes": report.disk_bytes,
        "workflows": report.workflows,
        "others": report.others,
        "others_by_kind": dict(report.others_by_kind.most_common()),
        "problems": [problem_document(problem) for problem in report.problems],
    }


# --- History


def entry_document(told: DescribedEntry) -> Document:
    """An entry of `log --json`."""
    entry = told.entry
    return {
        "id": entry.id,
        "at": times.iso(entry.at),
        "command": entry.command,
        "undone": entry.undone,
        "undoes": entry.undoes,
        "models": told.models,
        "pending": told.pending,
        "changes": [_change(change) for change in told.changes],
    }


def undo_document(report: UndoReport, *, dry_run: bool) -> Document:
    """The entry that was undone, and what became of user data."""
    return {
        "undone": report.told.entry.id,
        "command": report.told.entry.command,
        "models": report.told.models,
        "pending": report.told.pending,
        "changes": [_change(change) for change in report.changes],
        "dry_run": dry_run,
    }


def _change(change: FieldChange) -> Document:
    """One changed field; `sha256` or `pending_id` says of what, neither of something else."""
    about = (
        {"sha256": change.sha256}
        if change.sha256 is not None
        else {"pending_id": change.pending_id}
        if change.pending_id is not None
        else {}
    )
    return {
        **about,
        "name": change.name,
        "field": change.field,
        "before": change.before,
        "after": change.after,
    }


# --- Exports, backups, maintenance


def export_document(
    count: ExportCount, *, path: str | None, size_bytes: int | None, form: str, dry_run: bool
) -> Document:
    """How much was written out, and where to."""
    return {
        "models": count.models,
        "pending": count.pending,
        "path": path,
        "bytes": size_bytes,
        "format": form,
        "dry_run": dry_run,
    }


def sidecar_export_document(report: SidecarExport, paths: Sequence[str], *, dry_run: bool) -> Document:
    """The sidecars at `paths` that were written beside models, or would be."""
    return {
        "written": list(paths),
        "count": len(paths),
        "unchanged": report.unchanged,
        "nothing_typed": report.untyped,
        "problems": [problem_document(problem) for problem in report.problems],
        "dry_run": dry_run,
    }


def backup_document(path: str | None, size_bytes: int | None, *, dry_run: bool) -> Document:
    """The backup that was made."""
    return {"backup": path, "bytes": size_bytes, "dry_run": dry_run}


def known_backup_document(backup: Backup) -> Document:
    """A backup that is there."""
    return {
        "path": backup.path,
        "made_at": times.iso(backup.made_at),
        "reason": backup.reason,
        "size_bytes": backup.size_bytes,
    }


def restore_document(path: str, report: RestoreReport, *, dry_run: bool) -> Document:
    """The backup that is now in the place of the library at `path`, and where what was there is kept."""
    return {"library": path, "backup": report.backup, "kept": report.kept, "dry_run": dry_run}


def clean_meta_document(report: CleanReport, *, dry_run: bool) -> Document:
    """How much image data was stripped."""
    return {
        "examined": report.examined,
        "cleaned": report.cleaned,
        "payloads_removed": report.payloads_removed,
        "bytes_before": report.bytes_before,
        "bytes_after": report.bytes_after,
        "backup": report.backup,
        "dry_run": dry_run,
    }


def doctor_document(diagnosis: Diagnosis, mends: Sequence[str | None], *, dry_run: bool) -> Document:
    """Every check, with what mends it in the words of the face: one of `mends` for each."""
    return {
        "library": diagnosis.path,
        "checks": [
            {
                "name": check.name,
                "state": check.state,
                "message": check.message,
                "mend": mend,
                "fixed": check.fixed,
            }
            for check, mend in zip(diagnosis.checks, mends, strict=True)
        ],
        "errors": diagnosis.count("error"),
        "warnings": diagnosis.count("warning"),
        "dry_run": dry_run,
    }
