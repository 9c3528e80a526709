"""Making models of pending imports: the one batch importer, and what it does when the model is known."""

from mlib.services.importing.from_sidecars import import_sidecars
from mlib.services.importing.importer import import_pending
from mlib.services.importing.report import Conflict, Failed, Imported, ImportReport, Waiting
from mlib.services.importing.strategies import (
    ConflictStrategy,
    UserData,
    differences,
    merged,
    overridden,
    resolved,
)
from mlib.services.importing.waiting import Reason, Wait, waiting

__all__ = [
    "Conflict",
    "ConflictStrategy",
    "Failed",
    "ImportReport",
    "Imported",
    "Reason",
    "UserData",
    "Wait",
    "Waiting",
    "differences",
    "import_pending",
    "import_sidecars",
    "merged",
    "overridden",
    "resolved",
    "waiting",
]
