"""What every test gets: a home of its own, and nothing of the developer's."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

from mlib.db.library import open_library

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from mlib.db.library import Library


@pytest.fixture(scope="session")
def byte_code(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where programs that tests start keep their byte code, as they do for a user: all workers share it."""
    own = tmp_path_factory.getbasetemp()
    return (own.parent if os.environ.get("PYTEST_XDIST_WORKER") else own) / "byte-code"


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, byte_code: Path) -> Path:
    """An empty HOME, no MLIB_ or XDG_ variables, a plain terminal, Python's streams as a user has them."""
    home = tmp_path / "home"
    home.mkdir()
    for name in list(os.environ):
        if name.startswith(("MLIB_", "XDG_")) or name in ("NO_COLOR", "COLUMNS", "PYTHONUNBUFFERED"):
            monkeypatch.delenv(name)
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    monkeypatch.setenv("PYTHONPYCACHEPREFIX", str(byte_code))
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    return home


@pytest.fixture
def library_path(tmp_path: Path) -> Path:
    """Where a test keeps its library."""
    return tmp_path / "library" / "library.db"


@pytest.fixture
def library(library_path: Path) -> Iterator[Library]:
    """A new, open library."""
    with open_library(str(library_path), mode="create") as opened:
        yield opened
