"""What an import came to, for a person and for scripts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlib.cli import format as fmt
from mlib.cli import output

if TYPE_CHECKING:
    from mlib.services.importing import ImportReport, UserData


def write(report: ImportReport, *, dry_run: bool, as_json: bool, quiet: bool) -> None:
    """The whole report as it was asked for; what the exit code speaks of also where it is to be quiet."""
    if as_json:
        output.write_json({**_document(report), "dry_run": dry_run})
    elif quiet:
        output.write_lines(dict.fromkeys(entry.sha256 for entry in report.success))
        for e in report.conflict:
            output.note(f"conflict: {_id(e.id)}: {e.sha256}: {', '.join(e.differs)}")
        _tell_failed(report)
        _tell_way_out(report)
    else:
        _tell(report, dry_run=dry_run)


def _document(report: ImportReport) -> dict[str, Any]:
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
        "failed": [{"id": e.id, "path": e.path, "code": e.code, "message": e.message} for e in report.failed],
        "waiting": [{"id": e.id, "path": e.path} for e in report.waiting],
        "backup": report.backup,
    }


def _user_data(data: UserData) -> dict[str, Any]:
    return {**data.text, "tags": list(data.tags.values()), "meta": dict(data.meta)}


def _id(pending_id: int | None) -> str:
    return "sidecar" if pending_id is None else str(pending_id)


def _tell(report: ImportReport, *, dry_run: bool) -> None:
    rows: list[tuple[str, ...]] = [
        (entry.change, _id(entry.id), entry.sha256) for entry in report.success if entry.change != "unchanged"
    ]
    rows += [("conflict", _id(e.id), e.sha256, ", ".join(e.differs)) for e in report.conflict]
    rows += [("ignored", str(pending_id)) for pending_id in report.ignored]
    rows += [("deleted", str(pending_id)) for pending_id in report.deleted]
    rows += [("waiting", str(e.id), e.path) for e in report.waiting]
    output.write_rows(rows)
    _tell_failed(report)
    changes = [entry.change for entry in report.success]
    parts = [
        f"{fmt.number(count)} {word}"
        for word, count in (
            ("created", changes.count("created")),
            ("updated", changes.count("updated")),
            ("unchanged", changes.count("unchanged")),
            ("in conflict", len(report.conflict)),
            ("ignored", len(report.ignored)),
            ("deleted", len(report.deleted)),
            ("waiting for a scan to find their file", len(report.waiting)),
            ("failed", len(report.failed)),
        )
        if count
    ]
    lead = "would import" if dry_run else "imported"
    output.note(
        f"{lead} {fmt.plural(report.total, 'entry', 'entries')}: {', '.join(parts) or 'nothing to do'}"
    )
    if report.backup:
        output.note(f"backup: {report.backup}")
    _tell_way_out(report)


def _tell_failed(report: ImportReport) -> None:
    for failure in report.failed:
        where = failure.path if failure.id is None else f"pending:{failure.id}"
        output.note(f"failed: {where}: {failure.message}" if where else f"failed: {failure.message}")


def _tell_way_out(report: ImportReport) -> None:
    if any(conflict.id is None for conflict in report.conflict):
        output.note(
            "hint: `mlib import --sidecars REF --on-conflict merge|override|ignore` settles a conflict"
        )
    elif report.conflict:
        output.note("hint: `mlib import ID --on-conflict merge|override|ignore|delete` settles a conflict")
