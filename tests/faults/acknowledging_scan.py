"""Scans ROOT into LIBRARY, writing a few files at a time, and prints the path of each file that is safe."""

from __future__ import annotations

import sys

from mlib.core.events import Event, FileStored
from mlib.db.library import open_library
from mlib.services.scanning import identify
from mlib.services.scanning.request import ScanRequest
from mlib.services.scanning.run import scan

identify.FLUSH_FILES = 8


def acknowledge(event: Event) -> None:
    """Say it at once."""
    if isinstance(event, FileStored):
        print(event.path, flush=True)


with open_library(sys.argv[1], mode="create") as library:
    scan(library, ScanRequest(roots=[f"loras={sys.argv[2]}"]), emit=acknowledge)
