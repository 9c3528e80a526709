"""What becomes of a known file, judged by its header."""

from __future__ import annotations

from typing import TYPE_CHECKING, NoReturn

from tests.tools import write_model

from mlib.core.disk import uncached
from mlib.core.disk.compare import stat_of
from mlib.core.records import KnownFile

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_a_reader_that_fails_is_told_and_never_called_ok(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Promise 9: nobody has looked at the structure then."""
    path = tmp_path / "ink.safetensors"
    sha256 = write_model(path)
    row = KnownFile(str(tmp_path), path.name, sha256, None, stat_of(path.stat()), None, 1, False, None)
    assert uncached.glance(row).state == "ok"

    def fail(_path: str) -> NoReturn:
        raise ZeroDivisionError("in a reader")

    monkeypatch.setattr(uncached, "inspect_file", fail)
    verdict = uncached.glance(row)
    assert (verdict.state, "ZeroDivisionError: in a reader" in verdict.message) == ("unreadable", True)
