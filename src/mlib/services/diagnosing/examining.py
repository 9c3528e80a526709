"""The examination: from the outside in, as far as the library can be read."""

from __future__ import annotations

import os
import stat

from mlib.core.errors import MlibError
from mlib.db import health
from mlib.db.faults import no_library
from mlib.services.diagnosing.around import (
    journal_of_files,
    kept_backups,
    permissions,
    replaced,
    sqlite,
    storage,
    unfinished,
)
from mlib.services.diagnosing.checks import Diagnosis, broken, restoring_command
from mlib.services.diagnosing.within import inside


def examine(path: str, *, fix: bool = False) -> Diagnosis:
    """Look at everything; with `fix` put right what costs nothing that anybody typed.

    Works on a damaged library as far as it can be read. Raises NotFound (`no_library`) if there is none,
    LibraryBusy while another program keeps it from being read.
    """
    path = os.path.abspath(path)
    try:
        status = os.stat(path)
    except FileNotFoundError:
        raise no_library(path) from None
    except OSError as error:  # a link that leads round in a circle
        message = f"the library cannot be opened: {error.strerror}: {path}"
        raise MlibError("library_unreadable", message, hint=restoring_command(path)) from error
    if stat.S_ISREG(status.st_mode) and not status.st_size:
        raise no_library(path)  # an empty file is what a library begins as
    diagnosis = Diagnosis(path)
    add = diagnosis.checks.extend
    add(permissions(path, fix))
    add(storage(path))
    add(sqlite())
    add(unfinished(path, fix))
    add(journal_of_files(path))
    try:
        with health.opened(path) as library:
            add(inside(library, path, fix))
    except MlibError as error:
        add([broken("integrity", error, path)])
    add(kept_backups(path))
    add(replaced(path))
    return diagnosis
