"""Making models of pending imports: the one batch importer, and what it does when the model is known."""

from mlib.services.importing.from_sidecars import import_sidecars
from mlib.services.importing.importer import (
    Conflict,
    ConflictStrategy,
    Failed,
    Imported,
    ImportReport,
    Reason,
    UserData,
    Wait,
    Waiting,
    differences,
    import_pending,
    merged,
    overridden,
    resolved,
    waiting,
)

__all__ = [
    "Conflict", "ConflictStrategy", "Failed", "ImportReport", "Imported", "Reason", "UserData", "Wait",
    "Waiting", "differences", "import_pending", "import_sidecars", "merged", "overridden", "resolved",
    "waiting",
]  # fmt: skip
