"""What the fault tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.faults.forked import ForkServer, Program

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """The process that starts all others."""
    server = ForkServer()
    yield server
    server.close()


@pytest.fixture
def program(fork_server: ForkServer, tmp_path: Path) -> Program:
    """The program, ready to run on a library of this test."""
    return Program(fork_server, tmp_path)
