"""What tests of moving share."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def memory_disk() -> Iterator[Path]:
    """A folder on another file system than the test's."""
    folder = Path(tempfile.mkdtemp(prefix="mlib-placing-", dir="/dev/shm"))
    yield folder
    shutil.rmtree(folder)
