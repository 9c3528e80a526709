"""Saying which files a service is to touch, and seeing what became of them."""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any

from mlib.core.disk.journal import journal_path
from mlib.services.files.selection import Selection, select_files
from mlib.services.resolving import resolve_all

if TYPE_CHECKING:
    from pathlib import Path

    import pytest
    from tests.services.shelf import Shelf


def meant(shelf: Shelf, *refs: str | Path) -> list[Selection]:
    """What the command line makes of these REFs."""
    words = [os.fspath(ref) for ref in refs]
    return [select_files(shelf.library, resolve_all(shelf.library, [word])[0], ref=word) for word in words]


def journal(shelf: Shelf) -> list[dict[str, Any]]:
    """Every entry beside the library."""
    with open(journal_path(shelf.library.path), "rb") as file:
        return [json.loads(line) for line in file]


def listing(folder: Path) -> list[str]:
    """Every file below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir())


def directories_listed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The directories that are listed from now on, one after the other."""
    listed: list[str] = []
    real = os.listdir

    def listdir(path: str) -> list[str]:
        listed.append(path)
        return real(path)

    monkeypatch.setattr(os, "listdir", listdir)
    return listed
