"""What `prune` and `forget` answer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlib.cli import format as fmt
from mlib.cli import output
from mlib.core import times

if TYPE_CHECKING:
    from mlib.services.forgetting import ForgetReport, Forgotten


def write(report: ForgetReport, *, as_json: bool, quiet: bool) -> None:
    """The models and pending imports that were forgotten, or would be."""
    if as_json:
        output.write_json(
            {
                "forgotten": [_as_json(each) for each in report.forgotten],
                "kept_offline": report.kept_offline,
                "backup": report.backup,
                "dry_run": report.dry_run,
            }
        )
        return
    if quiet:
        output.write_lines(_identifier(each) for each in report.forgotten)
        return
    output.write_rows(
        (
            _identifier(each)[:10] if each.sha256 else _identifier(each),
            each.name,
            fmt.moment(each.missing_since),
        )
        for each in report.forgotten
    )
    _tell(report)


def _tell(report: ForgetReport) -> None:
    verb = "would forget" if report.dry_run else "forgot"
    output.note(f"{verb} {counted(report)}")
    if report.kept_offline:
        kept = fmt.plural(report.kept_offline, "model")
        output.note(f"kept {kept} of folders that are not there now")
    if present := sum(bool(each.paths) for each in report.forgotten):
        output.note(f"{fmt.plural(present, 'model')} still with files: the next scan finds them as new")
    if report.backup:
        output.note(f"backup: {report.backup}")
        output.note("hint: `mlib undo` brings them back")


def counted(report: ForgetReport) -> str:
    """How many models and pending imports: `3 models, 1 pending import`."""
    models = sum(each.sha256 is not None for each in report.forgotten)
    waiting = len(report.forgotten) - models
    parts = [fmt.plural(models, "model")] if models or not waiting else []
    parts += [fmt.plural(waiting, "pending import")] if waiting else []
    return ", ".join(parts)


def _identifier(each: Forgotten) -> str:
    return each.sha256 or f"pending:{each.pending_id}"


def _as_json(each: Forgotten) -> dict[str, Any]:
    about = {"sha256": each.sha256} if each.sha256 is not None else {"pending_id": each.pending_id}
    return {
        **about,
        "name": each.name,
        "missing_since": times.iso(each.missing_since),
        "present": bool(each.paths),
    }
