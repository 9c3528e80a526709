"""The examination: from the outside in, as far as the library can be read."""

from __future__ import annotations

import os

from mlib.core.errors import MlibError
from mlib.db import health
from mlib.db.faults import no_library
from mlib.services.diagnosing.around import kept_backups, permissions, replaced, sqlite, storage, unfinished
from mlib.services.diagnosing.checks import Diagnosis, broken
from mlib.services.diagnosing.within import inside


def examine(path: str, *, fix: bool = False) -> Diagnosis:
    """Look at everything; with `fix` put right what costs nothing that anybody typed.

    Works on a damaged library as far as it can be read. Raises NotFound (`no_library`) if there is none,
    LibraryBusy while another program keeps it from being read.
    """
    path = os.path.abspath(path)
    if not os.path.lexists(path) or (os.path.isfile(path) and not os.path.getsize(path)):
        raise no_library(path)  # an empty file is what a library begins as
    diagnosis = Diagnosis(path)
    add = diagnosis.checks.extend
    add(permissions(path, fix))
    add(storage(path))
    add(sqlite())
    add(unfinished(path, fix))
    try:
        with health.opened(path) as library:
            add(inside(library, path, fix))
    except MlibError as error:
        add([broken("integrity", error, path)])
    add(kept_backups(path))
    add(replaced(path))
    return diagnosis
