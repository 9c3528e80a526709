"""Turning what comes from elsewhere into pending imports: an older database, or an export of mlib."""

from mlib.db.exported_files import is_export
from mlib.services.staging.exports import ExportReport, check_export, import_export
from mlib.services.staging.joining import BadRow
from mlib.services.staging.legacy import StageReport, move_waiting, stage_legacy
from mlib.services.staging.moving import Move, parse_move

__all__ = [
    "BadRow",
    "ExportReport",
    "Move",
    "StageReport",
    "check_export",
    "import_export",
    "is_export",
    "move_waiting",
    "parse_move",
    "stage_legacy",
]
