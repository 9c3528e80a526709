"""What tests of services share."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from tests.services.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlib.db.library import Library


@pytest.fixture
def shelf(library: Library, tmp_path: Path) -> Shelf:
    """A library that remembers an empty `loras` and an empty `vae` folder."""
    made = Shelf(library, tmp_path / "models" / "loras", tmp_path / "models" / "vae")
    for folder in (made.loras, made.vae):
        folder.mkdir(parents=True)
    made.scan(roots=[f"loras={made.loras}", f"vae={made.vae}"])
    return made


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A folder on another file system than the shelf's."""
    folder = Path("/dev/shm") / f"mlib-services-{os.getpid()}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)
